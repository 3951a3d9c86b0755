"""The reaper: tells each run how its container ended, and leaves no container behind.

Put here what is done about containers and runs that do not fit together. Keep out how containers are launched.

Dagster's launcher starts containers and never removes them; a container that removes itself takes its exit code, its
out-of-memory flag and its last words with it. The reaper looks at both sides, the engine's containers and the
instance's runs, and settles each difference within seconds:

========================================  ============================================================================
what it finds                             what it does
========================================  ============================================================================
container ended, run over                 writes exit code, signal, memory and last lines into the run, removes it
container ended, run not over             likewise; the run fails with the reason, or is canceled if that was asked
container made and never started          the run fails with the engine's reason; the container is removed
container runs on after its run is over   stops it, which ends as above
run whose container is gone               the run fails, saying so
run that never got a container            the run fails, saying so
run that is silent for too long           kills the container; the run fails with that reason
run that does not end when canceled       kills the container; the run is canceled
container at work on no known run         nothing: it tells the operator, once
container of no known run, not at work    writes its end into its own log, removes it
========================================  ============================================================================

A run that is not known may have been deleted; or the storage is empty, or an older one that was restored, and then the
run is as good as any. Nothing in a storage tells the two apart for certain, since a copy of it is its equal in all. So
what works is let be: it publishes, or fails, by itself, and is removed when it has ended. Whoever deleted its run, and
wants it to end, stops it.

Every step can be repeated: killed anywhere, it goes on where it was; two of them at once do each thing once or twice.
How long a state lasts is measured here, from when it was first seen: engine, storage and this machine may disagree
about the time of day. A restarted reaper is therefore patient anew.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import docker.errors
from dagster import DagsterEventType, DagsterRun, DagsterRunStatus, MetadataValue, RunsFilter
from dagster._core.events import EngineEventData
from dagster_docker.docker_run_launcher import DOCKER_CONTAINER_ID_TAG

from mlops_assets.deployment.containers import RUN_LABEL, RunContainer
from mlops_assets.deployment.run_launcher import DEPLOYMENT_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import DagsterInstance, RunRecord
    from docker import DockerClient
    from docker.models.containers import Container

_LOG: Final = logging.getLogger(__name__)
_UNFINISHED: Final = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
_LAST_LINES: Final = 40
_MOST_CHARACTERS: Final = 6000
_STOP_SECONDS: Final = 10
_CONTAINER: Final = "container"


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How many seconds each state may be seen before it counts as wrong.

    Attributes:
        launching: a run that is starting has no container, or a container is made and not started, or has ended and is
            of no known run.
        vanished: the container of a run that had started is not there.
        finished: a container runs although its run is over.
        canceling: a run was asked to end, and has not.
        silent: a run writes no event.
    """

    launching: float = 180.0
    vanished: float = 3.0
    finished: float = 30.0
    canceling: float = 60.0
    silent: float = 6 * 3600.0


