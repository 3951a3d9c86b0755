"""Wholeness: how it is known that a delivered file is all there, before anybody reads it.

Put here a way in which senders say that they are done. Keep out what is in the file (``formats``).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import dagster as dg

from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources.variants import at_least

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.plumbing.sources.files.places import Place

_MOST_BYTES: Final = 2**16
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_NAME: Final = re.compile(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*")
_FILE: Final = "{file}"


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What is known of a file before it is read; ``None`` for what nobody said.

    Attributes:
        identity: another one means another delivery.
        size: in bytes.
        sha256: of the file as delivered, in lower-case hexadecimal.
        rows: without a header line.
        path: of the file, where it is another one than that of the declaration.
        said: all that a manifest says, by its own names.
    """

    identity: str
    size: int | None = None
    sha256: str | None = None
    rows: int | None = None
    path: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def proves(self) -> bool:
        """Whether what was said shows that no byte is missing."""
        return self.size is not None or self.sha256 is not None


class Wholeness(dg.Model, dg.Resolvable, ABC):
    """A way in which it is known that a file is complete."""

    @abstractmethod
    def promise(self, place: Place, path: str) -> Promise:
        """What is known of a file, once it is complete.

        Args:
            place: where it lies.
            path: which file.

        Raises:
            SourceUnavailableError: it is not complete yet, or not there.
            SourceError: what was said of it cannot be understood.
        """


class Quiet(Wholeness):
    """Nobody has changed the file for some time. Where senders can do more, let them: a stalled upload is quiet, too.

    Attributes:
        seconds: since its last change, by the clocks of the file's place and of this machine.

    Example:
        >>> import mlops_assets as ma
        >>> whole = ma.Quiet(seconds=300)
    """

    type: Literal["quiet"] = "quiet"
    seconds: Annotated[float, at_least(0)] = 60.0

    def promise(self, place: Place, path: str) -> Promise:
        """Its size and time of change."""
        found = place.info(path)
        age = time.time() - found.modified if found.modified is not None else None
        if age is not None and age < -self.seconds - 1:
            raise SourceError(
                source=place.name_of(path),
                culprit=f"it was last changed {-age:.0f} s in the future.",
                remedy="Set the clocks of both machines, or let another way tell when it is complete (whole=).",
            )
        if age is not None and age < self.seconds:
            raise SourceUnavailableError(
                source=place.name_of(path),
                culprit=f"it was changed {max(age, 0):.0f} s ago, and may still be written.",
                remedy=f"It is taken once it has been quiet for {self.seconds:g} s.",
            )
        return Promise(identity=found.identity)


class Marker(Wholeness):
    """A file beside it, written last, says that it is complete.

    Attributes:
        name: of that file; ``{file}`` is the name of the one it speaks for. Alone in its folder it speaks for all.

    Example:
        >>> import mlops_assets as ma
        >>> whole = ma.Marker(name="_SUCCESS")
    """

    type: Literal["marker"] = "marker"
    name: str = f"{_FILE}.done"

    def promise(self, place: Place, path: str) -> Promise:
        """The time of the marker."""
        found = place.info(path)
        marker = place.info(_beside(path, self.name), missing="it is not there, so the file is not complete.")
        if marker.modified is not None and found.modified is not None and marker.modified < found.modified:
            raise SourceUnavailableError(
                source=place.name_of(path),
                culprit="it has changed since its marker was written, so it may not be complete.",
                remedy="Write the marker anew, after the file.",
            )
        return Promise(identity=f"{found.identity}+{marker.identity}")


