"""The asset ``wrangled/entry_findings``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.entry_findings`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.contracts import raw, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import entry_findings as transform

if TYPE_CHECKING:
    import ibis.expr.types as ir


@asset(
    contract=wrangled.ENTRY_FINDINGS,
    ins={"voter_file": In(raw.VOTER_FILE)},
    code_version="1",
    automation_condition=on_new_data(),
)
def entry_findings(voter_file: ir.Table) -> ir.Table:
    """What wrangling mended in one snapshot, named and counted from the raw rows."""
    return transform.entry_findings(voter_file)
