"""Entries: changes that come from how records were entered, loaded or defined, not from units or their people.

Put here one function per pattern that entry leaves behind. Keep out redrawn units, and how causes are ranked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.variance.panel.steps import grouped_median, robust_deviation
from mlops_assets.variance.panel.totals import standardised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.variance.arrays import Codes, Flags, Floats
    from mlops_assets.variance.panel.evidence import Evidence
    from mlops_assets.variance.panel.panels import Panel
    from mlops_assets.variance.panel.steps import Steps
    from mlops_assets.variance.panel.totals import Totals

FACTORS: Final = (2.0, 0.5, 10.0, 0.1, 100.0, 0.01, 1000.0, 0.001)
"""Factors that entry leaves behind: loaded twice, half loaded, other units of measure."""

_FACTOR_SCORE: Final = 5.0
_SHARPNESS: Final = 0.17
"""An exact factor is told from others up to this distance in logarithms: a quarter of the smallest, 2."""
_NOISE: Final = 2.5
_AGREE: Final = 0.8
_SEVERAL: Final = 3
_MOST: Final = 0.5
_UNIT_SCORE: Final = 8.0
_SWAP_SCORE: Final = 6.0
_SWAP_SIZE: Final = 0.2
_CONSERVED: Final = 0.25
_JUMP_SCORE: Final = 8.0
_JUMP_SIZE: Final = 0.1
_STILL: Final = 2.5
_STAND_OUT: Final = 8.0
_STAND_OUT_SIZE: Final = 0.25
_HISTORY: Final = 4
_SAME: Final = 1e-9
_PAIR: Final = 2
_HALF: Final = 0.5
_CHANCE: Final = 0.01
_CONSERVED_TOTAL: Final = 0.02
_MANY_LOST: Final = 0.4
_SELDOM: Final = 0.05
_OFTEN_EQUAL: Final = 0.1
_SELDOM_FALLS: Final = 0.02
_OFTEN_COUNTED: Final = 0.1
"""Where more units than these rose and none fell, something was counted on; corrections go either way."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What happened to one group at one time.

    Attributes:
        cell: group times number of times plus time.
        probability: that it is this cause, 0 to 1.
        magnitude: of the change in logarithms, or in shares.
        sentence: the evidence.
    """

    cell: int
    probability: float
    magnitude: float
    sentence: str


def exact_rows(steps: Steps) -> Flags:
    """Rows in which some measure changed by an exact factor, far beyond ordinary change, as in most of their group."""
    found = np.zeros(steps.residual.shape[1], dtype=np.bool_)
    count = np.maximum(np.bincount(steps.cell[~steps.first], minlength=len(steps.start) - 1), 1)
    for measure in np.flatnonzero(steps.logarithmic).tolist():
        for factor in FACTORS:
            log = abs(np.log(factor))
            scale = steps.scale[measure]
            near = np.abs(steps.residual[measure] - np.log(factor)) < np.clip(3 * scale, 0.01, _SHARPNESS)
            near &= scale * _UNIT_SCORE < log
            # A unit that got another one's label changes by any factor: others of its group by other ones.
            most = np.bincount(steps.cell[near], minlength=len(count)) >= _MOST * count
            found |= near & most[steps.cell]
    return found


def repeated(panel: Panel, steps: Steps) -> Iterator[Finding]:
    """Groups most of whose rows came twice at one time, and did not the time before."""
    if (panel.copies == 1).all():
        return
    size = len(panel.groups) * len(panel.times)
    twice = np.bincount(steps.cell, panel.copies > 1, minlength=size)
    share = twice / np.maximum(np.bincount(steps.cell, minlength=size), 1)
    earlier = np.concatenate([[0.0], share[:-1]])
    for cell in np.flatnonzero((share >= _MOST) & (earlier < _MOST)).tolist():
        yield Finding(
            cell=cell,
            probability=0.97,
            magnitude=float(np.log(1 + share[cell])),
            sentence=f"{share[cell]:.0%} of the units have more than one row: loaded twice",
        )


def vanished_or_default(panel: Panel, steps: Steps, totals: Totals) -> Iterator[Finding]:
    """Measures that most units of a group lost at one time, or in which all got one and the same value."""
    size = len(panel.groups) * len(panel.times)
    count = np.bincount(steps.cell, minlength=size)
    follows = ~steps.first
    linked = np.bincount(steps.cell[follows], minlength=size)
    for measure, values in enumerate(panel.values):
        lost = np.zeros(len(values), dtype=np.bool_)
        lost[1:] = follows[1:] & ~np.isfinite(values[1:]) & np.isfinite(values[:-1])
        # A measure that a group never has again was given up, which is entry as well.
        share = np.bincount(steps.cell[lost], minlength=size) / np.maximum(linked, 1)
        for cell in np.flatnonzero((share >= _MOST) & (linked > 0)).tolist():
            yield Finding(
                cell=cell,
                probability=0.95,
                magnitude=float(share[cell]),
                sentence=f"{panel.measures[measure]} is missing in {share[cell]:.0%} of the units that had it",
            )
        plain = np.where(steps.coded, np.nan, values)
        spread = _spread(plain, steps.cell, size)
        some = np.bincount(steps.cell[np.isfinite(plain)], minlength=size)
        one_value = (spread == 0) & (some == count) & (count >= _SEVERAL)
        earlier = np.concatenate([[0.0], spread[:-1]])
        for cell in np.flatnonzero(one_value & (earlier > 0) & (linked > 0)).tolist():
            # Units of equal size are what many maps are drawn for: then the group has what it had.
            if _chance_of_one_value(plain, steps, cell) > _CHANCE or _is_conserved(totals, measure, cell):
                continue
            yield Finding(
                cell=cell,
                probability=0.95,
                magnitude=1.0,
                sentence=f"{panel.measures[measure]} has one and the same value in all {count[cell]} units",
            )


def _chance_of_one_value(values: Floats, steps: Steps, cell: int) -> float:
    """How probable it is that all units of a cell have one value by chance, as often as the other rows have it."""
    rows = steps.rows(cell)
    others = np.delete(values, rows)
    others = others[np.isfinite(others)]
    share = (np.sum(others == values[rows[0]]) + _HALF) / (len(others) + 1)
    return float(share ** (len(rows) - 1))


def _is_conserved(totals: Totals, measure: int, cell: int) -> bool:
    """Whether the group's total of a measure is what it was, but for the common swing."""
    return bool(abs(np.nan_to_num(totals.net[measure, cell], nan=np.inf)) < _CONSERVED_TOTAL)


