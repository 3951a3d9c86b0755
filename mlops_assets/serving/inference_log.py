"""The inference log: what models answered and what came of it, as files that a source picks up.

Put here what a line says, and how a failure is told. Keep out files and days (``inference_files``), who may report an
outcome (``routes.outcomes``), and what becomes of the files (a pipeline's). No line holds a row that was scored.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from mlops_assets.serving.inference_files import ANSWERS, OUTCOMES, Appender, tend_days

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_assets.serving.http.metrics import ServiceMetrics

INFERENCE_LOG: Final = "inference_log"
"""Name in the application's state."""

_LOGGER: Final = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 10.0
_INLINE_LINES: Final = 200
"""Lines that are encoded and appended in less time than a thread costs others."""
_ENCODER: Final = msgspec.json.Encoder()
_CLOSING: Final = "days"


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

    def __init__(self, folder: Path, *, keep_days: int, metrics: ServiceMetrics, keep_free: int = 0) -> None:
        """Write nothing yet.

        Args:
            folder: with a folder for each model.
            keep_days: how long closed files stay.
            metrics: told what could not be written.
            keep_free: bytes of the disk that answers leave to outcomes, and to all else that lies there.
        """
        self._folder = folder
        self._keep_days = keep_days
        self._metrics = metrics
        self._keep_free = keep_free
        # Outcomes wait for the disk, and answers never for them.
        self._answers, self._outcomes = (Appender(folder, kind) for kind in (ANSWERS, OUTCOMES))
        self._failures: dict[str, str] = {}

    @property
    def failure(self) -> str | None:
        """What could not be written last time: answers and outcomes of each model, and days to close."""
        return "; ".join(f"{what}: {why}" for what, why in sorted(dict(self._failures).items())) or None

    async def answered(self, model: str, answers: Sequence[LoggedAnswer]) -> None:
        """Append what a model answered; what cannot be written is counted and logged, since the answer counts more."""
        what = f"{ANSWERS} of {model}"
        try:
            if len(answers) <= _INLINE_LINES:
                self._log(model, answers)
            else:
                await asyncio.to_thread(self._log, model, answers)
        except OSError as error:
            self._metrics.answers_not_logged(len(answers))
            if self._fail(what, error):
                _LOGGER.error("answers not logged", extra={"fields": {"model": model, "error": str(error)}})  # noqa: TRY400
        else:
            self._failures.pop(what, None)

    async def take(self, model: str, outcomes: Sequence[LoggedOutcome]) -> None:
        """Append outcomes of a model's answers; they are on the disk when it returns, and none of them is if it fails.

        Raises:
            OSError: they could not be written.
        """
        what = f"{OUTCOMES} of {model}"
        try:
            await asyncio.to_thread(self._take, model, outcomes)
        except OSError as error:
            self._fail(what, error)
            raise
        self._failures.pop(what, None)

    async def follow_days(self) -> None:
        """Close the files of each day after it; ends when cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.close_days)
            except OSError as error:
                _LOGGER.error("inference log not closed", extra={"fields": {"error": str(error)}})  # noqa: TRY400
            await asyncio.sleep(_LOOK_SECONDS)

    def close_days(self) -> None:
        """Let go of files that have been kept for long enough, and close those of days that are over.

        Raises:
            OSError: files cannot be read or written, all of which it names; the others are seen to.
        """
        failures = tend_days(self._folder, now=datetime.now(UTC), keep_days=self._keep_days)
        if failures:
            error = OSError("; ".join(failures))
            self._fail(_CLOSING, error)
            raise error
        self._failures.pop(_CLOSING, None)

    def close(self) -> None:
        """Let go of files; they stay open for others."""
        self._answers.close()
        self._outcomes.close()

    def _log(self, model: str, answers: Sequence[LoggedAnswer]) -> None:
        self._answers.append(model, *_lines(answers), keep_free=self._keep_free)

    def _take(self, model: str, outcomes: Sequence[LoggedOutcome]) -> None:
        self._outcomes.append_durably(model, *_lines(outcomes))

    def _fail(self, what: str, error: OSError) -> bool:
        """Note a failure; returns whether it is a new one."""
        why = error.strerror or str(error)
        known = self._failures.get(what)
        self._failures[what] = why
        return known != why


def _lines(lines: Sequence[LoggedAnswer | LoggedOutcome]) -> tuple[str, bytes]:
    """The day, and the text of these lines on it."""
    day = datetime.now(UTC).date().isoformat()
    # An empty line in front ends what a worker that died may have left without its end.
    return day, b"\n" + _ENCODER.encode_lines([msgspec.structs.replace(line, date=day) for line in lines])
