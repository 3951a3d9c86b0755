"""Contracts of the wrangled tables: cleaned, deduplicated, normalised, mapped and without personal data.

Put here what wrangling promises about single entities. Keep out aggregates and features.
"""

from __future__ import annotations

from typing import Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts import codes
from mlops_assets.contracts.lakes import CURATED
from mlops_assets.contracts.partitions import (
    ELECTION_BY_STATE,
    ELECTION_YEARS,
    ELECTIONS,
    MONTH_BY_STATE,
    REGISTRATION_MONTHS,
    REGISTRATIONS,
    SNAPSHOT_MONTHS,
    STATES,
    YEARS,
)
from mlops_assets.contracts.subjects import VOTER_TOKEN
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.volume import ANY_VOLUME

WRANGLERS: Final = ("team:wrangling",)
DISTRICT_PATTERN: Final = r"^[0-9]{2}$"
"""A congressional district within its state: two digits, ``00`` for one at large."""
_PSEUDONYM: Final = r"^[0-9a-f]{32}$"
_RACES: Final = [*codes.RACE.values(), codes.UNRECOGNISED]
_ETHNICITIES: Final = [*codes.ETHNICITY.values(), codes.UNRECOGNISED]
_GENDERS: Final = [*codes.GENDER.values(), codes.UNRECOGNISED]
_PARTIES: Final = [*codes.PARTY.values(), codes.UNRECOGNISED]


class VotersModel(pa.DataFrameModel):
    """One row per registered person of a state in a monthly snapshot."""

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    person_token: dt.String = pa.Field(nullable=False, str_matches=_PSEUDONYM)
    """Keyed pseudonym (HMAC-SHA-256, 128 bits) of the voter identification number."""
    address_token: dt.String = pa.Field(nullable=False, str_matches=_PSEUDONYM)
    """Keyed pseudonym of the normalised residential address."""
    district: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    county: dt.String = pa.Field(nullable=False)
    status: dt.String = pa.Field(nullable=False, isin=[*codes.STATUS.values(), codes.UNRECOGNISED])
    race: dt.String = pa.Field(nullable=False, isin=_RACES)
    ethnicity: dt.String = pa.Field(nullable=False, isin=_ETHNICITIES)
    gender: dt.String = pa.Field(nullable=False, isin=_GENDERS)
    party: dt.String = pa.Field(nullable=False, isin=_PARTIES)
    birth_cohort: dt.Int64 = pa.Field(nullable=True, ge=1890, le=2010)
    """First year of the five-year birth cohort."""
    registered_year: dt.Int64 = pa.Field(nullable=True, ge=1900, le=2024)
    race_code: dt.String = pa.Field(nullable=True)
    """The code as delivered, from which recodings are recognised."""
    ethnic_code: dt.String = pa.Field(nullable=True)
    gender_code: dt.String = pa.Field(nullable=True)
    party_code: dt.String = pa.Field(nullable=True)
    copies: dt.Int64 = pa.Field(nullable=False, ge=1)
    """How many rows of the raw file were this person (1 where nothing was repeated)."""

    class Config:
        """Strict, keyed by person within a snapshot."""

        strict = True
        unique = ("state", "month", "person_token")


VOTERS: Final = Contract(
    layer="wrangled",
    table="voters",
    model=VotersModel,
    lake=CURATED,
    description="Registered voters of one state and month: deduplicated, mapped to plain classes, pseudonymous.",
    owners=WRANGLERS,
    partitions_def=MONTH_BY_STATE,
    partition_columns={"month": "month", "state": "state"},
    subject={VOTER_TOKEN: "person_token"},
)


class EntryFindingsModel(pa.DataFrameModel):
    """One row per thing that wrangling mended in a snapshot."""

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    month: dt.String = pa.Field(nullable=False, isin=SNAPSHOT_MONTHS)
    finding: dt.String = pa.Field(nullable=False, isin=["repeated_rows", "synonym_code", "unknown_code", "layout"])
    column: dt.String = pa.Field(nullable=False)
    found: dt.String = pa.Field(nullable=False)
    """What was found: a code, a layout's name, the number of copies."""
    mended_to: dt.String = pa.Field(nullable=False)
    rows: dt.Int64 = pa.Field(nullable=False, ge=0)

    class Config:
        """Strict, keyed by what was found where."""

        strict = True
        unique = ("state", "month", "finding", "column", "found")


ENTRY_FINDINGS: Final = Contract(
    layer="wrangled",
    table="entry_findings",
    model=EntryFindingsModel,
    lake=CURATED,
    description="What wrangling mended in one voter-file snapshot, named and counted.",
    owners=WRANGLERS,
    volume=ANY_VOLUME,
    partitions_def=MONTH_BY_STATE,
    partition_columns={"month": "month", "state": "state"},
)


