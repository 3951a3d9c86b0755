"""How far apart two distributions are, for many pairs at once: measures of size, and tests of chance.

Put here statistics of counts in cells and on a grid. Keep out where the counts come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import special  # type: ignore[import-untyped]  # SciPy ships no types

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

LEAST_EXPECTED: Final = 5.0
"""Cells in which fewer rows than this are expected are put together for the chi-square test (Cochran, 1954)."""

EMPTY: Final = 0.5
"""Rows that an empty cell counts as in the population stability index, which otherwise were infinite."""


@dataclass(frozen=True, kw_only=True)
class Divergences:
    """Statistics of counts in cells, each of one value per pair; NaN where one side has no rows.

    Attributes:
        psi: population stability index, the sum of (q - p) ln(q / p); empty cells count as half a row.
        jensen_shannon: Jensen-Shannon distance to base 2, from 0 to 1 (the root of the divergence).
        chi_square: Pearson's statistic of homogeneity, without a correction.
        degrees_of_freedom: of it.
        cramers_v: the root of chi-square over rows, from 0 to 1.
        p_value: of chi-square.
    """

    psi: Floats
    jensen_shannon: Floats
    chi_square: Floats
    degrees_of_freedom: Floats
    cramers_v: Floats
    p_value: Floats


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Statistics of counts on a grid of numbers, each of one value per pair; NaN where one side has no numbers.

    Attributes:
        ks: Kolmogorov-Smirnov statistic at the edges of bins; on raw values it is from this to ``ks + ks_bound``.
        ks_bound: how much the raw statistic may exceed it.
        ks_p_value: by the limiting distribution with Stephens' correction (1970); on bins it is not too small.
        wasserstein: Wasserstein distance with all numbers at the middle of their bins, in the unit of the numbers.
        wasserstein_bound: how far on either side of it that of the raw values may lie.
        mean_before: mean with all numbers at the middle of their bins.
        mean_after: likewise.
        deviation_before: standard deviation of the numbers before.
    """

    ks: Floats
    ks_bound: Floats
    ks_p_value: Floats
    wasserstein: Floats
    wasserstein_bound: Floats
    mean_before: Floats
    mean_after: Floats
    deviation_before: Floats


def divergences(before: Codes, after: Codes) -> Divergences:
    """Compare counts in cells.

    Args:
        before: pairs (rows) by cells (columns).
        after: likewise.
    """
    rows_before, rows_after = before.sum(axis=1), after.sum(axis=1)
    known = (rows_before > 0) & (rows_after > 0)
    m, n = np.maximum(rows_before, 1)[:, None], np.maximum(rows_after, 1)[:, None]
    p, q = before / m, after / n
    used = (before > 0) | (after > 0)
    floored_p, floored_q = np.maximum(before, EMPTY) / m, np.maximum(after, EMPTY) / n
    psi = np.where(used, (floored_q - floored_p) * np.log(floored_q / floored_p), 0.0).sum(axis=1)
    middle = (p + q) / 2
    relative = special.rel_entr(p, middle) + special.rel_entr(q, middle)
    jensen_shannon = np.sqrt(np.maximum(relative.sum(axis=1), 0.0) / (2 * np.log(2)))
    chi_square, freedom = _chi_square(before, after, m, n)
    return Divergences(
        psi=_where(known, psi),
        jensen_shannon=_where(known, jensen_shannon),
        chi_square=_where(known, chi_square),
        degrees_of_freedom=_where(known, freedom),
        cramers_v=_where(known, np.sqrt(chi_square / (m + n)[:, 0])),
        p_value=_where(known, np.where(freedom > 0, special.chdtrc(np.maximum(freedom, 1), chi_square), 1.0)),
    )


@dataclass(frozen=True, kw_only=True)
class Laid:
    """Distributions of numbers on one grid.

    Attributes:
        counts: sides (rows) by bins (columns, ascending).
        low: smallest number of each bin.
        high: largest number of each bin.
        rows: numbers of each side.
        shares: of them in each bin.
        below: share of them in each bin and those before.
    """

    counts: Codes
    low: Floats
    high: Floats
    rows: Codes
    shares: Floats
    below: Floats

    @classmethod
    def on(cls, counts: Codes, low: Floats, high: Floats) -> Laid:
        """Lay counts on a grid."""
        rows = counts.sum(axis=1)
        least = np.maximum(rows, 1)[:, None]
        below = np.cumsum(counts, axis=1) / least
        return cls(counts=counts, low=low, high=high, rows=rows, shares=counts / least, below=below)


def distances(laid: Laid, before: Codes, after: Codes) -> Distances:
    """Compare counts on a grid.

    Args:
        laid: all sides.
        before: which side is the earlier one, of each pair.
        after: which is the later one, likewise.
    """
    wide = laid.low < laid.high
    middle = np.where(wide, laid.low / 2 + laid.high / 2, laid.low)
    half = np.where(wide, laid.high / 2 - laid.low / 2, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, blur = laid.shares @ middle, laid.shares @ half
        # From near the mean, lest the squares of large numbers cancel.
        origin = mean[np.flatnonzero(laid.rows)[:1]].sum()
        spread = np.maximum(laid.shares @ (middle - origin) ** 2 - (mean - origin) ** 2, 0.0)
        apart = laid.below[before] - laid.below[after]
        wasserstein = np.abs(apart[:, :-1]) @ np.diff(middle)
    ks = np.maximum(apart.max(axis=1, initial=0.0), -apart.min(axis=1, initial=0.0))
    # Within a bin of several numbers all of one side's may lie below all of the other's.
    shares = np.where(wide, laid.shares, 0.0)
    inside = np.maximum(
        (apart + shares[after]).max(axis=1, initial=0.0), (shares[before] - apart).max(axis=1, initial=0.0)
    )
    m, n = np.maximum(laid.rows[before], 1), np.maximum(laid.rows[after], 1)
    effective = np.sqrt(m / (m + n) * n)
    some = laid.rows > 0
    known = some[before] & some[after]
    return Distances(
        ks=_where(known, ks),
        ks_bound=_where(known, np.maximum(inside - ks, 0.0)),
        ks_p_value=_where(known, special.kolmogorov((effective + 0.12 + 0.11 / effective) * ks)),
        wasserstein=_where(known, wasserstein),
        wasserstein_bound=_where(known, blur[before] + blur[after]),
        mean_before=_where(some[before], mean[before]),
        mean_after=_where(some[after], mean[after]),
        deviation_before=_where(some[before], np.sqrt(spread[before])),
    )


def _where(known: NDArray[np.bool_], values: Floats) -> Floats:
    return np.where(known, values, np.nan)


def _chi_square(before: Codes, after: Codes, m: Codes, n: Codes) -> tuple[Floats, Floats]:
    both = before + after
    rare = both / (m + n) * np.minimum(m, n) < LEAST_EXPECTED
    own, other = (
        np.concatenate([np.where(rare, 0, side), np.where(rare, side, 0).sum(axis=1, keepdims=True)], axis=1)
        for side in (before, after)
    )
    used = own + other > 0
    share = np.where(used, (own + other) / (m + n), 1.0)
    terms = (own - m * share) ** 2 / (m * share) + (other - n * share) ** 2 / (n * share)
    return np.where(used, terms, 0.0).sum(axis=1), np.maximum(used.sum(axis=1) - 1.0, 0.0)
