"""Turnover: units that come and go, and whether the others took over what they had.

Put here what is learned of a panel's own coming and going, and what tells it from a new map. Keep out single causes.

A redrawn map that has fewer units gives all that the others had to those that are left: the group's total stays, and
the units that go on grow. Where units open, close, or leave a sample, those that go on are what they were, and the
total falls or rises by what came or went.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import pdtrc  # type: ignore[import-untyped]  # SciPy ships no types

from mlops_assets.variance.panel.steps import robust_deviation

if TYPE_CHECKING:
    from mlops_assets.variance.arrays import Flags, Floats
    from mlops_assets.variance.panel.evidence import Evidence
    from mlops_assets.variance.panel.panels import Panel
    from mlops_assets.variance.panel.steps import Steps

_STEADIEST: Final = 0.01
"""What goes on is never taken to be steadier than 1 %."""

_FEWEST_STEPS: Final = 3
_MOST_TOLD: Final = 3.0
_MOST_AGAINST: Final = -12.0
_CLEARLY_NOT_REDRAWN: Final = -3.0
"""What goes on may have moved as well, if the whole moved by far more."""

_HALF_FREEDOM: Final = 2.5
_STILL: Final = 3.0
_CHANCE: Final = 0.003
_FEWEST: Final = 1e-9
_OFTEN: Final = 0.05
"""Where units come or go in fewer groups than these, each time is worth a name."""


@dataclass(frozen=True, kw_only=True)
class Turnover:
    """What the units that came and went tell, one figure per group and time (flat).

    Attributes:
        rate: the share of units that come or go from one time to the next in the middle of all times.
        odds: logarithm of the likelihood ratio, redrawn against come and gone; 0 where the set of units stayed or
            nothing can be added up.
        ordinary: whether no more units came and went than the rate lets expect.
        undisturbed: whether the units that go on are what they were, or moved by far less than the whole.
        moved: how far the group's total moved, in logarithms.
    """

    rate: float
    odds: Floats
    ordinary: Flags
    undisturbed: Flags
    moved: Floats


def turnover_of(panel: Panel, steps: Steps, evidence: Evidence) -> Turnover:
    """Weigh what went on against what came and went.

    Args:
        panel: the panel.
        steps: its steps.
        evidence: of each group and time.

    Returns:
        The turnover; without measures that add up only its rate.
    """
    groups, times = panel.cells
    size = groups * times
    exchanged = evidence.appeared + evidence.disappeared
    changed = (exchanged > 0) & (evidence.units > 0) & (evidence.before > 0)
    linked = ~steps.first
    told, known = np.zeros(size), np.zeros(size)
    still = np.ones(size, dtype=np.bool_)
    moved = np.zeros(size)
    for measure in np.flatnonzero(steps.logarithmic).tolist():
        went_on, whole = _changes(panel, steps, measure, linked)
        width = _width(went_on, panel.cells)
        usable = changed & np.isfinite(went_on) & np.isfinite(whole)
        told[usable] += (_unlikely(went_on / width) - _unlikely(whole / width))[usable]
        known += usable
        still &= ~usable | (np.abs(np.nan_to_num(went_on)) < _STILL * width)
        moved = np.where(usable & (np.abs(np.nan_to_num(whole)) > np.abs(moved)), np.nan_to_num(whole), moved)
    odds = np.where(known > 0, np.clip(told / np.maximum(known, 1), _MOST_AGAINST, _MOST_TOLD), 0.0)
    rate = _rate(evidence, odds, panel.cells)
    expected = rate * np.maximum(evidence.units, evidence.before)
    return Turnover(
        rate=rate,
        odds=odds,
        ordinary=pdtrc(exchanged - 1, np.maximum(expected, _FEWEST)) > _CHANCE,
        undisturbed=(still & (known > 0)) | (odds < _CLEARLY_NOT_REDRAWN),
        moved=moved,
    )


def _unlikely(scores: Floats) -> Floats:
    """How unlikely scores are, by a t distribution of four degrees of freedom: a swing of its own decides nothing."""
    found: Floats = _HALF_FREEDOM * np.log1p(scores**2 / 4)
    return found


def _width(went_on: Floats, cells: tuple[int, int]) -> Floats:
    """The standard deviation of what goes on: of all groups, or of those at that time where they were less alike."""
    table = went_on.reshape(cells)
    own = np.array([robust_deviation(column) for column in table.T])
    found: Floats = np.tile(np.maximum(own, max(robust_deviation(went_on), _STEADIEST)), cells[0])
    return found


def _rate(evidence: Evidence, odds: Floats, cells: tuple[int, int]) -> float:
    """The share of units that ordinarily come or go; 0 where that is seldom, or not to be learned."""
    both = (evidence.units > 0) & (evidence.before > 0)
    # What a new map explains better is no coming and going.
    exchanged = np.where(both & (odds <= 0), evidence.appeared + evidence.disappeared, 0).reshape(cells)[:, 1:]
    base = np.where(both, np.maximum(evidence.units, evidence.before), 0).reshape(cells)[:, 1:]
    if cells[1] <= _FEWEST_STEPS or (exchanged > 0).sum() < _OFTEN * max(both.sum(), 1):
        return 0.0
    some = base.sum(axis=0) > 0
    return float(np.median(exchanged.sum(axis=0)[some] / base.sum(axis=0)[some]))


def _changes(panel: Panel, steps: Steps, measure: int, linked: Flags) -> tuple[Floats, Floats]:
    """What units that are in both times changed together, and what the whole group did: logarithms, less the swing."""
    size = panel.cells[0] * panel.cells[1]
    values = panel.values[measure]
    known = np.isfinite(values) & (values > 0)
    earlier = np.concatenate([[np.nan], values[:-1]])
    both = linked & known & np.concatenate([[False], known[:-1]])
    whole = np.bincount(steps.cell[known], values[known], minlength=size)
    pairs = (
        (np.bincount(steps.cell[both], values[both], minlength=size),
         np.bincount(steps.cell[both], earlier[both], minlength=size)),
        (whole, np.concatenate([[0.0], whole[:-1]])),
    )  # fmt: skip
    swing = np.tile(np.nan_to_num(steps.swing[measure]), panel.cells[0])
    found = []
    for now, then in pairs:
        some = (now > 0) & (then > 0)
        logs = np.log(np.where(some, now, 1.0)) - np.log(np.where(some, then, 1.0))
        found.append(np.where(some, logs, np.nan) - swing)
    return found[0], found[1]
