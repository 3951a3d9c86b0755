"""Contracts of segments: by which classes registered persons are best told apart, and what is known of each before.

Put here the choice of segments, and what earlier elections say of them. Keep out what models make of it.
"""

from __future__ import annotations

from typing import Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts.features import SMALLEST_CELL
from mlops_assets.contracts.lakes import CURATED
from mlops_assets.contracts.partitions import ELECTION_YEARS, FORECAST_YEARS, FORECASTS, STATES
from mlops_assets.contracts.wrangled import DISTRICT_PATTERN, WRANGLERS
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.volume import ANY_VOLUME, Volume

SEGMENTED_BY: Final = ("district", "age_group", "party_last", "county")
"""Columns of ``features/person_turnout`` of which segments are made."""

POOLED: Final = "small segments"
"""Label of whoever is in a segment of fewer persons than the smallest cell."""


class SegmentationModel(pa.DataFrameModel):
    """One row per way of telling persons apart, compared on elections before that one; one row is chosen."""

    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)
    """The election to be forecast."""
    candidate: dt.String = pa.Field(nullable=False)
    """Dimensions that are crossed, such as ``district x age_group``; ``whole groups`` for states as a whole."""
    series: dt.String = pa.Field(nullable=False, isin=["", "as labelled", "cut", "bridged"])
    """How districts were treated where their map changed; empty where no district is in it."""
    cells: dt.Int64 = pa.Field(nullable=False, ge=1)
    smallest_cell: dt.Int64 = pa.Field(nullable=False, ge=0)
    """Persons."""
    small_share: dt.Float64 = pa.Field(nullable=False, ge=0, le=1, metadata={"decimals": 6})
    error: dt.Float64 = pa.Field(nullable=False, ge=0, le=1, metadata={"decimals": 6})
    """Of turnout, out of time: the root of the mean squared difference over the finest cells."""
    error_above_best: dt.Float64 = pa.Field(nullable=False, metadata={"decimals": 9})
    standard_error: dt.Float64 = pa.Field(nullable=False, ge=0, metadata={"decimals": 9})
    stability: dt.Float64 = pa.Field(nullable=False, ge=0, le=1, metadata={"decimals": 6})
    tests: dt.Int64 = pa.Field(nullable=False, ge=1)
    eligible: dt.Boolean = pa.Field(nullable=False)
    chosen: dt.Boolean = pa.Field(nullable=False)
    """It describes turnout best."""
    followed: dt.Boolean = pa.Field(nullable=False)
    """Features and models tell persons apart by it: the chosen one, or the best that is not by race."""
    reason: dt.String = pa.Field(nullable=False)

    class Config:
        """Strict, keyed by candidate."""

        strict = True
        unique = ("election", "candidate", "series")


SEGMENTATION: Final = Contract(
    layer="variance",
    table="segmentation",
    model=SegmentationModel,
    lake=CURATED,
    description="By which classes registered persons are best told apart before an election: candidates and choice.",
    owners=WRANGLERS,
    volume=Volume(allow_empty=True),
    partitions_def=FORECASTS,
    partition_columns={"election": "election"},
)


class SegmentTurnoutModel(pa.DataFrameModel):
    """One row per segment of a state and election, with what earlier elections say of its turnout."""

    forecast: dt.String = pa.Field(nullable=False, isin=FORECAST_YEARS)
    election: dt.String = pa.Field(nullable=False, isin=ELECTION_YEARS)
    """That of the forecast, or an earlier one: then as it would have been predicted before it."""
    state: dt.String = pa.Field(nullable=False, isin=STATES)
    segment: dt.String = pa.Field(nullable=False)
    """Such as ``age_group=18-24, party_last=NONE``; ``whole state``; ``small segments`` for all small ones together."""
    district: dt.String = pa.Field(nullable=True, str_matches=DISTRICT_PATTERN)
    """NULL where segments are not by this class, as the three that follow."""
    age_group: dt.String = pa.Field(nullable=True)
    party_last: dt.String = pa.Field(nullable=True)
    county: dt.String = pa.Field(nullable=True)
    persons: dt.Int64 = pa.Field(nullable=False, ge=SMALLEST_CELL)
    """Registered at that election."""
    past_persons: dt.Int64 = pa.Field(nullable=True, ge=SMALLEST_CELL)
    """At all earlier elections, as far as maps let them be followed; NULL where fewer than the smallest cell."""
    state_turnout: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 3})
    """Of the state at the last election of the same kind (presidential or not), else at the last; NULL at the first."""
    above_state: dt.Float64 = pa.Field(nullable=False, ge=-1, le=1, metadata={"decimals": 3})
    """How far its turnout lay above the state's at earlier elections; 0 where nothing is known."""
    turnout: dt.Float64 = pa.Field(nullable=True, ge=0, le=1, metadata={"decimals": 3})
    """What both let expect."""
    segmentation: dt.String = pa.Field(nullable=False)
    """Which candidate of ``variance/segmentation`` is followed, and why."""

    class Config:
        """Strict, keyed by segment and election."""

        strict = True
        unique = ("forecast", "election", "state", "segment")

    @pa.dataframe_check(name="not_after_the_forecast")
    @classmethod
    def not_after_the_forecast(cls, data: pa.IbisData) -> object:
        """Nothing of a later election is in it."""
        return data.table.election <= data.table.forecast

    @pa.dataframe_check(name="known_from_before")
    @classmethod
    def known_from_before(cls, data: pa.IbisData) -> object:
        """A segment without a past says what its state says."""
        return data.table.past_persons.notnull() | (data.table.above_state == 0)


SEGMENT_TURNOUT: Final = Contract(
    layer="features",
    table="segment_turnout",
    model=SegmentTurnoutModel,
    lake=CURATED,
    description="Segments of registered persons before an election, and the turnout that earlier ones let expect.",
    owners=WRANGLERS,
    volume=ANY_VOLUME,
    partitions_def=FORECASTS,
    partition_columns={"forecast": "forecast"},
)
