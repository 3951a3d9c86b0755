"""Drafting: a step's function called for each partition, and what it gives staged.

Put here what the function is given, how often at once it is called, and what becomes of its frame. Keep out what
happens to staged rows (``making``).
"""

from __future__ import annotations

import inspect
import threading
import time
import traceback
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import duckdb
from dagster._core.definitions.utils import NoValueSentinel

from mlops_assets.platform.assets.failures import ending
from mlops_assets.platform.assets.reading import read_inputs
from mlops_assets.platform.audit import audit
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.volume import Reference
from mlops_assets.platform.errors import CatalogAwayError, ContractError
from mlops_assets.platform.lake.frames import FrameError, as_ibis, framed
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import stage
from mlops_assets.platform.withheld import withhold

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from mlops_assets.platform.assets.inputs import Read
    from mlops_assets.platform.assets.reading import Input
    from mlops_assets.platform.assets.step import Partition, Step
    from mlops_assets.platform.audit.outcomes import Audit
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.lake.publish import Outcome
    from mlops_assets.platform.lake.stage import StagedFile
    from mlops_assets.platform.settings import Settings

_PAUSE_SECONDS: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a run of a step makes its partitions from.

    Attributes:
        step: what is done.
        context: Dagster's.
        given: config, resources and plain inputs, by the names of the function's parameters.
        reads: the upstream tables, by those names.
    """

    step: Step
    context: dg.AssetExecutionContext
    given: Mapping[str, object]
    reads: Mapping[str, Read]

    @property
    def contract(self) -> Contract:
        """The table."""
        return self.step.contract


@dataclass(frozen=True, kw_only=True)
class Made:
    """What became of a partition: its audit, and the publish unless that stopped it.

    Attributes:
        audit: what was found.
        metadata: what the function says of it.
        tags: of the materialization, as the function gave them.
        published: the publish; ``None`` where the audit stopped it.
        seconds: how long reading, the function and staging took.
    """

    audit: Audit
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    published: Outcome | None = None
    seconds: float = 0.0


Result = Made | Exception
"""What became of a partition, or why it was not made."""


@dataclass(kw_only=True)
class Draft:
    """A partition whose rows are staged; the frame that they came in is let go.

    Attributes:
        partition: which one.
        before: what is published of it.
        inputs: what it was made from.
        check_results: what the function says of its judged checks.
        metadata: what it says of the partition.
        tags: of the materialization, as it gave them.
        file: the staged rows.
        seconds: how long all that took.
    """

    partition: Partition
    before: Entry | None
    inputs: Mapping[str, Input]
    check_results: Sequence[dg.AssetCheckResult]
    metadata: Mapping[str, Any]
    tags: Mapping[str, str]
    file: StagedFile
    seconds: float

    def reference(self, accepted: frozenset[int]) -> Reference:
        """What its number of rows is judged beside."""
        return Reference(rows=self.before.record.rows if self.before is not None else None, accepted=accepted)


def drafts(
    task: Task,
    settings: Settings,
    partitions: Sequence[Partition],
    current: Mapping[str | None, Entry],
    versions: Mapping[str, int],
    *,
    attempt: str,
    files: set[StagedFile],
) -> Generator[tuple[Partition, Result | Draft]]:
    """Call the function for each partition, and stage what it returns.

    Args:
        task: from what.
        settings: where the lakes are.
        partitions: different ones.
        current: the publishes that are current of them.
        versions: for each lake the version that is read.
        attempt: the staging folder.
        files: gains what is staged, also when this is interrupted.

    Yields:
        For each partition, in their order, its draft, or what keeps it from having one. A consumer that ends before the
        last closes the generator, which ends the drafts that are under way.

    Raises:
        CatalogAwayError: the catalog did not answer.
    """
    drafter = _Drafter(task, settings, current, versions, attempt, files)
    at_once = min(task.step.partitions_at_once, len(partitions))
    if at_once == 1:
        for number, partition in enumerate(partitions):
            yield partition, drafter.draft(number, partition)
        return
    with ThreadPoolExecutor(at_once) as pool:
        try:
            asked = []
            for number, partition in enumerate(partitions):
                # A thread by itself knows nothing of what Dagster keeps for the step.
                known = copy_context()
                asked.append(pool.submit(known.run, drafter.draft, number, partition))
            for partition, each in zip(partitions, asked, strict=True):
                # A thread that starts a process may take a signal, which this one would sleep through.
                while not each.done():
                    wait([each], _PAUSE_SECONDS)
                yield partition, each.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            drafter.end()
            raise


class _Drafter:
    """Drafts partitions, of which some may be under way at the same time."""

    def __init__(
        self,
        task: Task,
        settings: Settings,
        current: Mapping[str | None, Entry],
        versions: Mapping[str, int],
        attempt: str,
        files: set[StagedFile],
    ) -> None:
        self._task = task
        self._settings = settings
        self._current = current
        self._versions = versions
        self._attempt = attempt
        self._files = files
        self._under_way: set[LakeSession] = set()
        self._ended = False
        self._change = threading.Condition()

    def draft(self, number: int, partition: Partition) -> Result | Draft:
        """Call the function for the partition, and stage what it returns."""
        contract = self._task.contract
        with LakeSession(self._settings) as session:
            with self._change:
                if self._ended:
                    raise CancelledError
                self._under_way.add(session)
            try:
                made = _draft(
                    self._task,
                    session,
                    partition,
                    self._current.get(partition.key),
                    self._versions,
                    attempt=f"{self._attempt}-{number}",
                )
                if isinstance(made, Draft):
                    self._files.add(made.file)
            except FrameError as error:
                return Made(audit=audit.of_wrong_shape(contract, str(error)))
            except CatalogAwayError:
                raise
            except BaseException as error:  # noqa: BLE001  an engine's panic is no Exception
                if (end := ending(error)) is not None:
                    raise end from None
                if not isinstance(error, Exception):
                    return withhold(error, source=f"Asset {contract.key.to_user_string()}")
                # Told with the others'.
                _let_go(error)
                return error
            else:
                return made
            finally:
                with self._change:
                    self._under_way.discard(session)
                    self._change.notify_all()

    def end(self) -> None:
        """Interrupt the queries that are under way, and wait for the drafts; none begins any more.

        The pool alone does not know a thread that was just being started when the interrupt came.
        """
        with self._change:
            self._ended = True
            while self._under_way:
                # An engine forgets an interrupt that comes between two queries.
                for session in self._under_way:
                    with suppress(duckdb.Error):
                        session.connection.interrupt()
                self._change.wait(_PAUSE_SECONDS)


def _let_go(error: BaseException) -> None:
    """Let go of what the functions that the error came through had in their hands, such as frames."""
    for each in (error, error.__cause__, error.__context__):
        if each is not None:
            traceback.clear_frames(each.__traceback__)


def _draft(
    task: Task,
    session: LakeSession,
    partition: Partition,
    before: Entry | None,
    versions: Mapping[str, int],
    *,
    attempt: str,
) -> Draft | Made:
    """Call the function and stage what it returns, unless that has not the contract's shape."""
    began = time.perf_counter()
    contract = task.contract
    inputs = read_inputs(
        session,
        task.reads,
        contract,
        partition.key,
        versions=versions,
        instance=task.context.instance,
        run_id=task.context.run.run_id,
    )
    result = _call(task, session, partition, inputs)
    table = as_ibis(session, result.value, rules.columns_of(contract))
    problem = audit.shape_problem(contract, table.schema())
    if problem is not None:
        return Made(audit=audit.of_wrong_shape(contract, problem))
    written = result.value if isinstance(result.value, Path) else None
    file = stage(session, contract, table, written=written, attempt=attempt)
    return Draft(
        partition=partition,
        before=before,
        inputs=inputs,
        check_results=result.check_results or [],
        metadata=result.metadata or {},
        tags=result.tags or {},
        file=file,
        seconds=time.perf_counter() - began,
    )


