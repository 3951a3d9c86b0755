"""Repetition: what a table that is compared again and again, in many columns and units, must show to be told of.

Put here how p-values become q-values. Keep out the tests that p-values come from.

The rule. Rows that became new at one time are one family: all columns and all units of it. Within a family false
discoveries are controlled by the procedure of Benjamini and Yekutieli (2001), which holds however columns and units
hang together. Of families one after another the k-th since the last in which anything was found gets 1 / (k (k + 1)) of
the level (alpha spending that begins anew at a discovery, as in the procedures of Javanmard and Montanari, 2018). These
shares add up to 1: where nothing ever happens, the chance that anything is ever told is at most the level, however
often is looked. What comes later changes nothing of what was said before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats  # type: ignore[import-untyped]  # SciPy ships no types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def adjusted(p_values: Floats, new_at: Sequence[str], *, level: float) -> Floats:
    """P-values as what they are worth among all that were looked at until then.

    Args:
        p_values: of each row; NaN where nothing was tested.
        new_at: when each became new; families follow one another in the order of their first rows.
        level: of false discoveries; up to it a family begins the count anew.

    Returns:
        For each row its q-value, which is to be compared with the level; NaN where nothing was tested.
    """
    found = np.full(len(p_values), np.nan)
    family = np.array(new_at, dtype=object)
    since = 1
    for time in dict.fromkeys(new_at):
        rows = np.flatnonzero((family == time) & np.isfinite(p_values))
        if not rows.size:
            continue
        worth = stats.false_discovery_control(p_values[rows], method="by") * since * (since + 1)
        found[rows] = np.minimum(worth, 1.0)
        since = 1 if found[rows].min() <= level else since + 1
    return found
