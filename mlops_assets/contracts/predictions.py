"""Contracts of the predictions: one row per district, measure and election, with interval and provenance.

Put here what the service may show to a client, and how good it turned out. Keep out anything about a person.
"""

from __future__ import annotations

from typing import Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts import codes
from mlops_assets.contracts.lakes import CURATED
from mlops_assets.contracts.models import MODELERS
from mlops_assets.contracts.partitions import FORECAST_BY_STATE, FORECAST_YEARS, FORECASTS
from mlops_assets.contracts.wrangled import DISTRICT_PATTERN
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.volume import Volume

MEASURES: Final = ("turnout", "total_votes", "democratic_share")
"""Share of registered voters who vote; votes for the House; Democratic share of the votes for the two large parties."""


class PredictionsModel(pa.DataFrameModel):
    """One row per district: the predicted value with its interval."""

    election: dt.String = pa.Field(nullable=False, isin=FORECAST_YEARS)
    state: dt.String = pa.Field(nullable=False, isin=list(codes.FIPS_BY_STATE))
    district: dt.String = pa.Field(nullable=False, str_matches=DISTRICT_PATTERN)
    measure: dt.String = pa.Field(nullable=False, isin=MEASURES)
    value: dt.Float64 = pa.Field(nullable=False, ge=0, metadata={"decimals": 6})
    lower: dt.Float64 = pa.Field(nullable=False, ge=0, metadata={"decimals": 6})
    upper: dt.Float64 = pa.Field(nullable=False, ge=0, metadata={"decimals": 6})
    coverage: dt.Float64 = pa.Field(nullable=False, gt=0, lt=1, metadata={"decimals": 3})
    """Share of districts whose outcome the interval is meant to hold."""
    basis: dt.Float64 = pa.Field(nullable=True, ge=0, metadata={"decimals": 3})
    """What the value is a share of or compared with: registered voters, or votes at the last election."""
    model_name: dt.String = pa.Field(nullable=False)
    model_version: dt.String = pa.Field(nullable=False)
    features_version: dt.String = pa.Field(nullable=False)
    """Content hash of the feature partition that was scored."""
    expected_error: dt.Float64 = pa.Field(nullable=False, ge=0, metadata={"decimals": 6})
    """Mean absolute error that the interval lets expect, in the unit of the value."""
    expected_brier: dt.Float64 = pa.Field(nullable=True, ge=0, le=0.25, metadata={"decimals": 6})
    """Brier score of its persons that their probabilities let expect, where they are what is averaged."""

    class Config:
        """Strict, keyed by district and measure."""

        strict = True
        unique = ("election", "state", "district", "measure")

    @pa.dataframe_check(name="interval_holds_value")
    @classmethod
    def interval_holds_value(cls, data: pa.IbisData) -> object:
        """The interval holds its own value."""
        return (data.table.lower <= data.table.value) & (data.table.value <= data.table.upper)


class MonitoringModel(pa.DataFrameModel):
    """One row per metric of the predictions of one measure: as they let expect it, and as outcomes show it."""

    election: dt.String = pa.Field(nullable=False, isin=FORECAST_YEARS)
    measure: dt.String = pa.Field(nullable=False, isin=MEASURES)
    model_version: dt.String = pa.Field(nullable=False)
    known_by: dt.String = pa.Field(nullable=False, isin=["estimate", "outcome"])
    """``estimate``: from the predictions alone; ``outcome``: from what happened, where it is known."""
    segment: dt.String = pa.Field(nullable=False)
    """``all``, or one state: ``state=NC``."""
    metric: dt.String = pa.Field(nullable=False)
    value: dt.Float64 = pa.Field(nullable=False, metadata={"decimals": 6})
    rows: dt.Int64 = pa.Field(nullable=False, ge=1)

    class Config:
        """Strict, keyed by metric."""

        strict = True
        unique = ("election", "measure", "model_version", "known_by", "segment", "metric")


DISTRICT_TURNOUT: Final = Contract(
    layer="predictions",
    table="district_turnout",
    model=PredictionsModel,
    lake=CURATED,
    description="Predicted turnout of each district's registered voters at one election, with an interval.",
    owners=MODELERS,
    partitions_def=FORECAST_BY_STATE,
    partition_columns={"election": "election", "state": "state"},
)

DISTRICT_VOTES: Final = Contract(
    layer="predictions",
    table="district_votes",
    model=PredictionsModel,
    lake=CURATED,
    description="Predicted total House vote of each district at one election, with an interval.",
    owners=MODELERS,
    partitions_def=FORECASTS,
    partition_columns={"election": "election"},
)

DISTRICT_SHARE: Final = Contract(
    layer="predictions",
    table="district_share",
    model=PredictionsModel,
    lake=CURATED,
    description="Predicted Democratic share of each district's two-party House vote, if both run, with an interval.",
    owners=MODELERS,
    partitions_def=FORECASTS,
    partition_columns={"election": "election"},
)

MONITORING: Final = Contract(
    layer="predictions",
    table="monitoring",
    model=MonitoringModel,
    lake=CURATED,
    description="How good the published predictions of one election are: as estimated, and as measured on outcomes.",
    owners=MODELERS,
    volume=Volume(allow_empty=True),
    partitions_def=FORECASTS,
    partition_columns={"election": "election"},
)
