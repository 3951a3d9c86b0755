"""Fitting models so that equal rows give equal bytes, and verifying the files that are made of them.

Put here what all models share between raw rows and a record. Keep out which features and which rows, the making of a
file (``model_files``) and how rows are encoded (``encoders``).

Solvers run on one thread: sums over several threads are added in another order, and the last bits of a coefficient
would depend on the machine. Newton's method (logistic) and Cholesky (ridge) converge to far below the precision of the
file (float32), so that also other processors give the same file but where a coefficient lies on a rounding edge. Trees
are grown without early stopping and with a fixed seed, on numbers rounded as the file sees them, and their thresholds
are rounded down to such numbers: between two that are next to each other (whole numbers from 2**24 on, such as times in
seconds) lies none for the threshold, and rounded up it would send the greater one the lesser one's way.

scikit-learn and what it stands on take three seconds to import, so they are imported where something is trained: every
process that loads the code location would pay for them otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it publishes no types

from mlops_assets.modeling import encoders
from mlops_assets.modeling.errors import TrainingError
from mlops_assets.modeling.model_files import model_file
from mlops_assets.modeling.score_distribution import TRAINING_SCORES, distribution
from mlops_assets.scoring.records import ModelRecord, file_version
from mlops_assets.scoring.scorer import load_unsigned

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import pyarrow as pa
    from sklearn.base import BaseEstimator
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    from mlops_assets.modeling.encoding import Encoding

    Numbers = npt.NDArray[np.float64]

MOST_DIFFERENCE: Final = 1e-5
"""The largest difference that a file may have from the model it was made of: of a score above 1 relative to it."""

_SEED: Final = 20260101
_MOST_BOOSTED_ROWS: Final = 120_000
"""Above this many rows trees grow on every n-th of them (rows are sorted by their features, so that is a fair draw)."""
_PROBABILITY_TREES: Final = {"max_iter": 60, "learning_rate": 0.15, "max_leaf_nodes": 16, "min_samples_leaf": 100}
_VALUE_TREES: Final = {"max_iter": 60, "learning_rate": 0.12, "max_leaf_nodes": 4, "min_samples_leaf": 40}
_TREES: Final = {"early_stopping": False, "max_bins": 64, "random_state": _SEED}


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A model in memory.

    Attributes:
        encoding: how raw columns become its input.
        estimator: fitted estimator of scikit-learn, on the encoded matrix.
    """

    encoding: Encoding
    estimator: BaseEstimator

    def outputs(self, matrix: Numbers) -> Numbers:
        """The model's output for each row of an encoded matrix: a probability, or the bare regression value."""
        seen = _as_in_file(matrix)
        if not len(seen):
            return np.empty(0)
        with threadpool_limits(limits=1):
            if hasattr(self.estimator, "predict_proba"):
                probabilities: Numbers = self.estimator.predict_proba(seen)[:, 1]
                return probabilities
            values: Numbers = self.estimator.predict(seen)
            return values

    def scores(self, table: pa.Table) -> Numbers:
        """The score of each raw row, as :meth:`mlops_assets.scoring.scorer.Scorer.score` gives it from the file."""
        return encoders.score(self.encoding, table, self.outputs(encoders.matrix(self.encoding, table)))


