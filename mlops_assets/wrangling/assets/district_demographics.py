"""The asset ``features/district_demographics``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.demographics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts import features, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import compared, demographics

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.platform.settings import Settings

_GATE: Final = compared.VOTERS.gate()


@asset(
    contract=features.DISTRICT_DEMOGRAPHICS,
    ins={
        "voters": In(wrangled.VOTERS),
        "voter_events": _GATE.input,
    },
    code_version="1",
    automation_condition=on_new_data(needs=[_GATE.events.key]),
)
def district_demographics(
    voters: ir.Table, voter_events: ir.Table, settings: Settings
) -> dg.MaterializeResult[ir.Table]:
    """Registered voters of each district by class, small cells suppressed; stopped by entry events of the policy."""
    return dg.MaterializeResult(
        value=demographics.district_demographics(voters),
        check_results=_GATE.judged(voter_events, settings.entry_policy),
    )
