"""The asset ``variance/voter_events``.

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
    contract=variance.VOTER_EVENTS,
    ins={
        "voters": In(
            wrangled.VOTERS,
            also=partitions.MONTH_AND_NEXT,
            choose=voter_comparison.this_month_and_before,
        ),
        # A month that comes late changes what the next one is compared with, and so its changes.
        "voter_changes": In(variance.VOTER_CHANGES, optional=True),
    },
    code_version="2",
    automation_condition=on_new_data(),
)
def voter_events(
    voters: ir.Table,
    voter_changes: ir.Table,  # noqa: ARG001  its news wakes this step, its rows are not needed
    partition: Partition,
    versions: Mapping[str, Mapping[str, str]],
) -> dg.MaterializeResult[ir.Table]:
    """What happened since the month before; no rows when nothing did, or when there is none to compare with."""
    month, state = partition.values["month"], partition.values["state"]
    previous_month = voter_comparison.month_to_compare(month, state, versions["voters"])
    rows = voter_comparison.voter_events(voters, state=state, month=month, previous_month=previous_month)
    return dg.MaterializeResult(
        value=rows, metadata={"compared_with": previous_month or "nothing: the month before is not there"}
    )
