"""The reading of a paged answer: page after page into one table, complete or not at all.

Put here what makes all pages one delivery, and how they could fail to be. Keep out styles of paging (``pages``).
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import httpx

from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources.delivered import Workplace
from mlops_assets.plumbing.sources.formats.json_rows import Answer
from mlops_assets.plumbing.sources.formats.kinds import Delimited
from mlops_assets.plumbing.sources.http.bodies import Kind
from mlops_assets.plumbing.sources.http.client import is_same_host
from mlops_assets.plumbing.sources.http.faults import RefusedRequestError
from mlops_assets.plumbing.sources.http.pages import Ask, Page
from mlops_assets.plumbing.sources.http.validators import Validators
from mlops_assets.plumbing.sources.templates import filled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.plumbing.sources.delivered import Delivered, Request
    from mlops_assets.plumbing.sources.formats.text_files import TextFiles
    from mlops_assets.plumbing.sources.http.answers import Fetched
    from mlops_assets.plumbing.sources.http.recording import Pages
    from mlops_assets.plumbing.sources.http.rest import RestSource

_NOT_FOUND: Final = 404
_BATCH: Final = 20_000
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


class Reading:
    """The pages of one partition, as they are read.

    Attributes:
        pages: how many came.
        bytes: how long their bodies were.
        digest: of their bodies, one after the other.
        validators: of the last one.
    """

    def __init__(self, declared: RestSource, request: Request, pages: Pages, rows: TextFiles, source: str) -> None:
        self._declared = declared
        self._request = request
        self._pages = pages
        self._rows = rows
        self._source = source
        self._seen: dict[str, int] = {}
        self._read = self._largest = 0
        self._total: int | None = None
        self._columns: list[str] = []
        self.pages = self.bytes = 0
        self.digest = hashlib.sha256()
        self.validators = Validators()

    def read(self, address: str, parameters: Mapping[str, str]) -> None:
        """All of them, from the first on."""
        style = self._declared.paginate
        ask: Ask | None = style.begin() if style else Ask()
        while ask is not None:
            if self.pages == self._declared.most_pages:
                raise self._refused(f"it has more than {self.pages:,} pages, or never ends", "Raise most_pages.")
            if ask.mark is not None:
                self._once(f"mark {ask.mark}", "is named again as the next one", ask)
            page = self._page(ask, address, parameters)
            ask = style.after(page) if style and page else None
        if self._total is not None and self._total != self._read:
            raise SourceUnavailableError(
                source=self._source,
                culprit=f"it tells of {self._total:,} rows and gives {self._read:,}.",
                remedy="Its rows may have changed meanwhile: try again; if it stays so, tell the source's owner.",
            )

    def _page(self, ask: Ask, address: str, parameters: Mapping[str, str]) -> Page | None:
        """One page; ``None`` where the one before was the last."""
        declared, number = self._declared, self.pages + 1
        request = self._request
        headers = {
            name: filled(text, declared.contract, request.partition, request.since)
            for name, text in declared.headers.items()
            # One that a redirect has led to is not told what may be a secret.
            if ask.address is None or is_same_host(httpx.URL(address), httpx.URL(ask.address))
        }
        try:
            fetched = self._pages.get(
                ask.address or address,
                Kind.JSON if declared.format == "json" else Kind.CSV,
                parameters=ask.parameters if ask.address else {**parameters, **ask.parameters},
                headers=headers,
                part=f"page {number}" if declared.paginate else "",
            )
        except RefusedRequestError as error:
            if ask.may_be_past and error.status == _NOT_FOUND:
                return None
            raise
        answer = Answer(fetched.body, fetched.address) if declared.format == "json" else None
        total = self._told(answer, fetched)
        count, digest = self._taken(answer, fetched, ask)
        if digest is None:
            return None
        self.pages = number
        self.bytes += len(fetched.body)
        self.digest.update(fetched.body)
        self.validators = fetched.validators
        self._read += count
        self._largest = max(self._largest, count)
        return Page(
            source=fetched.address,
            location=fetched.location,
            links=fetched.links,
            answer=answer,
            number=number,
            rows=count,
            read=self._read,
            largest=self._largest,
            total=total,
        )

    def _taken(self, answer: Answer | None, fetched: Fetched, ask: Ask) -> tuple[int, str | None]:
        """Write the rows of a page; how many there are and their hash, none where they are those of the last page."""
        if answer is not None:
            found = answer.rows(self._declared.rows)
            count, digest = len(found), found.digest
            if count and not self._once(digest, "comes again", ask):
                return 0, None
            if count:
                self._rows.add(found.columns())
            return count, digest
        digest = fetched.sha256
        before = self._rows.count
        if digest in self._seen and not self._once(digest, "comes again", ask):
            return 0, None
        self._add_csv(fetched)
        count = self._rows.count - before
        if count:
            self._once(digest, "comes again", ask)
        return count, digest

    def _add_csv(self, fetched: Fetched) -> None:
        """Write the rows of a page, which the transport has proved whole; an empty one has none."""
        if not fetched.body.strip():
            return
        with tempfile.TemporaryDirectory(dir=self._request.scratch) as folder:
            at = Workplace(connection=self._request.connection, scratch=Path(folder))
            self._add_rows(Delimited().rows(iter([fetched.body]), at, fetched.address, proven=True))

    def _add_rows(self, found: Delivered) -> None:
        names = found.rows.columns
        # A page without its header line would lose a row, and name columns by its values.
        if {*names} != {*(self._columns or names)}:
            raise SourceError(
                source=found.source,
                culprit="its header line is not that of the first page.",
                remedy="Ask for pages that all begin with the header line.",
            )
        self._columns = names
        try:
            # Once more than there are rows: of a header alone the columns are kept.
            batch = None
            while batch is None or batch:
                batch = found.rows.fetchmany(_BATCH)
                self._rows.add({name: [row[at] for row in batch] for at, name in enumerate(names)})
        except duckdb.InvalidInputException:
            if found.unreadable is None:
                raise
            raise found.unreadable() from None

    def _once(self, mark: str, culprit: str, ask: Ask) -> bool:
        """Whether that has not been seen.

        Raises:
            SourceError: it has, and not where the pages may be over.
        """
        before = self._seen.setdefault(mark, self.pages + 1)
        if before == self.pages + 1:
            return True
        if ask.may_be_past and before == self.pages:
            return False
        raise self._refused(
            f"page {before} {culprit}, after page {self.pages}", "Does it heed the parameters that paginate declares?"
        )

    def _told(self, answer: Answer | None, fetched: Fetched) -> int | None:
        """How many rows there are, as the source tells in every page."""
        path = self._declared.paginate.total if self._declared.paginate else None
        if answer is None or path is None:
            return None
        text = answer.text_at(path)
        if text is None or not _NUMBER.fullmatch(text):
            raise SourceError(
                source=fetched.address,
                culprit=f"its {path}, where the number of rows is due, is no number.",
                remedy="Correct total in the declaration's paginate.",
            )
        if self._total is not None and self._total != int(text):
            raise SourceUnavailableError(
                source=fetched.address,
                culprit=f"the number of its rows changed from {self._total:,} to {int(text):,} as it was read.",
                remedy="Try again when it is at rest.",
            )
        self._total = int(text)
        return self._total

    def _refused(self, culprit: str, remedy: str) -> SourceError:
        return SourceError(source=self._source, culprit=f"{culprit}.", remedy=remedy)