def factors(panel: Panel, steps: Steps, evidence: Evidence) -> Iterator[Finding]:
    """Groups in which a measure changed by an exact factor against the common swing."""
    size = evidence.units.size
    for measure in np.flatnonzero(steps.logarithmic).tolist():
        residual = steps.residual[measure]
        known = np.isfinite(residual)
        if not known.any():
            continue
        shift = grouped_median(residual, steps.cell, size)
        count = np.bincount(steps.cell[known], minlength=size)
        noise = np.bincount(steps.cell[known], steps.scale[measure][known] ** 2, minlength=size)
        own = np.sqrt(np.pi / 2 * noise) / np.maximum(count, 1)
        between = robust_deviation(shift)
        beyond = np.abs(shift) > _FACTOR_SCORE * np.hypot(own, between)
        for factor in FACTORS:
            log = np.log(factor)
            sharp = np.maximum(_NOISE * np.hypot(own, between / 2), 0.02)
            # Where noise is wide, nearly any change is near some factor.
            near = beyond & (np.abs(shift - log) <= sharp) & (sharp <= _SHARPNESS)
            for cell in np.flatnonzero(near).tolist():
                units = residual[steps.rows(cell)]
                units = units[np.isfinite(units)]
                agreeing = float(np.mean(np.abs(units - log) < _SHARPNESS))
                if agreeing >= _AGREE and (len(units) >= _SEVERAL or _peers_agree(evidence, steps, cell, log)):
                    yield Finding(
                        cell=cell,
                        probability=0.98,
                        magnitude=float(shift[cell]),
                        sentence=f"{panel.measures[measure]} is {np.exp(shift[cell]):.4g} times as before against the "
                        f"common swing, the factor {factor:g}, in {agreeing:.0%} of {len(units)} units",
                    )


def _peers_agree(evidence: Evidence, steps: Steps, cell: int, log: float) -> bool:
    """Whether every measure compared by logarithms changed by the factor; one or two units do not tell alone."""
    shifts = evidence.shifts[steps.logarithmic, cell]
    return bool((np.abs(shifts[np.isfinite(shifts)] - log) < _SHARPNESS).all())


