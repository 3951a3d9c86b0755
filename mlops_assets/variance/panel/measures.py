"""Measures: what kind of figure each column of a panel is, since not every change means the same in all of them.

Put here how a kind is told from the values. Keep out what follows from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from mlops_assets.variance.arrays import Flags
    from mlops_assets.variance.panel.panels import Panel

_SELDOM: Final = 0.05
_SOME: Final = 0.01
_FEWEST: Final = 100
"""Steps from which it is no chance that a count never fell, and sometimes stood still."""


def cumulative(panel: Panel, linked: Flags) -> Flags:
    """Which measures are counts that are carried on: they rise or stand still, and hardly ever fall.

    Args:
        panel: the panel.
        linked: rows whose unit has a row before.

    Returns:
        One flag per measure. A count that only ever grew, and never stood still, may be one of growing units.
    """
    found = np.zeros(len(panel.values), dtype=np.bool_)
    for measure, values in enumerate(panel.values):
        change = np.diff(values, prepend=np.nan)[linked]
        change = change[np.isfinite(change)]
        if change.size >= _FEWEST:
            falls, still = (change < 0).mean(), (change == 0).mean()
            found[measure] = falls <= _SELDOM and still >= _SOME and bool((change > 0).any())
    return found
