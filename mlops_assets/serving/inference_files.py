"""Files of the inference log: how lines get into them, how days are closed, and when they are let go of.

Put here files, locks and days. Keep out what a line says, and whom a failure is told (``inference_log``).

Each model has a folder with ``answers`` and ``outcomes``, each with one file for each day (UTC) of JSON Lines. All
workers append to ``DAY.jsonl.open``; after the day one of them leaves ``DAY.jsonl`` with its ``DAY.jsonl.sha256``.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from mlops_assets.platform.durable_files import (
    OPEN_SUFFIX,
    STAGED_PREFIX,
    make_folder_durably,
    sync_file,
    sync_folder,
)
from mlops_assets.platform.identifiers import is_identifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

ANSWERS: Final = "answers"
OUTCOMES: Final = "outcomes"

_LOGGER: Final = logging.getLogger(__name__)
_CLOSED: Final = ".jsonl"
_OPEN: Final = f"{_CLOSED}{OPEN_SUFFIX}"
_CHECKSUM: Final = ".sha256"
_GRACE: Final = timedelta(minutes=1)
_LINE: Final = msgspec.json.Decoder(dict[str, str | float | None])


class Appender:
    """The open files of one kind, one for each model."""

    def __init__(self, folder: Path, kind: str) -> None:
        """Open nothing yet.

        Args:
            folder: with a folder for each model.
            kind: ``answers`` or ``outcomes``.
        """
        self._folder = folder
        self._kind = kind
        self._files: dict[str, tuple[str, int]] = {}
        self._turns = threading.Lock()

    def append(self, model: str, day: str, text: bytes, *, keep_free: int = 0) -> None:
        """Append that text to the day's file of a model, beside others who do so; part of it may stay if it fails.

        Args:
            model: the model's name.
            day: the day, as ISO 8601 says it.
            text: whole lines.
            keep_free: bytes of the disk that are left to others.

        Raises:
            OSError: it could not be written, or the disk is too full.
        """
        with self._turns, self._held(model, day, fcntl.LOCK_SH) as descriptor:
            if keep_free:
                disk = os.fstatvfs(descriptor)
                if disk.f_bavail * disk.f_frsize < keep_free:
                    raise OSError(errno.ENOSPC, f"less than {keep_free:,} bytes are free")
            _write(descriptor, text)

    def append_durably(self, model: str, day: str, text: bytes) -> None:
        """Append all of that text to the day's file of a model, or nothing; it is on the disk afterwards.

        Raises:
            OSError: it could not be written.
        """
        with self._turns, self._held(model, day, fcntl.LOCK_EX) as descriptor:
            before = os.fstat(descriptor).st_size
            try:
                _write(descriptor, text)
                os.fsync(descriptor)
            except OSError:
                # Whoever is told that it was not written reports it again, and perhaps never does.
                os.ftruncate(descriptor, before)
                raise

    def close(self) -> None:
        """Let go of all files."""
        with self._turns:
            for model in list(self._files):
                self._forget(model)

    @contextmanager
    def _held(self, model: str, day: str, lock: int) -> Iterator[int]:
        """The file of that day, which nobody closes meanwhile."""
        while True:
            known, descriptor = self._files.get(model, ("", -1))
            if known != day:
                self._forget(model)
                descriptor = self._opened(model, day)
            fcntl.flock(descriptor, lock)
            if os.fstat(descriptor).st_nlink:
                break
            # It was closed, or somebody has removed it.
            self._forget(model)
        try:
            yield descriptor
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _opened(self, model: str, day: str) -> int:
        folder = self._folder / model / self._kind
        make_folder_durably(folder)
        descriptor = os.open(folder / f"{day}{_OPEN}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self._files[model] = (day, descriptor)
        # Another worker may have made them, and not come to sync them.
        for each in (folder, folder.parent, self._folder):
            sync_folder(each)
        return descriptor

    def _forget(self, model: str) -> None:
        _, descriptor = self._files.pop(model, ("", None))
        if descriptor is not None:
            os.close(descriptor)


def tend_days(folder: Path, *, now: datetime, keep_days: int) -> list[str]:
    """Let go of files that have been kept for long enough, and close those of days that are over.

    Args:
        folder: with a folder for each model.
        now: the time, in UTC.
        keep_days: how long closed files stay.

    Returns:
        What failed, by file; the other files are seen to all the same.
    """
    failures: list[str] = []
    files = list(_files(folder, failures))
    # A worker may still write a line that it began before midnight.
    today = (now - _GRACE).date()
    oldest = _oldest_kept([day for path, day in files if path.suffix == _CLOSED], today, keep_days)
    written_before = (now - timedelta(days=keep_days)).timestamp()
    # What is let go of first makes room for what is closed.
    for path, day in sorted(files, key=lambda file: file[0].name.endswith(_OPEN)):
        try:
            if path.name.endswith(_OPEN):
                if day < today:
                    _close(path)
            elif day < oldest and path.stat().st_mtime < written_before:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            # Another worker was there before.
            continue
        except OSError as error:
            failures.append(f"{path.relative_to(folder)}: {error.strerror or error}")
    return failures


def _oldest_kept(closed: list[date], today: date, keep_days: int) -> date:
    """The first day that is kept, counted from the newest but one of the log.

    A clock that jumps ahead lets nothing go before it has been ahead over two midnights.
    """
    known = sorted(set(closed))
    newest = min(known[-2], today) if len(known) > 1 else date.min + timedelta(days=keep_days)
    return newest - timedelta(days=keep_days)


def _files(folder: Path, failures: list[str]) -> Iterator[tuple[Path, date]]:
    for place in (model / kind for model in _listed(folder, failures) for kind in (ANSWERS, OUTCOMES)):
        if not is_identifier(place.parent.name):
            continue
        for path in _listed(place, failures):
            with suppress(ValueError):
                yield path, date.fromisoformat(path.name.partition(".")[0])


def _listed(folder: Path, failures: list[str]) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        failures.append(f"{folder}: {error.strerror or error}")
        return []


def _write(descriptor: int, text: bytes) -> None:
    left = memoryview(text)
    while left:
        left = left[os.write(descriptor, left) :]


def _close(path: Path) -> None:
    """Leave the whole lines of an open file, behind those of an earlier closed one of the day, with their SHA-256.

    What a worker that is killed leaves half written has the same name each time: the next one writes over it, since the
    open file is still there, and whoever holds its lock writes alone.
    """
    closed = path.with_name(path.name.removesuffix(OPEN_SUFFIX))
    checksum = closed.with_name(closed.name + _CHECKSUM)
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Another worker closes it, or still writes.
            return
        if not os.fstat(file.fileno()).st_nlink:
            return
        staged, copy = _staged(closed), _Copy()
        try:
            with staged.open("wb") as whole:
                if closed.exists():
                    # The clock went back, or a worker died between the two steps below: then it has these lines.
                    copy.seen = set()
                    with closed.open("rb") as earlier:
                        copy.add(earlier, whole)
                copy.add(file, whole)
                whole.flush()
                os.fsync(whole.fileno())
            if copy.lines_copied:
                staged.replace(closed)
                # Between the two steps the checksum is of another file, so that no source takes this one.
                staged = _staged(checksum)
                staged.write_bytes(f"{copy.digest.hexdigest()}  {closed.name}\n".encode())
                sync_file(staged)
                staged.replace(checksum)
                sync_folder(path.parent)
        finally:
            staged.unlink(missing_ok=True)
        path.unlink()
        sync_folder(path.parent)
        if copy.torn:
            fields = {"file": str(closed), "lines": copy.torn}
            _LOGGER.warning("inference log had torn lines", extra={"fields": fields})


def _staged(path: Path) -> Path:
    return path.with_name(f"{STAGED_PREFIX}{path.name}")


@dataclass
class _Copy:
    """A copy of whole lines.

    Attributes:
        digest: of what was copied.
        lines_copied: how many.
        torn: lines that are not whole.
        seen: hashes of the lines so far, each of which is copied once; ``None`` for all lines as they come.
    """

    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    lines_copied: int = 0
    torn: int = 0
    seen: set[bytes] | None = None

    def add(self, source: BinaryIO, target: BinaryIO) -> None:
        for line in source:
            if line == b"\n":
                continue
            try:
                _LINE.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.torn += 1
                continue
            if self.seen is not None:
                known = hashlib.blake2b(line, digest_size=16).digest()
                if known in self.seen:
                    continue
                self.seen.add(known)
            target.write(line)
            self.digest.update(line)
            self.lines_copied += 1