def exchanged(panel: Panel, steps: Steps, evidence: Evidence, totals: Totals) -> Iterator[Finding]:
    """Groups in which one measure gave to another what it lost, unit by unit: swapped, merged or recoded."""
    groups, times = panel.cells
    for one in range(len(panel.measures)):
        for other in range(one):
            if steps.logarithmic[one] != steps.logarithmic[other]:
                continue
            apart = (totals.net if steps.logarithmic[one] else evidence.shifts)[[one, other]]
            contrast = apart[0] - apart[1]
            score = standardised(contrast.reshape(groups, times)).ravel()
            far = (np.abs(score) > _SWAP_SCORE) & (np.abs(np.nan_to_num(contrast)) > _SWAP_SIZE)
            # Both must move, one up and one down.
            far &= np.sign(np.nan_to_num(apart[0])) == -np.sign(np.nan_to_num(apart[1]))
            for cell in np.flatnonzero(far).tolist():
                up, down = (one, other) if contrast[cell] > 0 else (other, one)
                kept = _kept(panel, steps, cell, up, down)
                if kept is not None:
                    yield Finding(
                        cell=cell,
                        probability=0.93,
                        magnitude=float(abs(contrast[cell])),
                        sentence=f"{panel.measures[up]} gained what {panel.measures[down]} lost, unit by unit; their "
                        f"sum is kept to {kept:.0%} of what moved, {abs(score[cell]):.0f} times what is ordinary",
                    )


def _kept(panel: Panel, steps: Steps, cell: int, up: int, down: int) -> float | None:
    """How much of what moved between two measures is not accounted for, the middle of the units; ``None`` if much."""
    rows = steps.rows(cell)
    rows = rows[~steps.first[rows]]
    swing = np.nan_to_num(steps.swing[:, cell % len(panel.times)])
    expected = panel.values[:, rows - 1]
    expected = np.where(steps.logarithmic[:, None], expected * np.exp(swing)[:, None], expected + swing[:, None])
    moved = panel.values[:, rows] - expected
    gained, lost = moved[up], moved[down]
    moving = np.isfinite(gained) & np.isfinite(lost) & (np.abs(gained) + np.abs(lost) > 0)
    if moving.sum() < _PAIR or np.mean((gained > 0)[moving] & (lost < 0)[moving]) < _AGREE:
        return None
    kept = float(np.median(np.abs(gained + lost)[moving] / (np.abs(gained) + np.abs(lost))[moving]))
    return kept if kept <= _CONSERVED else None


def rows_lost(panel: Panel, steps: Steps) -> Iterator[Finding]:
    """Groups of whose units many have no row at one time, and have them again at the next; others left."""
    groups, times = panel.cells
    size = groups * times
    count = np.bincount(steps.cell, minlength=size)
    over = np.flatnonzero(~steps.first & (np.diff(panel.time, prepend=0) > 1))
    gap = np.bincount(steps.cell[over] - 1, minlength=size)
    ends = np.flatnonzero(steps.last & (panel.time < times - 1))
    gone = np.bincount(steps.cell[ends] + 1, minlength=size)
    away = gap + gone
    share = away / np.maximum(count + away, 1)
    usual = float(np.mean(share[count > 0] >= _MANY_LOST)) if (count > 0).any() else 0.0
    if usual > _SELDOM:
        return
    new = np.bincount(steps.cell[steps.first], minlength=size)
    many = (share >= _MANY_LOST) & (away > 1) & (count > 0) & (new == 0)
    for cell in np.flatnonzero(many & (gap >= gone)).tolist():
        yield Finding(
            cell=cell,
            probability=0.85,
            magnitude=float(share[cell]),
            sentence=f"{away[cell]} of {count[cell] + away[cell]} units have no row, and have them again at the next: "
            "partly loaded",
        )


def lone_jumps(panel: Panel, evidence: Evidence) -> Iterator[Finding]:
    """Groups in which one measure jumped and none of its peers moved."""
    if len(panel.measures) < 2:  # noqa: PLR2004  a single measure has no peers
        return
    strength = np.abs(np.nan_to_num(evidence.scores))
    ranked = np.sort(strength, axis=0)
    lone = (ranked[-1] > _JUMP_SCORE) & (ranked[-2] < _STILL)
    known = np.isfinite(evidence.shifts).sum(axis=0) > 1
    for cell in np.flatnonzero(lone & known & (evidence.compared > 1)).tolist():
        measure = int(strength[:, cell].argmax())
        shift = float(evidence.shifts[measure, cell])
        if abs(shift) > _JUMP_SIZE:
            yield Finding(
                cell=cell,
                probability=0.8,
                magnitude=shift,
                sentence=f"{panel.measures[measure]} jumped by {shift:+.3g} against the common swing, "
                f"{strength[measure, cell]:.0f} standard deviations; its peers did not move",
            )


def everywhere(panel: Panel, steps: Steps, evidence: Evidence) -> Iterator[Finding]:
    """Times at which a measure changed in all groups in a way that its peers did not: another instrument."""
    groups, times = panel.cells
    swing = np.where(np.isfinite(steps.swing), steps.swing, 0.0)
    apart = swing - np.median(swing, axis=0)
    for time in range(1, times):
        for measure in np.flatnonzero(steps.logarithmic).tolist():
            sentence = _instrument(panel, steps, apart, measure, time)
            if sentence is None:
                continue
            cells = np.arange(groups) * times + time
            for cell in cells[evidence.compared[cells] > 0]:
                yield Finding(cell=cell, probability=0.9, magnitude=float(swing[measure, time]), sentence=sentence)


