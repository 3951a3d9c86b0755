"""The asset ``wrangled/voting_history``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.voting_history`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.contracts import raw, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import voting_history as transform

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.platform.settings import Settings


@asset(
    contract=wrangled.VOTING_HISTORY,
    ins={"history": In(raw.VOTING_HISTORY)},
    code_version="1",
    automation_condition=on_new_data(),
)
def voting_history(history: ir.Table, settings: Settings) -> ir.Table:
    """Who voted in one general election, by the pseudonym that the person has in the voters table."""
    key = settings.secret(settings.pseudonym_key, "PSEUDONYM_KEY")
    return transform.voting_history(history, pseudonym_key=key)
