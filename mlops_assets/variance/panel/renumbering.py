"""Renumbering: units that only got other labels.

Put here what tells exchanged labels from redrawn units. Keep out redrawn units.

Every unit after is assigned to the unit before that it resembles most in all measures (Kuhn's Hungarian method).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]  # SciPy ships no types
from scipy.special import gammaln  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from mlops_assets.variance.arrays import Codes, Floats
    from mlops_assets.variance.panel.panels import Panel
    from mlops_assets.variance.panel.steps import Steps

_FEWEST_UNITS: Final = 2
_MOST_UNITS: Final = 400
_CLOSE: Final = 0.7
_CLOSER: Final = 0.35
_FITS: Final = 2.0
"""The mean weight, log(1 + z^2 / 4), of a unit that still fits: z of 5. On average they must be far closer, and closer
still where single ones fit none: of redrawn units most are like some unit of the time before, a normal z has 0.2."""

_EXCEPTIONS: Final = 0.2
"""The share of units that may fit none: of fewer than five units every one has to fit."""

_NEVER: Final = 1e6
_WORSE: Final = 2.0
_WORSE_BY: Final = 0.25
_LEAST_TOLD: Final = 6.0
_APART: Final = 1.4
_APART_BY: Final = 0.12
"""How much worse the old labels, and the best assignment that avoids the one found, must fit. Read off counties,
registrations and census districts with their labels exchanged or their people (docs/variance.md)."""


@dataclass(frozen=True, kw_only=True)
class Renumbering:
    """Units of one group and time that are other units of the time before.

    Attributes:
        old: unit codes before.
        new: unit codes after, in the same order.
        units: all units after.
        misfits: unit codes after that are in their measures no unit of the time before.
        lost: unit codes before that no unit after is.
    """

    old: Codes
    new: Codes
    units: int
    misfits: Codes
    lost: Codes


def renumbering(panel: Panel, steps: Steps, rows_before: Codes, rows_after: Codes) -> Renumbering | None:
    """Find out whether units only exchanged or changed their labels.

    Args:
        panel: the panel.
        steps: its steps.
        rows_before: the group's rows at the time before.
        rows_after: the group's rows now.

    Returns:
        The units relabelled; ``None`` unless units fit one before as closely as in ordinary times, but for single ones
        that are named, the relabelled ones far better than the unit of their label, and any other assignment worse.
    """
    sizes = len(rows_before), len(rows_after)
    if min(sizes) < _FEWEST_UNITS or max(sizes) > _MOST_UNITS or abs(sizes[0] - sizes[1]) > _EXCEPTIONS * min(sizes):
        return None
    swing = np.nan_to_num(steps.swing[:, panel.time[rows_after[0]]])[:, None]
    old, new = steps.levels[:, rows_before] + swing, steps.levels[:, rows_after]
    known = np.isfinite(old).any(axis=0).all() and np.isfinite(new).any(axis=0).all()
    if not known:
        return None
    cost = _unlikeness(old, new, steps.scale[:, rows_after])
    before, after = linear_sum_assignment(np.minimum(cost, _FITS))
    fits = cost[before, after] <= _FITS
    misfits = np.setdiff1d(np.arange(sizes[1]), after[fits])
    lost = np.setdiff1d(np.arange(sizes[0]), before[fits])
    measured = int(np.isfinite(new).any(axis=1).sum())
    # By a single measure most units fit somewhere by chance.
    if max(len(misfits), len(lost)) > _EXCEPTIONS * min(sizes) * (measured > 1):
        return None
    before, after = before[fits], after[fits]
    old_units, new_units = panel.unit[rows_before[before]], panel.unit[rows_after[after]]
    other = old_units != new_units
    # More must have other labels than fit nowhere.
    closeness = _CLOSER if misfits.size or lost.size else _CLOSE
    if other.sum() <= len(misfits) or cost[before, after].mean() > closeness:
        return None
    if not _told_apart(cost, (before, after), panel.unit[rows_before], panel.unit[rows_after], measured):
        return None
    return Renumbering(
        old=old_units[other],
        new=new_units[other],
        units=sizes[1],
        misfits=panel.unit[rows_after[misfits]],
        lost=panel.unit[rows_before[lost]],
    )


def _told_apart(cost: Floats, assigned: tuple[Codes, Codes], old_units: Codes, new_units: Codes, measured: int) -> bool:
    """Whether the old labels, and every other assignment, fit far worse than the one found."""
    before, after = assigned
    matched = cost[before, after]
    other = old_units[before] != new_units[after]
    place = {unit: at for at, unit in enumerate(old_units.tolist())}
    own = [cost[place[unit], to] if unit in place else np.inf for unit, to in _labelled(new_units, after)]
    own_label = float(np.mean(np.array(own)[other]))
    # A single measure lets two units change places by chance, and of many units some pair will.
    ways = gammaln(len(matched) + 1) - gammaln(len(matched) - other.sum() + 1)
    if measured * (own_label - matched[other].mean()) * other.sum() < max(_LEAST_TOLD, ways):
        return False
    if own_label < max(_WORSE * matched[other].mean(), matched[other].mean() + _WORSE_BY):
        return False
    rivals = cost[np.ix_(before, after)]
    np.fill_diagonal(rivals, _NEVER)
    second = rivals[linear_sum_assignment(rivals)]
    return bool(second.mean() >= max(_APART * matched.mean(), matched.mean() + _APART_BY))


def _labelled(units: Codes, places: Codes) -> list[tuple[int, int]]:
    return list(zip(units[places].tolist(), places.tolist(), strict=True))


def _unlikeness(old: Floats, new: Floats, scale: Floats) -> Floats:
    """Units before by units after: the mean weight, log(1 + z^2 / 4), of their differences."""
    total = np.zeros((old.shape[1], new.shape[1]))
    count = np.zeros_like(total)
    for before, after, width in zip(old, new, scale, strict=True):
        # A measure without any scatter makes a difference infinite, which is not counted below.
        with np.errstate(over="ignore"):
            weight = np.log1p(((after[None, :] - before[:, None]) / width[None, :]) ** 2 / 4)
        total += np.nan_to_num(weight)
        count += np.isfinite(weight)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf).clip(max=_NEVER)
