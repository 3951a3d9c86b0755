"""Contracts of the models: tables of signed model files, and tables of their evaluations.

Put here what modeling promises about a model. Keep out predictions.
"""

from __future__ import annotations

from typing import Final

import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.contracts.lakes import CURATED
from mlops_assets.contracts.partitions import FORECAST_YEARS, FORECASTS
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.volume import Volume

MODELERS: Final = ("team:modeling",)

FORMS: Final = ("baseline", "linear", "boosted")
"""Forms that compete for being the model, the simplest first."""

NOT_WORSE: Final = "not_worse_than_current"
CALIBRATED: Final = "calibrated"
FAIR: Final = "fair_across_groups"

_GATE: Final = {
    NOT_WORSE: "On the same elections, unseen by both, a candidate errs at most 2 % more than the best promoted model.",
    CALIBRATED: "Probabilities are on average near the shares that came true, intervals hold about what they promise.",
    FAIR: "In no group does the mean error lie further from everybody's than the model's declared bound.",
}
"""The promotion gate. A candidate that fails is not signed and not published; the promoted model stands."""


class ModelFileModel(pa.DataFrameModel):
    """One row: the model trained for one election on the elections before it."""

    election: dt.String = pa.Field(nullable=False, isin=FORECAST_YEARS)
    name: dt.String = pa.Field(nullable=False)
    form: dt.String = pa.Field(nullable=False, isin=FORMS)
    """Which form had the smallest error on elections that it had not seen."""
    version: dt.String = pa.Field(nullable=False, str_matches=r"^[0-9a-f]{64}$")
    """SHA-256 of the model file."""
    onnx_base64: dt.String = pa.Field(nullable=False)
    """The ONNX file, base64: a format that holds a graph of operators and cannot execute code."""
    inputs: dt.String = pa.Field(nullable=False)
    """JSON array: the raw columns that the file takes, each with its kind, an example and what becomes of a null."""
    parameters: dt.String = pa.Field(nullable=False)
    """JSON object: what prediction needs beside the file (interval widths)."""
    signature: dt.String = pa.Field(nullable=False, str_matches=r"^[A-Za-z0-9+/]{86}==$")
    """Ed25519 signature over name, version, inputs and parameters; only what passed the promotion gate is signed."""
    key_id: dt.String = pa.Field(nullable=False, str_matches=r"^[A-Za-z0-9_-]{43}$")
    """RFC 7638 thumbprint of the key that signed."""
    training_set: dt.String = pa.Field(nullable=False, str_matches=r"^v1:")
    """Content hash of the training set."""
    trained_on: dt.String = pa.Field(nullable=False)
    """JSON array: the elections it was trained on."""
    rows: dt.Int64 = pa.Field(nullable=False, ge=1)

    class Config:
        """Strict, one row."""

        strict = True
        unique = ("election", "name")


class EvaluationModel(pa.DataFrameModel):
    """One row per metric on an election that the estimator has not seen; none where no election can be tested."""

    election: dt.String = pa.Field(nullable=False, isin=FORECAST_YEARS)
    """The election that the model is for; it was tested on an earlier one."""
    tested_on: dt.String = pa.Field(nullable=False)
    """The election, or ``all`` for what all of them together give."""
    estimator: dt.String = pa.Field(nullable=False)
    """A form, ``model`` (the form that the elections before would have chosen), or a naive guess."""
    level: dt.String = pa.Field(nullable=False, isin=["person", "district"])
    segment: dt.String = pa.Field(nullable=False)
    """``all``, or a group such as ``gender=FEMALE``, ``region=SOUTH`` or ``predicted=0.3``."""
    metric: dt.String = pa.Field(nullable=False)
    value: dt.Float64 = pa.Field(nullable=False, metadata={"decimals": 6})
    rows: dt.Int64 = pa.Field(nullable=False, ge=1)

    class Config:
        """Strict, keyed by metric."""

        strict = True
        unique = ("election", "tested_on", "estimator", "level", "segment", "metric")


def _model(table: str, description: str) -> Contract:
    return Contract(
        layer="models",
        table=table,
        model=ModelFileModel,
        lake=CURATED,
        description=description,
        owners=MODELERS,
        partitions_def=FORECASTS,
        partition_columns={"election": "election"},
        judged=_GATE,
    )


def _evaluation(table: str, description: str) -> Contract:
    return Contract(
        layer="models",
        table=table,
        model=EvaluationModel,
        lake=CURATED,
        description=description,
        owners=MODELERS,
        volume=Volume(allow_empty=True),
        partitions_def=FORECASTS,
        partition_columns={"election": "election"},
    )


PERSON_TURNOUT: Final = _model(
    "person_turnout", "The model of a person's turnout at one election, trained on the elections before it."
)
PERSON_TURNOUT_EVALUATION: Final = _evaluation(
    "person_turnout_evaluation", "Errors of every form of the turnout model on earlier elections, beside naive guesses."
)
DISTRICT_VOTES: Final = _model(
    "district_votes", "The model of a district's total House vote at one election, trained on the elections before it."
)
DISTRICT_VOTES_EVALUATION: Final = _evaluation(
    "district_votes_evaluation", "Errors of every form of the vote model on earlier elections, beside naive guesses."
)
DISTRICT_SHARE: Final = _model(
    "district_share", "The model of a district's Democratic two-party share, trained on the elections before it."
)
DISTRICT_SHARE_EVALUATION: Final = _evaluation(
    "district_share_evaluation", "Errors of every form of the share model on earlier elections, beside naive guesses."
)
