"""Reading: the upstream tables of a step, all at one consistent state of the lakes, with what was read on record.

Put here how a step finds and reads its inputs. Keep out what it does with them.

A run sees the lakes as they were when it began, overlaid by what it has published itself. The versions are pinned in
the run's tags by its first step, so that every step, in whatever process, reads the same state. A run that is executed
again begins anew: it gets its parent's tags from Dagster, and a pin counts for the run alone that it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.partitions.utils import infer_partition_mapping
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from mlops_assets.platform.errors import MissingInputError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.catalog import publish_lock
from mlops_assets.platform.lake.ledger import InputRecord
from mlops_assets.platform.lake.tables import published_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import ibis.expr.types as ir

    from mlops_assets.platform.assets.inputs import Read
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.lake.session import LakeSession

VERSION_TAG: Final = "mlops_assets/lake_version_"


@dataclass(frozen=True, kw_only=True)
class Input:
    """An upstream table as one step sees it.

    Attributes:
        table: the rows of the partitions read.
        record: which partitions were read, with their content hashes.
        snapshot: the lake's version that was read; what the run itself has published since was read in its place.
    """

    table: ir.Table
    record: InputRecord
    snapshot: int


def upstream_keys(read: Read, own: Contract, own_key: str | None) -> list[str | None]:
    """The upstream partition keys that the mapping names, whether or not they exist; ``[None]`` if not partitioned."""
    upstream = read.contract.partitions_def
    if upstream is None:
        return [None]
    if own.partitions_def is None or own_key is None or isinstance(read.declared.mapping, dg.AllPartitionMapping):
        return list(upstream.get_partition_keys())
    # Of a window back in time only its end is needed.
    mapping = dg.TimeWindowPartitionMapping() if read.declared.back else read.declared.mapping
    return _mapped(mapping, own.partitions_def, own_key, upstream)


def _further_keys(read: Read, own: Contract, own_key: str | None) -> list[str | None]:
    """The upstream partition keys that are read where they exist."""
    upstream = read.contract.partitions_def
    mapping = read.declared.mapping if read.declared.back else read.declared.also
    if mapping is None or upstream is None or own.partitions_def is None or own_key is None:
        return []
    return _mapped(mapping, own.partitions_def, own_key, upstream)


def _mapped(
    declared: dg.PartitionMapping | None,
    own: dg.PartitionsDefinition[str],
    own_key: str,
    upstream: dg.PartitionsDefinition[str],
) -> list[str | None]:
    mapping = infer_partition_mapping(declared, own, upstream)
    mapped = mapping.get_upstream_mapped_partitions_result_for_partitions(
        own.subset_with_partition_keys([own_key]), own, upstream
    )
    return [*sorted(mapped.partitions_subset.get_partition_keys(), key=in_order(upstream))]


def in_order(partitions_def: dg.PartitionsDefinition[str]) -> Callable[[str | None], Any]:
    """By what the keys of those partitions are sorted: by time where they are of time, else by themselves.

    Combined ones are sorted by their dimension of time first.
    """
    if isinstance(partitions_def, dg.TimeWindowPartitionsDefinition):
        return lambda key: partitions_def.start_time_for_partition_key(key or "")
    if isinstance(partitions_def, dg.MultiPartitionsDefinition):
        dimensions = sorted(
            partitions_def.partitions_defs,
            key=lambda each: not isinstance(each.partitions_def, dg.TimeWindowPartitionsDefinition),
        )
        orders = {each.name: in_order(each.partitions_def) for each in dimensions}

        def by_dimensions(key: str | None) -> tuple[Any, ...]:
            found = partitions_def.get_partition_key_from_str(key or "").keys_by_dimension
            return tuple(order(found[name]) for name, order in orders.items())

        return by_dimensions
    return lambda key: key or ""


def pinned_version(
    session: LakeSession, lake: str, instance: dg.DagsterInstance, run_id: str, *, anew: bool = False
) -> int:
    """The version of the lake that this run reads: the newest one when its first step asked, or anew, when asked now.

    The publish lock orders two first steps that ask at once, so both get the same answer. Later steps do without.
    """
    tag = f"{VERSION_TAG}{lake}"
    session.attach(lake)
    if not anew and (pinned := _pinned(instance.get_run_by_id(run_id), tag)):
        return pinned[-1]
    with publish_lock(session.settings, lake):
        run = instance.get_run_by_id(run_id)
        pinned = _pinned(run, tag)
        if pinned and not anew:
            return pinned[-1]
        version = ledger.latest_version(session, lake)
        if run is not None:
            # The oldest stays: a step of the run may still be reading it.
            versions = " ".join(str(each) for each in (*pinned[:1], version))
            instance.add_run_tags(run_id, {tag: f"{versions} of run {run_id}"})
        return version


def _pinned(run: dg.DagsterRun | None, tag: str) -> list[int]:
    """The versions that the run reads, the one for its next step last; none before its first step reads."""
    if run is None:
        return []
    versions, _, run_id = run.tags.get(tag, "").partition(" of run ")
    # A run that is executed again has its parent's tag until then.
    return [int(version) for version in versions.split()] if run_id == run.run_id else []


def pinned_by_runs(instance: dg.DagsterInstance, lake: str) -> dict[str, int]:
    """For each run that is not over the oldest version of the lake that it reads, if it has begun to read."""
    tag = f"{VERSION_TAG}{lake}"
    runs = instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
    return {run.run_id: pinned[0] for run in runs if (pinned := _pinned(run, tag))}


def pinned_versions(
    session: LakeSession, lakes: Iterable[str], instance: dg.DagsterInstance, run_id: str, *, anew: bool = False
) -> dict[str, int]:
    """For each lake the version that the run reads, as ``pinned_version`` finds it.

    Asked for once for all that a step reads: another step of the run may pin anew meanwhile.
    """
    return {lake: pinned_version(session, lake, instance, run_id, anew=anew) for lake in sorted(set(lakes))}


def read_inputs(
    session: LakeSession,
    reads: Mapping[str, Read],
    own: Contract,
    own_key: str | None,
    *,
    versions: Mapping[str, int],
    instance: dg.DagsterInstance,
    run_id: str,
) -> dict[str, Input]:
    """Find the partitions that one step needs of its upstream tables, and give those of each as one lazy table.

    Args:
        session: a session that may read the lakes of the inputs.
        reads: what is read.
        own: the table that the step makes.
        own_key: the partition that it makes.
        versions: for each lake the version to read.
        instance: knows dynamic partitions.
        run_id: the run, whose own publishes since are read instead.

    Raises:
        MissingInputError: a needed partition has never been published.
    """
    with partition_loading_context(dynamic_partitions_store=instance):
        return {
            name: _read(session, read, own, own_key, version=versions[read.contract.lake.name], run_id=run_id)
            for name, read in reads.items()
        }


def _read(session: LakeSession, read: Read, own: Contract, own_key: str | None, *, version: int, run_id: str) -> Input:
    contract = read.contract
    needed = upstream_keys(read, own, own_key)
    order = in_order(contract.partitions_def) if contract.partitions_def is not None else str
    wanted = sorted({*needed, *_further_keys(read, own, own_key)}, key=order)
    entries = seen_by_run(session, contract, wanted, version=version, run_id=run_id)
    chosen = _chosen(read, own_key, needed, wanted, entries)
    found = {key: entries[key] for key in chosen if key in entries}
    record = InputRecord(
        lake=contract.lake.name,
        asset=contract.key.to_user_string(),
        partitions={key or "": entry.record.content_hash for key, entry in found.items()},
    )
    return Input(table=published_table(session, contract, found, version=version), record=record, snapshot=version)


def seen_by_run(
    session: LakeSession, contract: Contract, keys: Sequence[str | None] | None, *, version: int, run_id: str
) -> dict[str | None, Entry]:
    """The publishes of those partitions, or of all, that a run sees: those current at its version, its own since."""
    entries = ledger.current(session, contract, keys, version=version)
    for entry in ledger.since(session, contract.lake.name, version, contract=contract, partition_keys=keys):
        if entry.record.run_id == run_id:
            entries[entry.record.partition] = entry
    return entries


def never_published(contract: Contract, missing: Sequence[str | None]) -> MissingInputError:
    """The error that says which partitions of a table are missing."""
    some = ", ".join(str(key) for key in missing[:3]) + (" …" if len(missing) > 3 else "")  # noqa: PLR2004
    where = f"partition {some}" if list(missing) != [None] else "the table"
    return MissingInputError(
        source=f"Table {contract.layer}/{contract.table}",
        culprit=f"{where} has never been published.",
        remedy="Materialize it first, or look at its failed checks.",
    )


def _chosen(
    read: Read,
    own_key: str | None,
    needed: Sequence[str | None],
    wanted: Sequence[str | None],
    entries: Mapping[str | None, Entry],
) -> list[str | None]:
    """The partitions to read of those wanted, which are in their order.

    Raises:
        MissingInputError: one that is needed has never been published.
    """
    declared = read.declared
    existing = [key for key in wanted if key in entries]
    # Where some are chosen of what exists, something must.
    some_will_do = isinstance(declared.mapping, dg.AllPartitionMapping)
    if declared.choose is not None:
        chosen: list[str | None] = list(declared.choose(own_key or "", [key for key in existing if key is not None]))
        some_will_do = True
    elif declared.window == "latest":
        chosen = existing[-1:]
        some_will_do = True
    else:
        chosen = existing
    if declared.optional or (some_will_do and chosen):
        return chosen
    if missing := [key for key in needed if key not in entries]:
        raise never_published(read.contract, missing)
    return chosen
