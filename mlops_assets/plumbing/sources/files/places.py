"""Places of files: a folder of this machine, or one of an object store or server by its address.

Put here how files are listed and opened, wherever they lie (fsspec knows the protocols). Keep out which of them are
wanted (``files``) and when they are complete (``wholeness``).
"""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import os
import weakref
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import IO, TYPE_CHECKING, Any, Final, Self

import fsspec
from fsspec.core import split_protocol

from mlops_assets.platform.errors import PlatformError, SettingsError, SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources import room

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_BLOCK: Final = 2**22
_READ: Final = 2**20
"""Bytes read at once: the allocator keeps as many, and maps more anew each time, which can take as long as all else."""
_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "sftp": "sftp", "ssh": "sftp"}
_NO_FOLDER: Final = "Is the place mounted, and its address right? An object store has a folder once a file is in it."
_ASK_SENDER: Final = "Wait for the delivery, or ask its sender."
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
    """A folder, wherever it is. A connection to it is made when it is first asked, and ends with the place.

    Attributes:
        address: as declared, without anything secret; for messages.
        root: the folder in it.
        connect: makes fsspec's file system.
    """

    address: str
    root: str
    connect: Callable[[], Any] = field(repr=False)

    @classmethod
    def at(cls, address: str, options: Mapping[str, Any]) -> Self:
        """The place with that address.

        Args:
            address: a path, or an address such as ``s3://bucket/folder``.
            options: of fsspec for that protocol, such as ``key`` and ``secret``.

        Raises:
            SettingsError: what the protocol needs is not installed, or the address cannot be used.
        """
        protocol = split_protocol(address)[0] or "file"
        try:
            kind = _kind(protocol)
            root, told = kind._strip_protocol(address), kind._get_kwargs_from_urls(address)  # noqa: SLF001  fsspec's way
        except (ImportError, ValueError) as error:
            extra = _EXTRAS.get(protocol)
            raise SettingsError(
                source=f"Files at {_shown(address)}",
                culprit=f"{protocol} cannot be used ({type(error).__name__}).",
                remedy="Correct the address."
                if not isinstance(error, ImportError)
                else f"Install mlops-assets[{extra}]."
                if extra
                else "Install fsspec's package for it.",
            ) from None
        # One of its own at each look: fsspec would keep it, with the secrets of then, also when its connection is lost.
        given = {"skip_instance_cache": True, "use_listings_cache": False, **told, **options}
        return cls(address=_shown(address), root=root.rstrip("/"), connect=partial(kind, **given))

    @cached_property
    def system(self) -> Any:  # noqa: ANN401  fsspec has no types
        """The file system of fsspec."""
        system = self.connect()
        if (close := getattr(system, "close", None)) is not None:
            weakref.finalize(self, close)
        return system

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
        with self._asked(path, missing):
            found = self.system.info(path)
        if found.get("type") not in {"file", "link"}:
            raise SourceError(
                source=self.name_of(path), culprit="it is no file.", remedy="Look at what was delivered in its place."
            )
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
        with self._asked(path), self._opened(path) as file:
            return file.read(most)

    def copied(self, path: str, target: Path) -> tuple[int, str]:
        """Copy a file, opened once: what is put in its place meanwhile is not mixed with it. Its size and SHA-256.

        Raises:
            SourceUnavailableError: it cannot be read to its end.
            OSError: there is no room for it.
        """
        digest = hashlib.sha256()
        size = 0
        with target.open("wb") as written, self._asked(path), self._opened(path) as file:
            while block := file.read(_READ):
                written.write(block)
                digest.update(block)
                size += len(block)
        return size, digest.hexdigest()

    def _opened(self, path: str) -> IO[bytes]:
        opened: IO[bytes] = self.system.open(path, "rb", block_size=_BLOCK)
        return opened

    def matching(self, parts: Sequence[re.Pattern[str]]) -> Iterator[str]:
        """The files below the folder whose names match, part by part of their path.

        Folders are listed one by one: a name is never taken for a pattern. Names that begin with a dot, as senders call
        what they still write, match only where the pattern begins so, too.

        Raises:
            SourceUnavailableError: the folder is not there, or the place does not answer.
        """
        yield from self._matching(self.root, parts)

    def _matching(self, folder: str, parts: Sequence[re.Pattern[str]]) -> Iterator[str]:
        with self._asked(folder, f"it cannot be read ({os.strerror(errno.ENOENT)}).", _NO_FOLDER):
            entries = self.system.ls(folder or "/", detail=True)
        first, *rest = parts
        wanted = {"directory", "link"} if rest else {"file", "link"}
        for entry in sorted(entries, key=lambda each: str(each["name"])):
            path = entry["name"].rstrip("/")
            name = path.rpartition("/")[2]
            hidden = name.startswith(".") and not first.pattern.startswith(r"\.")
            if hidden or entry["type"] not in wanted or first.fullmatch(name) is None:
                continue
            if rest:
                yield from self._matching(path, rest)
            else:
                yield path

    def _is_away(self) -> bool:
        """Whether the folder itself is not there; where it cannot be told, it is."""
        try:
            return not self.system.exists(self.root)
        except Exception:  # noqa: BLE001  each protocol has its own
            return False

    @contextmanager
    def _asked(self, path: str, missing: str = "it is not there any more.", then: str = _ASK_SENDER) -> Iterator[None]:
        """Let exceptions of fsspec and its protocols out as errors that tell none of their texts."""
        source = self.name_of(path) if path != self.root else f"Files at {self.address}"
        try:
            yield
        except PlatformError:
            raise
        except FileNotFoundError:
            if path != self.root and self._is_away():
                source, missing, then = f"Files at {self.address}", "the folder is not there.", _NO_FOLDER
            raise SourceUnavailableError(source=source, culprit=missing, remedy=then) from None
        except TypeError as error:
            raise SettingsError(
                source=source,
                culprit=f"it cannot be asked so ({type(error).__name__}).",
                remedy="Correct the options beside the address.",
            ) from None
        except Exception as error:
            if room.is_ours(error):
                raise
            reason = type(error).__name__
            if isinstance(error, OSError) and error.errno and type(error).__module__ == "builtins":
                # Not its own text, which may be a server's.
                reason = os.strerror(error.errno)
            raise SourceUnavailableError(
                source=source,
                culprit=f"it cannot be read ({reason}).",
                remedy="Is the place mounted or reachable, and may the account of the runs read it?",
            ) from None


def _kind(protocol: str) -> Any:  # noqa: ANN401  fsspec has no types
    """The class that fsspec has for a protocol."""
    if _EXTRAS.get(protocol) == "sftp":
        from mlops_assets.plumbing.sources.files.sftp import Sftp  # noqa: PLC0415  its packages are an extra

        return Sftp
    return fsspec.get_filesystem_class(protocol)


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
