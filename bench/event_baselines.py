"""What others would do: counting rules, robust z-scores with Jaccard, CUSUM and BOCPD, naming the same causes.

Put here small own versions of methods that anyone would try first. Keep out what they are compared with.

All of them look at two figures of a group: how far its total moved against the other groups, and how far its units
moved against each other. A method says which of them is out of the ordinary; the name follows from that and from
whether the set of units changed. None was tuned: thresholds are those of textbooks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import gammaln  # type: ignore[import-untyped]  # SciPy ships no types

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.variance.panel.panels import Panel

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Named = dict[tuple[str, str], str]

FACTORS: Final = (2.0, 0.5, 10.0, 0.1, 100.0, 0.01, 1000.0, 0.001)
NEAR: Final = 0.02
GREW: Final = 0.2
Z: Final = 3.5
"""Iglewicz and Hoaglin (1993)."""

REFERENCE, DECISION = 0.5, 5.0
"""CUSUM in standard deviations (Page, 1954; Montgomery, Introduction to Statistical Quality Control)."""

HAZARD: Final = 1 / 50
LIKELY: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Groups by times; the first time is empty.

    Attributes:
        total: the change of the group's total against the middle of all groups, in logarithms.
        unrest: the middle deviation of its units from the middle of the group.
        jaccard: how alike the sets of units are, 0 to 1.
        count: units now less units before.
        factor: the factor nearest to the change of some measure's total, NaN where none is near.
    """

    total: Floats
    unrest: Floats
    jaccard: Floats
    count: Floats
    factor: Floats


def figures_of(panel: Panel) -> Figures:
    """The two figures of every group and time, and the sets of units."""
    groups, times = panel.cells
    sets: list[list[set[int]]] = [[set() for _ in range(times)] for _ in range(groups)]
    for group, time, unit in zip(panel.group.tolist(), panel.time.tolist(), panel.unit.tolist(), strict=True):
        sets[group][time].add(unit)
    jaccard, count = np.ones((groups, times)), np.zeros((groups, times))
    for group, own in enumerate(sets):
        for time in range(1, times):
            both = own[time] | own[time - 1]
            jaccard[group, time] = len(own[time] & own[time - 1]) / len(both) if both else 1.0
            count[group, time] = len(own[time]) - len(own[time - 1])
    totals, unrests = [], []
    for values in panel.values:
        level = np.log(np.where(values > 0, values, np.nan)) if np.nanmax(values) > 1 else values
        cube = np.full((len(panel.units), times), np.nan)
        cube[panel.unit, panel.time] = level
        group_of = np.zeros(len(panel.units), dtype=int)
        group_of[panel.unit] = panel.group
        change = np.diff(cube, axis=1, prepend=np.nan)
        summed = np.full((groups, times), np.nan)
        unrest = np.full((groups, times), np.nan)
        with np.errstate(all="ignore"):
            for group in range(groups):
                own = change[group_of == group]
                raw = np.exp(cube[group_of == group]) if np.nanmax(values) > 1 else cube[group_of == group]
                known = np.isfinite(own).any(axis=0)
                summed[group] = np.nansum(raw, axis=0)
                middle = np.full(times, np.nan)
                middle[known] = np.nanmedian(own[:, known], axis=0)
                unrest[group, known] = np.nanmedian(np.abs(own - middle)[:, known], axis=0)
            total = np.diff(np.log(np.where(summed > 0, summed, np.nan)), axis=1, prepend=np.nan)
        totals.append(total)
        unrests.append(unrest)
    stacked = np.array(totals)
    stacked = stacked - _middle(stacked, axis=1)[:, None, :]
    factor = np.full((groups, times), np.nan)
    for one in FACTORS:
        factor[(np.abs(stacked - np.log(one)) < NEAR).any(axis=0)] = one
    return Figures(
        total=_middle(stacked, axis=0),
        unrest=np.log(np.maximum(_middle(np.array(unrests), axis=0), 1e-6)),
        jaccard=jaccard,
        count=count,
        factor=factor,
    )


def counting_rules(panel: Panel) -> Named:
    """Another number of units: boundary. A total near an exact factor: entry. A fifth more or less: population."""
    figures = figures_of(panel)
    named = np.where(np.abs(np.nan_to_num(figures.total)) > GREW, "population", "none").astype(object)
    named[np.isfinite(figures.factor)] = "entry"
    named[figures.count != 0] = "boundary"
    return _told(panel, named)


