"""Contracts of the raw extracts: what arrived is whole and readable, nothing more.

Put here tables as a source delivers them, in text, with the place of each row in its source. Keep out rules about
meaning that would stop data which wrangling can mend: those warn here.

Every raw table is in the restricted lake. All delivered values stay text; an empty field is an empty string or NULL as
the source made the difference.
"""

from __future__ import annotations

from typing import Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts import codes
from mlops_assets.contracts.lakes import RESTRICTED
from mlops_assets.contracts.layouts import LAYOUTS, VOTER_FILE_COLUMNS
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
from mlops_assets.contracts.subjects import VOTER
from mlops_assets.platform.contracts.contract import Contract

PLUMBERS: Final = ("team:plumbing",)


def _text(*checks: pa.Check, nullable: bool = True, personal: bool = False) -> pa.Column:
    return pa.Column(dt.String, list(checks), nullable=nullable, metadata={"personal": personal})


def _known(known: dict[str, str]) -> pa.Check:
    return pa.Check.isin([*known, ""], name="known_codes", raise_warning=True)


VOTER_FILE: Final = Contract(
    layer="raw",
    table="voter_file",
    model=pa.DataFrameSchema(
        {
            "state": _text(pa.Check.isin(STATES), nullable=False),
            "month": _text(pa.Check.isin(SNAPSHOT_MONTHS), nullable=False),
            "layout": _text(pa.Check.isin(list(LAYOUTS)), nullable=False),
            "source_file": _text(nullable=False),
            "source_row": pa.Column(dt.Int64, pa.Check.ge(1), nullable=False),
            # All are personal: in a file whose columns have slipped, a name stands where a code should. The row's
            # number says enough.
            **{column: _text(personal=True) for column in VOTER_FILE_COLUMNS},
            "ncid": _text(pa.Check.str_matches(r"^[A-Z]{1,2}[0-9]+$"), nullable=False, personal=True),
            "race_code": _text(_known(codes.RACE), personal=True),
            "ethnic_code": _text(_known(codes.ETHNICITY), personal=True),
            "party_cd": _text(_known(codes.PARTY), personal=True),
            "gender_code": _text(_known(codes.GENDER), personal=True),
            "status_cd": _text(_known(codes.STATUS), personal=True),
        },
        unique=["ncid"],
        strict=True,
    ),
    lake=RESTRICTED,
    description="Registered voters of one state as its election office published them that month, one row per line.",
    owners=PLUMBERS,
    partitions_def=MONTH_BY_STATE,
    partition_columns={"month": "month", "state": "state"},
    subject={VOTER: ("state", "ncid")},
    duplicate_keys_warn=True,
)


class VotingHistoryModel(pa.DataFrameModel):
    """One row per person who voted in a general election."""

    state: dt.String = pa.Field(nullable=False, isin=STATES)
    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)
    ncid: dt.String = pa.Field(nullable=False, str_matches=r"^[A-Z]{1,2}[0-9]+$", metadata={"personal": True})
    county_id: dt.String = pa.Field(nullable=True)
    county_desc: dt.String = pa.Field(nullable=True)
    election_lbl: dt.String = pa.Field(nullable=False)
    """The day of the election as ``MM/DD/YYYY``."""
    voting_method: dt.String = pa.Field(nullable=True)
    voted_party_cd: dt.String = pa.Field(nullable=True)

    class Config:
        """Strict, keyed by person and election."""

        strict = True
        unique = ("state", "election", "ncid")


VOTING_HISTORY: Final = Contract(
    layer="raw",
    table="voting_history",
    model=VotingHistoryModel,
    lake=RESTRICTED,
    description="Who voted in one general election, from the state's history database, one row per person.",
    owners=PLUMBERS,
    partitions_def=ELECTION_BY_STATE,
    partition_columns={"election": "election", "state": "state"},
    subject={VOTER: ("state", "ncid")},
)

HOUSE_RETURN_COLUMNS: Final = (
    "year", "state", "state_po", "state_fips", "state_cen", "state_ic", "office", "district", "stage", "runoff",
    "special", "candidate", "party", "writein", "mode", "candidatevotes", "totalvotes", "unofficial", "version",
    "fusion_ticket",
)  # fmt: skip
"""Columns of MEDSL's 1976-2020 edition; earlier editions lack ``fusion_ticket`` (NULL then)."""

