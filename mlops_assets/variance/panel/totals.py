"""Totals: what became of whole groups, whoever of their units gained or lost.

Put here sums over the units of a group and how far they moved. Keep out single units, and causes.

A redrawing leaves the totals of a group alone, people who come or go do not: that is what tells the two apart where
units moved against each other (conserved totals).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.variance.panel.steps import NORMAL_CONSISTENCY, common_swing

if TYPE_CHECKING:
    from mlops_assets.variance.arrays import Floats
    from mlops_assets.variance.panel.panels import Panel
    from mlops_assets.variance.panel.steps import Steps

_FEWEST_GROUPS: Final = 8
_FLOOR: Final = 0.002
"""A total is never taken to be steadier than 0.2 %: less is rounding, or a population nobody had counted anew."""

_HALF_A_CASE: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Changes of the totals of groups against the common swing, one per group and time (flat).

    Attributes:
        before: measures by cells, the total at the time before, raised by the common swing, over comparable units.
        after: measures by cells, the total now, over the same units (all of them where units came or went).
        net: measures by cells, the logarithm of after over before; NaN where either is missing.
        score: the same in standard deviations.
        common: what the measures compared by logarithms moved alike, the mean weighed by their steadiness.
        common_score: the same in standard deviations.
    """

    before: Floats
    after: Floats
    net: Floats
    score: Floats
    common: Floats
    common_score: Floats


def totals_of(panel: Panel, steps: Steps) -> Totals:
    """Add up the units of every group before and after.

    Args:
        panel: the panel.
        steps: its steps.

    Returns:
        The totals; of measures that are not compared by logarithms NaN.
    """
    groups, times = panel.cells
    size = groups * times
    before, after = np.full((len(panel.values), size), np.nan), np.full((len(panel.values), size), np.nan)
    changed = _changed(panel, steps, size)
    linked = ~steps.first
    count = np.bincount(steps.cell, minlength=size)
    for measure in np.flatnonzero(steps.logarithmic).tolist():
        values = panel.values[measure]
        earlier = np.concatenate([[np.nan], values[:-1]])
        both = linked & np.isfinite(values) & np.isfinite(earlier) & (values >= 0) & (earlier >= 0)
        known = np.isfinite(values) & (values >= 0)
        whole = np.bincount(steps.cell[known], values[known], minlength=size)
        now = np.bincount(steps.cell[both], values[both], minlength=size)
        then = np.bincount(steps.cell[both], earlier[both], minlength=size)
        after[measure] = np.where(changed, whole, now)
        before[measure] = np.where(changed, np.concatenate([[0.0], whole[:-1]]), then)
        after[measure, count == 0] = np.nan
        swing = np.nan_to_num(common_swing(_log(after[measure], before[measure]).reshape(groups, times)))
        before[measure] *= np.tile(np.exp(swing), groups)
    net = _log(after, before)
    score = np.vstack([standardised(own.reshape(groups, times)).ravel() for own in net])
    weights = np.where(np.isfinite(net), 1 / _widths(net)[:, None] ** 2, 0.0)
    weight = weights.sum(axis=0)
    common = np.where(weight > 0, (weights * np.nan_to_num(net)).sum(axis=0) / np.maximum(weight, _FLOOR), np.nan)
    return Totals(
        before=before,
        after=after,
        net=net,
        score=score,
        common=common,
        common_score=standardised(common.reshape(groups, times)).ravel(),
    )


def standardised(table: Floats) -> Floats:
    """Changes in standard deviations: of all groups at that time, of all times, and of the group at its other times.

    Args:
        table: groups by times, changes against the common swing.

    Returns:
        The same divided by the largest of the three, each by medians so that events do not hide themselves; 0 where
        not known. A group that swings to and fro with every season is thus judged by its own swings.
    """
    size = NORMAL_CONSISTENCY * np.abs(table)
    known = np.isfinite(size)
    if not known.any():
        return np.zeros_like(table)
    width = np.full(table.shape, max(float(np.median(size[known])), _FLOOR))
    for time in np.flatnonzero(known.sum(axis=0) >= _FEWEST_GROUPS):
        width[:, time] = np.maximum(width[:, time], np.median(size[known[:, time], time]))
    for group, own in enumerate(known):
        times = np.flatnonzero(own)
        if len(times) > 3:  # noqa: PLR2004  fewer do not tell a habit
            width[group, times] = np.maximum(width[group, times], np.median(size[group, times]))
    return np.where(known, np.nan_to_num(table) / width, 0.0)


def _changed(panel: Panel, steps: Steps, size: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Cells in which units came or went."""
    times = len(panel.times)
    found = np.zeros(size, dtype=np.bool_)
    found[steps.cell[steps.first & (panel.time > 0)]] = True
    found[steps.cell[steps.last & (panel.time < times - 1)] + 1] = True
    return found


def _log(after: Floats, before: Floats) -> Floats:
    """The logarithm of the ratio, with half a case for none; NaN where nothing was before."""
    some = (before > 0) & np.isfinite(after)
    ratio = np.where(some, np.maximum(after, _HALF_A_CASE * (before >= 1)), np.nan) / np.where(some, before, 1.0)
    return np.where(ratio > 0, np.log(np.where(ratio > 0, ratio, 1.0)), np.nan)


def _widths(net: Floats) -> Floats:
    """The ordinary size of each measure's changes."""
    found = np.ones(len(net))
    for measure, own in enumerate(net):
        some = np.abs(own[np.isfinite(own)])
        if some.size:
            found[measure] = max(NORMAL_CONSISTENCY * float(np.median(some)), _FLOOR)
    return found
