"""Contracts of the features: aggregates of districts, and features as of an election day.

Put here what models read. Keep out anything known only after the election day of its partition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts import codes
from mlops_assets.contracts.lakes import CURATED
from mlops_assets.contracts.partitions import (
    ELECTION_BY_STATE,
    ELECTION_YEARS,
    ELECTIONS,
    MONTH_BY_STATE,
    SNAPSHOT_MONTHS,
    STATES,
)
from mlops_assets.contracts.subjects import VOTER_TOKEN
from mlops_assets.contracts.wrangled import DISTRICT_PATTERN, WRANGLERS
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.entry_gates import ENTRY_GATES, ENTRY_WARNINGS
from mlops_assets.platform.contracts.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Mapping

HISTORY_GATE: Final[Mapping[str, str]] = {
    "history_is_found": "Of every election some of those who voted are in the snapshot: both have one pseudonym key.",
}
"""The judged check of a table that joins voters with their history."""

SMALLEST_CELL: Final = 5
"""Counts of persons below this are suppressed (NULL) wherever they could single somebody out."""


class DistrictDemographicsModel(pa.DataFrameModel):
    """One row per district, attribute and class of one snapshot."""

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    district: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    attribute: dt.String = pa.Field(
        nullable=False, isin=["all", "race", "ethnicity", "gender", "party", "age_group", "status"]
    )
    category: dt.String = pa.Field(nullable=False)
    """Class of the attribute; ``all`` for the attribute ``all``."""
    voters: dt.Int64 = pa.Field(nullable=True, ge=SMALLEST_CELL)
    """Registered persons; NULL where fewer than the smallest cell."""
    suppressed: dt.Boolean = pa.Field(nullable=False)

    class Config:
        """Strict, keyed by cell."""

        strict = True
        unique = ("state", "month", "district", "attribute", "category")


DISTRICT_DEMOGRAPHICS: Final = Contract(
    layer="features",
    table="district_demographics",
    model=DistrictDemographicsModel,
    lake=CURATED,
    description="Registered voters of each district by race, ethnicity, gender, party, age group and status.",
    owners=WRANGLERS,
    partitions_def=MONTH_BY_STATE,
    partition_columns={"month": "month", "state": "state"},
    judged=ENTRY_GATES,
    judged_warnings=ENTRY_WARNINGS,
)


class PersonTurnoutModel(pa.DataFrameModel):
    """One row per person registered before an election day, with what was known then."""

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)
    person_token: dt.String = pa.Field(nullable=False)
    district: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    """District on the snapshot used; for elections before the first snapshot, on the first."""
    county: dt.String = pa.Field(nullable=False)
    """County on the same snapshot."""
    snapshot_month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    age: dt.Int64 = pa.Field(nullable=True, ge=17, le=130)
    """Years at the election, from the middle of the birth cohort."""
    age_group: dt.String = pa.Field(nullable=False)
    """``UNKNOWN`` without an age."""
    years_registered: dt.Int64 = pa.Field(nullable=True, ge=0)
    presidential: dt.Int64 = pa.Field(nullable=False, isin=[0, 1])
    voted_last: dt.Int64 = pa.Field(nullable=False, isin=[0, 1])
    """Voted in the general election two years before."""
    voted_second_last: dt.Int64 = pa.Field(nullable=False, isin=[0, 1])
    voted_third_last: dt.Int64 = pa.Field(nullable=False, isin=[0, 1])
    party_last: dt.String = pa.Field(nullable=False)
    """Party under which the person last voted before the election; ``NONE`` if never."""
    gender: dt.String = pa.Field(nullable=False)
    place_turnout: dt.Float64 = pa.Field(nullable=False, ge=0, le=1, metadata={"decimals": 6})
    """Share of the person's county that voted two years before, of those registered then."""
    voted: dt.Int64 = pa.Field(nullable=True, isin=[0, 1])
    """Label: voted in this election; NULL while the election has not happened. Not a feature."""

    class Config:
        """Strict, keyed by person and election."""

        strict = True
        unique = ("state", "election", "person_token")


PERSON_TURNOUT: Final = Contract(
    layer="features",
    table="person_turnout",
    model=PersonTurnoutModel,
    lake=CURATED,
    description="Persons registered before one election day: what was known then and, later, whether they voted.",
    owners=WRANGLERS,
    partitions_def=ELECTION_BY_STATE,
    partition_columns={"election": "election", "state": "state"},
    subject={VOTER_TOKEN: "person_token"},
    judged={**ENTRY_GATES, **HISTORY_GATE},
    judged_warnings=ENTRY_WARNINGS,
)


class DistrictElectionModel(pa.DataFrameModel):
    """One row per district that existed at the last election before an election day, with what was known then."""

    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)
    state: dt.String = pa.Field(nullable=False, isin=list(codes.FIPS_BY_STATE))
    district: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    presidential: dt.Int64 = pa.Field(nullable=False, isin=[0, 1])
    votes_last: dt.Float64 = pa.Field(nullable=True, ge=0)
    """Votes two years before; NULL where no count exists."""
    votes_second_last: dt.Float64 = pa.Field(nullable=True, ge=0)
    """Votes four years before: the last election of the same kind (presidential or midterm)."""
    votes_third_last: dt.Float64 = pa.Field(nullable=True, ge=0)
    uncontested_last: dt.Int64 = pa.Field(nullable=False, isin=[0, 1])
    state_votes_last: dt.Float64 = pa.Field(nullable=True, ge=0, metadata={"decimals": 3})
    """Mean votes per district of the state two years before."""
    state_votes_second_last: dt.Float64 = pa.Field(nullable=True, ge=0, metadata={"decimals": 3})
    share_last: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    """Democratic share of the votes for the two large parties two years before; NULL where not both had candidates."""
    share_second_last: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    share_third_last: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    state_share_last: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    """The same share of the whole state's votes two years before, seats with one of the parties left out."""
    nation_share_last: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    unopposed_last: dt.Int64 = pa.Field(nullable=False, isin=[-1, 0, 1])
    """Two years before, of the two large parties only the Democratic (1) or only the Republican (-1) had votes."""
    president_democratic: dt.Int64 = pa.Field(nullable=False, isin=[0, 1])
    """The president in office before the election is a Democrat; his party tends to lose at midterms."""
    profile_year: dt.String = pa.Field(nullable=True)
    """Year of the latest profile before the election year on the same map, if any."""
    population: dt.Float64 = pa.Field(nullable=True, ge=0)
    population_18_and_over: dt.Float64 = pa.Field(nullable=True, ge=0)
    share_65_and_over: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})

    class Config:
        """Strict, keyed by district and election."""

        strict = True
        unique = ("election", "state", "district")


DISTRICT_ELECTION: Final = Contract(
    layer="features",
    table="district_election",
    model=DistrictElectionModel,
    lake=CURATED,
    description="Districts before one election day: votes of earlier elections and the latest census profile.",
    owners=WRANGLERS,
    volume=Volume(allow_empty=True),
    partitions_def=ELECTIONS,
    partition_columns={"election": "election"},
    judged=ENTRY_GATES,
    judged_warnings=ENTRY_WARNINGS,
)
