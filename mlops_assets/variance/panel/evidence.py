"""Evidence: what the steps of each group at each time say, in figures without units.

Put here statistics of one group at one time. Keep out the weighing of evidence against each other, and words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.variance.panel.measures import cumulative
from mlops_assets.variance.panel.steps import grouped_median, robust_deviation

if TYPE_CHECKING:
    from mlops_assets.variance.arrays import Codes, Flags, Floats
    from mlops_assets.variance.panel.panels import Panel
    from mlops_assets.variance.panel.steps import Steps

TAIL: Final = 4.0
"""Degrees of freedom of the t distribution by which a unit's deviation is weighed, so that one stray unit does not
decide for its group (Lange, Little and Taylor, Robust Statistical Modeling Using the t Distribution, 1989)."""

_ORDINARY_SHARE: Final = 0.9
_ORDINARY_MEAN: Final = 0.40
_ORDINARY_WIDTH: Final = 0.35
"""At most mean and standard deviation of a unit's weight, log(1 + z^2 / 4), in ordinary times: twice 0.20, what a
standard normal z has, since scales differ between measures; and 0.35 (0.25 for a normal z)."""

_FEWEST_TIMES: Final = 3
_SHRINKAGE: Final = 3.0
"""A group's own unrest is learned from three steps on, and counts by half with three."""

_UPPER: Final = 0.8
_UPPER_OF_NORMAL: Final = 0.8416
"""Fewer than one group in five is redrawn at a quiet time: the four fifths below tell how far groups differ."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One figure per group and time (flat: group times number of times plus time).

    Attributes:
        units: units with rows.
        before: units with rows at the time before, or one earlier if missing there.
        appeared: units new to the panel, or back after a long absence.
        disappeared: units gone for good, or for long, since the time before.
        moved: entities of the time before that turned up in another unit of the group.
        stayed: entities that are still in their unit.
        dispersion: how much the units moved against each other, in standard deviations of ordinary times.
        spread: the same in the measures' own size (of logarithms, or of shares), the mean over measures.
        shifts: measures by cells, how much the whole group moved against the common swing.
        scores: the same in standard deviations.
        compared: units with a change of any measure.
        against: units whose change is compared with that of others of their group; fewer where an exact factor explains
            some.
        continued: whether any unit of any group has a row before; where none has, labels tell nothing.
        absent: the share of rows that are missing between two rows of their unit, in the whole panel.
        fell: whether some unit lost what counts that are carried on never lose; true where a measure is none of them.
        own: measures by rows (the one table that is not by cell), each row's deviation from the middle of its group.
    """

    units: Codes
    before: Codes
    appeared: Codes
    disappeared: Codes
    moved: Codes
    stayed: Codes
    dispersion: Floats
    spread: Floats
    shifts: Floats
    scores: Floats
    compared: Codes
    against: Codes
    continued: Flags
    absent: float
    fell: Flags
    own: Floats


def evidence_of(panel: Panel, steps: Steps, left_out: Flags) -> Evidence:
    """Measure what each group did at each time.

    Args:
        panel: the panel.
        steps: its steps.
        left_out: rows whose change is explained already (by an exact factor) and counts for nothing here.

    Returns:
        The evidence, one figure per group and time.
    """
    groups, times = panel.cells
    size = groups * times
    units = np.bincount(steps.cell, minlength=size)
    appeared = np.bincount(steps.cell[steps.first & (panel.time > 0)], minlength=size)
    leaves = steps.last & (panel.time < times - 1)
    disappeared = np.bincount(steps.cell[leaves] + 1, minlength=size)
    moved, stayed = _entities(panel, steps, size)
    residual = np.where(left_out, np.nan, steps.residual)
    shifts = np.vstack([grouped_median(own, steps.cell, size) for own in residual])
    own, dispersion, spread = _dispersion(panel, steps, residual, shifts, size)
    compared = np.bincount(steps.cell[np.isfinite(steps.residual).any(axis=0)], minlength=size)
    return Evidence(
        units=units,
        before=np.maximum(units - appeared + disappeared, 0),
        appeared=appeared,
        disappeared=disappeared,
        moved=moved,
        stayed=stayed,
        dispersion=dispersion,
        spread=spread,
        shifts=shifts,
        scores=_scores(steps, shifts, size),
        compared=compared,
        against=np.bincount(steps.cell[np.isfinite(own).any(axis=0)], minlength=size),
        continued=np.tile(np.bincount(panel.time[~steps.first], minlength=times) > 0, groups),
        absent=_absent(panel, steps),
        fell=_fell(panel, steps, size),
        own=own,
    )


