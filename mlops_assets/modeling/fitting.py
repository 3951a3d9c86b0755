"""Fitting linear models so that equal rows give equal bytes, and turning them into verified ONNX files.

Put here what all models share between an encoded matrix and a file. Keep out which features and which rows.

Solvers run on one thread: sums over several threads are added in another order, and the last bits of a coefficient
would depend on the machine. Newton's method (logistic) and Cholesky (ridge) converge to far below the precision of the
file (float32), so that also other processors give the same file but where a coefficient lies on a rounding edge.

scikit-learn and what it stands on take three seconds to import, so they are imported where something is trained: every
process that loads the code location would pay for them otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it publishes no types

from mlops_assets.modeling.errors import TrainingError
from mlops_assets.scoring.records import ENCODING, ModelRecord, file_version
from mlops_assets.scoring.scorer import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from mlops_assets.scoring.encoding import Encoding

    Numbers = npt.NDArray[np.float64]

MOST_DIFFERENCE: Final = 1e-5
"""The largest difference that a file may have from the model it was made of, in units of its output."""

_RIDGE_PENALTY: Final = 30.0
_OPSETS: Final = {"": 18, "ai.onnx.ml": 3}


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A model in memory.

    Attributes:
        encoding: how raw columns become its input.
        pipeline: scaling and linear model of scikit-learn, on the encoded matrix.
    """

    encoding: Encoding
    pipeline: Pipeline

    def outputs(self, matrix: Numbers) -> Numbers:
        """The model's output for each row of an encoded matrix: a probability, or the bare regression value."""
        with threadpool_limits(limits=1):
            if hasattr(self.pipeline, "predict_proba"):
                probabilities: Numbers = self.pipeline.predict_proba(matrix)[:, 1]
                return probabilities
            values: Numbers = self.pipeline.predict(matrix)
            return values

    def scores(self, table: pa.Table) -> Numbers:
        """The score of each raw row, as :meth:`mlops_assets.scoring.scorer.Scorer.score` gives it from the file."""
        outputs = self.outputs(self.encoding.matrix(table))
        anchors = self.encoding.anchors(table)
        return outputs if anchors is None else anchors * np.exp(outputs)


def fit_probability(encoding: Encoding, rows: pa.Table, happened: Numbers, trials: Numbers) -> Fitted:
    """Logistic regression on rows that stand for several trials each.

    Args:
        encoding: how the rows become features.
        rows: one row per distinct combination of raw values; the order matters for the last bits, so sort them.
        happened: for each row, in how many trials the event happened.
        trials: for each row, how many trials it stands for.

    Raises:
        TrainingError: the event happened always or never.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import Pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    if not 0 < happened.sum() < trials.sum():
        raise TrainingError(
            source="Training rows",
            culprit=f"the event happened in {int(happened.sum())} of {int(trials.sum())} cases.",
            remedy="Train on rows of both outcomes; is a label missing?",
        )
    matrix = encoding.matrix(rows)
    weights = np.concatenate([trials - happened, happened])
    used = weights > 0
    both = np.concatenate([matrix, matrix])[used]
    labels = np.concatenate([np.zeros(len(matrix), dtype=np.int64), np.ones(len(matrix), dtype=np.int64)])[used]
    model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-8, max_iter=100)
    pipeline = Pipeline([("scale", StandardScaler()), ("model", model)])
    with threadpool_limits(limits=1):
        pipeline.fit(both, labels, scale__sample_weight=weights[used], model__sample_weight=weights[used])
    return Fitted(encoding=encoding, pipeline=pipeline)


def fit_value(encoding: Encoding, rows: pa.Table, target: Numbers) -> Fitted:
    """Ridge regression of a target on the encoded rows; sort the rows, their order matters for the last bits."""
    from sklearn.linear_model import Ridge  # noqa: PLC0415
    from sklearn.pipeline import Pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    pipeline = Pipeline([("scale", StandardScaler()), ("model", Ridge(alpha=_RIDGE_PENALTY, solver="cholesky"))])
    with threadpool_limits(limits=1):
        pipeline.fit(encoding.matrix(rows), target)
    return Fitted(encoding=encoding, pipeline=pipeline)


def model_record(name: str, fitted: Fitted, rows: pa.Table, parameters: Mapping[str, Any]) -> ModelRecord:
    """The fitted model as a file with its record, verified on rows.

    Args:
        name: name of the model.
        fitted: the model.
        rows: raw rows on which file and model must agree.
        parameters: what prediction needs beside the encoding, which is added here.

    Raises:
        TrainingError: file and model differ by more than :data:`MOST_DIFFERENCE` on some row.
    """
    file = _file(fitted)
    record = ModelRecord(
        name=name,
        version=file_version(file),
        onnx=file,
        feature_names=fitted.encoding.feature_names,
        parameters={ENCODING: fitted.encoding.model_dump(mode="json"), **parameters},
    )
    matrix = fitted.encoding.matrix(rows)
    difference = float(np.max(np.abs(load(record).score(matrix) - fitted.outputs(matrix)), initial=0.0))
    if difference > MOST_DIFFERENCE:
        raise TrainingError(
            source=f"Model {name}",
            culprit=f"its file differs from the trained model by up to {difference:.2g}, more than {MOST_DIFFERENCE}.",
            remedy="Look for features of very different size; the file computes in float32.",
        )
    return record


def _file(fitted: Fitted) -> bytes:
    """The ONNX file: one float32 input, one float32 output, no trace of when or by which version it was written."""
    from skl2onnx import to_onnx  # noqa: PLC0415
    from skl2onnx.common.data_types import FloatTensorType  # noqa: PLC0415

    width = len(fitted.encoding.feature_names)
    classifies = hasattr(fitted.pipeline, "predict_proba")
    model = to_onnx(
        fitted.pipeline,
        initial_types=[("features", FloatTensorType([None, width]))],
        options={id(fitted.pipeline): {"zipmap": False}} if classifies else None,
        target_opset=_OPSETS,
        name="model",
    )
    scores = model.graph.output[-1]
    del model.graph.output[:-1]
    model.graph.output[0].CopyFrom(scores)
    for field in ("producer_name", "producer_version", "doc_string", "domain"):
        model.ClearField(field)
    file: bytes = model.SerializeToString(deterministic=True)
    return file
