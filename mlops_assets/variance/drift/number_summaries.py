"""Summaries of a column of numbers: how many lie in each bin of a grid that every summary shares.

Put here the grid, and how summaries are made, coarsened and merged. Keep out what is concluded from two of them.

The grid is the order of floating-point numbers itself: at level 0 a bin is one number, at level s it is 2^s neighbours,
so that bins of one level nest in those of the next, and a bin in an octave of values is 2^(s-52) of it wide. A summary
has the finest level at which at most `MOST_BINS` bins are occupied. That level depends on the numbers alone, not on
their order or on how they came in parts, hence merging is exact, associative and commutative (compare the uniform
collapse of UDDSketch: Epicoco et al., 2020), and counts at the edges of bins are counts of the raw numbers.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

MOST_BINS: Final = 2048
"""Occupied bins that a summary keeps at most."""

_BITS: Final = 64
_ALL_BUT_SIGN: Final = np.int64(0x7FFF_FFFF_FFFF_FFFF)
_LARGEST: Final = np.finfo(np.float64).max
# Numbers at the front from which the level is guessed; a part's level is never finer than the whole's.
_FRONT: Final = 1 << 13
_SPARSE: Final = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """A column of numbers in one partition.

    Attributes:
        level: of the grid; a bin holds 2^level neighbouring floating-point numbers.
        bins: numbers of the occupied bins, ascending.
        counts: rows in each of them.
        least: smallest finite number; NaN where there is none.
        greatest: largest finite number, likewise.
        below: rows of negative infinity.
        above: rows of positive infinity.
        nan: rows that are not a number.
        null: rows without a value.
    """

    level: int
    bins: Codes
    counts: Codes
    least: float
    greatest: float
    below: int = 0
    above: int = 0
    nan: int = 0
    null: int = 0

    @property
    def finite(self) -> int:
        """Rows in bins."""
        return int(self.counts.sum())

    @property
    def missing(self) -> int:
        """Rows that are no number at all, not even an infinite one."""
        return self.null + self.nan

    @property
    def rows(self) -> int:
        """All rows."""
        return self.finite + self.below + self.above + self.nan + self.null

    def at_level(self, level: int) -> Numbers:
        """The same on a coarser level of the grid; itself on a finer one."""
        if level <= self.level:
            return self
        bins, counts = _summed(self.bins >> (level - self.level), self.counts)
        return replace(self, level=level, bins=bins, counts=counts)


def numbers_of(values: Floats, *, nulls: int = 0, level: int = 0) -> Numbers:
    """Summarise numbers.

    Args:
        values: the numbers, without those that are NULL; infinities and NaN are counted apart.
        nulls: rows without a value.
        level: the level of a summary that these will be merged with, which saves counting on a finer one.
    """
    finite = np.isfinite(values)
    odd = values[:0]
    if not finite.all():
        odd, values = values[~finite], values[finite]
    places = order_of(values)
    start = level if len(values) <= _FRONT else max(level, _level_for(np.unique(places[:_FRONT] >> level), level))
    bins, counts = _counted(places >> start)
    found = Numbers(
        level=start,
        bins=bins,
        counts=counts,
        least=float(values.min()) + 0.0 if len(values) else float("nan"),
        greatest=float(values.max()) + 0.0 if len(values) else float("nan"),
        below=int((odd == -np.inf).sum()),
        above=int((odd == np.inf).sum()),
        nan=int(np.isnan(odd).sum()),
        null=nulls,
    )
    return found.at_level(_level_for(bins, start))


def merge_numbers(one: Numbers, other: Numbers) -> Numbers:
    """The summary of both columns' rows together, exactly as if they had been summarised at once."""
    level = max(one.level, other.level)
    one, other = one.at_level(level), other.at_level(level)
    bins, counts = _summed(np.concatenate([one.bins, other.bins]), np.concatenate([one.counts, other.counts]))
    found = Numbers(
        level=level,
        bins=bins,
        counts=counts,
        least=float(np.fmin(one.least, other.least)),
        greatest=float(np.fmax(one.greatest, other.greatest)),
        below=one.below + other.below,
        above=one.above + other.above,
        nan=one.nan + other.nan,
        null=one.null + other.null,
    )
    return found.at_level(_level_for(bins, level))


def order_of(values: Floats) -> Codes:
    """The place of each finite number in the order of all of them; both zeros share one."""
    bits = (values + 0.0).view(np.int64)
    return bits ^ ((bits >> (_BITS - 1)) & _ALL_BUT_SIGN)


def edges_of(bins: Codes, level: int) -> tuple[Floats, Floats]:
    """The smallest and the largest number of each bin."""
    low = bins << level
    high = low | np.int64((1 << level) - 1)
    return np.clip(_number_at(low), -_LARGEST, _LARGEST), np.clip(_number_at(high), -_LARGEST, _LARGEST)


def _number_at(places: Codes) -> Floats:
    numbers = (places ^ ((places >> (_BITS - 1)) & _ALL_BUT_SIGN)).view(np.float64)
    # Beyond the largest number lie the patterns of NaN.
    return np.where(np.isnan(numbers), np.where(places < 0, -_LARGEST, _LARGEST), numbers) + 0.0


def _level_for(bins: Codes, level: int) -> int:
    """The finest level, from that of these ascending bins on, with few enough of them."""
    if len(bins) <= MOST_BINS:
        return level

    def few(shift: int) -> bool:
        shifted = bins >> shift
        return 1 + int(np.count_nonzero(shifted[1:] != shifted[:-1])) <= MOST_BINS

    return level + bisect_left(range(_BITS), True, key=few)  # noqa: FBT003  what is searched for


def _counted(bins: Codes) -> tuple[Codes, Codes]:
    if not len(bins):
        return bins, bins
    low, high = int(bins.min()), int(bins.max())
    # Whole numbers differ in their leading bits only: without the others they lie densely.
    differing = int(np.bitwise_or.reduce(bins ^ low))
    spare = (differing & -differing).bit_length() - 1 if differing else 0
    span = ((high - low) >> spare) + 1
    if span <= max(4 * len(bins), _SPARSE):
        # Shifted before they are subtracted: the difference of two places may be more than 64 bits hold.
        dense = np.bincount((bins >> spare) - (low >> spare), minlength=span)
        occupied = np.flatnonzero(dense)
        kept = low & ((1 << spare) - 1)
        return ((occupied + (low >> spare)) << spare) + kept, dense[occupied]
    found, counts = np.unique(bins, return_counts=True)
    return found, counts.astype(np.int64)


def _summed(bins: Codes, counts: Codes) -> tuple[Codes, Codes]:
    """Bins ascending and once each, with the sum of their counts."""
    if not len(bins):
        return bins, counts
    order = np.argsort(bins, kind="stable")
    bins, counts = bins[order], counts[order]
    starts = np.flatnonzero(np.concatenate([[True], bins[1:] != bins[:-1]]))
    return bins[starts], np.add.reduceat(counts, starts)
