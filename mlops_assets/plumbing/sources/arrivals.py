"""Arrivals: which delivered files are not published yet, and the runs that are asked for them.

Put here how a delivery is noticed. Keep out reading it (``files``).

What has been taken is looked up where it is known, in the metadata of the latest publish: a delivery that was replaced
by another and comes back is one more arrival. The cursor only remembers how often a delivery was asked for, so that one
that cannot be published is asked for again with growing pauses, and by then has raised its alerts.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from pydantic import TypeAdapter, ValidationError

from mlops_assets.platform.assets.events import latest_materializations
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.assets.ranges import RANGE_END, RANGE_START, in_ranges
from mlops_assets.platform.errors import PlatformError, SourceUnavailableError
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.templates import fields_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlops_assets.plumbing.sources.files import FileSource
    from mlops_assets.plumbing.sources.places import Place

FIRST_PAUSE_SECONDS: Final = 60.0
LONGEST_PAUSE_SECONDS: Final = 6 * 3600.0

DELIVERY: Final = "delivery"
"""Entry of a publish's metadata with the identity of the file that it was made from."""

_PARTITION: Final = "dagster/partition"
_MOST_TOLD: Final = 10
_ASKED: Final = TypeAdapter(dict[str, tuple[str, int, float]])


def sensor(source: FileSource) -> dg.SensorDefinition:
    """The sensor of a source: one request for each file that has arrived, those of neighbours put together."""
    table = f"{source.contract.layer}_{source.contract.table}"

    @dg.sensor(
        name=f"{table}_arrivals",
        asset_selection=dg.AssetSelection.assets(source.contract.key),
        minimum_interval_seconds=source.every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks for a run for each file of {source.contract.key.to_user_string()} that has arrived, "
        "again when it is replaced.",
    )
    @told_plainly(f"Sensor {table}_arrivals")
    def arrivals(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Files that cannot be used are told in the tick, which does not fail."""
        return _tick(source, context)

    return arrivals


def not_published(source: FileSource, instance: dg.DagsterInstance, keys: Sequence[str | None]) -> list[str | None]:
    """Of these partitions, those whose file is not the one that is published, or is not there."""
    place = source.place(Settings.load())
    published = _published(source, instance, keys)
    return [
        key for key in keys if (identity := _identity(source, place, key)) is None or published.get(key) != identity
    ]


def _tick(source: FileSource, context: dg.SensorEvaluationContext) -> dg.SensorResult:
    instance, now = context.instance, time.time()
    problems: list[str] = []
    held_back: list[str] = []
    arrived = _arrived(source, instance, problems, held_back)
    published = _published(source, instance, list(arrived))
    waiting = {key: identity for key, identity in arrived.items() if published.get(key) != identity}
    under_way = _under_way(source, instance) if waiting else set()
    known = {_text(key) for key in waiting}
    asked = {key: each for key, each in _asked(context.cursor).items() if key in known}
    requests: list[dg.RunRequest] = []
    for key, identity in waiting.items():
        before, times, last = asked.get(_text(key), ("", 0, 0.0))
        times = times if before == identity else 0
        pause = min(FIRST_PAUSE_SECONDS * 4 ** (times - 1), LONGEST_PAUSE_SECONDS) if times else 0.0
        if key in under_way or now < last + pause:
            continue
        requests.append(dg.RunRequest(partition_key=key, asset_selection=[source.contract.key]))
        asked[_text(key)] = (identity, times + 1, now)
    told = " ".join(problems[:_MOST_TOLD])
    if len(problems) > _MOST_TOLD:
        told += f" And {len(problems) - _MOST_TOLD} more."
    cursor = _ASKED.dump_json(asked).decode()
    if not requests:
        reason = told or " ".join(["Nothing new has arrived.", *held_back[:_MOST_TOLD]])
        return dg.SensorResult(skip_reason=reason, cursor=cursor)
    if told:
        context.log.warning(told)
    location = context.repository_def
    assets = location.assets_defs_by_key if location is not None else {}
    return dg.SensorResult(run_requests=in_ranges(requests, assets, instance), cursor=cursor)


def _arrived(
    source: FileSource, instance: dg.DagsterInstance, problems: list[str], held_back: list[str]
) -> dict[str | None, str]:
    """The identities of the files that are there and complete, by partition.

    Args:
        source: whose files.
        instance: knows partitions that are added as it goes.
        problems: gains what cannot be used.
        held_back: gains what is not complete yet.
    """
    place = source.place(Settings.load())
    found: dict[str | None, str] = {}
    for key in _there(source, place, instance, problems):
        try:
            found[key] = source.promise(place, key).identity
        except SourceUnavailableError as error:
            # That it is late is told once it is due.
            held_back.append(str(error))
        except PlatformError as error:
            problems.append(str(error))
    keys = (
        source.contract.partitions_def.get_partition_keys(dynamic_partitions_store=instance)
        if (source.contract.partitions_def is not None and not fields_of(source.file))
        else None
    )
    if keys is not None and found:
        # One file holds them all.
        [identity] = found.values()
        return dict.fromkeys(keys, identity)
    return found


def _there(source: FileSource, place: Place, instance: dg.DagsterInstance, problems: list[str]) -> Iterable[str | None]:
    """The partitions whose files are there."""
    try:
        there = list(place.matching(source.patterns()))
    except PlatformError as error:
        problems.append(str(error))
        return
    contract = source.contract
    if contract.partitions_def is None or not fields_of(source.file):
        yield from (None for _ in there)
        return
    keys = contract.partitions_def.get_partition_keys(dynamic_partitions_store=instance)
    by_path: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        try:
            by_path[source.path_of(place, key)].append(key)
        except PlatformError as error:
            problems.append(str(error))
    for path in there:
        of = by_path.get(path, [])
        if len(of) == 1:
            yield of[0]
        else:
            why = f"could be of {' and '.join(of)}" if of else f"is of no partition of {contract.key.to_user_string()}"
            problems.append(f"{place.name_of(path)} {why}.")


def _identity(source: FileSource, place: Place, key: str | None) -> str | None:
    """What is known of a partition's file; ``None`` where it is not there, or not whole."""
    try:
        return source.promise(place, key).identity
    except PlatformError:
        return None


def _published(source: FileSource, instance: dg.DagsterInstance, keys: Sequence[str | None]) -> dict[str | None, str]:
    """The identity of the file that each partition's latest publish was made from."""
    found = latest_materializations(instance, source.contract.key, keys) if keys else {}
    told = {key: record.asset_materialization for key, record in found.items()}
    return {
        key: str(each.metadata[DELIVERY].value)
        for key, each in told.items()
        if each is not None and DELIVERY in each.metadata
    }


def _under_way(source: FileSource, instance: dg.DagsterInstance) -> set[str | None]:
    """The partitions that runs which have not ended are making."""
    partitions_def, key = source.contract.partitions_def, source.contract.key
    found: set[str | None] = set()
    for run in instance.get_runs(dg.RunsFilter(statuses=list(NOT_FINISHED_STATUSES))):
        if run.asset_selection is not None and key not in run.asset_selection:
            continue
        start, end = run.tags.get(RANGE_START), run.tags.get(RANGE_END)
        if partitions_def is not None and start is not None and end is not None:
            with partition_loading_context(dynamic_partitions_store=instance):
                found.update(partitions_def.get_partition_keys_in_range(dg.PartitionKeyRange(start, end)))
        else:
            found.add(run.tags.get(_PARTITION))
    return found


def _asked(cursor: str | None) -> dict[str, tuple[str, int, float]]:
    """What was asked for: of each partition the delivery, how often, and when last; nothing by an unreadable cursor."""
    try:
        return _ASKED.validate_json(cursor or "{}")
    except ValidationError:
        return {}


def _text(key: str | None) -> str:
    return key or ""
