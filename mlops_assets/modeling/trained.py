"""A trained model and its evaluation as rows of their tables.

Put here the form in which modeling hands over a model and its errors. Keep out how they were made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from mlops_assets.modeling.errors import TrainingError
from mlops_assets.scoring.records import ModelRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir


ALL: Final = "all"
"""All tested elections together, or everybody of one."""

DECIMALS: Final = 6
"""Places of an evaluation's values, so that who reads it from the lake reads what was written."""

MODEL: Final = "model"
"""Estimator of an evaluation: the form that the elections before the tested one would have chosen."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model made for one election.

    Attributes:
        election: the election that the model is for.
        record: file, features and parameters.
        form: baseline, linear or boosted.
        training_set: content hash of the rows it was trained on.
        trained_on: the elections it was trained on, oldest first.
        rows: how many labelled cases it was trained on.
    """

    election: str
    record: ModelRecord
    form: str
    training_set: str
    trained_on: tuple[str, ...]
    rows: int

    def table(self) -> pa.Table:
        """The one row of a table of models (contract ``ModelFileModel``)."""
        row = {
            "election": self.election,
            **self.record.row(),
            "form": self.form,
            "training_set": self.training_set,
            "trained_on": json.dumps(list(self.trained_on)),
            "rows": self.rows,
        }
        return pa.Table.from_pylist(
            [row], schema=pa.schema([*((name, pa.string()) for name in row if name != "rows"), ("rows", pa.int64())])
        )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Errors of one estimator on one election that it had not seen.

    Attributes:
        tested_on: that election, or :data:`ALL`.
        estimator: a form, ``model`` or a naive guess.
        level: ``person`` or ``district``.
        segment: the group that was measured, or :data:`ALL`.
        metrics: values by name.
        rows: how many persons or districts they were measured on.
    """

    tested_on: str
    estimator: str
    level: str
    metrics: Mapping[str, float]
    rows: int
    segment: str = ALL


def evaluation_table(election: str, measured: Sequence[Measured]) -> pa.Table:
    """One row per metric (contract ``EvaluationModel``), sorted by its key; none where nothing could be tested."""
    rows = [
        {
            "election": election,
            "tested_on": one.tested_on,
            "estimator": one.estimator,
            "level": one.level,
            "segment": one.segment,
            "metric": metric,
            "value": round(value, DECIMALS),
            "rows": one.rows,
        }
        for one in measured
        for metric, value in one.metrics.items()
    ]
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("election", "tested_on", "estimator", "level", "segment", "metric")),
            ("value", pa.float64()),
            ("rows", pa.int64()),
        ]
    )
    keys = ("tested_on", "level", "segment", "metric", "estimator")
    return pa.Table.from_pylist(rows, schema=schema).sort_by([(key, "ascending") for key in keys])


def headline(measured: Sequence[Measured], metric: str) -> dict[str, float]:
    """One metric of each estimator at district level on the newest election tested, for a materialization's page."""
    newest = max((one.tested_on for one in measured if one.tested_on != ALL), default="")
    return {
        f"{metric}_{one.estimator}": round(one.metrics[metric], 6)
        for one in measured
        if one.tested_on == newest and one.level == "district" and one.segment == ALL and metric in one.metrics
    }


def record_in(models: ir.Table) -> ModelRecord:
    """The one model in a table of models.

    Raises:
        TrainingError: the table does not hold exactly one.
        ArtifactError: its row cannot be read.
    """
    rows = models.to_pyarrow().to_pylist()
    if len(rows) != 1:
        raise TrainingError(
            source="Table of models",
            culprit=f"it holds {len(rows)} models for this election instead of one.",
            remedy="Materialize the model of this election.",
        )
    return ModelRecord.of_row(rows[0])
