"""Waiting for others without judging their speed: as long as something moves, the wait goes on.

Put here what is waited for (anything, what a process does, runs of an instance) and by which signs of life. Keep out
starting and stopping of whatever is waited for.

A fixed deadline fails on a machine that is merely slow or busy. What tells slow from stuck is whether anything changes.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES, DagsterRunStatus

from mlops_assets.platform.assets.ranges import RANGE_END, RANGE_START
from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path
    from subprocess import Popen

QUIET_SECONDS: Final = 300.0
"""Nothing is known to be stuck before nothing has moved for that long."""

_QUIET_AFTER_FAILURE_SECONDS: Final = 60.0
"""When a run has failed and none is under way: longer than sensors and automation need to ask for another."""
_MOST_SHOWN: Final = 3000
_WORKING: Final = "working"
_QUEUED: Final = "queued"
Seen = TypeVar("Seen")


class StalledError(PlatformError):
    """What was waited for did not come, and nothing moved any more."""


def wait_for(
    arrived: Callable[[], bool],
    *,
    signs: Callable[[], object],
    give_up: Callable[[float], None],
    pause: float = 0.2,
) -> float:
    """Ask until it is so; returns the seconds that it took.

    Args:
        arrived: what is waited for.
        signs: what is looked at; whatever differs from the look before means that something moves.
        give_up: called at each look with the seconds for which nothing has moved; it raises when that is too long.
        pause: seconds between two looks.
    """
    started = moved = time.monotonic()
    before = signs()
    while not arrived():
        time.sleep(pause)
        now, looked = signs(), time.monotonic()
        if now != before:
            before, moved = now, looked
        give_up(looked - moved)
    return time.monotonic() - started


def patience(
    what: str, remedy: str, *, seen: Callable[[], object], seconds: float = QUIET_SECONDS
) -> Callable[[float], None]:
    """For ``give_up``: lose patience after some quiet seconds.

    Args:
        what: name of what is waited for, in the error.
        remedy: what a person can do then.
        seen: gives what there is to see when patience is lost; the error shows its end.
        seconds: how long nothing may move.

    Returns:
        A function that raises ``StalledError`` when it is given more seconds.
    """

    def give_up(quiet: float) -> None:
        if quiet > seconds:
            last = str(seen())[-_MOST_SHOWN:]
            raise StalledError(source=what, culprit=f"nothing has moved for {quiet:.0f} s ({last}).", remedy=remedy)

    return give_up


def wait_until(
    arrived: Callable[[Seen], bool], look: Callable[[], Seen], *, what: str, remedy: str, pause: float = 0.2
) -> Seen:
    """Look again and again until it is so, as long as what is seen changes; returns what was seen last.

    Args:
        arrived: whether what is seen is what is waited for.
        look: gives what there is to see.
        what: name of what is waited for, in the error.
        remedy: what a person can do if it does not come.
        pause: seconds between two looks.

    Raises:
        StalledError: what is seen has not changed for long; it shows it.
    """
    seen: list[Seen] = []

    def signs() -> Seen:
        seen[:] = [look()]
        return seen[0]

    give_up = patience(what, remedy, seen=lambda: seen[0])
    wait_for(lambda: arrived(seen[0]), signs=signs, give_up=give_up, pause=pause)
    return seen[0]


def wait_for_process(
    arrived: Callable[[], bool],
    process: Popen[Any],
    *,
    name: str,
    log: Path,
    telling: Callable[[str], bool] = bool,
    pause: float = 0.2,
) -> float:
    """Wait for something that a process does, as long as it lives and moves; returns the seconds that it took.

    Args:
        arrived: what is waited for.
        process: the process.
        name: its name in the error.
        log: file that it writes: as long as that grows, it moves. The error shows the end.
        telling: whether a line of the log counts: one that asking itself brings about should not.
        pause: seconds between two looks.

    Raises:
        StalledError: it has ended, or nothing has moved for long.
    """

    def told() -> str:
        return "\n".join(filter(telling, log.read_text(encoding="utf-8", errors="replace").splitlines()))

    def arrived_or_lives() -> bool:
        # Looked at first: what a process did before its end counts.
        code = process.poll()
        if arrived():
            return True
        if code is not None:
            culprit = f"it ended with exit code {code} ({told()[-_MOST_SHOWN:]})."
            raise StalledError(source=name, culprit=culprit, remedy=remedy)
        return False

    remedy = f"Look at {log}."
    return wait_for(arrived_or_lives, signs=told, give_up=patience(name, remedy, seen=told), pause=pause)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one look at an instance's runs shows.

    Attributes:
        under_way: for each run that has not ended: run, whether it is working or queued, and its newest event.
        ended: how many have ended.
        failed: those of them that failed, oldest first.
    """

    under_way: tuple[tuple[dg.DagsterRun, str, int], ...]
    ended: int
    failed: tuple[dg.DagsterRun, ...]

    @property
    def signs(self) -> object:
        """What differs when something has moved."""
        return self.ended, [(run.run_id, state, event) for run, state, event in self.under_way]

    def __str__(self) -> str:
        """For people who wait: ``3 runs done, 1 queued, working on wrangled/voters (2022-12|NC)``."""
        states = Counter(state for _, state, _ in self.under_way)
        working = [title_of(run) for run, state, _ in self.under_way if state == _WORKING]
        parts = [f"{self.ended} runs done"]
        parts += [f"{len(self.failed)} of them failed"] if self.failed else []
        parts += [f"{states[_QUEUED]} queued"] if states[_QUEUED] else []
        parts += [f"working on {', '.join(working)}"] if working else []
        return ", ".join(parts)


