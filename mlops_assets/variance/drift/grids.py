"""Summaries laid on common cells, so that the counts of many pairs can be compared at once.

Put here how summaries of one column meet: the grid of numbers, the values of categories. Keep out the statistics.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from mlops_assets.variance.drift.category_summaries import BUCKETS, Categories
from mlops_assets.variance.drift.divergences import Distances, Laid, distances
from mlops_assets.variance.drift.number_summaries import Numbers, edges_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mlops_assets.variance.drift.summaries import Column

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]
    Member = tuple[int, Column, Column]

_Kind = TypeVar("_Kind", Numbers, Categories)

GROUPS: Final = 20
"""Groups of neighbouring bins in which numbers are counted for PSI, Jensen-Shannon and chi-square."""

# Numbers that are no finite ones: attributes of their summaries, and what they are called.
_ODD: Final = {"null": "missing", "nan": "not a number", "below": "negative infinity", "above": "positive infinity"}


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Counts of several pairs in common cells.

    Attributes:
        before: pairs (rows) by cells (columns).
        after: likewise.
        label: what the cell of a pair is called.
        named: for each cell whether it is one value by itself, so that it says something if nobody has it.
        distances: on the grid of numbers; ``None`` for categories.
    """

    before: Codes
    after: Codes
    label: Callable[[int, int], str]
    named: NDArray[np.bool_]
    distances: Distances | None = None


class Grid(ABC):
    """Summaries of one column that share a grid."""

    @abstractmethod
    def cells(self, before: Sequence[Column], after: Sequence[Column]) -> Cells:
        """Lay pairs of the summaries side by side."""


class NumberGrid(Grid):
    """Summaries of numbers at one level of the grid of all numbers."""

    def __init__(self, members: Sequence[Member], level: int) -> None:
        sides = _sides(members, Numbers)
        coarse = [side.at_level(level) for side in sides.values()]
        lengths = [len(side.bins) for side in coarse]
        bins, places = _united(np.concatenate([side.bins for side in coarse]))
        counts = np.zeros((len(coarse), len(bins)), dtype=np.int64)
        counts[np.repeat(np.arange(len(coarse)), lengths), places] = np.concatenate([side.counts for side in coarse])
        self._laid = Laid.on(counts, *edges_of(bins, level))
        self._row = {key: row for row, key in enumerate(sides)}
        self._below = np.pad(np.cumsum(counts, axis=1), [(0, 0), (1, 0)])
        self._odd = np.array([[getattr(side, name) for name in _ODD] for side in sides.values()])

    def cells(self, before: Sequence[Column], after: Sequence[Column]) -> Cells:
        """Groups of neighbouring bins, then what is no finite number."""
        rows = [np.array([self._row[id(side)] for side in sides]) for sides in (before, after)]
        starts = group_starts(self._laid, *rows)
        told = list(_ODD.values())

        def label(row: int, cell: int) -> str:
            if cell >= GROUPS:
                return told[cell - GROUPS]
            own = slice(starts[row, cell], starts[row, cell + 1])
            used = np.flatnonzero(self._laid.counts[rows[0][row], own] + self._laid.counts[rows[1][row], own])
            low, high = self._laid.low[own][used[0]], self._laid.high[own][used[-1]]
            return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"

        counts = [
            np.concatenate([np.diff(self._below[side[:, None], starts], axis=1), self._odd[side]], axis=1)
            for side in rows
        ]
        named = np.arange(GROUPS + len(told)) >= GROUPS
        return Cells(
            before=counts[0], after=counts[1], label=label, named=named, distances=distances(self._laid, *rows)
        )


class CategoryGrid(Grid):
    """Summaries of categories with the same values kept."""

    def __init__(self, members: Sequence[Member], last: tuple[int, str] | None) -> None:
        kept = {key: side.up_to(last) for key, side in _sides(members, Categories).items()}
        self._names = sorted(set().union(*(side.counts for side in kept.values())))
        self._places = {name: place for place, name in enumerate(self._names)}
        self._width = len(self._names) + BUCKETS + 1
        self._counts = {key: self._on_grid(side) for key, side in kept.items()}

    def _on_grid(self, side: Categories) -> Codes:
        counts = np.zeros(self._width, dtype=np.int64)
        counts[[self._places[name] for name in side.counts]] = list(side.counts.values())
        counts[len(self._names) : -1], counts[-1] = side.others, side.null
        return counts

    def cells(self, before: Sequence[Column], after: Sequence[Column]) -> Cells:
        """The values, then buckets of others, then missing ones."""

        def label(_: int, cell: int) -> str:
            if cell < len(self._names):
                return self._names[cell]
            return "missing" if cell == self._width - 1 else "one of the values not kept"

        one, other = (np.array([self._counts[id(side)] for side in sides]) for sides in (before, after))
        named = np.arange(self._width)
        return Cells(
            before=one, after=other, label=label, named=(named < len(self._names)) | (named == self._width - 1)
        )


def group_starts(laid: Laid, before: Codes, after: Codes) -> Codes:
    """Where groups of bins begin: at equal shares of the mean of two distributions, by the middle of a bin's ranks.

    Args:
        laid: all sides.
        before: which side is the earlier one, of each pair.
        after: which is the later one, likewise.

    Returns:
        Pairs (rows) by the first bin of each group (columns), with the number of bins as a last column.
    """
    middle = laid.below - laid.shares / 2
    borders = 2 * np.arange(1, GROUPS) / GROUPS
    inner = [np.searchsorted(middle[one] + middle[other], borders) for one, other in zip(before, after, strict=True)]
    return np.array([[0, *own, middle.shape[1]] for own in inner])


def _united(bins: Codes) -> tuple[Codes, Codes]:
    """The bins ascending and once each, and the place of each given one among them."""
    order = np.argsort(bins, kind="stable")
    ascending = bins[order]
    new = np.concatenate([[True], ascending[1:] != ascending[:-1]])[: len(bins)]
    places = np.empty(len(bins), dtype=np.int64)
    places[order] = np.cumsum(new) - 1
    return ascending[new], places


def _sides(members: Sequence[Member], kind: type[_Kind]) -> dict[int, _Kind]:
    return {id(side): side for _, *both in members for side in both if isinstance(side, kind)}
