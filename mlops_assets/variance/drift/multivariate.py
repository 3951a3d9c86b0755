"""Drift of all columns together: can a classifier tell rows of one partition from those of the other?

Put here that test. Keep out the comparison of single columns.

Where the partitions are alike, no classifier can do better than by chance: an area under its ROC curve (AUC) of 0.5
(classifier two-sample test: Lopez-Paz and Oquab, 2017). It sees columns that changed in their relation alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from scipy import special, stats  # type: ignore[import-untyped]  # SciPy ships no types
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops_assets.variance.drift.samples import Sample

    Floats = NDArray[np.float64]

FOLDS: Final = 5
LEAST_ROWS: Final = 50
"""Rows of each partition below which nothing is concluded."""

_MOST_CATEGORIES: Final = 200
_ROUNDS: Final = 20
_BEYOND: Final = 1e300


@dataclass(frozen=True, kw_only=True)
class Separability:
    """How well rows of two partitions can be told apart.

    Attributes:
        auc: mean over folds of the area under the ROC curve on rows that the classifier was not shown.
        error: its standard error (DeLong et al., 1988).
        p_value: of an area as large where the partitions are alike, one-sided.
        rows: rows of both samples.
    """

    auc: float
    error: float
    p_value: float
    rows: int


def separability(before: Sample, after: Sample) -> Separability | str:
    """Tell rows of two partitions apart by gradient-boosted trees on the columns that both have, cross-validated.

    Args:
        before: rows of the earlier partition; neither sample may hold rows of the other's.
        after: rows of the later one.

    Returns:
        How well that can be done, or in words why it cannot be said.
    """
    names = [name for name in before.columns if name in after.columns and _same_kind(before, after, name)]
    if min(len(before), len(after)) < LEAST_ROWS:
        return f"Samples of {len(before)} and {len(after)} rows are too small to compare all columns together."
    if not names:
        return "The samples have no column of the same kind in common."
    # Half of a second to import, which those who compare single columns need not wait for.
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415
    from sklearn.model_selection import StratifiedKFold  # noqa: PLC0415

    columns = [_encoded(before.columns[name], after.columns[name]) for name in names]
    features = np.column_stack([values for values, _ in columns])
    later = np.repeat([0, 1], [len(before), len(after)])
    areas, variances = [], []
    for shown, kept in StratifiedKFold(n_splits=FOLDS, shuffle=True, random_state=0).split(features, later):
        classifier = HistGradientBoostingClassifier(
            categorical_features=np.array([categorical for _, categorical in columns]),
            max_iter=_ROUNDS,
            learning_rate=0.2,
            max_leaf_nodes=8,
            early_stopping=False,
            random_state=0,
        )
        # On few rows, threads of a busy machine wait for one another: 12 s instead of 0.7 were seen.
        with threadpool_limits(limits=1):
            scores = classifier.fit(features[shown], later[shown]).predict_proba(features[kept])[:, 1]
        area, variance = auc_and_variance(scores[later[kept] == 1], scores[later[kept] == 0])
        areas.append(area)
        variances.append(variance)
    auc, error = float(np.mean(areas)), float(np.sqrt(np.sum(variances)) / FOLDS)
    chance = float(special.ndtr(-(auc - 0.5) / error)) if error > 0 else float(auc <= 0.5)  # noqa: PLR2004  by chance
    return Separability(auc=auc, error=error, p_value=chance, rows=len(later))


def auc_and_variance(higher: Floats, lower: Floats) -> tuple[float, float]:
    """The area under the ROC curve, and the variance of it after DeLong et al. (1988).

    Args:
        higher: scores of those that should score higher.
        lower: scores of the others.
    """
    ranks = stats.rankdata(np.concatenate([higher, lower]))
    above = (ranks[: len(higher)] - stats.rankdata(higher)) / len(lower)
    below = 1 - (ranks[len(higher) :] - stats.rankdata(lower)) / len(higher)
    variance = above.var(ddof=1) / len(higher) + below.var(ddof=1) / len(lower)
    return float(above.mean()), float(variance)


def _same_kind(before: Sample, after: Sample, name: str) -> bool:
    one, other = before.columns[name], after.columns[name]
    return bool(one.type == other.type or one.null_count == len(one) or other.null_count == len(other))


def _encoded(before: pa.Array, after: pa.Array) -> tuple[Floats, bool]:
    """Values of both samples as numbers, missing ones NaN, and whether the numbers stand for categories."""
    kind: Any = after.type if before.null_count == len(before) else before.type
    values = pa.concat_arrays([before.cast(kind), after.cast(kind)])
    if pa.types.is_floating(kind):
        return np.clip(values.to_numpy(zero_copy_only=False), -_BEYOND, _BEYOND), False
    coded = values.dictionary_encode().indices
    codes = coded.to_numpy(zero_copy_only=False).astype(np.float64)
    known = np.isfinite(codes)
    counts = np.bincount(codes[known].astype(np.int64))
    # The most frequent categories keep a number of their own, all others share one.
    rank = np.empty(len(counts))
    rank[np.argsort(-counts, kind="stable")] = np.minimum(np.arange(len(counts)), _MOST_CATEGORIES)
    codes[known] = rank[codes[known].astype(np.int64)]
    return codes, True