class WorkWatch:
    """The runs of an instance since some moment."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        since: datetime,
        *,
        quiet_seconds: float = QUIET_SECONDS,
        after_failure_seconds: float = _QUIET_AFTER_FAILURE_SECONDS,
    ) -> None:
        """Watch the runs that this instance has made since then.

        Args:
            instance: where the runs are.
            since: when the first of them may have been made.
            quiet_seconds: how long nothing may move.
            after_failure_seconds: the same, when a run has failed and none is under way.
        """
        self._quiet_seconds = quiet_seconds
        self._after_failure_seconds = after_failure_seconds
        self._instance = instance
        self._filter = dg.RunsFilter(created_after=since)

    def look(self) -> Work:
        """What is done, queued and worked on now."""
        runs = [record.dagster_run for record in self._instance.get_run_records(self._filter, ascending=True)]
        return Work(
            under_way=tuple(
                (run, _WORKING if run.status is DagsterRunStatus.STARTED else _QUEUED, self._newest_event(run.run_id))
                for run in runs
                if run.status not in FINISHED_STATUSES
            ),
            ended=sum(run.status in FINISHED_STATUSES for run in runs),
            failed=tuple(run for run in runs if run.status is DagsterRunStatus.FAILURE),
        )

    def wait_for(
        self, arrived: Callable[[], bool], *, what: str, tell: Callable[[str], None] | None = None, pause: float = 0.5
    ) -> float:
        """Wait as long as runs come, work and end; returns the seconds that it took.

        Args:
            arrived: what is waited for.
            what: its name in the error.
            tell: told in words what is under way, whenever that changes.
            pause: seconds between two looks.

        Raises:
            StalledError: nothing has moved for long; it names what is stuck, or the failed run, its step and reason.
        """
        told = ""

        def signs() -> object:
            nonlocal told
            work = self.look()
            if tell is not None and str(work) != told:
                told = str(work)
                tell(told)
            return work.signs

        stuck = patience(
            what,
            "Look at the logs folder of the home folder, and at the runs in the Dagster UI (make dev).",
            seen=self.look,
            seconds=self._quiet_seconds,
        )

        def give_up(quiet: float) -> None:
            # A look of its own, since what moved in between is no reason to give up.
            if quiet > self._after_failure_seconds and not (work := self.look()).under_way and work.failed:
                raise self._failed(what, work.failed)
            stuck(quiet)

        return wait_for(arrived, signs=signs, give_up=give_up, pause=pause)

    def wait_for_rest(self, *, what: str, tell: Callable[[str], None] | None = None) -> None:
        """Wait until no run is under way.

        Raises:
            StalledError: nothing has moved for long, or a run failed; it names the run, its step and reason.
        """
        self.wait_for(lambda: not self.look().under_way, what=what, tell=tell)
        if failed := self.look().failed:
            raise self._failed(what, failed)

    def _failed(self, what: str, runs: Sequence[dg.DagsterRun]) -> StalledError:
        return StalledError(
            source=what,
            culprit="; ".join(failure_of(self._instance, run) for run in runs[:3]),
            remedy="Look at the run in the Dagster UI (make dev).",
        )

    def _newest_event(self, run_id: str) -> int:
        newest = self._instance.event_log_storage.get_records_for_run(run_id, limit=1, ascending=False).records
        return newest[0].storage_id if newest else 0


def title_of(run: dg.DagsterRun) -> str:
    """What a run makes: its first asset, how many more, and the partition or the first and the last one."""
    assets: Sequence[str] = sorted(key.to_user_string() for key in run.asset_selection or ())
    more = f" and {len(assets) - 1} more" if len(assets) > 1 else ""
    partitions = " to ".join(run.tags[tag] for tag in ("dagster/partition", RANGE_START, RANGE_END) if tag in run.tags)
    return f"{assets[0] if assets else run.job_name}{more}{f' ({partitions})' if partitions else ''}"


def failure_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """A failed run with its step and reason, in a sentence."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    events = (entry.dagster_event for entry in instance.all_logs(run.run_id, of_type=kinds))
    return f"run {run.run_id} of {title_of(run)} failed: {reason_of(event for event in events if event is not None)}"


def reason_of(events: Iterable[dg.DagsterEvent]) -> str:
    """Why a run failed: the step that failed first and the innermost reason."""
    for event in events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None and data.user_failure_data.description:
                return f"step {event.step_key}: {data.user_failure_data.description}"
            cause = data.error
            while cause is not None and cause.cause is not None:
                cause = cause.cause
            return f"step {event.step_key}: {_sentence(cause.message if cause is not None else 'no reason was given')}"
        if event.is_run_failure:
            failure = event.job_failure_data.error
            return _sentence(failure.message if failure is not None else (event.message or "no reason was given"))
    return "no reason was recorded."


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
