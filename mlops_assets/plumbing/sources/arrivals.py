"""Arrivals: which deliveries are not published yet, and the runs that are asked for them.

Put here what becomes of what has arrived. Keep out how it is found (``files.folders``, ``http.file``) and read.

What has been taken is looked up where it is known, in the metadata of the latest publish: a delivery that was replaced
by another and comes back is one more arrival. The cursor only remembers how often a delivery was asked for, so that one
that cannot be published is asked for again with growing pauses, and by then has raised its alerts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from pydantic import TypeAdapter, ValidationError

from mlops_assets.platform.assets.events import latest_materializations
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.assets.ranges import RANGE_END, RANGE_START, in_ranges
from mlops_assets.platform.errors import SourceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.errors import PlatformError

FIRST_PAUSE_SECONDS: Final = 60.0
LONGEST_PAUSE_SECONDS: Final = 6 * 3600.0

DELIVERY: Final = "delivery"
"""Entry of a publish's metadata with the identity of the delivery that it was made from."""

_PARTITION: Final = "dagster/partition"
_MOST_TOLD: Final = 10
_ASKED: Final = TypeAdapter(dict[str, tuple[str, int, float]])


@dataclass(frozen=True)
class Told:
    """What a look has to tell beside what has arrived.

    Attributes:
        problems: what cannot be used.
        held_back: what is not complete yet.
    """

    problems: list[str] = field(default_factory=list)
    held_back: list[str] = field(default_factory=list)

    def add(self, error: PlatformError) -> None:
        """What one partition's delivery came to; that it is late is told once it is due."""
        (self.held_back if isinstance(error, SourceUnavailableError) else self.problems).append(str(error))


class Identified(Protocol):
    """A source that can say, without reading it, which delivery is there."""

    @property
    def contract(self) -> Contract:
        """The table."""

    def identities(self, known: Mapping[str | None, str | None]) -> Mapping[str | None, str]:
        """What tells the deliveries of these partitions from others, of those that are there and whole.

        Args:
            known: of each partition that is asked about, the identity that is published.
        """


class Watched(Identified, Protocol):
    """A source at which a sensor looks."""

    @property
    def every_seconds(self) -> int:
        """How often."""

    def arrived(self, instance: dg.DagsterInstance, told: Told) -> Mapping[str | None, str]:
        """The identities of the deliveries that are there and complete, by partition."""


def sensor(source: Watched) -> dg.SensorDefinition:
    """The sensor of a source: one request for each delivery that has arrived, those of neighbours put together."""
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


def not_published(source: Identified, instance: dg.DagsterInstance, keys: Sequence[str | None]) -> list[str | None]:
    """Of these partitions, those whose delivery is not the one that is published, or is not there."""
    known = published(source.contract, instance, keys)
    found = source.identities({key: known.get(key) for key in keys})
    return [key for key in keys if key not in found or known.get(key) != found[key]]


def published(contract: Contract, instance: dg.DagsterInstance, keys: Sequence[str | None]) -> dict[str | None, str]:
    """The identity of the delivery that each partition's latest publish was made from."""
    found = latest_materializations(instance, contract.key, keys) if keys else {}
    told = {key: record.asset_materialization for key, record in found.items()}
    return {
        key: str(each.metadata[DELIVERY].value)
        for key, each in told.items()
        if each is not None and DELIVERY in each.metadata
    }


def _tick(source: Watched, context: dg.SensorEvaluationContext) -> dg.SensorResult:
    instance, now = context.instance, time.time()
    told = Told()
    arrived = source.arrived(instance, told)
    known = published(source.contract, instance, list(arrived))
    waiting = {key: identity for key, identity in arrived.items() if known.get(key) != identity}
    under_way = _under_way(source, instance) if waiting else set()
    texts = {_text(key) for key in waiting}
    asked = {key: each for key, each in _asked(context.cursor).items() if key in texts}
    requests: list[dg.RunRequest] = []
    for key, identity in waiting.items():
        before, times, last = asked.get(_text(key), ("", 0, 0.0))
        times = times if before == identity else 0
        pause = min(FIRST_PAUSE_SECONDS * 4 ** (times - 1), LONGEST_PAUSE_SECONDS) if times else 0.0
        if key in under_way or now < last + pause:
            continue
        requests.append(dg.RunRequest(partition_key=key, asset_selection=[source.contract.key]))
        asked[_text(key)] = (identity, times + 1, now)
    problems = " ".join(told.problems[:_MOST_TOLD])
    if len(told.problems) > _MOST_TOLD:
        problems += f" And {len(told.problems) - _MOST_TOLD} more."
    cursor = _ASKED.dump_json(asked).decode()
    if not requests:
        reason = problems or " ".join(["Nothing new has arrived.", *told.held_back[:_MOST_TOLD]])
        return dg.SensorResult(skip_reason=reason, cursor=cursor)
    if problems:
        context.log.warning(problems)
    location = context.repository_def
    assets = location.assets_defs_by_key if location is not None else {}
    return dg.SensorResult(run_requests=in_ranges(requests, assets, instance), cursor=cursor)


def _under_way(source: Watched, instance: dg.DagsterInstance) -> set[str | None]:
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
