"""The asset ``features/person_turnout``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.person_turnout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts import features, wrangled
from mlops_assets.contracts.partitions import HISTORY_TO_ELECTIONS, SNAPSHOTS_TO_ELECTIONS
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import compared, history_gate
from mlops_assets.wrangling import person_turnout as transform

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.settings import Settings

_GATE: Final = compared.VOTERS.gate()


@asset(
    contract=features.PERSON_TURNOUT,
    ins={
        "voters": In(wrangled.VOTERS, partition_mapping=SNAPSHOTS_TO_ELECTIONS, choose=transform.latest_snapshot),
        "voter_events": In(
            _GATE.events,
            partition_mapping=SNAPSHOTS_TO_ELECTIONS,
            choose=transform.latest_snapshot,
            optional=True,
        ),
        "voting_history": In(wrangled.VOTING_HISTORY, partition_mapping=HISTORY_TO_ELECTIONS, optional=True),
    },
    code_version="2",
    automation_condition=on_new_data(after=[_GATE.events.key]),
)
def person_turnout(
    voters: ir.Table,
    voter_events: ir.Table,
    voting_history: ir.Table,
    partition: Partition,
    settings: Settings,
    versions: Mapping[str, Mapping[str, str]],
) -> dg.MaterializeResult[ir.Table]:
    """Persons registered before one election day: what was known then and, later, whether they voted.

    Entry events of the policy in the snapshot used stop it, and a voting history of other persons' tokens.
    """
    rows = transform.person_turnout(voters, voting_history, election=partition.values["election"])
    # Of an older snapshot's events nothing follows for the one that is used.
    unseen = versions["voters"].keys() - versions["voter_events"].keys()
    return dg.MaterializeResult(
        value=rows,
        check_results=[
            *_GATE.judged(voter_events, settings.entry_policy, unseen=unseen),
            history_gate.of_history(voters, voting_history),
        ],
    )
