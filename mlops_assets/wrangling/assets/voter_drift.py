"""The assets ``variance/voter_summaries`` and ``variance/drift``.

Put here their wiring. Keep out the comparison, which is `mlops_assets.wrangling.voter_drift`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts import drift as contracts
from mlops_assets.contracts import wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import voter_drift

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.platform.assets.step import Partition


# The files of many states arrive within minutes of one another, and those of a month are judged together.
_HOURLY: Final = "0 * * * *"


@asset(
    contract=contracts.VOTER_SUMMARIES,
    ins={"voters": In(wrangled.VOTERS)},
    automation_condition=on_new_data(),
)
def voter_summaries(voters: ir.Table, partition: Partition) -> pa.Table:
    """What is kept of one snapshot to compare it with any other."""
    return voter_drift.voter_summary(voters, state=partition.values["state"], month=partition.values["month"])


@asset(
    contract=contracts.DRIFT,
    ins={"summaries": In(contracts.VOTER_SUMMARIES, partition_mapping=dg.AllPartitionMapping(), optional=True)},
    automation_condition=on_new_data(at_most=_HOURLY),
)
def drift(summaries: ir.Table, versions: Mapping[str, Mapping[str, str]]) -> dg.MaterializeResult[pa.Table]:
    """Every snapshot compared with the one before of its state; those of a month are judged together."""
    rows = voter_drift.voter_drift(summaries)
    verdicts = rows["drift"].to_pylist()
    counts = {verdict: verdicts.count(verdict) for verdict in contracts.VERDICTS}
    return dg.MaterializeResult(value=rows, metadata={"snapshots": len(versions["summaries"]), **counts})
