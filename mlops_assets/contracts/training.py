"""Contracts of the training sets: what a model of one forecast may learn from, frozen as a partition of the lake.

Put here tables that are complete for training: features with their outcomes, of earlier elections only. Keep out
features of the election to be forecast and anything that names a person.
"""

from __future__ import annotations

from typing import Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts import codes
from mlops_assets.contracts.features import DistrictElectionModel
from mlops_assets.contracts.lakes import CURATED
from mlops_assets.contracts.models import MODELERS
from mlops_assets.contracts.partitions import ELECTION_YEARS, FORECAST_YEARS, FORECASTS, STATES
from mlops_assets.contracts.wrangled import DISTRICT_PATTERN
from mlops_assets.platform.contracts.contract import Contract


class PersonTurnoutModel(pa.DataFrameModel):
    """One row per cell: persons of one election and district with equal features, and how many of them voted."""

    forecast: dt.String = pa.Field(nullable=False, isin=FORECAST_YEARS)
    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)
    state: dt.String = pa.Field(nullable=False, isin=STATES)
    district: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    age: dt.Int64 = pa.Field(nullable=True)
    years_registered: dt.Int64 = pa.Field(nullable=True)
    presidential: dt.Int64 = pa.Field(nullable=False, isin=[0, 1])
    voted_last: dt.Int64 = pa.Field(nullable=False, isin=[0, 1])
    voted_second_last: dt.Int64 = pa.Field(nullable=True, isin=[0, 1])
    """NULL where that election is not in the state's voting history."""
    voted_third_last: dt.Int64 = pa.Field(nullable=True, isin=[0, 1])
    party_last: dt.String = pa.Field(nullable=False)
    gender: dt.String = pa.Field(nullable=False)
    place_turnout: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 6})
    segment: dt.String = pa.Field(nullable=False)
    """Of ``features/segment_turnout``; empty where segments are not known. No input of a model."""
    segment_turnout: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 3})
    """What elections before this one let expect of the segment. No input of a model, but what it is measured beside."""
    segmentation: dt.String = pa.Field(nullable=False)
    """By which classes segments were told apart, and why; equal in all rows."""
    voters: dt.Int64 = pa.Field(nullable=False, ge=1)
    labelled: dt.Int64 = pa.Field(nullable=False, ge=1)
    voted: dt.Int64 = pa.Field(nullable=False, ge=0)

    class Config:
        """Strict; a cell has no key of its own, since unknown features are NULL."""

        strict = True

    @pa.dataframe_check(name="before_the_forecast")
    @classmethod
    def before_the_forecast(cls, data: pa.IbisData) -> object:
        """Nothing of the forecast's own election or later is in it."""
        return data.table.election < data.table.forecast

    @pa.dataframe_check(name="counts_agree")
    @classmethod
    def counts_agree(cls, data: pa.IbisData) -> object:
        """No more voted than are known, and no more are known than there are."""
        return (data.table.voted <= data.table.labelled) & (data.table.labelled <= data.table.voters)


class DistrictElectionsModel(DistrictElectionModel):
    """One row per district of an earlier election whose outcome is known: features of then, and the outcome."""

    forecast: dt.String = pa.Field(nullable=False, isin=FORECAST_YEARS)
    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)
    state: dt.String = pa.Field(nullable=False, isin=list(codes.FIPS_BY_STATE))
    total_votes: dt.Int64 = pa.Field(nullable=False, ge=2)
    """Label of the vote model."""
    democratic_share: dt.Float64 = pa.Field(nullable=True, gt=0, lt=1, metadata={"decimals": 6})
    """Label of the share model: of the votes for the two large parties; NULL where not both had votes."""

    class Config:
        """Strict, keyed by district and election."""

        strict = True
        unique = ("forecast", "election", "state", "district")

    @pa.dataframe_check(name="before_the_forecast")
    @classmethod
    def before_the_forecast(cls, data: pa.IbisData) -> object:
        """Nothing of the forecast's own election or later is in it."""
        return data.table.election < data.table.forecast


PERSON_TURNOUT: Final = Contract(
    layer="training",
    table="person_turnout",
    model=PersonTurnoutModel,
    lake=CURATED,
    description="What the turnout model of one forecast learns from: persons of earlier elections, counted in cells.",
    owners=MODELERS,
    partitions_def=FORECASTS,
    partition_columns={"forecast": "forecast"},
)

DISTRICT_ELECTIONS: Final = Contract(
    layer="training",
    table="district_elections",
    model=DistrictElectionsModel,
    lake=CURATED,
    description="What the vote and share models of one forecast learn from: districts of earlier elections, outcomes.",
    owners=MODELERS,
    partitions_def=FORECASTS,
    partition_columns={"forecast": "forecast"},
)