def z_scores_and_jaccard(panel: Panel) -> Named:
    """Robust z-scores of both figures in the group's own history; sets of units by Jaccard."""
    figures = figures_of(panel)
    return _name(panel, figures, np.abs(_robust_z(figures.total)) > Z, _robust_z(figures.unrest) > Z)


def cusum(panel: Panel) -> Named:
    """Two-sided CUSUM over both figures, started anew after an alarm."""
    return _by_series(panel, _cusum)


def bocpd(panel: Panel) -> Named:
    """Bayesian online change point detection (Adams and MacKay, 2007), normal with unknown mean and variance."""
    return _by_series(panel, _bocpd)


METHODS: Final = {
    "counting rules": counting_rules,
    "z-scores, Jaccard": z_scores_and_jaccard,
    "CUSUM": cusum,
    "BOCPD": bocpd,
}


def _by_series(panel: Panel, alarms: Callable[[Floats], list[int]]) -> Named:
    figures = figures_of(panel)
    far = []
    for table in (figures.total, figures.unrest):
        score, found = _robust_z(table), np.zeros(table.shape, dtype=np.bool_)
        for group, own in enumerate(score):
            found[group, alarms(own)] = True
        far.append(found)
    return _name(panel, figures, far[0], far[1])


def _name(panel: Panel, figures: Figures, moved: np.ndarray[Any, Any], unrest: np.ndarray[Any, Any]) -> Named:
    named = np.full(panel.cells, "none", dtype=object)
    named[moved] = "population"
    named[moved & np.isfinite(figures.factor)] = "entry"
    named[figures.jaccard < 1] = "units"
    named[unrest] = "boundary"
    return _told(panel, named)


def _told(panel: Panel, named: np.ndarray[Any, Any]) -> Named:
    return {
        (group, time): str(named[row, column])
        for row, group in enumerate(panel.groups)
        for column, time in enumerate(panel.times)
        if column
    }


def _robust_z(table: Floats) -> Floats:
    """Scores in each group's own history, by median and median absolute deviation; 0 where nothing is known."""
    middle = _middle(table, axis=1)[:, None]
    width = 1.4826 * _middle(np.abs(table - middle), axis=1)[:, None]
    return np.nan_to_num((table - middle) / np.maximum(width, 1e-6))


def _middle(table: Floats, axis: int) -> Floats:
    known = np.isfinite(table).any(axis=axis)
    safe = np.where(np.expand_dims(known, axis), table, 0.0)
    return np.where(known, np.nanmedian(safe, axis=axis), np.nan)


def _cusum(score: Floats) -> list[int]:
    up = down = 0.0
    found = []
    for time, value in enumerate(score.tolist()):
        up, down = max(0.0, up + value - REFERENCE), max(0.0, down - value - REFERENCE)
        if max(up, down) > DECISION:
            found.append(time)
            up = down = 0.0
    return found


def _bocpd(score: Floats) -> list[int]:
    """Times at which a new run began, more likely than not, once its first value is seen."""
    mean, pseudo, shape, scale = np.zeros(1), np.ones(1), np.ones(1), np.ones(1)
    runs, found = np.ones(1), []
    for time, value in enumerate(score.tolist()):
        width = scale * (pseudo + 1) / (shape * pseudo)
        density = np.exp(
            gammaln(shape + 0.5) - gammaln(shape) - 0.5 * np.log(2 * np.pi * shape * width)
            - (shape + 0.5) * np.log1p((value - mean) ** 2 / (2 * shape * width))
        )  # fmt: skip
        # The first value of a new run is judged by the prior, the others by their run.
        grown, begun = runs * density * (1 - HAZARD), float((runs * HAZARD).sum() * density[0])
        runs = np.concatenate([[begun], grown])
        runs /= runs.sum()
        if time > 1 and runs[0] > LIKELY:
            found.append(time)
        scale = np.concatenate([[1.0], scale + pseudo * (value - mean) ** 2 / (2 * (pseudo + 1))])
        mean = np.concatenate([[0.0], (pseudo * mean + value) / (pseudo + 1)])
        pseudo, shape = np.concatenate([[1.0], pseudo + 1]), np.concatenate([[1.0], shape + 0.5])
    return found
