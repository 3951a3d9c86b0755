"""The asset ``wrangled/district_profiles``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.district_profiles`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.contracts import raw, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import district_profiles as transform

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.platform.assets.step import Partition


@asset(
    contract=wrangled.DISTRICT_PROFILES,
    ins={"profiles": In(raw.DISTRICT_PROFILES)},
    code_version="1",
    automation_condition=on_new_data(),
)
def district_profiles(profiles: ir.Table, partition: Partition) -> dg.MaterializeResult[ir.Table]:
    """The known measures of one year; measures that the vintage lacks are named in the metadata."""
    rows = transform.district_profiles(profiles)
    found = set(rows.select("measure").distinct().to_pyarrow().column("measure").to_pylist())
    missing = transform.require_measures(found, year=partition.values["year"])
    return dg.MaterializeResult(value=rows, metadata={"missing_measures": ", ".join(missing) or "none"})
