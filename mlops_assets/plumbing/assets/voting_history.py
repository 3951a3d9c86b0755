"""Voting history: the asset that publishes who voted in one general election of one state.

Put here the wiring of that asset. Keep out how the database is read (that is its connector).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.contracts.raw import VOTING_HISTORY
from mlops_assets.platform.assets.asset import asset
from mlops_assets.plumbing.connectors.sql import VotingHistoryDatabase

if TYPE_CHECKING:
    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.settings import Settings


@asset(contract=VOTING_HISTORY, code_version="1")
def voting_history(partition: Partition, settings: Settings, session: LakeSession) -> dg.MaterializeResult[Any]:
    """Who voted in one general election, as the state's database has it."""
    database = VotingHistoryDatabase(settings)
    rows = database.read(
        session.connection,
        session.scratch,
        state=partition.values["state"],
        election=partition.values["election"],
    )
    return dg.MaterializeResult(value=rows, metadata={"source": database.name})
