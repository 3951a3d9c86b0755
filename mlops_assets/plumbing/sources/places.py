"""Places of files: a folder of this machine, or one of an object store or server by its address.

Put here how files are listed and opened, wherever they lie (fsspec knows the protocols). Keep out which of them are
wanted (``files``) and when they are complete (``wholeness``).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final, Self

import fsspec

from mlops_assets.platform.errors import SettingsError, SourceError, SourceUnavailableError

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_BLOCK: Final = 2**20
_TIMES: Final = ("mtime", "LastModified", "last_modified", "modified", "updated")
_VERSIONS: Final = ("ETag", "etag", "VersionId", "version_id")


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """What a place says of a file.

    Attributes:
        size: in bytes.
        modified: seconds since 1970 of its last change; ``None`` where the place does not know.
        identity: of its content, as far as the place tells without reading it.
    """

    size: int
    modified: float | None
    identity: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder, wherever it is.

    Attributes:
        address: as declared, without anything secret; for messages.
        system: fsspec's file system.
        root: the folder in it.
    """

    address: str
    system: Any = field(repr=False)
    root: str

    @classmethod
    def at(cls, address: str, options: Mapping[str, Any]) -> Self:
        """The place with that address.

        Args:
            address: a path, or an address such as ``s3://bucket/folder``.
            options: of fsspec for that protocol, such as ``key`` and ``secret``.

        Raises:
            SettingsError: what the protocol needs is not installed, or the address cannot be used.
        """
        try:
            system, root = fsspec.url_to_fs(address, use_listings_cache=False, **options)
        except (ImportError, ValueError, TypeError) as error:
            protocol = address.partition("://")[0] if "://" in address else "file"
            missing = isinstance(error, ImportError)
            raise SettingsError(
                source=f"Files at {_shown(address)}",
                culprit=f"{protocol} cannot be used ({type(error).__name__}).",
                remedy="Install fsspec's package for it: s3fs, gcsfs, adlfs or paramiko."
                if missing
                else "Correct the address, or the options beside it.",
            ) from None
        return cls(address=_shown(address), system=system, root=root.rstrip("/"))

    def within(self, path: str) -> str:
        """The path of a file from this folder."""
        return path.removeprefix(self.root).lstrip("/")

    def name_of(self, path: str) -> str:
        """How messages name a file of this place."""
        return f"File {self.within(path)} at {self.address}"

    def path(self, name: str) -> str:
        """The path of a file by its name in this folder.

        Raises:
            SourceError: the name leads out of the folder.
        """
        if {"", ".", ".."} & set(name.split("/")):
            raise SourceError(
                source=f"Files at {self.address}",
                culprit=f"the name {name!r} leads out of the folder.",
                remedy="Correct the declaration's file, or the partition's key.",
            )
        return f"{self.root}/{name}"

    def info(self, path: str, *, missing: str = "it is not there.") -> FileInfo:
        """What the place says of a file.

        Args:
            path: which one.
            missing: what to tell where there is none.

        Raises:
            SourceUnavailableError: there is no such file, or the place does not answer.
        """
        try:
            found = self.system.info(path)
        except FileNotFoundError:
            raise SourceUnavailableError(
                source=self.name_of(path),
                culprit=missing,
                remedy="Wait for the delivery, or ask its sender.",
            ) from None
        except Exception as error:  # noqa: BLE001  each protocol has its own
            raise self._away(path, error) from None
        modified = _moment(next((found[name] for name in _TIMES if found.get(name) is not None), None))
        version = next((str(found[name]) for name in _VERSIONS if found.get(name)), "")
        size = int(found.get("size") or 0)
        said = f"{size}:{version or modified}:{found.get('ino', '')}"
        return FileInfo(size=size, modified=modified, identity=hashlib.sha256(said.encode()).hexdigest()[:32])

    def start_of(self, path: str, most: int) -> bytes:
        """The first bytes of a file, at most that many.

        Raises:
            SourceUnavailableError: it cannot be read.
        """
        with self._open(path) as file:
            return self._read(file, path, most)

    def copied(self, path: str, target: Path) -> tuple[int, str]:
        """Copy a file, opened once: what is put in its place meanwhile is not mixed with it. Its size and SHA-256.

        Raises:
            SourceUnavailableError: it cannot be read to its end, or scratch is full.
        """
        digest = hashlib.sha256()
        size = 0
        with self._open(path) as file, target.open("wb") as written:
            while block := self._read(file, path, _BLOCK):
                try:
                    written.write(block)
                except OSError as error:
                    raise SourceUnavailableError(
                        source=self.name_of(path),
                        culprit=f"after {size:,} bytes it could not be copied to scratch ({error.strerror}).",
                        remedy="Give the folder of temporary files (TMPDIR) more room.",
                    ) from None
                digest.update(block)
                size += len(block)
        return size, digest.hexdigest()

    def _open(self, path: str) -> IO[bytes]:
        try:
            opened: IO[bytes] = self.system.open(path, "rb")
        except Exception as error:  # noqa: BLE001  each protocol has its own
            raise self._away(path, error) from None
        return opened

    def _read(self, file: IO[bytes], path: str, most: int) -> bytes:
        try:
            return file.read(most)
        except Exception as error:  # noqa: BLE001  each protocol has its own
            raise self._away(path, error) from None

    def matching(self, parts: Sequence[re.Pattern[str]]) -> Iterator[str]:
        """The files below the folder whose names match, part by part of their path.

        Folders are listed one by one: a name is never taken for a pattern. Names that begin with a dot, as senders call
        what they still write, match only where the pattern begins so, too.

        Raises:
            SourceUnavailableError: the folder is not there, or the place does not answer.
        """
        yield from self._matching(self.root, parts)

    def _matching(self, folder: str, parts: Sequence[re.Pattern[str]]) -> Iterator[str]:
        try:
            entries = self.system.ls(folder, detail=True)
        except Exception as error:  # noqa: BLE001  each protocol has its own
            raise self._away(folder, error) from None
        first, *rest = parts
        unwanted = "file" if rest else "directory"
        for entry in sorted(entries, key=lambda each: str(each["name"])):
            path = entry["name"].rstrip("/")
            name = path.rpartition("/")[2]
            hidden = name.startswith(".") and not first.pattern.startswith(r"\.")
            if hidden or entry["type"] == unwanted or first.fullmatch(name) is None:
                continue
            if rest:
                yield from self._matching(path, rest)
            else:
                yield path

    def _away(self, path: str, error: Exception) -> SourceUnavailableError:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return SourceUnavailableError(
            source=self.name_of(path) if path != self.root else f"Files at {self.address}",
            culprit=f"it cannot be read ({reason}).",
            remedy="Is the place mounted or reachable, and may the account of the runs read it?",
        )


def _shown(address: str) -> str:
    """The address without account and query, which may be secrets."""
    protocol, separator, rest = address.partition("://")
    if not separator:
        return address
    return f"{protocol}://{rest.partition('?')[0].rpartition('@')[2]}"


def _moment(value: object) -> float | None:
    if isinstance(value, dt.datetime):
        return value.timestamp()
    if isinstance(value, str):
        try:
            return dt.datetime.fromisoformat(value).timestamp()
        except ValueError:
            return None
    return float(value) if isinstance(value, int | float) else None
