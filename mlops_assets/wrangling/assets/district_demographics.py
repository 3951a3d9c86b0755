"""The asset ``features/district_demographics``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.demographics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.contracts import events, features, variance, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import demographics, entry_gates

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.platform.settings import Settings


@asset(
    contract=features.DISTRICT_DEMOGRAPHICS,
    ins={
        "voters": In(wrangled.VOTERS),
        "voter_events": In(variance.VOTER_EVENTS),
        "voter_verdicts": In(events.VOTER_VERDICTS, optional=True),
    },
    code_version="1",
    automation_condition=on_new_data(),
)
def district_demographics(
    voters: ir.Table, voter_events: ir.Table, voter_verdicts: ir.Table, settings: Settings
) -> dg.MaterializeResult[ir.Table]:
    """Registered voters of each district by class, small cells suppressed; stopped by entry events of the policy."""
    return dg.MaterializeResult(
        value=demographics.district_demographics(voters),
        check_results=entry_gates.of_voter_events(voter_events, voter_verdicts, settings.entry_policy),
    )
