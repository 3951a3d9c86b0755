"""Backups: one archive of a deployment's catalogs and volumes, whole by its own account, made while it is in use.

Put here what an archive holds and how it is proven. Keep out the dumps, volumes and containers (``deploy/backup``,
``deploy/restore``).

The catalogs are dumped first, and the files are read after them. A file of a lake never changes, so that whatever a
catalog names is there as it was, unless an expiry took it in between: then there is no archive, and the next try has a
newer dump. Files that no catalog names yet may come along; ``deploy/restore`` sweeps them.

Of each volume those files are read first that are appended to, as those of the inference log's day: one that is closed
meanwhile is found under its own name after that, so that no line is lost. Half a last line is left out when the file is
closed.

An archive is a tar: ``dumps/``, ``volumes/NAME/``, and last ``manifest.json`` with the size and SHA-256 of each file.
Without a manifest that fits it is none.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import tarfile
import time
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

from mlops_assets.platform.durable_files import OPEN_SUFFIX, STAGED_PREFIX
from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.exports.history import POINTER, WITHDRAWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MANIFEST: Final = "manifest.json"
_DUMPS: Final = "dumps"
_VOLUMES: Final = "volumes"
_LEASES: Final = "_leases"
_EXPORTS: Final = "exports"
_POINTER: Final = re.compile(f"{_VOLUMES}/{_EXPORTS}/([^/]+)/{POINTER}")
_BLOCK: Final = 2**20
_NAMED: Final = ("COPY public.ducklake_data_file (", "COPY public.ducklake_delete_file (")


class BackupError(PlatformError):
    """An archive cannot be made, or is none."""


class Kept(BaseModel):
    """A file of an archive, by its size in bytes and the SHA-256 of its content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What an archive holds.

    Attributes:
        deployment: name of the deployment that it is of.
        made_at: seconds since 1970 when it was begun; nothing of what it holds is older than the dumps.
        volumes: the volumes that are in it, the empty ones too.
        files: each file by its path in the archive.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    deployment: str
    made_at: float
    volumes: tuple[str, ...]
    files: dict[str, Kept]


def pack(dumps: IO[bytes], archive: IO[bytes], *, folder: Path, volumes: Sequence[str], deployment: str) -> Manifest:
    """Write an archive.

    Args:
        dumps: a tar of the catalogs' dumps, ``NAME.sql.gz`` each, of databases named like the volumes of their lakes.
        archive: where the archive goes; it is not read back.
        folder: where the volumes are, each in a folder of its name.
        volumes: their names, in the order in which they are read.
        deployment: name of the deployment.

    Raises:
        BackupError: a file that a catalog or the current export names is gone, or a file was cut as it was read.
    """
    made_at = time.time()
    files: dict[str, Kept] = {}
    named: dict[str, dict[str, int]] = {}
    current: dict[str, bytes] = {}
    seen: set[str] = set()
    with tarfile.open(fileobj=archive, mode="w|", format=tarfile.PAX_FORMAT) as out:
        with tarfile.open(fileobj=dumps, mode="r|") as held:
            for member in held:
                content = held.extractfile(member)
                if content is None:
                    continue
                name = PurePosixPath(member.name).name
                database, size = name.split(".")[0], member.size
                if database in volumes:
                    text = content.read()
                    named[database] = _named(text)
                    content = io.BytesIO(text)
                files[f"{_DUMPS}/{name}"] = _add(out, f"{_DUMPS}/{name}", content, size)
        for volume in volumes:
            root = folder / volume
            for path in _in_order(root):
                name = f"{_VOLUMES}/{volume}/{path.relative_to(root).as_posix()}"
                if name in seen:
                    continue
                seen.add(name)
                if (pointer := _POINTER.fullmatch(name)) is not None:
                    # Before the exports themselves, so that the one that it names is there.
                    current[pointer[1]] = text = path.read_bytes()
                    files[name] = _add(out, name, io.BytesIO(text), len(text), path.stat())
                elif (kept := _file(out, name, path)) is not None:
                    files[name] = kept
        manifest = Manifest(deployment=deployment, made_at=made_at, volumes=tuple(volumes), files=files)
        _demand_whole(manifest, named, current)
        text = manifest.model_dump_json(indent=1).encode()
        _add(out, _MANIFEST, io.BytesIO(text), len(text))
    return manifest


def verify(archive: IO[bytes], *, into: Path | None = None) -> Manifest:
    """Read an archive to its end, and prove it whole; on the way, lay out its volumes where that is asked for.

    Args:
        archive: the archive.
        into: where the volumes go, each into an empty folder of its name that is there; ``None`` to look only. An
            archive that is proven to be none only at its end has been laid out by then: look first.

    Raises:
        BackupError: it is no archive, or not as it was made, or a folder is missing or not empty.
    """
    found: dict[str, Kept] = {}
    manifest: Manifest | None = None
    try:
        with tarfile.open(fileobj=archive, mode="r|") as held:
            for member in held:
                place = _place(member, into)
                content = held.extractfile(member)
                if member.name == _MANIFEST and content is not None:
                    manifest = Manifest.model_validate_json(content.read())
                    continue
                if content is None:
                    if place is not None:
                        place.mkdir(exist_ok=True)
                    continue
                found[member.name] = _copied(content, place, member)
    except FileExistsError as error:
        raise BackupError(
            source="Backup",
            culprit=f"{error.filename} is there already, and is not written over.",
            remedy="Lay it out in empty folders.",
        ) from error
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise _none(f"it cannot be read as one ({type(error).__name__})") from error
    if manifest is None:
        raise _none("it has no manifest: it was cut, or is of something else")
    wrong = {name for name in found.keys() | manifest.files if found.get(name) != manifest.files.get(name)}
    if wrong:
        raise _none(f"{len(wrong)} files are not as its manifest has them, {min(wrong)} among them")
    return manifest