_PLAIN_VOTES: Final = r"^(-1|[0-9]+(\.[0-9]+)?)$"
"""A count; MEDSL writes -1, 0.5 or 1 where an uncontested seat was not counted."""
_VOTES: Final = r"^(-1|[0-9]{1,3}(,[0-9]{3})+|[0-9]+(\.[0-9]+)?)$"
"""A count as one 2018 edition also writes it: ``"183,662"`` for all candidates of Maryland."""

HOUSE_RETURNS: Final = Contract(
    layer="raw",
    table="house_returns",
    model=pa.DataFrameSchema(
        {
            "election": _text(pa.Check.isin(ELECTION_YEARS), nullable=False),
            "source_file": _text(nullable=False),
            "source_row": pa.Column(dt.Int64, pa.Check.ge(1), nullable=False),
            **{column: _text() for column in HOUSE_RETURN_COLUMNS},
            "state_po": _text(pa.Check.isin(list(codes.FIPS_BY_STATE)), nullable=False),
            "district": _text(pa.Check.str_matches(r"^[0-9]{1,3}$"), nullable=False),
            "totalvotes": _text(
                pa.Check.str_matches(_PLAIN_VOTES),
                pa.Check.notin(["1", "0.5", "-1"], name="total_is_a_count", raise_warning=True),
                nullable=False,
            ),
            "candidatevotes": _text(
                pa.Check.str_matches(_VOTES),
                pa.Check.str_matches(_PLAIN_VOTES, name="votes_are_plain_numbers", raise_warning=True),
                nullable=False,
            ),
        },
        unique=["source_row"],
        strict=True,
    ),
    lake=RESTRICTED,
    description="US House returns of one election year, one row per candidate and party line, in MEDSL's columns.",
    owners=PLUMBERS,
    partitions_def=ELECTIONS,
    partition_columns={"election": "election"},
)


class DistrictProfilesModel(pa.DataFrameModel):
    """One row per district and profile variable, values as delivered."""

    year: dt.String = pa.Field(nullable=False)
    dataset: dt.String = pa.Field(nullable=False, isin=["acs1", "dec"])
    source: dt.String = pa.Field(nullable=False)
    """File, or path and query of the request, that the row came from; without host and key."""
    geo_id: dt.String = pa.Field(nullable=False, str_matches=r"^(500[0-9]{2}00US)?[0-9]{2}([0-9]{2}|ZZ)$")
    """State FIPS and district, such as ``3701``; table downloads put summary level 500 and the Congress less 100 before
    it (``5001300US3701``). District 98 is a delegate's (11 DC, 72 Puerto Rico), ``ZZ`` is area outside any district."""
    geo_name: dt.String = pa.Field(nullable=False)
    table_id: dt.String = pa.Field(nullable=False)
    code: dt.String = pa.Field(nullable=False)
    """Column code; codes move between releases."""
    label: dt.String = pa.Field(nullable=False)
    """Column label, by which wrangling recognises a measure."""
    value: dt.String = pa.Field(nullable=True)

    class Config:
        """Strict, keyed by district and column of a source."""

        strict = True
        unique = ("year", "dataset", "table_id", "geo_id", "code")


DISTRICT_PROFILES: Final = Contract(
    layer="raw",
    table="district_profiles",
    model=DistrictProfilesModel,
    lake=RESTRICTED,
    description="Census profiles of congressional districts of one year: one row per district and column, as text.",
    owners=PLUMBERS,
    partitions_def=YEARS,
    partition_columns={"year": "year"},
)


class CountyRegistrationsModel(pa.DataFrameModel):
    """One row per county and party column of one registration statistic."""

    month: dt.String = pa.Field(nullable=False, isin=REGISTRATION_MONTHS)
    state: dt.String = pa.Field(nullable=False, isin=list(codes.FIPS_BY_STATE))
    reported: dt.String = pa.Field(nullable=False)
    """The date that the file itself states."""
    county: dt.String = pa.Field(nullable=False)
    party_column: dt.String = pa.Field(nullable=False)
    value: dt.String = pa.Field(nullable=True)
    source_file: dt.String = pa.Field(nullable=False)

    class Config:
        """Strict, keyed by county and column."""

        strict = True
        unique = ("month", "state", "county", "party_column")


COUNTY_REGISTRATIONS: Final = Contract(
    layer="raw",
    table="county_registrations",
    model=CountyRegistrationsModel,
    lake=RESTRICTED,
    description="Registered voters by county and party as a state published them in one month, one row per cell.",
    owners=PLUMBERS,
    partitions_def=REGISTRATIONS,
    partition_columns={"month": "month"},
)
