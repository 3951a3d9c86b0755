"""Steps: how every unit of a panel changed from one time to the next, less what all groups have in common.

Put here transformations of measures, changes, and the scale of ordinary change. Keep out causes and probabilities.

Positive measures are compared by natural logarithms, so that equal factors up and down weigh the same; shares (all
values from 0 to 1) and measures with negative values by differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops_assets.variance.arrays import Codes, Flags, Floats
    from mlops_assets.variance.panel.panels import Panel

NORMAL_CONSISTENCY: Final = 1.4826
"""Makes the median absolute deviation estimate the standard deviation of a normal distribution."""

LONGEST_GAP: Final = 2
"""A unit missing at one time is compared over the gap; one missing longer is gone, and new when it comes back."""

_COUNTS_OF_HUNDREDS: Final = 100.0
_RARELY: Final = 0.25
_SAMPLE: Final = 8.0
_ORDINARY: Final = 0.03
"""Ordinary change where there is no history to learn it from: 3 % plus the noise of a sample of one in 64 (8 squared),
the order of a yearly household survey. Measured on census profiles 2008-2011 by district: 1 % for whole populations
of 700,000, 4-6 % for age groups of 45,000."""

_FLOOR: Final = 1e-9

_RESTLESS: Final = 2.0
_RESTLESS_MARKED: Final = 1.25
"""A time may be this much more restless than the quiet ones around it without anything having happened: twice, since
opinions and turnout move everywhere in some years. Less where units changed in number in many groups, which says that
it is a redrawing that makes the time restless."""

_MARKED: Final = 0.1
_MARKED_GROUPS: Final = 4

_FEWEST_GROUPS: Final = 3
"""From so many groups on the middle of them is what they have in common; of fewer, an event in one would be."""

_ERA: Final = 6
"""Times to either side by which ordinary change is judged: it drifts over decades."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The change of every row of a panel since its unit's row before.

    Attributes:
        levels: transformed measures (rows) by panel rows (columns), NaN where missing or coded as missing.
        change: the change of the level since the unit's row before, NaN at a unit's first row.
        residual: the change less the common swing.
        swing: measures by times, the median over groups of their median changes; NaN where nothing changed hands.
        scale: measures by rows, the standard deviation of an ordinary residual within a group.
        logarithmic: which measures are compared by logarithms.
        coded: rows left out because a value stands for something not counted.
        cell: of each row, group times number of times plus time.
        first: rows of units new to the panel, or back after more than ``LONGEST_GAP``.
        last: rows after which the unit is gone, likewise.
        typical: measures by times, the standard deviation of residuals within groups.
        order: row indices in the order of cells.
        start: where each cell's rows start in that order, one more than there are cells.
    """

    levels: Floats
    change: Floats
    residual: Floats
    swing: Floats
    scale: Floats
    logarithmic: Flags
    coded: Flags
    cell: Codes
    first: Flags
    last: Flags
    typical: Floats
    order: Codes
    start: Codes

    def rows(self, cell: int) -> Codes:
        """The rows of one group at one time."""
        return self.order[self.start[cell] : self.start[cell + 1]]


def steps_of(panel: Panel) -> Steps:
    """Compare each row of a panel with its unit's row before.

    Args:
        panel: one row per unit and time, in that order.

    Returns:
        The changes, with the common swing and the scale of ordinary change.
    """
    groups, times = panel.cells
    cell = panel.group * times + panel.time
    levels, logarithmic, coded = _levels(panel)
    follows = np.concatenate([[False], panel.unit[1:] == panel.unit[:-1]])
    gap = np.diff(panel.time, prepend=panel.time[:1])
    linked = follows & (gap <= LONGEST_GAP)
    first = ~linked
    last = np.concatenate([first[1:], [True]])
    change = np.full_like(levels, np.nan)
    change[:, 1:] = levels[:, 1:] - levels[:, :-1]
    change[:, ~linked] = np.nan
    residual = np.empty_like(change)
    swing = np.empty((len(levels), times))
    typical = np.empty((len(levels), times))
    for measure, own in enumerate(change):
        by_group = grouped_median(own, cell, groups * times).reshape(groups, times)
        swing[measure] = common_swing(by_group)
        residual[measure] = own - np.nan_to_num(swing[measure])[panel.time]
        typical[measure] = _within(residual[measure], by_group - swing[measure], cell, panel.time)
    restless = _restless(panel, cell, first, last)
    return Steps(
        levels=levels,
        change=change,
        residual=residual,
        swing=swing,
        scale=_scale(panel, levels, logarithmic, typical, restless),
        logarithmic=logarithmic,
        coded=coded,
        cell=cell,
        first=first,
        last=last,
        typical=typical,
        order=np.argsort(cell, kind="stable"),
        start=np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=groups * times))]),
    )


def grouped_median(values: Floats, codes: Codes, size: int) -> Floats:
    """The median of the known values of each code.

    Args:
        values: NaN where not known.
        codes: of each value, from 0 to ``size`` less 1.
        size: the number of codes.

    Returns:
        One median per code, NaN where it has no value.
    """
    known = np.isfinite(values)
    own, of = values[known], codes[known]
    order = np.lexsort((own, of))
    own = own[order]
    count = np.bincount(of, minlength=size)
    start = np.cumsum(count) - count
    found = np.full(size, np.nan)
    some = count > 0
    low, high = start[some] + (count[some] - 1) // 2, start[some] + count[some] // 2
    found[some] = own[low] / 2 + own[high] / 2
    return found


def robust_deviation(values: NDArray[np.float64]) -> float:
    """The median absolute value, scaled to the standard deviation of a normal distribution; 0 without values."""
    known = values[np.isfinite(values)]
    return float(NORMAL_CONSISTENCY * np.median(np.abs(known))) if known.size else 0.0


def common_swing(by_group: Floats) -> Floats:
    """What groups changed alike at each time: the middle of them, or of all times where there are one or two.

    Args:
        by_group: groups by times, changes; NaN where there is none.

    Returns:
        One change per time, NaN where nothing is known.
    """
    found = np.full(by_group.shape[1], np.nan)
    known = np.isfinite(by_group)
    few = known.any(axis=1).sum() < _FEWEST_GROUPS and known.any(axis=0).sum() >= _FEWEST_GROUPS
    for time in np.flatnonzero(known.any(axis=0)):
        found[time] = np.nanmedian(by_group if few else by_group[:, time])
    return found


def _levels(panel: Panel) -> tuple[Floats, Flags, Flags]:
    """Transformed measures, which of them are logarithms, and the rows that stand for something not counted."""
    levels = np.full_like(panel.values, np.nan)
    logarithmic = np.zeros(len(levels), dtype=np.bool_)
    coded = np.zeros(panel.values.shape[1], dtype=np.bool_)
    for measure, values in enumerate(panel.values):
        known = values[np.isfinite(values)]
        if not known.size:
            continue
        if known.min() >= 0 and known.max() <= 1:
            left_out = (values == 0) | (values == 1)
            level = values.copy()
        # Minus one is a code as well: a measure that is negative only there is a count.
        elif known.min() >= -1 and np.median(known) > 0:
            left_out = values <= (1 if np.median(known) >= _COUNTS_OF_HUNDREDS else 0)
            logarithmic[measure] = True
            level = np.log(np.where(values > 0, values, np.nan))
        else:
            left_out = np.zeros(len(values), dtype=np.bool_)
            level = values.copy()
        levels[measure] = np.where(left_out, np.nan, level)
        if left_out.mean() < _RARELY:
            coded |= left_out
    levels[:, coded] = np.nan
    return levels, logarithmic, coded


def _within(residual: Floats, by_group: Floats, cell: Codes, time: Codes) -> Floats:
    """The standard deviation within groups of several units at each time, by medians; NaN where there is none."""
    groups, times = by_group.shape
    count = np.bincount(cell[np.isfinite(residual)], minlength=groups * times)
    # Leaving one's own group's median out of account halves the spread of two units, hence the degrees of freedom.
    shrunk = count / np.maximum(count - 1, 1)
    own = np.where(count[cell] > 1, (residual - by_group.ravel()[cell]) * np.sqrt(shrunk[cell]), np.nan)
    if not np.isfinite(own).any():
        own = residual
    typical: Floats = NORMAL_CONSISTENCY * grouped_median(np.abs(own), time, times)
    return typical


def _scale(panel: Panel, levels: Floats, logarithmic: Flags, typical: Floats, restless: Floats) -> Floats:
    """The standard deviation of an ordinary residual: of the quieter times, never below the noise of counting."""
    scale = np.empty_like(levels)
    for measure, level in enumerate(levels):
        counting = _counting(panel, measure, level, logarithmic=bool(logarithmic[measure]))
        usable = np.isfinite(typical[measure]) & (typical[measure] > _FLOOR)
        history = typical[measure][usable]
        floor = _quiet(typical[measure], usable, restless)[panel.time]
        if history.size == 1 and logarithmic[measure]:
            floor = np.minimum(floor, np.hypot(_ORDINARY, _SAMPLE * np.sqrt(counting / 2)))
        elif history.size == 1:
            floor = np.minimum(floor, max(_ORDINARY * float(np.nanstd(level)), _FLOOR))
        # The typical spread holds the noise of a typical size already; smaller units have more.
        typical_noise = float(np.nanmedian(counting)) if np.isfinite(counting).any() else 0.0
        more = np.maximum(counting - typical_noise, 0.0)
        scale[measure] = np.sqrt(floor**2 + np.nan_to_num(more))
    return scale


def _restless(panel: Panel, cell: Codes, first: Flags, last: Flags) -> Floats:
    """How many times as restless as quiet ones each time may be, longer gaps allowing for more."""
    groups, times = panel.cells
    new = np.bincount(cell[first & (panel.time > 0)], minlength=groups * times)
    gone = np.bincount(cell[last & (panel.time < times - 1)] + 1, minlength=groups * times)
    changed = (new + gone > 0).reshape(groups, times).sum(axis=0)
    marked = changed >= max(_MARKED_GROUPS, _MARKED * groups)
    gap = np.concatenate([[1.0], np.diff(panel.elapsed)])
    longer = np.maximum(gap / np.median(gap[1:]), 1.0) if times > 1 else gap
    found: Floats = np.where(marked, _RESTLESS_MARKED, _RESTLESS) * longer
    return found


def _quiet(typical: Floats, usable: Flags, restless: Floats) -> Floats:
    """What was ordinary around each time: the lower quartile of the times near it, at least the floor."""
    quiet = np.full(typical.size, _ORDINARY)
    for time in range(typical.size):
        near = slice(max(time - _ERA, 0), time + _ERA + 1)
        # A quarter of the times may be quiet even where most are redrawn; with few, the quietest is the measure.
        known = typical[near][usable[near]]
        known = known if known.size else typical[usable]
        if known.size:
            lowest = float(np.quantile(known, 0.25, method="lower"))
            own = typical[time] if usable[time] else lowest
            quiet[time] = np.clip(own, lowest, restless[time] * lowest)
    floored: Floats = np.maximum(quiet, _FLOOR)
    return floored


def _counting(panel: Panel, measure: int, level: Floats, *, logarithmic: bool) -> Floats:
    """The variance that counting alone gives a change: Poisson for whole numbers, binomial for shares with a weight."""
    values = panel.values[measure]
    if logarithmic and np.array_equal(values, np.rint(values), equal_nan=True):
        poisson: Floats = 2 / np.maximum(values, 1.0)
        return poisson
    if panel.weight is not None and np.nanmin(level, initial=0) >= 0 and np.nanmax(level, initial=0) <= 1:
        binomial: Floats = 2 * level * (1 - level) / np.maximum(panel.weight, 1.0)
        return binomial
    return np.zeros_like(level)
