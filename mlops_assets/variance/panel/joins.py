"""Joins: units that became part of another one, and units that became two, while the rest of their group went on.

Put here what tells a merger or a split from a new map. Keep out units that open, close or leave a sample.

A new map touches most units of a group. A merger touches one: it has what it and the unit gone had together. A split is
the same the other way round. Either is told only where others of the group went on as they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.variance.arrays import Codes, Floats
    from mlops_assets.variance.panel.evidence import Evidence
    from mlops_assets.variance.panel.panels import Panel
    from mlops_assets.variance.panel.steps import Steps

CLOSE: Final = 0.7
"""The mean weight, log(1 + z^2 / 4), up to which units fit: z of 2. A normal z has 0.2."""

_APART: Final = 2.0
"""The weight from which one alone does not fit: z of 5."""

_MOST_UNITS: Final = 50


@dataclass(frozen=True, kw_only=True)
class Join:
    """Units of one group that became one, or the other way round.

    Attributes:
        cell: group times number of times plus time.
        whole: code of the unit that was there before and after.
        parts: codes of those that are gone, or new.
        merged: whether the parts are gone.
    """

    cell: int
    whole: int
    parts: Codes
    merged: bool


def joins(panel: Panel, steps: Steps, evidence: Evidence) -> Iterator[Join]:
    """Find mergers and splits.

    Args:
        panel: the panel.
        steps: its steps.
        evidence: of each group and time.

    Yields:
        One join for every unit that took others over or was divided, of groups in which nothing else moved.
    """
    exchanged = evidence.appeared + evidence.disappeared
    one_way = (exchanged > 0) & ((evidence.appeared == 0) | (evidence.disappeared == 0)) & (exchanged <= _MOST_UNITS)
    weight = _weight(steps.residual[steps.logarithmic] / steps.scale[steps.logarithmic])
    disturbed = np.bincount(steps.cell, weight > _APART, minlength=exchanged.size)
    for cell in np.flatnonzero(one_way & (disturbed > 0) & (evidence.before > 0)).tolist():
        yield from _joins_of(panel, steps, cell, weight)


def _joins_of(panel: Panel, steps: Steps, cell: int, weight: Floats) -> list[Join]:
    rows, before = steps.rows(cell), steps.rows(cell - 1)
    on, new, gone = rows[~steps.first[rows]], rows[steps.first[rows]], before[steps.last[before]]
    wholes, parts = on[weight[on] > _APART], gone if gone.size else new
    still = (weight[on] <= CLOSE).sum()
    if not still or still + len(wholes) < len(on) or not parts.size or len(parts) < len(wholes):
        return []
    taken = np.zeros(len(parts), dtype=np.bool_)
    found = []
    for whole in wholes.tolist():
        # One unit may take over any of the parts, or all that are there.
        ways = [np.array([place]) for place in np.flatnonzero(~taken)]
        ways += [np.flatnonzero(~taken)] if len(wholes) == 1 and len(parts) > 1 else []
        fits = [_fit(panel, steps, whole, parts[way], merged=bool(gone.size)) for way in ways]
        if not fits or min(fits) > CLOSE:
            return []
        way = ways[int(np.argmin(fits))]
        taken[way] = True
        found.append(
            Join(cell=cell, whole=int(panel.unit[whole]), parts=panel.unit[parts[way]], merged=bool(gone.size))
        )
    return found


def _fit(panel: Panel, steps: Steps, whole: int, parts: Codes, *, merged: bool) -> float:
    """How far a unit and its parts together are from what they were."""
    own = steps.logarithmic
    summed = panel.values[own][:, parts].sum(axis=1)
    now, then = panel.values[own, whole], panel.values[own, whole - 1]
    now, then = (now, then + summed) if merged else (now + summed, then)
    some = (now > 0) & (then > 0)
    if not some.any():
        return np.inf
    swing = np.nan_to_num(steps.swing[own, panel.time[whole]])
    moved = np.log(np.where(some, now, np.nan) / np.where(some, then, np.nan)) - swing
    return float(_weight((moved / steps.scale[own, whole])[:, None])[0])


def _weight(scores: Floats) -> Floats:
    """The mean weight of each column; 0 where nothing is known."""
    known = np.isfinite(scores)
    weight = np.log1p(np.where(known, scores, 0.0) ** 2 / 4)
    mean: Floats = weight.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return mean
