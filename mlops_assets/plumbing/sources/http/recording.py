"""Recordings: the answers of a paged source in one file, and the same answers again without the source.

Put here how answers are written and given back. Keep out what they mean (``reading``).
"""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import httpx

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.hidden import HIDDEN
from mlops_assets.plumbing.sources.http.answers import Fetched
from mlops_assets.plumbing.sources.http.faults import RefusedRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from mlops_assets.plumbing.sources.hidden import Hidden
    from mlops_assets.plumbing.sources.http.bodies import Kind

_FASTEST: Final = 1
_MEMBERS: Final = 2
"""Of each answer: its body, and what is said of it."""
_AS_IT_WAS: Final = "Declare paginate and rows as they were when it came, or leave the tag out: the source is asked."


class Pages(Protocol):
    """What gives answers: a fetcher, or a recording of one."""

    def get(
        self,
        address: str,
        kind: Kind,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        part: str = "",
    ) -> Fetched:
        """The answer at an address."""


class Recorder:
    """Writes down the answers of a fetcher: a zip archive with a body and what was said of it for each, in order.

    Use it as a context manager; the file is whole at its end.

    Args:
        pages: gives the answers.
        file: the archive to write.
        hidden: the secrets with which they were asked for, which are not written.
    """

    def __init__(self, pages: Pages, file: Path, hidden: Hidden) -> None:
        self._pages = pages
        self._hidden = hidden
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_FASTEST)
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def get(
        self,
        address: str,
        kind: Kind,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        part: str = "",
    ) -> Fetched:
        """The answer at an address, which is written down."""
        try:
            fetched = self._pages.get(address, kind, parameters=parameters, headers=headers, part=part)
        except RefusedRequestError as error:
            self._write({"status": error.status}, b"")
            raise
        links = [self._hidden.said(link) for link in fetched.links]
        location = self._hidden.said(str(fetched.location))
        self._write({"address": fetched.address, "location": location, "links": links}, fetched.body)
        return fetched

    def _write(self, about: Mapping[str, Any], body: bytes) -> None:
        self._count += 1
        # Without times: the same answers are the same file.
        for name, content in ((f"{self._count:06}.json", json.dumps(about).encode()), (f"{self._count:06}", body)):
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            self._archive.writestr(member, content)


class Player:
    """Gives the answers of a recording, in their order.

    Use it as a context manager: at its end all have been asked for.

    Args:
        file: what a recorder wrote.
        source: how messages name it.
    """

    def __init__(self, file: Path, source: str) -> None:
        self._archive = zipfile.ZipFile(file)
        self._source = source
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = len(self._archive.namelist()) // _MEMBERS - self._count
        self._archive.close()
        if error is None and left > 0:
            raise SourceError(
                source=self._source,
                culprit=f"{self._count + left} answers are kept, and the declaration asks for {self._count}.",
                remedy=_AS_IT_WAS,
            )

    def get(
        self,
        address: str,  # noqa: ARG002  whatever is asked for is the next one
        kind: Kind,  # noqa: ARG002
        *,
        parameters: Mapping[str, str] | None = None,  # noqa: ARG002
        headers: Mapping[str, str] | None = None,  # noqa: ARG002
        part: str = "",  # noqa: ARG002
    ) -> Fetched:
        """The next answer.

        Raises:
            SourceError: there is none.
        """
        self._count += 1
        try:
            about = json.loads(self._archive.read(f"{self._count:06}.json"))
        except KeyError:
            raise SourceError(
                source=self._source,
                culprit=f"{self._count - 1} answers are kept, and the declaration asks for more.",
                remedy=_AS_IT_WAS,
            ) from None
        if "status" in about:
            raise RefusedRequestError(
                source=self._source,
                culprit=f"answer {self._count} was a refusal ({about['status']}).",
                remedy="Leave the tag out: the source is asked.",
                status=about["status"],
            )
        return Fetched(
            address=about["address"],
            body=self._archive.read(f"{self._count:06}"),
            unchanged=False,
            location=httpx.URL(about["location"]),
            # What is hidden in them told the pages apart.
            links=tuple(link.replace(HIDDEN, str(self._count)) for link in about["links"]),
        )
