"""Exchanges: counts that some units of a group lost and others of it gained.

Put here what is conserved within groups, to the last case or nearly. Keep out totals against the common swing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.variance.arrays import Codes, Floats
    from mlops_assets.variance.panel.panels import Panel
    from mlops_assets.variance.panel.steps import Steps

_KEPT: Final = 0.02
_EXACTLY: Final = 0.001
_LEAST_EXCHANGED: Final = 1000.0
"""Cases that changed hands from which their balance is no chance."""


def exchanges(panel: Panel, steps: Steps) -> Iterator[tuple[int, int]]:
    """Groups in which every count that some units lost others gained, to the last thousandth.

    Args:
        panel: the panel.
        steps: its steps.

    Yields:
        Cells, and how many counts say so; at least two.
    """
    linked = np.flatnonzero(~steps.first)
    size = len(steps.start) - 1
    conserved, told = np.ones(size, dtype=np.bool_), np.zeros(size, dtype=np.int64)
    for measure in np.flatnonzero(steps.logarithmic).tolist():
        gained = np.nan_to_num(panel.values[measure, linked] - panel.values[measure, linked - 1])
        net = np.abs(np.bincount(steps.cell[linked], gained, minlength=size))
        gross = np.bincount(steps.cell[linked], np.abs(gained), minlength=size)
        conserved &= net <= _EXACTLY * gross
        told += gross >= _LEAST_EXCHANGED
    for cell in np.flatnonzero(conserved & (told > 1)).tolist():
        yield cell, int(told[cell])


def exchanging(panel: Panel, steps: Steps, cell: int) -> Codes | None:
    """The units that differ, if others of their group gained all that some lost; ``None`` otherwise."""
    rows, gained = _gained(panel, steps, cell)
    net, gross = np.abs(gained.sum(axis=1)), np.abs(gained).sum(axis=1)
    if not (gross > 0).any() or (net > _EXACTLY * gross).any():
        return None
    units: Codes = panel.unit[rows[np.abs(gained).any(axis=0)]]
    return units


def conserved(panel: Panel, steps: Steps, cell: int) -> bool:
    """Whether some total of the group stayed while its units moved."""
    _, gained = _gained(panel, steps, cell)
    net, gross = np.abs(gained.sum(axis=1)), np.abs(gained).sum(axis=1)
    return bool((net <= _KEPT * gross).any() and (gross > 0).any())


def _gained(panel: Panel, steps: Steps, cell: int) -> tuple[Codes, Floats]:
    rows = steps.rows(cell)
    rows = rows[~steps.first[rows]]
    return rows, np.nan_to_num(panel.values[:, rows] - panel.values[:, rows - 1])
