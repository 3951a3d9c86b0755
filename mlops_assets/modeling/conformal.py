"""Intervals from errors that a method made on elections it had not seen.

Put here the step from past errors to the width of an interval. Keep out where the errors come from.

Districts of one election share that election's swing, so their errors are not exchangeable, but those of whole
elections are much more nearly so. With more than twelve elections the width is the conformal quantile of the pooled
distribution in which each election has the same weight (Dunn, Wasserman, Ramdas, "Distribution-Free Prediction Sets for
Two-Layer Hierarchical Models", JASA 118 (2023), CDF pooling): if elections are exchangeable, a district of the next one
is held with at least the promised probability. With fewer that quantile is the largest error ever made or does not
exist, and the width comes from a one-way random-effects model, an election's swing plus a district's own error, with
Student's t and Satterthwaite's degrees of freedom (Biometrics Bulletin 2 (1946)). What either reaches is measured out
of time.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mlops_assets.modeling.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

COVERAGE: Final = 0.9
"""Share of districts whose outcome an interval is meant to hold."""

DECIMALS: Final = 6
"""Widths are rounded to as many places as tables of evaluations keep."""


_MOST_POOLED: Final = 0.975
"""From this level on the pooled quantile is one of the largest errors: e to the 1.6 on votes of nine elections."""

_LAST_BITS: Final = 1e-12
"""What a sum or a product of levels may be off."""


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


def half_width(errors: Sequence[Numbers], *, coverage: float = COVERAGE) -> float:
    """The half width that should hold that share of the districts of an election like the past ones.

    Args:
        errors: for each past election, the errors of its districts (outcome minus prediction, in any unit).
        coverage: share to hold, above 0 and below 1.

    Returns:
        A width in the unit of the errors, rounded up to :data:`DECIMALS` places.

    Raises:
        TrainingError: there are no errors.
    """
    known = [each for each in errors if len(each)]
    if not known:
        raise TrainingError(
            source="Interval of a prediction",
            culprit="there are no errors of the past to take it from.",
            remedy="Publish features and results of at least one earlier election.",
        )
    # Two elections that promise 90 % of a third would have to hold more than all of their own districts.
    level = coverage * (len(known) + 1) / len(known)
    width = _pooled_quantile(known, level) if level < _MOST_POOLED - _LAST_BITS else _of_random_effects(known, coverage)
    return math.ceil(width * 10**DECIMALS) / 10**DECIMALS


def interval(errors: Mapping[str, Numbers], evidence: str) -> Interval:
    """The interval that the errors of those elections give; see :func:`half_width`."""
    return Interval(
        coverage=COVERAGE,
        half_width=half_width(list(errors.values())),
        evidence=evidence,
        tested_on=tuple(sorted(errors)),
        errors=sum(len(each) for each in errors.values()),
    )


def _pooled_quantile(errors: Sequence[Numbers], level: float) -> float:
    """The least width that holds that share of all errors, each election counting alike."""
    sizes = np.abs(np.concatenate(errors))
    weights = np.concatenate([np.full(len(each), 1.0 / (len(each) * len(errors))) for each in errors])
    order = np.argsort(sizes, kind="stable")
    # The last bits of the sum of weights must not push a level of exactly 1 beyond the largest error.
    reached = np.minimum(np.searchsorted(np.cumsum(weights[order]), level - _LAST_BITS), len(sizes) - 1)
    return float(sizes[order][reached])


def _of_random_effects(errors: Sequence[Numbers], coverage: float) -> float:
    """Student's t times the standard error of one district of one more election."""
    # As in fitting, imported where it is needed.
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # noqa: PLC0415  scipy publishes no types

    elections, districts = len(errors), sum(len(each) for each in errors)
    # A swing that leans one way in every election is an error too, so it is not centred.
    swing = float(np.mean([np.mean(each) ** 2 for each in errors])) * (1.0 + 1.0 / elections)
    own = float(sum(np.sum(np.square(each - np.mean(each))) for each in errors)) / districts
    total = swing + own
    if total == 0.0:
        return 0.0
    part = swing / total
    freedom = 1.0 / (part**2 / elections + (1.0 - part) ** 2 / max(districts - elections, 1))
    return float(stdtrit(freedom, (1.0 + coverage) / 2.0)) * math.sqrt(total)