def _call(
    task: Task, session: LakeSession, partition: Partition, inputs: Mapping[str, Input]
) -> dg.MaterializeResult[Any]:
    """What the function returns; a bare frame becomes the value of a result.

    Raises:
        ContractError: its result has no value, or names a data version or another asset.
    """
    offered: dict[str, Any] = {
        "context": task.context,
        "partition": partition,
        "run_tags": task.context.run.tags,
        "session": session,
        "settings": session.settings,
        "versions": {name: read.record.partitions for name, read in inputs.items()},
        **task.given,
        **{name: framed(read.table, task.step.frames[name]) for name, read in inputs.items()},
    }
    wanted = inspect.signature(task.step.function).parameters
    result = task.step.function(**{name: offered[name] for name in wanted})
    if not isinstance(result, dg.MaterializeResult):
        return dg.MaterializeResult(value=result)
    for wrong, culprit, remedy in (
        (result.value is NoValueSentinel, "has no value", "Give the rows as value=."),
        (result.data_version is not None, "names a data_version", "Leave it out: it is the hash of the rows."),
        (result.asset_key not in {None, task.contract.key}, "is of another asset", "Leave asset_key out."),
    ):
        if wrong:
            source = f"Asset {task.contract.key.to_user_string()}"
            raise ContractError(source=source, culprit=f"its MaterializeResult {culprit}.", remedy=remedy)
    return result
