"""Steps: the life of one run of a published asset.

Put here what Dagster asks for and is told. Keep out how partitions are made (``making``), how an event is worded
(``events``), and how a function becomes an asset (``asset``).
"""

from __future__ import annotations

import functools
import gc
import resource
import time
import weakref
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from mlops_assets.platform.assets.drafting import Made, Task
from mlops_assets.platform.assets.events import (
    check_evaluation,
    check_result,
    latest_materializations,
    materialization,
    materialization_metadata,
    target_of,
)
from mlops_assets.platform.assets.failures import PartitionsError, plainly, told_plainly
from mlops_assets.platform.assets.inputs import resolved_in
from mlops_assets.platform.assets.lakes import lakes_of
from mlops_assets.platform.assets.making import make
from mlops_assets.platform.assets.reading import in_order
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.lake import placed
from mlops_assets.platform.errors import MissingInputError
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlops_assets.platform.assets.drafting import Result
    from mlops_assets.platform.assets.inputs import In
    from mlops_assets.platform.contracts.contract import Contract

TOGETHER: Final = 50
"""How many partitions a step publishes at once. Their events follow: one that is killed leaves no more untold."""

_MOST_NAMED: Final = 10
_ENDS: Final[weakref.WeakKeyDictionary[dg.AssetExecutionContext, ExitStack]] = weakref.WeakKeyDictionary()
INJECTED: Final = frozenset({"context", "partition", "run_tags", "session", "settings", "versions"})
"""What a published asset's function may ask for by these names."""


