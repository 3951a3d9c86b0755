"""Contracts of the models: a table of verified model files, and a table of their evaluations.

Put here what modeling promises about a model. Keep out predictions.
"""

from __future__ import annotations

from typing import Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts.partitions import FORECAST_YEARS, FORECASTS
from mlops_assets.platform.contract import Contract
from mlops_assets.platform.settings import LakeName

MODELERS: Final = ("team:modeling",)


class ModelFileModel(pa.DataFrameModel):
    """One row: the model trained for one election on the elections before it."""

    election: dt.String = pa.Field(nullable=False, isin=FORECAST_YEARS)
    name: dt.String = pa.Field(nullable=False)
    version: dt.String = pa.Field(nullable=False, str_matches=r"^[0-9a-f]{64}$")
    """SHA-256 of the model file."""
    onnx_base64: dt.String = pa.Field(nullable=False)
    """The ONNX file, base64: a format that holds a graph of operators and cannot execute code."""
    feature_names: dt.String = pa.Field(nullable=False)
    """JSON array: the columns of the model's input, in order."""
    parameters: dt.String = pa.Field(nullable=False)
    """JSON object: what scoring needs beside the file (encodings, fill values, interval widths)."""
    trained_on: dt.String = pa.Field(nullable=False)
    """JSON array: the elections it was trained on."""
    rows: dt.Int64 = pa.Field(nullable=False, ge=1)

    class Config:
        """Strict, one row."""

        strict = True
        unique = ("election", "name")


class EvaluationModel(pa.DataFrameModel):
    """One row per metric of a model on an election that it has not seen."""

    election: dt.String = pa.Field(nullable=False, isin=FORECAST_YEARS)
    """The election that the model is for; it was tested on an earlier one."""
    tested_on: dt.String = pa.Field(nullable=False)
    estimator: dt.String = pa.Field(nullable=False)
    """``model``, or a naive baseline such as ``same_as_last_time``."""
    level: dt.String = pa.Field(nullable=False, isin=["person", "district"])
    metric: dt.String = pa.Field(nullable=False)
    value: dt.Float64 = pa.Field(nullable=False)
    rows: dt.Int64 = pa.Field(nullable=False, ge=1)

    class Config:
        """Strict, keyed by metric."""

        strict = True
        unique = ("election", "tested_on", "estimator", "level", "metric")


def _model(table: str, description: str) -> Contract:
    return Contract(
        layer="models",
        table=table,
        model=ModelFileModel,
        lake=LakeName.CURATED,
        description=description,
        owners=MODELERS,
        partitions_def=FORECASTS,
        partition_columns={"election": "election"},
    )


def _evaluation(table: str, description: str) -> Contract:
    return Contract(
        layer="models",
        table=table,
        model=EvaluationModel,
        lake=LakeName.CURATED,
        description=description,
        owners=MODELERS,
        partitions_def=FORECASTS,
        partition_columns={"election": "election"},
        quantise={"value": 6},
    )


PERSON_TURNOUT: Final = _model(
    "person_turnout", "The model of a person's turnout at one election, trained on the elections before it."
)
PERSON_TURNOUT_EVALUATION: Final = _evaluation(
    "person_turnout_evaluation", "Errors of the turnout model on the last election before, beside: same as last time."
)
DISTRICT_VOTES: Final = _model(
    "district_votes", "The model of a district's total House vote at one election, trained on the elections before it."
)
DISTRICT_VOTES_EVALUATION: Final = _evaluation(
    "district_votes_evaluation", "Errors of the vote model on the last election before, beside the same as last time."
)
