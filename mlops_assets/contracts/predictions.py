"""Contracts of the predictions: one row per district, measure and election, with interval and provenance.

Put here what the service may show to a client. Keep out anything about a person.
"""

from __future__ import annotations

from typing import Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts import codes
from mlops_assets.contracts.models import MODELERS
from mlops_assets.contracts.partitions import FORECAST_BY_STATE, FORECAST_YEARS, FORECASTS
from mlops_assets.contracts.wrangled import DISTRICT_PATTERN
from mlops_assets.platform.contract import Contract
from mlops_assets.platform.settings import LakeName


class PredictionsModel(pa.DataFrameModel):
    """One row per district: the predicted value with its interval."""

    election: dt.String = pa.Field(nullable=False, isin=FORECAST_YEARS)
    state: dt.String = pa.Field(nullable=False, isin=list(codes.FIPS_BY_STATE))
    district: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    measure: dt.String = pa.Field(nullable=False, isin=["turnout", "total_votes"])
    """``turnout``: share of registered voters who vote; ``total_votes``: votes for the House."""
    value: dt.Float64 = pa.Field(nullable=False, ge=0)
    lower: dt.Float64 = pa.Field(nullable=False, ge=0)
    upper: dt.Float64 = pa.Field(nullable=False, ge=0)
    coverage: dt.Float64 = pa.Field(nullable=False, gt=0, lt=1)
    """Share of districts whose outcome the interval is meant to hold."""
    basis: dt.Float64 = pa.Field(nullable=True, ge=0)
    """What the value is a share of or compared with: registered voters, or votes at the last election."""
    model_name: dt.String = pa.Field(nullable=False)
    model_version: dt.String = pa.Field(nullable=False)
    features_version: dt.String = pa.Field(nullable=False)
    """Content hash of the feature partition that was scored."""

    class Config:
        """Strict, keyed by district and measure."""

        strict = True
        unique = ("election", "state", "district", "measure")

    @pa.dataframe_check(name="interval_holds_value")
    @classmethod
    def interval_holds_value(cls, data: pa.IbisData) -> object:
        """The interval holds its own value."""
        return (data.table.lower <= data.table.value) & (data.table.value <= data.table.upper)


_QUANTISE: Final = {"value": 6, "lower": 6, "upper": 6, "coverage": 3, "basis": 3}

DISTRICT_TURNOUT: Final = Contract(
    layer="predictions",
    table="district_turnout",
    model=PredictionsModel,
    lake=LakeName.CURATED,
    description="Predicted turnout of each district's registered voters at one election, with an interval.",
    owners=MODELERS,
    partitions_def=FORECAST_BY_STATE,
    partition_columns={"election": "election", "state": "state"},
    quantise=_QUANTISE,
)

DISTRICT_VOTES: Final = Contract(
    layer="predictions",
    table="district_votes",
    model=PredictionsModel,
    lake=LakeName.CURATED,
    description="Predicted total House vote of each district at one election, with an interval.",
    owners=MODELERS,
    partitions_def=FORECASTS,
    partition_columns={"election": "election"},
    quantise=_QUANTISE,
)
