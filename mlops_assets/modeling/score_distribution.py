"""The distribution of a model's scores: as training leaves it in the model's record, and how far others are from it.

Put here what is kept of scores, and the index that compares. Keep out which scores they are.

The population stability index compares shares of scores in the tenths of the training's scores: the sum of
(a - e) ln(a / e) (N. Siddiqi, Credit Risk Scorecards, 2006; it is Kullback and Leibler's divergence of both ways).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

TRAINING_SCORES: Final = "training_scores"
"""The parameter of a model's record with the distribution of its scores in training."""
_TENTHS: Final = np.arange(1, 10) / 10
_SMALLEST_SHARE: Final = 1e-4
_DIGITS: Final = 9


def distribution(scores: Numbers, weights: Numbers | None = None) -> dict[str, list[float]]:
    """What is kept of scores: the ends of their tenths, of equal ones once, and the shares between them.

    Args:
        scores: at least one.
        weights: for each how much it counts; equally when not given.

    Returns:
        ``edges``, rising, and ``shares``, one more than edges: below the first, ..., from the last on.
    """
    weighed = np.ones(len(scores)) if weights is None else weights
    found = np.quantile(scores, _TENTHS, method="inverted_cdf", weights=weighed)
    # Rounded, so that the last bits of a machine's arithmetic are in no record.
    edges = np.unique([float(f"{edge:.{_DIGITS}g}") for edge in found])
    shares = _shares(scores, edges, weighed)
    return {"edges": edges.tolist(), "shares": [round(share, _DIGITS) for share in shares.tolist()]}


def stability_index(expected: Mapping[str, Any], scores: Numbers) -> float:
    """The population stability index of scores against a :func:`distribution`: 0 where all shares are as there."""
    edges = np.asarray(expected["edges"], dtype=np.float64)
    before = np.maximum(np.asarray(expected["shares"], dtype=np.float64), _SMALLEST_SHARE)
    now = np.maximum(_shares(scores, edges, np.ones(len(scores))), _SMALLEST_SHARE)
    return float(np.sum((now - before) * np.log(now / before)))


def _shares(scores: Numbers, edges: Numbers, weights: Numbers) -> Numbers:
    places = np.searchsorted(edges, scores, side="right")
    counted = np.bincount(places, weights=weights, minlength=len(edges) + 1)
    return counted / counted.sum()  # type: ignore[no-any-return]  # numpy's types lose it