@dataclass
class Reaper:
    """Settles the differences between one deployment's run containers and its runs.

    Attributes:
        instance: the deployment's Dagster instance.
        engine: the Docker engine, through the policy proxy.
        deployment: the deployment's name; containers of others are not looked at.
        patience: how long each state may last.
        after_failure: called after a look that settled a run without success, such as to sweep staged files.
        clock: seconds since any moment; only their differences count.
    """

    instance: DagsterInstance
    engine: DockerClient
    deployment: str
    patience: Patience = field(default_factory=Patience)
    after_failure: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    _since: dict[tuple[object, ...], float] = field(default_factory=dict, init=False)
    _seen: set[tuple[object, ...]] = field(default_factory=set, init=False)
    _failed: bool = field(default=False, init=False)

    def settle(self) -> int:
        """Look at everything once; returns the number of containers removed.

        Raises:
            docker.errors.DockerException: the engine does not answer.
        """
        removed = 0
        present: set[str] = set()
        # Runs first: a run that gets its container meanwhile is not taken for one that lost it.
        unfinished = self.instance.get_run_records(RunsFilter(statuses=_UNFINISHED))
        for listed in self.engine.containers.list(
            all=True, sparse=True, filters={"label": [RUN_LABEL, f"{DEPLOYMENT_LABEL}={self.deployment}"]}
        ):
            # By label: a retried run has its parent's tags, the parent's container among them.
            present.add(listed.attrs["Labels"][RUN_LABEL])
            try:
                removed += self._settle_container(self.engine.containers.get(listed.id))
            except docker.errors.NotFound:
                _LOG.debug("container %s is gone already", listed.id)
            except docker.errors.APIError as error:
                # One container that the engine cannot deal with must not keep the others waiting.
                _LOG.warning("container %s is looked at again: %s", listed.id, error)
        for record in unfinished:
            self._settle_run(record, present)
        self._since = {state: since for state, since in self._since.items() if state in self._seen}
        self._seen.clear()
        if self._failed:
            self.after_failure()
            self._failed = False
        return removed

    def _lasts(self, *state: object) -> float:
        """Seconds since this state was first seen, without a look that did not see it."""
        self._seen.add(state)
        return self.clock() - self._since.setdefault(state, self.clock())

    def _settle_container(self, container: Container) -> bool:
        """Whether the container was removed."""
        found = RunContainer.of(container.attrs)
        record = self.instance.get_run_record_by_id(found.run_id)
        if record is None:
            return self._settle_unknown(container, found)
        run = record.dagster_run
        if found.ended:
            self._bury(container, found, run)
            return True
        if found.status != "created":
            self._settle_running(container, found, record)
            return False
        if run.is_finished or self._lasts("created", found.id) > self.patience.launching:
            self._bury(container, found, run, reason="its container was made and never started")
            return True
        return False

    def _settle_running(self, container: Container, found: RunContainer, record: RunRecord) -> None:
        """End a container that should have ended; the next look finds it so."""
        run = record.dagster_run
        if run.is_finished:
            if self._lasts("finished", found.id) > self.patience.finished:
                _LOG.warning("container %s runs though run %s is over: stopping it", found.id[:12], run.run_id)
                container.stop(timeout=_STOP_SECONDS)
        elif run.status is DagsterRunStatus.CANCELING:
            if self._lasts("canceling", found.id) > self.patience.canceling:
                container.kill()
        elif self._lasts("silent", found.id, self._last_word(run)) > self.patience.silent:
            container.kill()
            self._fail(run, f"it wrote no event for {self.patience.silent:g} s")

    def _settle_unknown(self, container: Container, found: RunContainer) -> bool:
        """Let a container of no known run be while it works; whether it was removed."""
        lasts = self._lasts("unknown", found.id, found.status)
        if not found.ended and found.status != "created":
            if lasts <= 0.0:
                _LOG.warning(
                    "container %s works on run %s, which the storage does not know: was the run deleted, or the "
                    "storage lost or restored? It is let be. If its run was deleted, docker stop %s ends it",
                    *(found.id[:12], found.run_id, found.id[:12]),
                )
            return False
        if lasts <= self.patience.launching:
            return False
        _LOG.warning("run %s is not known: its container is removed. %s", found.run_id, found.end())
        container.remove(force=True, v=True)
        self._failed = True
        return True

    def _settle_run(self, record: RunRecord, present: set[str]) -> None:
        run = record.dagster_run
        if run.run_id in present:
            return
        lasts = self._lasts("absent", run.run_id, run.status)
        if run.status is DagsterRunStatus.STARTED:
            if lasts >= self.patience.vanished:
                self._fail(run, f"its container {run.tags.get(DOCKER_CONTAINER_ID_TAG, '')[:12]} is gone")
        elif run.status is DagsterRunStatus.CANCELING:
            if lasts >= self.patience.canceling:
                self._fail(run, "it has no container")
        elif lasts >= self.patience.launching:
            self._fail(run, f"it had no container for {self.patience.launching:g} s")

    def _bury(self, container: Container, found: RunContainer, run: DagsterRun, reason: str | None = None) -> None:
        """Write the end into the run, end the run if it has not ended, remove the container and its volumes."""
        if not self._told(run, found):
            lines = self._last_lines(container)
            self.instance.report_engine_event(
                found.end(),
                dagster_run=run,
                engine_event_data=EngineEventData(
                    metadata={
                        _CONTAINER: MetadataValue.text(found.id),
                        "exit code": MetadataValue.int(found.exit_code),
                        "signal": MetadataValue.text(found.signal or "none"),
                        "out of memory": MetadataValue.bool(found.out_of_memory),
                        "last lines": MetadataValue.md(f"```\n{lines}\n```"),
                    }
                ),
                cls=type(self),
            )
        self._fail(run, reason or f"its container ended before it did. {found.end()}")
        container.remove(force=True, v=True)

    @staticmethod
    def _last_lines(container: Container) -> str:
        try:
            lines: bytes = container.logs(tail=_LAST_LINES)
        except docker.errors.APIError as error:
            return f"(not readable: {error})"
        # A fence of its own would end ours, and the rest would be taken for Markdown.
        return lines.decode("utf-8", errors="replace")[-_MOST_CHARACTERS:].replace("```", "'''")

    def _fail(self, run: DagsterRun, reason: str) -> None:
        """End a run that has not ended by itself; canceled if that was asked, failed otherwise."""
        latest = self.instance.get_run_by_id(run.run_id)
        if latest is None or latest.status is DagsterRunStatus.SUCCESS:
            return
        if not latest.is_finished:
            _LOG.warning("run %s ends: %s", run.run_id, reason)
            if latest.status is DagsterRunStatus.CANCELING:
                self.instance.report_run_canceled(latest, message=f"The run was canceled; {reason}")
            else:
                self.instance.report_run_failed(latest, message=f"The run failed: {reason}")
        self._failed = True

    def _told(self, run: DagsterRun, found: RunContainer) -> bool:
        """Whether the end of this container is in the run's events already."""
        for entry in self.instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
            event = entry.dagster_event
            if event is None:
                continue
            told = event.engine_event_data.metadata.get(_CONTAINER)
            if told is not None and told.value == found.id:
                return True
        return False

    def _last_word(self, run: DagsterRun) -> int:
        """Number of the run's newest event."""
        newest = self.instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
        return newest[0].storage_id if newest else 0
