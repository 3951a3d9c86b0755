"""The asset ``wrangled/county_registrations``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.county_registrations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.contracts import raw, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import county_registrations as transform

if TYPE_CHECKING:
    import ibis.expr.types as ir


@asset(
    contract=wrangled.COUNTY_REGISTRATIONS,
    ins={"registrations": In(raw.COUNTY_REGISTRATIONS)},
    code_version="1",
    automation_condition=on_new_data(),
)
def county_registrations(registrations: ir.Table) -> ir.Table:
    """Registered voters by county and party class of one month."""
    return transform.county_registrations(registrations)
