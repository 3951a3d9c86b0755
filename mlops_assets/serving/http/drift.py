"""Drift: how far outputs of online scoring have moved from the predictions that were published.

Put here the comparison of two distributions. Keep out where the outputs are counted.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BINS: Final = 10
_FEWEST: Final = 100
"""Below this many values on a side the index says more about chance than about drift."""
_SMOOTHING: Final = 0.5
"""Counted into each bin of both sides, so that an empty bin does not make the index infinite."""


@dataclass(frozen=True)
class Reference:
    """The distribution of a model's published predictions.

    Attributes:
        model: name of the model.
        version: its version.
        edges: the values between the bins, ascending; at most ``BINS - 1``.
        counts: predictions in each bin, one more than edges.
    """

    model: str
    version: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]


def reference_of(model: str, version: str, values: Sequence[float]) -> Reference | None:
    """The distribution of those predictions in tenths; ``None`` when there are too few to compare with."""
    if len(values) < _FEWEST:
        return None
    ordered = sorted(values)
    # Equal quantiles, as of a constant, would make bins that nothing can fall into.
    edges = tuple(sorted({ordered[len(ordered) * tenth // BINS] for tenth in range(1, BINS)}))
    counts = [0] * (len(edges) + 1)
    for value in ordered:
        counts[bisect_right(edges, value)] += 1
    return Reference(model, version, edges, tuple(counts))


def bin_of(reference: Reference, value: float) -> int:
    """The bin of the reference that the value falls into."""
    return bisect_right(reference.edges, value)


def population_stability_index(reference: Reference, counts: Mapping[int, float]) -> float | None:
    """The population stability index of counted values against the reference (Siddiqi, Credit Risk Scorecards, 2006).

    Zero for equal shares; by the usual rule of thumb below 0.1 no change, above 0.25 a large one.

    Args:
        reference: the published distribution.
        counts: values in each of its bins; an absent bin counts as empty.

    Returns:
        The index; ``None`` for fewer than a hundred values.
    """
    total = sum(counts.values())
    if total < _FEWEST:
        return None
    bins = len(reference.counts)
    published = sum(reference.counts) + _SMOOTHING * bins
    index = 0.0
    for number, expected_count in enumerate(reference.counts):
        expected = (expected_count + _SMOOTHING) / published
        actual = (counts.get(number, 0.0) + _SMOOTHING) / (total + _SMOOTHING * bins)
        index += (actual - expected) * math.log(actual / expected)
    return index