def _fell(panel: Panel, steps: Steps, size: int) -> Flags:
    """Cells in which a unit's count fell that is carried on otherwise; all where some measure is no such count."""
    if not cumulative(panel, ~steps.first).all():
        return np.ones(size, dtype=np.bool_)
    falls = (np.diff(panel.values, prepend=np.nan) < 0).any(axis=0) & ~steps.first
    return np.bincount(steps.cell[falls], minlength=size) > 0


def _absent(panel: Panel, steps: Steps) -> float:
    """The share of rows missing among those that their unit should have."""
    linked = np.flatnonzero(~steps.first)
    missing = int((panel.time[linked] - panel.time[linked - 1] - 1).sum()) if linked.size else 0
    return missing / max(missing + len(linked), 1)


def _dispersion(
    panel: Panel, steps: Steps, residual: Floats, shifts: Floats, size: int
) -> tuple[Floats, Floats, Floats]:
    """How much units moved against the middle of their group: per row, per cell standardised, and in own size."""
    count = np.bincount(steps.cell[np.isfinite(residual).any(axis=0)], minlength=size)
    alone = count[steps.cell] < 2  # noqa: PLR2004  a single unit has none to move against
    own = (residual - shifts[:, steps.cell]) * np.sqrt(count / np.maximum(count - 1, 1))[steps.cell]
    own[:, alone] = np.nan
    known = np.isfinite(own)
    measured = known.any(axis=0)
    weights = np.log1p(np.where(known, own / steps.scale, 0.0) ** 2 / TAIL)
    row = weights.sum(axis=0)[measured] / known.sum(axis=0)[measured]
    cell = steps.cell[measured]
    quiet = _quiet(steps)[panel.time[measured]]
    history = int(np.isfinite(steps.typical).any(axis=0).sum())
    if history > 1 and quiet.any():
        quiet = quiet & _ordinary_cells(row, cell, quiet, size)
    sample = row[quiet] if quiet.any() else row
    centre, width = (float(sample.mean()), float(sample.std())) if sample.size else (0.0, 1.0)
    if history == 1:
        # One step is no history: it may be extraordinary in most groups.
        centre, width = min(centre, _ORDINARY_MEAN), min(width, _ORDINARY_WIDTH)
    freedom = np.maximum(count - 1, 1)
    excess = np.bincount(cell, row - centre, minlength=size) / np.maximum(count, 1)
    several = count > 1
    calm = np.zeros(size, dtype=np.bool_)
    calm[np.unique(cell[_quiet(steps)[panel.time[measured]]])] = True
    middle, wide = _own_unrest(excess, several, panel.cells)
    excess -= middle
    chance = np.maximum(max(width, 0.2) / np.sqrt(freedom), wide)
    unlike = _unlike(excess, chance, several & calm) if history > 1 else 0.0
    score = np.where(several, excess / np.hypot(chance, unlike), 0.0)
    size_of = np.bincount(cell, np.where(known, np.abs(own), 0.0).sum(axis=0)[measured] / known.sum(axis=0)[measured],
                          minlength=size)  # fmt: skip
    return own, score, size_of / np.maximum(count, 1)


