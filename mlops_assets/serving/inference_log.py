"""The inference log: what models answered and what came of it, as files that a source picks up.

Put here how lines get into files and files are closed. Keep out who may report an outcome (``routes.outcomes``), and
what becomes of the files (that is a pipeline's). No line holds a row that was scored.

Each model has a folder with ``answers`` and ``outcomes``, each with one file for each day (UTC) of JSON Lines. All
workers append to ``DAY.jsonl.open``; after the day one of them leaves ``DAY.jsonl`` with its ``DAY.jsonl.sha256``.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from mlops_assets.platform.durable_files import replace_durably, staged_path, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from mlops_assets.serving.http.metrics import ServiceMetrics

INFERENCE_LOG: Final = "inference_log"
"""Name in the application's state."""
ANSWERS: Final = "answers"
OUTCOMES: Final = "outcomes"

_LOGGER: Final = logging.getLogger(__name__)
_CLOSED: Final = ".jsonl"
_OPEN: Final = ".jsonl.open"
_CHECKSUM: Final = ".sha256"
_LOOK_SECONDS: Final = 10.0
_GRACE: Final = timedelta(minutes=1)
_INLINE_LINES: Final = 200
"""Lines that are encoded and appended in less time than a thread costs others."""
_ENCODER: Final = msgspec.json.Encoder()
_LINE: Final = msgspec.json.Decoder(dict[str, str | float | None])


class LoggedAnswer(msgspec.Struct, frozen=True):
    """A score that was given for a row of a request, or made in its shadow."""

    request_id: str
    row: int
    model_version: str
    way: str
    score: float
    principal: str
    answered: datetime
    date: str = ""


class LoggedOutcome(msgspec.Struct, frozen=True):
    """What happened to a row of a request, as somebody reports it; what is true or false is 1 or 0."""

    request_id: str
    row: int
    outcome: float
    observed: datetime
    principal: str
    reported: datetime
    date: str = ""


class InferenceLog:
    """The log of one worker. Lines of a worker that is killed stay; half a line is left out when its file is closed."""

    def __init__(self, folder: Path, *, keep_days: int, metrics: ServiceMetrics) -> None:
        """Write nothing yet.

        Args:
            folder: with a folder for each model.
            keep_days: how long closed files stay.
            metrics: told what could not be written.
        """
        self.failure: str | None = None
        """Why the last lines could not be written."""
        self._folder = folder
        self._keep_days = keep_days
        self._metrics = metrics
        # Outcomes wait for the disk, and answers never for them.
        self._appenders = {kind: _Appender(folder, kind) for kind in (ANSWERS, OUTCOMES)}

    async def answered(self, model: str, answers: Sequence[LoggedAnswer]) -> None:
        """Append what a model answered; what cannot be written is counted and logged, since the answer counts more."""
        try:
            if len(answers) <= _INLINE_LINES:
                self._append(ANSWERS, model, answers)
            else:
                await asyncio.to_thread(self._append, ANSWERS, model, answers)
        except OSError as error:
            self._metrics.answers_not_logged(len(answers))
            _LOGGER.error("answers not logged", extra={"fields": {"model": model, "error": str(error)}})  # noqa: TRY400

    async def take(self, model: str, outcomes: Sequence[LoggedOutcome]) -> None:
        """Append outcomes of a model's answers; they are on the disk when it returns.

        Raises:
            OSError: they could not be written.
        """
        await asyncio.to_thread(self._append, OUTCOMES, model, outcomes, durably=True)

    async def follow_days(self) -> None:
        """Close the files of each day after it; ends when cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.close_days)
            except OSError as error:
                self.failure = str(error)
                _LOGGER.error("inference log not closed", extra={"fields": {"error": str(error)}})  # noqa: TRY400
            await asyncio.sleep(_LOOK_SECONDS)

    def close_days(self) -> None:
        """Close the files of days that are over, and let go of those that have been kept for long enough.

        Raises:
            OSError: a file cannot be read or written.
        """
        # A worker may still write a line that it began before midnight.
        today = (datetime.now(UTC) - _GRACE).date()
        oldest = today - timedelta(days=self._keep_days)
        for path in sorted(self._folder.glob("*/*/*.jsonl*")):
            day = _day_of(path)
            if day is None or day >= today:
                continue
            if path.name.endswith(_OPEN):
                _close(path)
            elif day < oldest:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of files; they stay open for others."""
        for appender in self._appenders.values():
            appender.close()

    def _append(
        self, kind: str, model: str, lines: Sequence[LoggedAnswer | LoggedOutcome], *, durably: bool = False
    ) -> None:
        day = datetime.now(UTC).date().isoformat()
        # An empty line in front ends what a worker that died may have left without its end.
        text = b"\n" + _ENCODER.encode_lines([msgspec.structs.replace(line, date=day) for line in lines])
        try:
            self._appenders[kind].append(model, day, text, durably=durably)
        except OSError as error:
            self.failure = str(error)
            raise
        self.failure = None


class _Appender:
    """The open files of one kind, one for each model."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._files: dict[str, tuple[str, int]] = {}
        self._turns = threading.Lock()

    def append(self, model: str, day: str, text: bytes, *, durably: bool) -> None:
        """Append that text to the day's file of a model.

        Raises:
            OSError: it could not be written.
        """
        with self._turns, self._held(model, day) as descriptor:
            left = memoryview(text)
            while left:
                left = left[os.write(descriptor, left) :]
            if durably:
                os.fsync(descriptor)

    def close(self) -> None:
        """Let go of all files."""
        with self._turns:
            for model in list(self._files):
                self._forget(model)

    @contextmanager
    def _held(self, model: str, day: str) -> Iterator[int]:
        """The file of that day, which nobody closes meanwhile."""
        while True:
            known, descriptor = self._files.get(model, ("", -1))
            if known != day:
                self._forget(model)
                descriptor = self._opened(model, day)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
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
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / f"{day}{_OPEN}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self._files[model] = (day, descriptor)
        sync_folder(folder)
        return descriptor

    def _forget(self, model: str) -> None:
        _, descriptor = self._files.pop(model, ("", None))
        if descriptor is not None:
            os.close(descriptor)


def _day_of(path: Path) -> date | None:
    try:
        return date.fromisoformat(path.name.partition(".")[0])
    except ValueError:
        return None


def _close(path: Path) -> None:
    """Leave the whole lines of an open file, behind those of an earlier closed one of the day, with their SHA-256."""
    closed = path.with_name(path.name.removesuffix(".open"))
    with suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Another worker closes it, or still writes.
            return
        if not os.fstat(file.fileno()).st_nlink:
            return
        staged, copy = staged_path(path.parent), _Copy()
        try:
            with staged.open("xb") as whole:
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
        finally:
            staged.unlink(missing_ok=True)
        if copy.lines_copied:
            # Between the two steps the checksum is of another file, so that no source takes this one.
            checksum = closed.with_name(closed.name + _CHECKSUM)
            replace_durably(checksum, f"{copy.digest.hexdigest()}  {closed.name}\n".encode())
        path.unlink()
        sync_folder(path.parent)
        if copy.torn:
            fields = {"file": str(closed), "lines": copy.torn}
            _LOGGER.warning("inference log had torn lines", extra={"fields": fields})


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
