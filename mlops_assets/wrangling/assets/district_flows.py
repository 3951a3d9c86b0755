"""The asset ``variance/district_flows``.

Put here its wiring. Keep out the comparison, which is `mlops_assets.wrangling.voter_comparison`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    contract=variance.DISTRICT_FLOWS,
    ins={
        "voters": In(
            wrangled.VOTERS,
            partition_mapping=partitions.MONTH_AND_NEXT,
            choose=voter_comparison.this_month_and_before,
        )
    },
    automation_condition=on_new_data(needs_all=True),
)
def district_flows(voters: ir.Table, partition: Partition, versions: Mapping[str, Mapping[str, str]]) -> ir.Table:
    """Where the persons of each district went when the map or its numbers changed; no rows when neither did."""
    month, state = partition.values["month"], partition.values["state"]
    previous_month = voter_comparison.month_to_compare(month, state, versions["voters"])
    return voter_comparison.district_flows(voters, state=state, month=month, previous_month=previous_month)
