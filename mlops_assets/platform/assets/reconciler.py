"""The reconciler: reports publishes whose Dagster events were lost between the commit and the event.

Put here the comparison of the lake's records with Dagster's, and the sensor around it. Keep out any repair of data: the
data is right, only its event is missing.

What Dagster was told last of a partition should be the publish that is current in the lake, with a result of each of
its checks, for which its consumers wait. Only that one is ever reported, under the lake's publish lock, so that no
newer publish can come before it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import dagster as dg
import duckdb
from dagster._core.events import DagsterEvent
from dagster._core.instance.utils import RUNLESS_JOB_NAME
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from mlops_assets.platform.assets.events import check_evaluation, latest_materializations, materialization, target_of
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.assets.lakes import initialised
from mlops_assets.platform.audit.outcomes import CheckOutcome
from mlops_assets.platform.contracts.lake import placed
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.catalog import publish_lock
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.contracts.lake import Lake
    from mlops_assets.platform.lake.ledger import Entry

GRACE_SECONDS: Final = 900.0
"""How long after a publish its own run, if still alive, may take to report it."""

_MOST_REPORTED: Final = 100
"""Publishes of one lake reported in one tick, which Dagster ends after a minute."""


@dataclass
class Reconciled:
    """What one look at the lakes did.

    Attributes:
        reached: for each lake, the version up to which nothing is left to report.
        reported: the publishes that were reported, oldest first in each lake.
        away: why lakes could not be looked at; their versions in ``reached`` are as they were.
    """

    reached: dict[str, int]
    reported: list[Entry] = field(default_factory=list)
    away: list[str] = field(default_factory=list)


def reconcile(
    session: LakeSession,
    instance: dg.DagsterInstance,
    contracts: Sequence[Contract],
    cursor: Mapping[str, int],
    *,
    now: float,
) -> Reconciled:
    """Report the current publishes of these tables that are not what Dagster was told last of their partitions.

    A publish whose run is still alive is left for later, unless it is older than the grace period.

    Args:
        session: a session that may read the lakes of the contracts.
        instance: the Dagster instance with the events.
        contracts: the tables to look after.
        cursor: for each lake, the last version looked at; a lake that is not in it is looked through as a whole.
        now: seconds since the epoch.
    """
    done = Reconciled(reached=dict(cursor))
    for lake in sorted({contract.lake.name for contract in contracts}):
        mine = [contract for contract in contracts if contract.lake.name == lake]
        try:
            done.reached[lake] = _reconcile_lake(session, instance, lake, mine, done, now=now)
        except LakeError as error:
            done.away.append(str(error))
        except duckdb.Error as error:
            done.away.append(f"Lake {lake} is away ({type(error).__name__}).")
    return done


def _reconcile_lake(
    session: LakeSession,
    instance: dg.DagsterInstance,
    lake: str,
    contracts: Sequence[Contract],
    done: Reconciled,
    *,
    now: float,
) -> int:
    """Report what is lost in one lake; returns the version up to which nothing is left."""
    reached = done.reached.get(lake, 0)
    by_asset = {contract.key.to_user_string(): contract for contract in contracts}
    touched: dict[str, set[str | None]] = {}
    for entry in ledger.since(session, lake, reached):
        reached = entry.version
        if entry.record.asset in by_asset:
            touched.setdefault(entry.record.asset, set()).add(entry.record.partition)
    unknown = [
        (entry, by_asset[asset])
        for asset, partitions in touched.items()
        for entry in _unknown(session, instance, by_asset[asset], partitions)
    ]
    left: list[int] = []
    reported = 0
    for entry, contract in sorted(unknown, key=_by_version):
        if reported == _MOST_REPORTED or _may_yet_report(instance, entry, now):
            left.append(entry.version)
            continue
        with publish_lock(session.settings, lake):
            # Who published since has reported, or will, after this.
            still = [
                found.record.publish_id for found in _unknown(session, instance, contract, [entry.record.partition])
            ]
            if still == [entry.record.publish_id]:
                report(instance, contract, entry)
                done.reported.append(entry)
                reported += 1
            elif still:
                left.append(entry.version)
    return min([reached, *(version - 1 for version in left)])


def _by_version(found: tuple[Entry, Contract]) -> tuple[int, str, str]:
    """By what publishes are reported in the same order every time: one commit may hold many."""
    entry, _ = found
    return entry.version, entry.record.asset, entry.record.partition or ""


def _unknown(
    session: LakeSession, instance: dg.DagsterInstance, contract: Contract, partitions: Iterable[str | None]
) -> list[Entry]:
    """The current publishes of these partitions that are not what Dagster was told last of them, checks included."""
    current = ledger.current(session, contract, list(partitions))
    told = _told_last(instance, contract, list(current))
    untold = {partition for partition, entry in current.items() if told.get(partition) != entry.record.publish_id}
    unchecked = _unchecked(instance, contract, [entry for key, entry in current.items() if key not in untold])
    return [entry for partition, entry in current.items() if partition in untold | unchecked]


def _unchecked(instance: dg.DagsterInstance, contract: Contract, entries: Sequence[Entry]) -> set[str | None]:
    """Those partitions of publishes that Dagster was told of without the result of each of their checks."""
    due = {(raw["name"], entry.record.partition) for entry in entries for raw in entry.record.checks}
    run_of = {entry.record.partition: entry.record.run_id for entry in entries}
    infos = instance.event_log_storage.get_asset_check_partition_info(
        [dg.AssetCheckKey(contract.key, name) for name in sorted({name for name, _ in due})],
        partition_keys=[key for key in {key for _, key in due} if key is not None] or None,
    )
    done = {
        (info.check_key.name, info.partition_key)
        for info in infos
        # A later run that has not ended, or published nothing, says nothing of this publish.
        if info.latest_planned_run_id != run_of.get(info.partition_key)
        or (info.is_current and info.latest_execution_status is not AssetCheckExecutionRecordStatus.PLANNED)
    }
    return {partition for _, partition in due - done}


def _told_last(
    instance: dg.DagsterInstance, contract: Contract, partitions: Sequence[str | None]
) -> dict[str | None, object]:
    """For each partition that was ever materialized, the id of the publish that its latest event tells of."""
    told: dict[str | None, object] = {}
    for partition, record in latest_materializations(instance, contract.key, partitions).items():
        made = record.asset_materialization
        if made is not None and (publish_id := made.metadata.get("publish_id")) is not None:
            told[partition] = publish_id.value
    return told


def _may_yet_report(instance: dg.DagsterInstance, entry: Entry, now: float) -> bool:
    run = instance.get_run_by_id(entry.record.run_id)
    return run is not None and not run.is_finished and now - entry.record.published_at < GRACE_SECONDS


def report(instance: dg.DagsterInstance, contract: Contract, entry: Entry) -> None:
    """Write the events that the publish's own step did not live to write: materialization first, then its checks.

    May be repeated.
    """
    record = entry.record
    if _told_last(instance, contract, [record.partition]).get(record.partition) != record.publish_id:
        told = {"reported_by": "reconciler", "published_by_run": record.run_id}
        instance.report_runless_asset_event(materialization(contract, entry, metadata=told))
    target = target_of(latest_materializations(instance, contract.key, [record.partition])[record.partition])
    # Dagster keeps one result of a check for each run and partition: what is planned is settled, and repeated reports
    # replace each other. A runless result could be written once only. A publish by hand is a run of its own.
    run_id = record.run_id or record.publish_id
    for raw in record.checks:
        event = DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
            event_specific_data=check_evaluation(contract, record.partition, CheckOutcome.from_record(raw), target),
            job_name=RUNLESS_JOB_NAME,
        )
        instance.report_dagster_event(event, run_id=run_id)


def reconciler(name: str, contracts: Sequence[Contract], lakes: Sequence[Lake] = ()) -> dg.SensorDefinition:
    """The sensor that reports lost events of these tables at every tick.

    Args:
        name: of the sensor.
        contracts: the tables.
        lakes: their lakes; those that the contracts declare if not given.
    """
    looked_at = lakes or [contract.lake for contract in contracts]

    @dg.sensor(
        name=name,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports publishes whose run was killed between the lake's commit and Dagster's event.",
    )
    @told_plainly(f"Sensor {name}")
    def _reconcile(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        cursor: dict[str, int] = json.loads(context.cursor) if context.cursor else {}
        with LakeSession(placed(Settings.load(), [initialised(lake) for lake in looked_at])) as session:
            done = reconcile(session, context.instance, contracts, cursor, now=time.time())
        for away in done.away:
            context.log.warning("%s", away)
        context.update_cursor(json.dumps(done.reached))
        said = f"Reported {len(done.reported)} lost publishes." if done.reported else "No lost publishes."
        return dg.SkipReason(" ".join([said, *done.away]))

    return _reconcile
