"""Intervals from errors that a method made on elections it had not seen.

Put here the step from past errors to the width of an interval. Keep out where the errors come from.

Source: split conformal prediction, Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, "Distribution-Free Predictive Inference
for Regression", JASA 113 (2018). Its promise needs exchangeable errors; districts of one election share that election's
swing, so the coverage reached is measured out of time and not taken for granted.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlops_assets.modeling.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

COVERAGE: Final = 0.9
"""Share of districts whose outcome an interval is meant to hold."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The half width of an interval and what it rests on.

    Attributes:
        coverage: share of districts whose outcome it is meant to hold.
        half_width: distance of either end from the value, in the unit of the errors.
        evidence: which errors it rests on, in words.
        tested_on: the elections of those errors.
        errors: how many there were.
    """

    coverage: float
    half_width: float
    evidence: str
    tested_on: tuple[str, ...]
    errors: int

    def as_parameters(self) -> dict[str, Any]:
        """The interval as part of a model's parameters (JSON)."""
        return {**asdict(self), "tested_on": list(self.tested_on)}


def half_width(errors: npt.NDArray[np.float64], *, coverage: float = COVERAGE) -> float:
    """The half width that would have held the share ``coverage`` of those errors, with the correction for their number.

    Where there are too few for a quantile (fewer than 9 at 90 %), Student's t with their root mean square instead.

    Args:
        errors: outcome minus prediction, at least one.
        coverage: share to hold, 0 to 1.

    Returns:
        A width in the unit of the errors, rounded to 9 decimals.

    Raises:
        TrainingError: there are no errors.
    """
    count = len(errors)
    if not count:
        raise TrainingError(
            source="Interval of a prediction",
            culprit="there are no errors of the past to take it from.",
            remedy="Publish features and results of at least one earlier election.",
        )
    rank = math.ceil((count + 1) * coverage)
    if rank <= count:
        return round(float(np.sort(np.abs(errors))[rank - 1]), 9)
    # As in fitting, imported where it is needed.
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # noqa: PLC0415  scipy publishes no types

    quantile = float(stdtrit(count, (1.0 + coverage) / 2.0))
    return round(quantile * math.sqrt(float(np.mean(np.square(errors)))), 9)


def interval(errors: npt.NDArray[np.float64], evidence: str, tested_on: Sequence[str]) -> Interval:
    """The interval that those errors give; see :func:`half_width`."""
    return Interval(
        coverage=COVERAGE,
        half_width=half_width(errors),
        evidence=evidence,
        tested_on=tuple(tested_on),
        errors=len(errors),
    )