@dataclass(frozen=True)
class Partition:
    """The partition that a step makes.

    Attributes:
        key: its key; ``None`` for an unpartitioned table.
        values: for each partition column, the value that every row must hold.

    Example:
        >>> import mlops_assets as ma
        >>> def orders(partition: ma.Partition) -> str:  # of an asset that is partitioned by month and shop
        ...     return f"{partition.values['shop']}/{partition.values['month']}.csv"
        >>> orders(ma.Partition("2024-01|north", {"month": "2024-01", "shop": "north"}))
        'north/2024-01.csv'
    """

    key: str | None
    values: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one run of a published asset does.

    Attributes:
        contract: the table.
        function: gives the rows; its parameters are among inputs, injected names, config, resources and plain inputs.
        ins: the upstream tables, by the name of the function's parameter.
        frames: for each of them the class of frame that the function is given.
        code_version: version of the function's code.
        partitions_at_once: of how many partitions of a run the function is called at a time.
    """

    contract: Contract
    function: Callable[..., Any]
    ins: Mapping[str, In]
    frames: Mapping[str, object]
    code_version: str
    partitions_at_once: int = 1


def column_schema(contract: Contract) -> dg.TableSchema:
    """The contract's columns for the asset's page in the Dagster UI."""
    schema = contract.schema
    keys = rules.key_columns(contract)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                str(kind),
                description=schema.columns[name].description,
                constraints=dg.TableColumnConstraints(
                    nullable=bool(schema.columns[name].nullable),
                    unique=keys == (name,) and not contract.duplicate_keys_warn,
                    other=["personal: masked in samples"] if name in contract.personal else [],
                ),
            )
            for name, kind in rules.columns_of(contract).items()
        ]
    )


def at_end(context: dg.AssetExecutionContext, callback: Callable[[], None]) -> None:
    """Let that be called when a step has ended, whether its partitions were published or not.

    Args:
        context: Dagster's, of the step that is under way.
        callback: removes what the step's partitions had in common.
    """
    _ENDS[context].callback(callback)


def run(step: Step, context: dg.AssetExecutionContext, given: Mapping[str, object]) -> Iterator[Any]:
    """Make the partitions that Dagster asks for, and yield their events.

    Args:
        step: what is done.
        context: Dagster's.
        given: config, resources and plain inputs, by the names of the function's parameters.

    Raises:
        dg.Failure: a partition was not published; no row can be read from it.
    """
    _keep_what_is_loaded()
    source = f"Asset {step.contract.key.to_user_string()}"
    with told_plainly(source, owners=step.contract.owners), ExitStack() as ends:
        _ENDS[context] = ends
        task = Task(step=step, context=context, given=given, reads=resolved_in(context.job_def, step.ins, source))
        lakes = lakes_of(context, {step.contract.lake, *(read.contract.lake for read in task.reads.values())})
        settings = placed(Settings.load(), lakes)
        partitions = _partitions(step.contract, context)
        if _reads_itself(task) and step.contract.partitions_def is not None:
            order = in_order(step.contract.partitions_def)
            partitions.sort(key=lambda partition: order(partition.key))
        if not partitions:
            raise PartitionsError(
                source=source,
                culprit="the range of this run holds no partition.",
                remedy="Does it end before it begins? Partitions are in the order in which they are declared.",
                errors=[],
            )
        # Dagster knows the partition of a check's result by itself only where the run is not of a range.
        if len(partitions) == 1 and not context.has_partition_key_range:
            yield from _one(task, settings, partitions[0])
        else:
            yield from _many(task, settings, partitions)


@functools.cache
def _keep_what_is_loaded() -> None:
    """Let the garbage collector leave alone what was loaded before the process's first step.

    Those are hundreds of thousands of objects, and compiling a step's expressions makes it look at all of them anew.
    """
    gc.freeze()


def _partitions(contract: Contract, context: dg.AssetExecutionContext) -> list[Partition]:
    keys: Sequence[str | None] = [None]
    if contract.partitions_def is not None and (context.has_partition_key or context.has_partition_key_range):
        keys = list(context.partition_keys)
    return [Partition(key, contract.partition_values(key)) for key in keys]


def _one(task: Task, settings: Settings, partition: Partition) -> Iterator[Any]:
    """Make the partition; Dagster makes its events of the results, and fails the step whose checks failed."""
    began = time.perf_counter()
    contract = task.contract
    # The session is closed before the events, so that a step that is killed there leaves nothing open.
    with LakeSession(settings) as session:
        [made] = make(task, session, [partition]).values()
    if isinstance(made, Exception):
        raise made
    results = [check_result(contract, partition.key, outcome) for outcome in made.audit.outcomes]
    if made.published is None:
        yield from results
        return
    entry = made.published.entry
    yield dg.MaterializeResult(
        asset_key=contract.key,
        data_version=dg.DataVersion(entry.record.content_hash),
        tags=made.tags,
        metadata={
            **made.metadata,
            **materialization_metadata(entry),
            **_measured(adopted=made.published.adopted, seconds=time.perf_counter() - began),
        },
        check_results=results,
    )


def _many(task: Task, settings: Settings, partitions: Sequence[Partition]) -> Iterator[Any]:
    """Make the partitions, some at a time; a bad one keeps none of the others back.

    Dagster has one data version and one result of a check for all that a step makes, so each partition's events are
    yielded as they are. It takes an output without an event for what the steps behind wait for.
    """
    contract = task.contract
    failed: dict[str | None, Result] = {}
    for together in _groups(task, partitions):
        with LakeSession(settings) as session:
            made = make(task, session, together)
        yield from _events(task, made)
        failed |= {key: each for key, each in made.items() if not isinstance(each, Made) or each.published is None}
        if failed and _reads_itself(task):
            failed |= dict.fromkeys(_after(partitions, together), _made_from_a_failed_one(contract))
            break
    for check in task.context.selected_asset_check_keys:
        yield dg.Output(None, output_name=task.context.assets_def.get_output_name_for_asset_check_key(check))
    if failed:
        raise _not_all(task, {each.key: failed[each.key] for each in partitions if each.key in failed}, len(partitions))
    yield dg.MaterializeResult(asset_key=contract.key, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def _groups(task: Task, partitions: Sequence[Partition]) -> Iterator[Sequence[Partition]]:
    """The partitions that are made together: one after the other where one may be made from another."""
    size = 1 if _reads_itself(task) else TOGETHER
    for start in range(0, len(partitions), size):
        yield partitions[start : start + size]


def _reads_itself(task: Task) -> bool:
    return any(read.contract.key == task.contract.key for read in task.reads.values())


def _after(partitions: Sequence[Partition], group: Sequence[Partition]) -> list[str | None]:
    """The keys of the partitions behind the group."""
    keys = [partition.key for partition in partitions]
    return keys[keys.index(group[-1].key) + 1 :]


def _made_from_a_failed_one(contract: Contract) -> MissingInputError:
    return MissingInputError(
        source=f"Asset {contract.key.to_user_string()}",
        culprit="a partition before it, which it is made from, was not published.",
        remedy="Mend that one first.",
    )


def _events(task: Task, made: Mapping[str | None, Result]) -> Iterator[Any]:
    """The events of partitions that were made together, of each its materialization and then its checks' results.

    A step that is killed between the two leaves a partition whose consumers wait for its checks, which the reconciler
    tells: so of one at most.
    """
    contract = task.contract
    for key, each in made.items():
        if not isinstance(each, Made):
            continue
        target = None
        if each.published is not None:
            measured = _measured(adopted=each.published.adopted, seconds=each.seconds)
            told = {**each.metadata, **measured}
            yield materialization(contract, each.published.entry, metadata=told, tags=each.tags)
            target = target_of(latest_materializations(task.context.instance, contract.key, [key])[key])
        for outcome in each.audit.outcomes:
            yield check_evaluation(contract, key, outcome, target)


def _stopped_by(made: Result) -> str:
    """Which checks keep a partition from being published, and by what."""
    outcomes = made.audit.outcomes if isinstance(made, Made) else ()
    return "; ".join(f"check {each.name}: {each.description}" for each in outcomes if each.stops)


def _measured(*, adopted: bool, seconds: float) -> dict[str, Any]:
    return {
        "adopted": adopted,
        "seconds": round(seconds, 3),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _not_all(task: Task, failed: Mapping[str | None, Result], asked_for: int) -> Exception:
    """What is raised where some of many partitions were not published; the log tells the error of each."""
    source = f"Asset {task.contract.key.to_user_string()}"
    errors = [each for each in failed.values() if isinstance(each, Exception)]
    for error in errors:
        if isinstance(error, dg.RetryRequested):
            return error
    if errors and asked_for == 1:
        return errors[0]
    plain = {key: plainly(each, source) for key, each in failed.items() if isinstance(each, Exception)}
    for key, each in failed.items():
        task.context.log.error("Partition %s: %s", key, plain.get(key) or _stopped_by(each))
    names = ", ".join(str(key) for key in list(failed)[:_MOST_NAMED]) + (" …" if len(failed) > _MOST_NAMED else "")
    stopped = {"checks": len(failed) - len(errors), "errors": len(errors)}
    why = ", ".join(f"{number} by {what}" for what, number in stopped.items() if number)
    others = "The others were published. " if len(failed) < asked_for else ""
    first = "".join(f" The first error, of {key}: {str(error).rstrip('.')}." for key, error in list(plain.items())[:1])
    told = PartitionsError(
        source=source,
        culprit=f"{len(failed)} of {asked_for} partitions were not published: {names} ({why}).{first}",
        remedy=f"{others}The run's log says of each what stopped it. Materialize them again when that is mended.",
        errors=errors,
    )
    told.__cause__ = next(iter(plain.values()), None)
    return told