def _own_unrest(excess: Floats, known: Flags, cells: tuple[int, int]) -> tuple[Floats, Floats]:
    """How dispersed a group is at its other times beyond others, and how unevenly; with few of them, partly."""
    table = np.where(known, excess, np.nan).reshape(cells)
    middle, width = np.zeros(cells), np.zeros(cells)
    for group, own in enumerate(table):
        times = np.flatnonzero(np.isfinite(own))
        if len(times) < _FEWEST_TIMES:
            continue
        # Half of the times may be extraordinary before they pass for ordinary.
        others = [np.delete(own[times], place) for place in range(len(times))]
        halves = np.array([np.quantile(other, 0.5, method="lower") for other in others])
        spread = np.array([robust_deviation(other - half) for other, half in zip(others, halves, strict=True)])
        share = len(times) / (len(times) + _SHRINKAGE)
        middle[group, times], width[group, times] = halves * share, spread * share
    return middle.ravel(), width.ravel()


def _unlike(excess: Floats, chance: Floats, calm: Flags) -> float:
    """The standard deviation of the dispersion of groups at quiet times beyond chance: units of a group are alike."""
    if not calm.any():
        return 0.0
    score = excess[calm] / chance[calm]
    upper = float(np.quantile(score, _UPPER)) / _UPPER_OF_NORMAL
    if upper <= 1:
        return 0.0
    return float(np.sqrt(upper**2 - 1) * np.median(chance[calm]))


def _ordinary_cells(row: Floats, cell: Codes, quiet: Flags, size: int) -> Flags:
    """Rows of cells that are not among the most dispersed ones, so that events do not pass for ordinary."""
    count = np.bincount(cell, minlength=size)
    mean = np.bincount(cell, row, minlength=size) / np.maximum(count, 1)
    most = np.quantile(mean[np.unique(cell[quiet])], _ORDINARY_SHARE)
    found: Flags = mean[cell] <= most
    return found


def _quiet(steps: Steps) -> Flags:
    """The quieter half of the times: there the ordinary distribution is learned."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(steps.typical)
        relative = logs - logs.min(axis=1, where=steps.typical > 0, initial=np.inf)[:, None]
    known = np.isfinite(relative)
    level = np.where(known, relative, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    some = known.any(axis=0)
    quiet: Flags = some & (level <= np.median(level[some])) if some.any() else some
    return quiet


def _scores(steps: Steps, shifts: Floats, size: int) -> Floats:
    """Shifts in standard deviations: of all shifts of the measure, and of what the group's own units allow."""
    scores = np.zeros_like(shifts)
    for measure, shift in enumerate(shifts):
        known = np.isfinite(steps.residual[measure])
        count = np.bincount(steps.cell[known], minlength=size)
        noise = np.bincount(steps.cell[known], steps.scale[measure][known] ** 2, minlength=size)
        # A median of n is noisier than a mean of n by pi/2.
        own = np.pi / 2 * noise / np.maximum(count, 1) ** 2
        between = robust_deviation(shift)
        scores[measure] = np.nan_to_num(shift / np.hypot(np.maximum(np.sqrt(own), between), 1e-6))
    return scores


def _entities(panel: Panel, steps: Steps, size: int) -> tuple[Codes, Codes]:
    """How many entities turned up in another unit, and how many stayed."""
    nothing = np.zeros(size, dtype=np.int64)
    if panel.entity is None or not (panel.entity >= 0).any():
        return nothing, nothing
    many = int(panel.entity.max()) + 1
    named = np.flatnonzero(panel.entity >= 0)
    key = steps.cell[named] * many + panel.entity[named]
    found, where, times_named = np.unique(key, return_index=True, return_counts=True)
    # A name that several units of the group carry at once (a placeholder) tells nothing.
    once = times_named == 1
    found, where = found[once], named[where[once]]
    later = panel.time[where] > 0
    sought = found[later] - many
    place = np.minimum(np.searchsorted(found, sought), len(found) - 1)
    met = found[place] == sought
    now, then = where[later][met], where[place[met]]
    same = panel.unit[now] == panel.unit[then]
    cell = steps.cell[now]
    return np.bincount(cell[~same], minlength=size), np.bincount(cell[same], minlength=size)