def _in_order(root: Path) -> Iterator[Path]:
    """All folders and the files that are appended to; then all there is by then, those among it once more."""
    yield from (path for path in _found(root) if path.is_dir() or path.name.endswith(OPEN_SUFFIX))
    yield from _found(root)


def _found(root: Path) -> Iterator[Path]:
    """Folders and files below, each folder before what is in it, without links, leases and writes under way."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name != _LEASES and not name.startswith(STAGED_PREFIX))
        for name in [*folders, *sorted(names)]:
            path = Path(folder) / name
            if not path.is_symlink() and not name.startswith(STAGED_PREFIX) and (path.is_dir() or path.is_file()):
                yield path


def _file(out: tarfile.TarFile, name: str, path: Path) -> Kept | None:
    """Add a file or a folder as it is; nothing of a folder, or if it has gone meanwhile."""
    try:
        if path.is_dir():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, path.stat().st_mode & 0o777
            out.addfile(entry)
            return None
        with path.open("rb") as opened:
            state = os.fstat(opened.fileno())
            return _add(out, name, opened, state.st_size, state)
    except FileNotFoundError:
        return None


def _add(out: tarfile.TarFile, name: str, content: IO[bytes], size: int, state: os.stat_result | None = None) -> Kept:
    """Add so many bytes; what is appended meanwhile is left out."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    if state is not None:
        entry.mode, entry.mtime = state.st_mode & 0o777, state.st_mtime
    read = _Read(content)
    try:
        out.addfile(entry, read)
    except OSError as error:
        if read.size < size:
            raise BackupError(
                source=f"Backup, {name}",
                culprit="the file was cut while it was read.",
                remedy="Make the backup again.",
            ) from error
        raise
    return Kept(bytes=size, sha256=read.digest.hexdigest())


class _Read(io.RawIOBase):
    """A file that is read once, and what was read of it."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        block = self._content.read(size)
        self.digest.update(block)
        self.size += len(block)
        return block


def _named(dump: bytes) -> dict[str, int]:
    """Sizes of the files that a lake's catalog names, by the last two parts of their paths, which no two share."""
    sizes: dict[str, int] = {}
    columns: list[str] = []
    with gzip.open(io.BytesIO(dump), "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            if columns and line.rstrip("\n") == r"\.":
                columns = []
            elif columns:
                row = dict(zip(columns, line.rstrip("\n").split("\t"), strict=True))
                sizes["/".join(row["path"].split("/")[-2:])] = int(row["file_size_bytes"])
            elif line.startswith(_NAMED):
                columns = line[line.index("(") + 1 : line.index(")")].split(", ")
    return sizes


def _demand_whole(manifest: Manifest, named: dict[str, dict[str, int]], current: dict[str, bytes]) -> None:
    for lake, sizes in named.items():
        prefix = f"{_VOLUMES}/{lake}/"
        held = {
            "/".join(name.split("/")[-2:]): kept.bytes
            for name, kept in manifest.files.items()
            if name.startswith(prefix)
        }
        if gone := {name for name, size in sizes.items() if held.get(name) != size}:
            raise BackupError(
                source=f"Backup, lake {lake}",
                culprit=f"{len(gone)} of {len(sizes)} files that its catalog names are gone or cut, as {min(gone)}.",
                remedy="Was an expiry at work? Make the backup again. mlops-assets lake check names what is lost.",
            )
    for name, pointer in current.items():
        export = pointer.decode("ascii", errors="replace").strip()
        if export in {"", WITHDRAWN} or f"{_VOLUMES}/{_EXPORTS}/{name}/{export}/{_MANIFEST}" in manifest.files:
            continue
        raise BackupError(
            source=f"Backup, exports of {name[:80]}",
            culprit=f"the current one, {export[:80]}, is not there.",
            remedy="Did many become current meanwhile? Make the backup again.",
        )


def _place(member: tarfile.TarInfo, into: Path | None) -> Path | None:
    """Where a member goes; ``None`` for nowhere."""
    parts = PurePosixPath(member.name).parts
    if ".." in parts or member.name.startswith("/") or not (member.isfile() or member.isdir()):
        raise _none(f"it holds {member.name[:80]!r}")
    if into is None or parts[0] != _VOLUMES or len(parts) < 3:  # noqa: PLR2004  volumes, its name, a path
        return None
    return into.joinpath(*parts[1:])


def _copied(content: IO[bytes], place: Path | None, member: tarfile.TarInfo) -> Kept:
    digest, size = hashlib.sha256(), 0
    # Never over what is there: that would be a mixture of two deployments.
    opened = None if place is None else place.open("xb")
    try:
        while block := content.read(_BLOCK):
            digest.update(block)
            size += len(block)
            if opened is not None:
                opened.write(block)
        if opened is not None and place is not None:
            opened.close()
            place.chmod(member.mode)
            os.utime(place, (member.mtime, member.mtime))
    finally:
        if opened is not None:
            opened.close()
    return Kept(bytes=size, sha256=digest.hexdigest())


def _none(why: str) -> BackupError:
    return BackupError(
        source="Backup",
        culprit=f"this is no backup, or not as it was made: {why}.",
        remedy="Take another one; nothing of this one can be relied on.",
    )