class Checksum(Wholeness):
    """A file beside it holds its SHA-256, as ``sha256sum`` writes it; it is written last.

    Attributes:
        name: of that file; ``{file}`` is the name of the one it speaks for. It may list several.

    Example:
        >>> import mlops_assets as ma
        >>> whole = ma.Checksum(name="SHA256SUMS")
    """

    type: Literal["checksum"] = "checksum"
    name: str = f"{_FILE}.sha256"

    def promise(self, place: Place, path: str) -> Promise:
        """The checksum."""
        beside = _beside(path, self.name)
        digest = self.digest_of(path.rpartition("/")[2], _said(place, beside), place.name_of(beside))
        return Promise(identity=digest, sha256=digest)

    @staticmethod
    def digest_of(file: str, said: bytes, source: str) -> str:
        """The SHA-256 of a file, in lower-case hexadecimal, by what ``sha256sum`` has written beside it.

        Args:
            file: its name.
            said: lines of a checksum and a name, or a checksum alone.
            source: how messages name them.

        Raises:
            SourceError: there is none of that file, or there are two.
        """
        text = said.decode("utf-8-sig", errors="replace")
        lines = [parts for line in text.splitlines() if (parts := line.split(maxsplit=1))]
        sums = [(digest.lower(), name) for digest, *name in lines if _SHA256.fullmatch(digest)]
        own = {digest for digest, name in sums if name and name[0].removeprefix("*").strip() == file}
        if not own and len(sums) == 1 and not sums[0][1]:
            own = {sums[0][0]}
        if len(own) != 1:
            raise SourceError(
                source=source,
                culprit=f"it holds {'several checksums' if own else 'no SHA-256'} of {file}.",
                remedy="Write it with sha256sum, in the folder of the file.",
            )
        return own.pop()


class Manifest(Wholeness):
    """A JSON object beside it says its size, checksum or rows; it is written last.

    Attributes:
        name: of the manifest; ``{file}`` is the name of the file it speaks for.
        sha256: the manifest's entry with the SHA-256; at least this one or ``size`` must be there.
        size: the entry with the size in bytes.
        rows: the entry with the number of rows, without a header line.
        file: the entry with the name of the file, in the same folder, where senders choose it. The declaration's
            ``file`` is then the manifest, and ``name`` says nothing.

    Example:
        >>> import mlops_assets as ma
        >>> whole = ma.Manifest(name="{file}.json", rows="count")
    """

    type: Literal["manifest"] = "manifest"
    name: str = "manifest.json"
    sha256: str = "sha256"
    size: str = "bytes"
    rows: str = "rows"
    file: str | None = None

    def promise(self, place: Place, path: str) -> Promise:
        """What the manifest says."""
        beside = _beside(path, self.name) if self.file is None else path
        source = place.name_of(beside)
        content = _said(place, beside)
        try:
            said = json.loads(content.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise SourceError(
                source=source, culprit="it is no JSON object in UTF-8.", remedy="Write the manifest anew."
            )
        size, rows = (self._number(said, entry, source) for entry in (self.size, self.rows))
        digest = said.get(self.sha256)
        if digest is not None and not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
            raise SourceError(
                source=source,
                culprit=f"its {self.sha256} is no SHA-256 in hexadecimal.",
                remedy="Write the manifest anew.",
            )
        if digest is None and size is None:
            raise SourceError(
                source=source,
                culprit=f"it says neither {self.sha256} nor {self.size}.",
                remedy="Let it say at least one of them, or name its entries in the declaration.",
            )
        digest = digest.lower() if digest is not None else None
        spoken_of = path if self.file is None else self._named(said, beside, source)
        # A manifest that was corrected is another delivery: what was refused by it is asked for at once.
        identity = hashlib.sha256(content).hexdigest()
        if digest is None:
            identity += f"+{place.info(spoken_of).identity}"
        return Promise(identity=identity, size=size, sha256=digest, rows=rows, path=spoken_of, said=said)

    def _named(self, said: dict[str, Any], beside: str, source: str) -> str:
        """The path of the file that the manifest names."""
        name = said.get(self.file or "")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SourceError(
                source=source,
                culprit=f"its {self.file} is no name of a file beside it.",
                remedy="Write the manifest anew, with a name alone that does not begin with a dot.",
            )
        return _beside(beside, name)

    @staticmethod
    def _number(said: dict[str, Any], entry: str, source: str) -> int | None:
        value = said.get(entry)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise SourceError(
                source=source, culprit=f"its {entry} is no whole number.", remedy="Write the manifest anew."
            )
        return value


def _beside(path: str, name: str) -> str:
    folder, _, file = path.rpartition("/")
    return f"{folder}/{name.replace(_FILE, file)}"


def _said(place: Place, path: str) -> bytes:
    found = place.info(path, missing="it is not there, so the file is not complete.")
    if found.size > _MOST_BYTES:
        raise SourceError(
            source=place.name_of(path),
            culprit=f"it has {found.size:,} bytes; nothing of the kind needs more than {_MOST_BYTES:,}.",
            remedy="Look at what was delivered in its place.",
        )
    return place.start_of(path, _MOST_BYTES)
