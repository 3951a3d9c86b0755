"""Additions: a command adds rows to a published table, staged, audited and published like everything else.

Put here what a person adds by hand, beside what runs make. Keep out what the rows mean.

A partition is replaced by itself and the new rows. Who else added meanwhile is not overwritten: the publish happens
only on the state that was read, otherwise everything is read again. The reconciler of the table's code location reports
the materialization from the commit's record, so that assets downstream follow.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.platform import provenance
from mlops_assets.platform.audit import audit
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.volume import Reference
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.ledger import PublishRecord
from mlops_assets.platform.lake.publish import OvertakenError, Replacement, publish
from mlops_assets.platform.lake.stage import lease, stage
from mlops_assets.platform.lake.tables import published_table

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.platform.audit.outcomes import Audit
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession

CODE_VERSION: Final = "by hand"
_ATTEMPTS: Final = 10


def add(
    session: LakeSession, contract: Contract, partition_key: str | None, rows: Callable[[ir.Table], pa.Table]
) -> pa.Table:
    """Add rows to one partition.

    Args:
        session: a session that may write the contract's lake.
        contract: the table.
        partition_key: the partition; it need not exist yet.
        rows: gives the rows to add, from the partition as it is; called again when somebody was faster.

    Returns:
        The rows that were added.

    Raises:
        LakeError: a row breaks the contract, others were faster in every attempt, or the lake refused the publish.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _add(session, contract, partition_key, rows)
        except OvertakenError:
            continue
    raise LakeError(
        source=f"Table {contract.layer}/{contract.table}",
        culprit=f"others wrote to it in each of {_ATTEMPTS} attempts.",
        remedy="Try again.",
    )


def _add(
    session: LakeSession, contract: Contract, partition_key: str | None, rows: Callable[[ir.Table], pa.Table]
) -> pa.Table:
    current = ledger.current(session, contract, [partition_key])
    # Read at the version of that very publish, so that nothing newer is taken for it.
    existing = published_table(session, contract, current, version=0)
    added = rows(existing)
    columns = rules.columns_of(contract)
    whole = existing.union(ibis.memtable(added).select(list(columns)))
    partition = contract.partition_values(partition_key)
    with lease(session, contract.lake.name) as attempt:
        staged = stage(session, contract, whole, attempt=attempt)
        try:
            before = current[partition_key].record.rows if current else None
            candidate = audit.Candidate(file=staged, partition=partition, reference=Reference(rows=before))
            (found,) = audit.audit(session, contract, [candidate])
            _require_kept(contract, found)
            record = PublishRecord(
                publish_id=uuid.uuid4().hex,
                asset=contract.key.to_user_string(),
                partition=partition_key,
                run_id="",
                code_version=CODE_VERSION,
                package_version=provenance.package_version(),
                environment=provenance.environment(session.settings),
                columns=list(columns),
                content_hash=found.content_hash or "",
                rows=found.rows or 0,
                bytes=staged.bytes,
                inputs={},
                checks=[outcome.as_record() for outcome in found.outcomes],
                published_at=time.time(),
            )
            replaced = current[partition_key].version if current else 0
            replacement = Replacement(partition=partition, staged=staged, record=record, instead_of=replaced)
            publish(session, contract, replacement)
        finally:
            staged.remove()
    return added


def _require_kept(contract: Contract, found: Audit) -> None:
    broken = "; ".join(str(outcome.description) for outcome in found.outcomes if outcome.stops)
    if broken:
        raise LakeError(
            source=f"Table {contract.layer}/{contract.table}",
            culprit=f"the row breaks its contract ({broken}).",
            remedy="Correct what was given.",
        )
