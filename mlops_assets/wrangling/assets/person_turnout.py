"""The asset ``features/person_turnout``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.person_turnout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.contracts import features, wrangled
from mlops_assets.contracts.partitions import HISTORY_TO_ELECTIONS, SNAPSHOTS_TO_ELECTIONS
from mlops_assets.platform.automation import on_new_data
from mlops_assets.platform.published import published
from mlops_assets.platform.reads import Read
from mlops_assets.wrangling import person_turnout as transform

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.platform.published import Partition


@published(
    contract=features.PERSON_TURNOUT,
    reads={
        "voters": Read(wrangled.VOTERS, partitions=SNAPSHOTS_TO_ELECTIONS, choose=transform.latest_snapshot),
        "voting_history": Read(wrangled.VOTING_HISTORY, partitions=HISTORY_TO_ELECTIONS, optional=True),
    },
    code_version="1",
    automation_condition=on_new_data(),
)
def person_turnout(voters: ir.Table, voting_history: ir.Table, partition: Partition) -> ir.Table:
    """Persons registered before one election day: what was known then and, later, whether they voted."""
    return transform.person_turnout(voters, voting_history, election=partition.values["election"])
