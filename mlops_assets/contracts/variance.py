"""Contracts of the variance tables: how much each district changed between two times, and why.

Put here comparisons between partitions. Keep out the statistics of a single one.
"""

from __future__ import annotations

from typing import Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts import codes
from mlops_assets.contracts.partitions import ELECTION_YEARS, ELECTIONS, MONTH_BY_STATE, SNAPSHOT_MONTHS, STATES
from mlops_assets.contracts.wrangled import DISTRICT_PATTERN, WRANGLERS
from mlops_assets.platform.contract import Contract
from mlops_assets.platform.settings import LakeName

CAUSES: Final = ("boundary", "renumbering", "movers", "joiners", "leavers", "attributes", "entry")
"""Parts of a change between two linked snapshots; together they are the whole change."""

EVENT_CAUSES: Final = ("boundary", "renumbering", "entry", "population")


class VoterChangesModel(pa.DataFrameModel):
    """One row per district and statistic: its change since the snapshot before, split by cause."""

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    previous_month: dt.String = pa.Field(nullable=False)
    district: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    attribute: dt.String = pa.Field(nullable=False)
    category: dt.String = pa.Field(nullable=False)
    before: dt.Int64 = pa.Field(nullable=False, ge=0)
    after: dt.Int64 = pa.Field(nullable=False, ge=0)
    boundary: dt.Int64 = pa.Field(nullable=False)
    renumbering: dt.Int64 = pa.Field(nullable=False)
    movers: dt.Int64 = pa.Field(nullable=False)
    joiners: dt.Int64 = pa.Field(nullable=False)
    leavers: dt.Int64 = pa.Field(nullable=False)
    attributes: dt.Int64 = pa.Field(nullable=False)
    entry: dt.Int64 = pa.Field(nullable=False)

    class Config:
        """Strict, keyed by statistic."""

        strict = True
        unique = ("state", "month", "district", "attribute", "category")

    @pa.dataframe_check(name="parts_add_up")
    @classmethod
    def parts_add_up(cls, data: pa.IbisData) -> object:
        """The parts of a change are the whole of it."""
        parts = sum((data.table[cause] for cause in CAUSES[1:]), data.table[CAUSES[0]])
        return data.table.before + parts == data.table.after


VOTER_CHANGES: Final = Contract(
    layer="variance",
    table="voter_changes",
    model=VoterChangesModel,
    lake=LakeName.CURATED,
    description="How each district's registered voters changed since the snapshot before, split exactly by cause.",
    owners=WRANGLERS,
    partitions_def=MONTH_BY_STATE,
    partition_columns={"month": "month", "state": "state"},
)


class VoterEventsModel(pa.DataFrameModel):
    """One row per event that changed a state's voter file between two snapshots."""

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    cause: dt.String = pa.Field(nullable=False, isin=list(EVENT_CAUSES))
    name: dt.String = pa.Field(nullable=False)
    """What happened, in a few words, such as ``party_code UNA recoded to NPA``."""
    units: dt.String = pa.Field(nullable=False)
    """Districts concerned, separated by commas; ``all`` for the whole state."""
    persons: dt.Int64 = pa.Field(nullable=False, ge=0)
    share: dt.Float64 = pa.Field(nullable=False, ge=0)
    """Persons concerned as a share of the state's registered voters."""
    evidence: dt.String = pa.Field(nullable=False)

    class Config:
        """Strict, keyed by event."""

        strict = True
        unique = ("state", "month", "cause", "name")


VOTER_EVENTS: Final = Contract(
    layer="variance",
    table="voter_events",
    model=VoterEventsModel,
    lake=LakeName.CURATED,
    description="Events that changed the voter file since the snapshot before, each with its cause and evidence.",
    owners=WRANGLERS,
    partitions_def=MONTH_BY_STATE,
    partition_columns={"month": "month", "state": "state"},
    quantise={"share": 6},
)


class ResultChangesModel(pa.DataFrameModel):
    """One row per district: how its House vote changed since the election of the same kind four years before."""

    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)
    previous_election: dt.String = pa.Field(nullable=False)
    state: dt.String = pa.Field(nullable=False, isin=list(codes.FIPS_BY_STATE))
    district: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    before: dt.Float64 = pa.Field(nullable=True, ge=0)
    after: dt.Float64 = pa.Field(nullable=True, ge=0)
    log_change: dt.Float64 = pa.Field(nullable=True)
    """Natural logarithm of after over before."""
    national_log_change: dt.Float64 = pa.Field(nullable=True)
    """Median of all districts of that election."""
    score: dt.Float64 = pa.Field(nullable=True)
    """Distance from the national change in robust standard deviations (1.4826 times the median absolute deviation)."""
    cause: dt.String = pa.Field(nullable=False, isin=["none", "boundary", "entry", "uncontested", "unknown"])
    evidence: dt.String = pa.Field(nullable=False)

    class Config:
        """Strict, keyed by district."""

        strict = True
        unique = ("election", "state", "district")


RESULT_CHANGES: Final = Contract(
    layer="variance",
    table="result_changes",
    model=ResultChangesModel,
    lake=LakeName.CURATED,
    description="How each district's House vote changed since four years before, beside the nation's, with the cause.",
    owners=WRANGLERS,
    partitions_def=ELECTIONS,
    partition_columns={"election": "election"},
    quantise={"log_change": 6, "national_log_change": 6, "score": 4},
)
