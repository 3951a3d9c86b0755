"""The reconciler: reports publishes whose Dagster events were lost between the commit and the event.

Put here the comparison of the lake's records with Dagster's, and the sensor around it. Keep out any repair of data: the
data is right, only its event is missing.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.assets.published import check_severity, materialization_metadata
from mlops_assets.platform.audit.audit import CheckOutcome
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.settings import LakeName

GRACE_SECONDS: Final = 900.0
"""How long after a publish its own run, if still alive, may take to report it."""

_DATA_VERSION_TAG: Final = "dagster/data_version"
_RECENT_EVENTS: Final = 20


def lost_publishes(
    session: LakeSession,
    instance: dg.DagsterInstance,
    contracts: Sequence[Contract],
    cursor: Mapping[str, int],
    *,
    now: float,
) -> tuple[list[tuple[Contract, Entry]], dict[str, int]]:
    """Publishes of these tables without a materialization event, and how far each lake has been looked through.

    A publish whose run is still alive is left for later, unless it is older than the grace period; the cursor stays
    before it.

    Args:
        session: a session that may read the lakes of the contracts.
        instance: the Dagster instance with the events.
        contracts: the tables to look after.
        cursor: for each lake, the last version looked at.
        now: seconds since the epoch.
    """
    by_asset = {contract.key.to_user_string(): contract for contract in contracts}
    lost: list[tuple[Contract, Entry]] = []
    reached = dict(cursor)
    lakes: set[LakeName] = {contract.lake for contract in contracts}
    for lake in sorted(lakes):
        done = cursor.get(lake.value, 0)
        for entry in ledger.since(session, lake, done):
            contract = by_asset.get(entry.record.asset)
            if contract is not None and not _reported(instance, contract, entry):
                if _alive(instance, entry.record.run_id) and now - entry.record.published_at < GRACE_SECONDS:
                    break
                lost.append((contract, entry))
            done = entry.version
        reached[lake.value] = done
    return lost, reached


def report(instance: dg.DagsterInstance, contract: Contract, entry: Entry) -> None:
    """Write the events that the publish's own step did not live to write: materialization first, then its checks."""
    record = entry.record
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=contract.key,
            partition=record.partition,
            metadata={
                **materialization_metadata(entry),
                "reported_by": "reconciler",
                "published_by_run": record.run_id,
            },
            tags={_DATA_VERSION_TAG: record.content_hash},
        )
    )
    for raw in record.checks:
        outcome = CheckOutcome.from_record(raw)
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=contract.key,
                check_name=outcome.name,
                passed=outcome.passed,
                severity=check_severity(outcome),
                metadata=outcome.metadata(contract, record.partition),
                partition=record.partition,
            )
        )


def reconciler(name: str, contracts: Sequence[Contract]) -> dg.SensorDefinition:
    """The sensor that reports lost events of these tables at every tick."""

    @dg.sensor(
        name=name,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports publishes whose run was killed between the lake's commit and Dagster's event.",
    )
    @told_plainly(f"Sensor {name}")
    def _reconcile(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        cursor: dict[str, int] = json.loads(context.cursor) if context.cursor else {}
        with LakeSession(Settings.load()) as session:
            lost, reached = lost_publishes(session, context.instance, contracts, cursor, now=time.time())
        for contract, entry in lost:
            report(context.instance, contract, entry)
        context.update_cursor(json.dumps(reached))
        return dg.SkipReason(f"Reported {len(lost)} lost publishes." if lost else "No lost publishes.")

    return _reconcile


def _reported(instance: dg.DagsterInstance, contract: Contract, entry: Entry) -> bool:
    partition = entry.record.partition
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(contract.key, asset_partitions=[partition] if partition is not None else None),
        limit=_RECENT_EVENTS,
    )
    for event in found.records:
        materialization = event.asset_materialization
        if materialization is not None:
            publish_id = materialization.metadata.get("publish_id")
            if publish_id is not None and publish_id.value == entry.record.publish_id:
                return True
    return False


def _alive(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and not run.is_finished