def fit_probability(encoding: Encoding, rows: pa.Table, happened: Numbers, trials: Numbers, *, boosted: bool) -> Fitted:
    """Logistic regression, or boosted trees, on rows that stand for several trials each.

    Args:
        encoding: how the rows become features.
        rows: one row per distinct combination of raw values; the order matters for the last bits, so sort them.
        happened: for each row, in how many trials the event happened.
        trials: for each row, how many trials it stands for.
        boosted: whether to grow trees instead.

    Raises:
        TrainingError: the event happened always or never.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import Pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    if not 0 < happened.sum() < trials.sum():
        raise TrainingError(
            source="Training rows",
            culprit=f"the event happened in {int(happened.sum())} of {int(trials.sum())} cases.",
            remedy="Train on rows of both outcomes; is a label missing?",
        )
    if boosted and len(happened) > _MOST_BOOSTED_ROWS:
        drawn = np.linspace(0, len(happened) - 1, _MOST_BOOSTED_ROWS).astype(np.int64)
        rows, happened, trials = rows.take(drawn), happened[drawn], trials[drawn]
    matrix = encoders.matrix(encoding, rows)
    missed = trials - happened
    # Most cells of a large electorate hold one person, so of twice as many rows only those with weight are made.
    some_missed, some_happened = missed > 0, happened > 0
    both = np.concatenate([matrix[some_missed], matrix[some_happened]])
    del matrix
    weights = np.concatenate([missed[some_missed], happened[some_happened]])
    labels = np.concatenate([np.zeros(some_missed.sum(), dtype=np.int64), np.ones(some_happened.sum(), dtype=np.int64)])
    with threadpool_limits(limits=1):
        if boosted:
            trees = HistGradientBoostingClassifier(**_TREES, **_PROBABILITY_TREES)
            trees.fit(_as_in_file(both), labels, sample_weight=weights)
            _round_thresholds_down(trees)
            return Fitted(encoding=encoding, estimator=trees)
        model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-8, max_iter=100)
        pipeline = Pipeline([("scale", StandardScaler()), ("model", model)])
        pipeline.fit(both, labels, scale__sample_weight=weights, model__sample_weight=weights)
    return Fitted(encoding=encoding, estimator=pipeline)


def fit_value(encoding: Encoding, rows: pa.Table, target: Numbers, *, boosted: bool, penalty: float = 30.0) -> Fitted:
    """Ridge regression, or boosted trees, of a target; sort the rows, their order matters for the last bits.

    Args:
        encoding: how the rows become features.
        rows: raw rows.
        target: one number per row.
        boosted: whether to grow trees instead.
        penalty: penalty of the ridge regression on standardised features.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415
    from sklearn.linear_model import Ridge  # noqa: PLC0415
    from sklearn.pipeline import Pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    matrix = encoders.matrix(encoding, rows)
    with threadpool_limits(limits=1):
        if boosted:
            trees = HistGradientBoostingRegressor(**_TREES, **_VALUE_TREES).fit(_as_in_file(matrix), target)
            _round_thresholds_down(trees)
            return Fitted(encoding=encoding, estimator=trees)
        ridge = Ridge(alpha=penalty, solver="cholesky")
        pipeline = Pipeline([("scale", StandardScaler()), ("model", ridge)]).fit(matrix, target)
    return Fitted(encoding=encoding, estimator=pipeline)


def no_change(encoding: Encoding) -> Fitted:
    """The model whose output is always 0, so that its score is the anchor itself: nothing changes since then."""
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415

    width = len(encoding.feature_names)
    model = LinearRegression().fit(np.zeros((1, width)), np.zeros(1))
    return Fitted(encoding=encoding, estimator=model)


def _as_in_file(matrix: Numbers) -> Numbers:
    """The numbers as the file sees them: rounded to float32."""
    return matrix.astype(np.float32).astype(np.float64)


def _round_thresholds_down(trees: HistGradientBoostingClassifier | HistGradientBoostingRegressor) -> None:
    """Round each threshold to the greatest number of the file that is not above it; no decision changes by that."""
    for step in trees._predictors:  # noqa: SLF001  nothing public gives the nodes
        for tree in step:
            thresholds = tree.nodes["num_threshold"]
            single = thresholds.astype(np.float32)
            above = single.astype(np.float64) > thresholds
            single[above] = np.nextafter(single[above], np.float32(-np.inf))
            tree.nodes["num_threshold"] = single


def model_record(
    name: str, fitted: Fitted, rows: pa.Table, parameters: Mapping[str, Any], *, weights: Numbers | None = None
) -> ModelRecord:
    """The fitted model as a file with its unsigned record, verified on rows.

    Args:
        name: name of the model.
        fitted: the model.
        rows: raw rows on which file and model must agree.
        parameters: what prediction needs beside the file; the distribution of the rows' scores is added.
        weights: for each row how much it counts there; equally when not given.

    Raises:
        TrainingError: file and model differ by more than :data:`MOST_DIFFERENCE` on some row.
    """
    file, expected = model_file(fitted), fitted.scores(rows)
    record = ModelRecord(
        name=name,
        version=file_version(file),
        onnx=file,
        inputs=fitted.encoding.inputs,
        parameters={**parameters, TRAINING_SCORES: distribution(expected, weights)},
    )
    relative = np.abs(load_unsigned(record).score(rows) - expected) / np.maximum(np.abs(expected), 1.0)
    difference = float(np.max(relative, initial=0.0))
    if difference > MOST_DIFFERENCE:
        raise TrainingError(
            source=f"Model {name}",
            culprit=f"its file differs from the trained model by up to {difference:.2g}, more than {MOST_DIFFERENCE}.",
            remedy="Look for features of very different size; the file computes in float32.",
        )
    return record
