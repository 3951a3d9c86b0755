"""The asset ``variance/voter_changes``.

Put here its wiring. Keep out the comparison, which is `mlops_assets.wrangling.voter_comparison`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.contracts import partitions, variance, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import voter_comparison

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

    from mlops_assets.platform.assets.step import Partition


@asset(
    contract=variance.VOTER_CHANGES,
    ins={
        "voters": In(
            wrangled.VOTERS,
            partition_mapping=partitions.MONTH_AND_NEXT,
            choose=voter_comparison.this_month_and_before,
        )
    },
    code_version="2",
    automation_condition=on_new_data(needs_all=True),
)
def voter_changes(
    voters: ir.Table, partition: Partition, versions: Mapping[str, Mapping[str, str]]
) -> dg.MaterializeResult[ir.Table]:
    """How each district changed since the month before; no rows when there is none to compare with."""
    month, state = partition.values["month"], partition.values["state"]
    previous_month = voter_comparison.month_to_compare(month, state, versions["voters"])
    rows = voter_comparison.voter_changes(voters, state=state, month=month, previous_month=previous_month)
    return dg.MaterializeResult(
        value=rows, metadata={"compared_with": previous_month or "nothing: the month before is not there"}
    )
