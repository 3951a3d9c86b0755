"""The service's answers as types. Fields that a newer service adds are ignored.

Put here the shape of an answer. Keep out how it is asked for.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  read at run time
from typing import Any

import msgspec

Feature = str | int | float | None


class Prediction(msgspec.Struct, frozen=True):
    """A predicted value with its interval and its provenance.

    Attributes:
        election: year of the general election.
        state: postal code.
        district: two digits; ``00`` for one at large.
        measure: what is predicted, such as ``turnout``.
        value: the predicted value, in the unit of its measure.
        lower: lower end of the interval.
        upper: upper end of the interval.
        coverage: share of districts whose outcome the interval should hold.
        basis: what the value is a share of or compared with; ``None`` if unknown.
        model_name: the model that predicted.
        model_version: SHA-256 of its file.
        features_version: content hash of the features.
        expected_error: mean absolute error that the interval lets expect; ``None`` in earlier exports.
        expected_brier: Brier score to expect, where probabilities of persons are averaged.
    """

    election: str
    state: str
    district: str
    measure: str
    value: float
    lower: float
    upper: float
    coverage: float
    basis: float | None
    model_name: str
    model_version: str
    features_version: str
    expected_error: float | None = None
    expected_brier: float | None = None


class PredictionPage(msgspec.Struct, frozen=True):
    """One page of predictions; ``next_cursor`` is ``None`` on the last."""

    export_id: str
    items: list[Prediction]
    next_cursor: str | None


class DistrictForecast(msgspec.Struct, frozen=True):
    """All measures of one district at one election."""

    export_id: str
    election: str
    state: str
    district: str
    predictions: list[Prediction]


class DistrictHistory(msgspec.Struct, frozen=True):
    """The predictions of one district at every election, by election and measure."""

    export_id: str
    state: str
    district: str
    predictions: list[Prediction]


class ExportDescription(msgspec.Struct, frozen=True):
    """Where an export's predictions come from."""

    export_id: str
    created: str
    latest_election: str
    rows: dict[str, int]
    provenance: dict[str, Any]


class KeptExport(msgspec.Struct, frozen=True):
    """A past version that can be asked for, and when it was current."""

    export_id: str
    created: str
    current_since: list[datetime]


class KeptExports(msgspec.Struct, frozen=True):
    """The versions that can be asked for, oldest first."""

    current: str
    exports: list[KeptExport]


class ModelVersion(msgspec.Struct, frozen=True):
    """A version of a model, and the latest of what it was trained for, such as a month."""

    version: str
    trained_for: str


class ModelInput(msgspec.Struct, frozen=True):
    """A column of a row to score: its name, its type, and whether null may be given where a value is unknown."""

    name: str
    type: str
    nullable: bool


class Model(msgspec.Struct, frozen=True):
    """A model that rows can be scored with.

    Attributes:
        name: its name.
        versions: in the order of what they were trained for; the last is the default.
        inputs: the columns of a row to score.
        example: a row that can be scored, of nobody.
    """

    name: str
    versions: list[ModelVersion]
    inputs: list[ModelInput]
    example: dict[str, Feature | bool]


class ModelList(msgspec.Struct, frozen=True):
    """The models of the export in use."""

    export_id: str
    models: list[Model]


class Scores(msgspec.Struct, frozen=True):
    """One score for each row, in their order."""

    export_id: str
    model_name: str
    model_version: str
    scores: list[float]


class Features(msgspec.Struct, frozen=True):
    """For each pseudonym the person's features by name; ``None`` where nobody has it."""

    export_id: str
    features: list[dict[str, Feature] | None]