def _instrument(panel: Panel, steps: Steps, apart: Floats, measure: int, time: int) -> str | None:
    name, swing = panel.measures[measure], float(steps.swing[measure, time])
    if not np.isfinite(swing):
        return None
    history = np.delete(steps.swing[measure], time)
    history = history[np.isfinite(history)]
    usual = robust_deviation(history - np.median(history)) if history.size >= _HISTORY else 0.0
    middle = float(np.median(history)) if history.size >= _HISTORY else 0.0
    log = min((np.log(factor) for factor in FACTORS), key=lambda log: abs(swing - middle - log))
    # What comes back every other time is a season. The time after may undo the factor.
    apart_in_time = np.abs(np.arange(len(steps.swing[measure])) - time) > 1
    seasons = np.abs(steps.swing[measure][apart_in_time] - middle)
    if (
        abs(swing - middle - log) < max(0.03, 2 * usual)
        and abs(log) > _UNIT_SCORE * usual
        and not (seasons > abs(log) * _MOST).any()
        and steps.typical[measure, time] < _SHARPNESS
    ):
        return f"{name} is {np.exp(swing):.4g} times as before in all groups, the factor {np.exp(log):g}"
    if len(panel.measures) < 3:  # noqa: PLR2004  two measures do not tell which one is out of step
        return None
    own = abs(apart[measure, time])
    others = float(np.median(np.abs(apart[:, time])))
    past = np.delete(apart[measure], [0, time])
    before = float(np.abs(past).max()) if past.size else 0.0
    if own > max(_STAND_OUT_SIZE, _STAND_OUT * others, 3 * before, float(steps.typical[measure, time])):
        return (
            f"{name} changed by {swing:+.3g} in all groups while the other measures changed by "
            f"{others:.2g} in the middle: another instrument or definition"
        )
    return None


def same_record(panel: Panel, steps: Steps) -> Iterator[Finding]:
    """Times at which most values are exactly those of the time before: whatever differs was entered differently."""
    groups, times = panel.cells
    follows = np.flatnonzero(~steps.first & (panel.time > 0))
    if not follows.size:
        return
    difference = panel.values[:, follows] - panel.values[:, follows - 1]
    known = np.isfinite(difference)
    same = known & (np.abs(difference) <= _SAME * np.abs(panel.values[:, follows]))
    time = panel.time[follows]
    rows = np.bincount(time, known.any(axis=0), minlength=times)
    equal = np.bincount(time, known.any(axis=0) & (same | ~known).all(axis=0), minlength=times)
    share_equal = equal / np.maximum(rows, 1)
    copied = (share_equal > _MOST) & (rows > 1)
    # Where units often stay exactly as they were, or only ever add up, standing still is nothing.
    usual = float(np.median(share_equal[rows > 0]))
    if (rows > 0).sum() >= _SEVERAL and usual > _OFTEN_EQUAL:
        return
    cells = steps.cell[follows]
    if _adds_up(difference, known) and (known & ~same).any(axis=0).mean() > _OFTEN_COUNTED:
        return
    changed = copied[time] & (known & ~same).any(axis=0)
    count = np.bincount(cells[changed], minlength=groups * times)
    of = np.bincount(cells, minlength=groups * times)
    for cell in np.flatnonzero(count).tolist():
        share = equal[cell % times] / rows[cell % times]
        largest = float(np.nanmax(np.abs(steps.change[:, steps.rows(cell)]), initial=0.0))
        yield Finding(
            cell=cell,
            probability=0.95,
            magnitude=largest,
            sentence=f"{share:.0%} of all units are exactly as before, so that this is the same record; "
            f"{count[cell]} of {of[cell]} units here differ",
        )


def _adds_up(difference: Floats, known: Flags) -> bool:
    """Whether no measure of any unit ever falls: counts that are carried on from time to time."""
    falls = known & (difference < 0)
    return bool(falls.sum() <= _SELDOM_FALLS * known.sum() and (difference[known] > 0).any())


def _spread(values: Floats, cell: Codes, size: int) -> Floats:
    """The largest less the smallest known value of each cell, NaN where none is known."""
    known = np.isfinite(values)
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(low, cell[known], values[known])
    np.maximum.at(high, cell[known], values[known])
    return np.where(high >= low, high - np.where(np.isfinite(low), low, 0), np.nan)
