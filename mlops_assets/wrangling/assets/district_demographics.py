"""The asset ``features/district_demographics``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.demographics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.contracts import features, wrangled
from mlops_assets.platform.automation import on_new_data
from mlops_assets.platform.published import published
from mlops_assets.platform.reads import Read
from mlops_assets.wrangling import demographics

if TYPE_CHECKING:
    import ibis.expr.types as ir


@published(
    contract=features.DISTRICT_DEMOGRAPHICS,
    reads={"voters": Read(wrangled.VOTERS)},
    code_version="1",
    automation_condition=on_new_data(),
)
def district_demographics(voters: ir.Table) -> ir.Table:
    """Registered voters of each district by class, small cells suppressed."""
    return demographics.district_demographics(voters)
