"""Measures of how far predictions lie from outcomes.

Put here measures as functions of arrays. Keep out which predictions and which outcomes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

SUREST: Final = 0.99
"""Certainty at which the log loss of a 0/1 guess is counted; at certainty itself one miss would be infinite."""

_BINS: Final = 10


def probability_metrics(
    probabilities: Numbers, happened: Numbers, trials: Numbers, *, with_auc: bool = True
) -> dict[str, float]:
    """Log loss, Brier score, AUC and calibration error of probabilities of an event.

    Args:
        probabilities: one for each row, 0 to 1.
        happened: for each row, in how many trials the event happened.
        trials: for each row, how many trials it stands for.
        with_auc: whether to rank all rows too, which takes most of the time.

    Returns:
        ``log_loss`` (nats, probabilities limited to 0.01 to 0.99), ``brier`` (mean squared error), ``expected_brier``
        (the Brier score of probabilities that are right: what can be known of it before the outcome),
        ``calibration_error`` (mean distance between mean probability and share of events in 10 equally wide bins,
        weighted by trials) and, where both outcomes occur, ``auc``.
    """
    total = trials.sum()
    missed = trials - happened
    limited = np.clip(probabilities, 1.0 - SUREST, SUREST)
    gaps = np.bincount(_bins(probabilities), weights=probabilities * trials - happened, minlength=_BINS)
    metrics = {
        "log_loss": float(-(happened @ np.log(limited) + missed @ np.log(1.0 - limited)) / total),
        "brier": float((happened @ np.square(1.0 - probabilities) + missed @ np.square(probabilities)) / total),
        "expected_brier": float(trials @ (probabilities * (1.0 - probabilities)) / total),
        "calibration_error": float(np.abs(gaps).sum() / total),
    }
    if with_auc and 0 < happened.sum() < total:
        from sklearn.metrics import roc_auc_score  # noqa: PLC0415  as in fitting, imported where it is needed

        metrics["auc"] = float(
            roc_auc_score(
                np.repeat([0, 1], len(probabilities)),
                np.tile(probabilities, 2),
                sample_weight=np.concatenate([missed, happened]),
            )
        )
    return metrics


def reliability(probabilities: Numbers, happened: Numbers, trials: Numbers) -> dict[float, tuple[float, float, int]]:
    """What a reliability diagram shows (Murphy and Winkler, Applied Statistics 26 (1977)).

    Args:
        probabilities: one for each row, 0 to 1.
        happened: for each row, in how many trials the event happened.
        trials: for each row, how many trials it stands for.

    Returns:
        For each of 10 equally wide bins with trials, by its lower end: mean probability, share of events, trials.
    """
    bins = _bins(probabilities)
    sums = [np.bincount(bins, weights=w, minlength=_BINS) for w in (probabilities * trials, happened, trials)]
    return {
        place / _BINS: (float(expected / count), float(found / count), int(count))
        for place, (expected, found, count) in enumerate(zip(*sums, strict=True))
        if count
    }


def _bins(probabilities: Numbers) -> npt.NDArray[np.int64]:
    return np.minimum((probabilities * _BINS).astype(np.int64), _BINS - 1)


def share_metrics(predicted: Numbers, observed: Numbers) -> dict[str, float]:
    """Mean absolute and root mean squared error of predicted shares."""
    errors = predicted - observed
    return {
        "mean_absolute_error": float(np.mean(np.abs(errors))),
        "root_mean_squared_error": float(np.sqrt(np.mean(np.square(errors)))),
    }


def count_metrics(predicted: Numbers, observed: Numbers) -> dict[str, float]:
    """Mean and median absolute percentage error, and root mean squared error of the natural logarithm, of counts."""
    relative = np.abs(predicted / observed - 1.0)
    return {
        "mean_absolute_percentage_error": 100.0 * float(np.mean(relative)),
        "median_absolute_percentage_error": 100.0 * float(np.median(relative)),
        "root_mean_squared_log_error": float(np.sqrt(np.mean(np.square(np.log(predicted / observed))))),
    }