class VotingHistoryModel(pa.DataFrameModel):
    """One row per pseudonymous person who voted in a general election."""

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)
    person_token: dt.String = pa.Field(nullable=False, str_matches=_PSEUDONYM)
    county: dt.String = pa.Field(nullable=True)
    party: dt.String = pa.Field(nullable=False, isin=_PARTIES)
    """Party under which the person voted."""

    class Config:
        """Strict, keyed by person and election."""

        strict = True
        unique = ("state", "election", "person_token")


VOTING_HISTORY: Final = Contract(
    layer="wrangled",
    table="voting_history",
    model=VotingHistoryModel,
    lake=CURATED,
    description="Who voted in one general election, by pseudonym.",
    owners=WRANGLERS,
    partitions_def=ELECTION_BY_STATE,
    partition_columns={"election": "election", "state": "state"},
    subject={VOTER_TOKEN: "person_token"},
)


class HouseResultsModel(pa.DataFrameModel):
    """One row per district of one general election."""

    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)
    state: dt.String = pa.Field(nullable=False, isin=list(codes.FIPS_BY_STATE))
    district: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    total_votes: dt.Int64 = pa.Field(nullable=True, ge=2)
    """Votes cast for all candidates; NULL where the source has no count (uncontested seats coded as one vote)."""
    democratic_votes: dt.Int64 = pa.Field(nullable=True, ge=0)
    republican_votes: dt.Int64 = pa.Field(nullable=True, ge=0)
    winner_token: dt.String = pa.Field(nullable=True, str_matches=r"^[0-9a-f]{16}$")
    """Tells whether two seats had the same winner without naming anybody; NULL where nobody is named."""
    candidates: dt.Int64 = pa.Field(nullable=False, ge=0)
    uncontested: dt.Boolean = pa.Field(nullable=False)
    stage: dt.String = pa.Field(nullable=False, isin=["GEN", "SPECIAL", "PRI"])
    """Which stage decided the seat in November: general, a November special, or an open primary."""
    note: dt.String = pa.Field(nullable=False)
    """What was mended, in words; empty when nothing was."""

    class Config:
        """Strict, keyed by district and election."""

        strict = True
        unique = ("election", "state", "district")


HOUSE_RESULTS: Final = Contract(
    layer="wrangled",
    table="house_results",
    model=HouseResultsModel,
    lake=CURATED,
    description="US House results of one general election, one row per district.",
    owners=WRANGLERS,
    partitions_def=ELECTIONS,
    partition_columns={"election": "election"},
)

PROFILE_MEASURES: Final = (
    "population",
    "population_18_and_over",
    "population_65_and_over",
    "white_alone",
    "black_alone",
    "hispanic",
    "median_age",
)
"""Measures that wrangling recognises in every profile vintage, counts of persons but for ``median_age`` (years)."""


class DistrictProfilesModel(pa.DataFrameModel):
    """One row per district, year and measure."""

    year: dt.String = pa.Field(nullable=False)
    dataset: dt.String = pa.Field(nullable=False, isin=["acs1", "dec"])
    state: dt.String = pa.Field(nullable=False, isin=list(codes.FIPS_BY_STATE))
    district: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    congress: dt.Int64 = pa.Field(nullable=True, ge=90, le=130)
    """Congress whose district map the profile uses."""
    measure: dt.String = pa.Field(nullable=False, isin=list(PROFILE_MEASURES))
    value: dt.Float64 = pa.Field(nullable=True, ge=0, metadata={"decimals": 3})
    code: dt.String = pa.Field(nullable=False)
    """Column of the source that gave the value."""

    class Config:
        """Strict, keyed by district and measure."""

        strict = True
        unique = ("year", "dataset", "state", "district", "measure")


DISTRICT_PROFILES: Final = Contract(
    layer="wrangled",
    table="district_profiles",
    model=DistrictProfilesModel,
    lake=CURATED,
    description="Population measures of congressional districts in one year, recognised by label in every vintage.",
    owners=WRANGLERS,
    partitions_def=YEARS,
    partition_columns={"year": "year"},
)


class CountyRegistrationsModel(pa.DataFrameModel):
    """One row per county, month and party class."""

    month: dt.String = pa.Field(nullable=False, isin=REGISTRATION_MONTHS)
    state: dt.String = pa.Field(nullable=False, isin=list(codes.FIPS_BY_STATE))
    county: dt.String = pa.Field(nullable=False)
    party: dt.String = pa.Field(nullable=False)
    """Party class in upper case; ``INACTIVE`` where a source counts inactive voters apart."""
    registered: dt.Int64 = pa.Field(nullable=True, ge=0)

    class Config:
        """Strict, keyed by county and party."""

        strict = True
        unique = ("month", "state", "county", "party")


COUNTY_REGISTRATIONS: Final = Contract(
    layer="wrangled",
    table="county_registrations",
    model=CountyRegistrationsModel,
    lake=CURATED,
    description="Registered voters by county and party in one month.",
    owners=WRANGLERS,
    partitions_def=REGISTRATIONS,
    partition_columns={"month": "month"},
)
