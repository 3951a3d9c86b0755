"""Absences: values that all rows of one side lack, and whether chance explains that.

Put here which values are gone or new between two sides of a column. Keep out how far the column moved as a whole.

A value that a hundred of a million rows had moves neither an index nor chi-square when it falls to 0, and yet a code
was dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlops_assets.variance.drift.grids import Cells

    Floats = NDArray[np.float64]

MOST_NAMED: Final = 5
"""Of a column in which every value is another one no more are named."""


def chance_of_absence(cells: Cells) -> Floats:
    """For each cell the chance that all rows that have it are on one side, times the values that may be so; at most 1.

    Each row falls on a side by the size of the sides. 1 where both sides have the value, one has no rows at all, or the
    cell is not one value.

    Args:
        cells: of several pairs.

    Returns:
        Pairs (rows) by cells (columns).
    """
    count = cells.before + cells.after
    before, after = (side.sum(axis=1, keepdims=True) for side in (cells.before, cells.after))
    share = np.where(cells.before > 0, before, after) / np.maximum(before + after, 1)
    seen, mirrored = share**count, (1 - share) ** count
    lone = (np.minimum(cells.before, cells.after) == 0) & (count > 0) & cells.named & (np.minimum(before, after) > 0)
    values = (cells.named & (count > 0)).sum(axis=1, keepdims=True)
    # The other side alone counts too, where that is no likelier than what was seen.
    chance = seen + np.where(mirrored <= seen, mirrored, 0.0)
    return np.where(lone, np.minimum(1.0, chance * values), 1.0)


def absent(cells: Cells, *, level: float) -> Iterator[tuple[int, str, str]]:
    """Values that are gone and values that appeared.

    Args:
        cells: of several pairs.
        level: the chance up to which an absence is named.

    Yields:
        For each pair that has any its number, the names of the values gone and of those that appeared, the most
        frequent first, with how many rows had them.
    """
    lone = chance_of_absence(cells) <= level
    for row in np.flatnonzero(lone.any(axis=1)).tolist():
        sides = []
        for side in (cells.before[row], cells.after[row]):
            own = np.flatnonzero(lone[row] & (side > 0))
            most = own[np.argsort(-side[own], kind="stable")].tolist()
            sides.append(_listed([f"{cells.label(row, cell)} ({side[cell]:,} rows)" for cell in most]))
        yield row, sides[0], sides[1]


def _listed(names: Sequence[str]) -> str:
    more = [f"and {len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join([*names[:MOST_NAMED], *more])
