"""Events: what Dagster is told of a publish and of the checks of its table.

Put here the wording, which is the same whether a step made one partition or many, or the reconciler reports it later.
Keep out when something is told (``step``, ``reconciler``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.platform.audit.outcomes import CheckOutcome
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.provenance import CodeOrigin

_DATA_VERSION_TAG: Final = "dagster/data_version"
_ASKED_AT_ONCE: Final = 500


def materialization(
    contract: Contract, entry: Entry, *, metadata: Mapping[str, Any], tags: Mapping[str, str] | None = None
) -> dg.AssetMaterialization:
    """The event of a publish that is told by itself, with its content hash as data version.

    Args:
        contract: the table.
        entry: the publish.
        metadata: what is to be said beside ``materialization_metadata``.
        tags: further tags.
    """
    return dg.AssetMaterialization(
        asset_key=contract.key,
        partition=entry.record.partition,
        metadata={**metadata, **materialization_metadata(entry)},
        tags={**(tags or {}), _DATA_VERSION_TAG: entry.record.content_hash},
    )


def materialization_metadata(entry: Entry) -> dict[str, Any]:
    """What a materialization says of its publish: enough to find it in the lake and to rebuild it."""
    record = entry.record
    return {
        "dagster/row_count": record.rows,
        "content_hash": record.content_hash,
        "lake_version": entry.version,
        "publish_id": record.publish_id,
        "code_version": record.code_version,
        **_told(record.code),
        "package_version": record.package_version,
        "environment": record.environment,
        "bytes": record.bytes,
        **({"quarantined_rows": record.quarantined.rows} if record.quarantined is not None else {}),
        "inputs": dg.MetadataValue.json({name: read.model_dump() for name, read in record.inputs.items()}),
        "input_snapshots": dg.MetadataValue.json(dict(record.snapshots)),
    }


def _told(origin: CodeOrigin | None) -> dict[str, Any]:
    """Where code came from, as metadata; only what is known."""
    if origin is None:
        return {}
    words = {
        "code_package": f"{origin.package} {origin.version}" if origin.version else origin.package,
        "code_commit": origin.commit,
        "code_clean": origin.clean,
    }
    return {name: value for name, value in words.items() if value is not None}


def check_result(contract: Contract, partition: str | None, outcome: CheckOutcome) -> dg.AssetCheckResult:
    """The result of a check of the one partition that a step makes."""
    return dg.AssetCheckResult(
        asset_key=contract.key,
        check_name=outcome.name,
        passed=outcome.passed,
        severity=outcome.severity,
        description=outcome.description,
        metadata=outcome.metadata(contract, partition),
    )


def check_evaluation(
    contract: Contract,
    partition: str | None,
    outcome: CheckOutcome,
    target: AssetCheckEvaluationTargetMaterializationData | None,
) -> dg.AssetCheckEvaluation:
    """The event of a check that is told by itself.

    Args:
        contract: the table.
        partition: the partition that was checked.
        outcome: what was found.
        target: the materialization that was checked, without which Dagster takes the check for missing; ``None`` where
            nothing was published.
    """
    return dg.AssetCheckEvaluation(
        asset_key=contract.key,
        check_name=outcome.name,
        passed=outcome.passed,
        severity=outcome.severity,
        description=outcome.description,
        blocking=outcome.blocking,
        metadata=outcome.metadata(contract, partition),
        partition=partition,
        target_materialization_data=target,
    )


def latest_materializations(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str | None]
) -> dict[str | None, dg.EventLogRecord]:
    """The latest event of each of these partitions that was ever materialized; ``None`` for an unpartitioned table."""
    keys = {partition for partition in partitions if partition is not None}
    if not keys:
        found = instance.fetch_materializations(key, limit=1).records
        return {None: found[0]} if found else {}
    latest = instance.event_log_storage.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, keys
    )
    ids = list(latest.values())
    chunks = [ids[start : start + _ASKED_AT_ONCE] for start in range(0, len(ids), _ASKED_AT_ONCE)]
    records = [
        record
        for chunk in chunks
        for record in instance.fetch_materializations(
            dg.AssetRecordsFilter(key, storage_ids=chunk), limit=len(chunk)
        ).records
    ]
    return {record.partition_key: record for record in records}


def target_of(record: dg.EventLogRecord) -> AssetCheckEvaluationTargetMaterializationData:
    """That materialization, as results of checks refer to it."""
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
    )
