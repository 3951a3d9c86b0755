"""The asset ``wrangled/house_results``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.house_results`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.contracts import raw, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import house_results as transform

if TYPE_CHECKING:
    import ibis.expr.types as ir


@asset(
    contract=wrangled.HOUSE_RESULTS,
    ins={"house_returns": In(raw.HOUSE_RETURNS)},
    code_version="2",
    automation_condition=on_new_data(),
)
def house_results(house_returns: ir.Table) -> ir.Table:
    """One row per district of one general election."""
    return transform.house_results(house_returns)
