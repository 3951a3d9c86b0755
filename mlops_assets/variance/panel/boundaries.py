"""Boundaries: how probable it is that a group's units were redrawn, or only got each other's labels.

Put here what weighs the evidence for a changed division of groups. Keep out changes that leave the division alone.

Method. Independent pieces of evidence add up as logarithms of likelihood ratios. Redrawings come in waves (after every
census) or alone; how many groups share in one is not known beforehand, hence the posterior is averaged over the
possible shares at each time, which a fixed prior weighs (empirical Bayes over groups; Efron, Large-Scale Inference,
2010). The ratios were read off elections to the US House
1976-2000 and rounded, the other constants chosen by trial on those, on census profiles and on simulated panels; they
are the same for every panel. What they reach, and on what they have not been tried, stands in docs/variance.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]  # SciPy ships no types
from scipy.special import gammaln  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from mlops_assets.variance.arrays import Codes, Flags, Floats
    from mlops_assets.variance.panel.evidence import Evidence
    from mlops_assets.variance.panel.panels import Panel
    from mlops_assets.variance.panel.steps import Steps
    from mlops_assets.variance.panel.turnover import Turnover

SHARES: Final = np.array([0.01, 0.03, 0.1, 0.3, 0.6, 0.9, 0.99])
"""Shares of groups that may be redrawn at one time."""

PRIOR: Final = np.array([0.72, 0.20, 0.04, 0.01, 0.01, 0.01, 0.01])
"""How probable each of them is beforehand; 4.5 % of groups on average."""


@dataclass(frozen=True, kw_only=True)
class Ratios:
    """Logarithms of likelihood ratios, redrawn against not redrawn.

    Attributes:
        set_changed: the number or set of units changed. In the waves of 1982 and 1992 in 40 % of the states,
            otherwise in none of 410.
        set_unchanged: it did not.
        first_moved: a winner turned up in another district. In the waves in 30 % of the states, otherwise in none of
            410.
        next_moved: every further one, up to two.
        none_moved: none did, and some stayed.
    """

    set_changed: float = 5.0
    set_unchanged: float = -0.5
    first_moved: float = 4.5
    next_moved: float = 2.0
    none_moved: float = -0.3


DEFAULT: Final = Ratios()
"""The ratios that every panel is weighed by."""

_MOST_FURTHER: Final = 2

_CHANGED_IF_REDRAWN: Final = 0.4

_SHOWN: Final = 0.15
_PER_DEVIATION: Final = 0.9
"""A mixture: most redrawings show in returns no more than an open seat does, the others grow with the dispersion."""

_SHOWN_MIXED: Final = 0.6
_SHOWN_PLAIN: Final = 0.95
_MIXED_SHIFT: Final = 0.9
_CLEAR: Final = 6.0
_UNLIKE_CLEAR: Final = 3.0
_LEAST_CLEAR: Final = -8.0
"""In a wave it can be learned how clearly redrawings show: faintly, as in returns; mixed, as in profiles of people,
where states of two districts move little; plainly, as in counties put together anew, where hardly any does not show;
or clearly, so that whoever does not stand out was not redrawn."""

_CLEARLY: Final = 1e-7
"""Taken for clear only if dozens of groups say so: it is what declares a quiet group of a wave untouched."""

_CLARITY: Final = np.vstack(
    [
        0.96 * PRIOR,
        np.where(SHARES > 0.5, 0.02 * PRIOR, 0.0),  # noqa: PLR2004  a wave takes in most groups
        np.where(SHARES > 0.5, 0.02 * PRIOR, 0.0),  # noqa: PLR2004
        np.where(SHARES > 0.5, _CLEARLY * PRIOR, 0.0),  # noqa: PLR2004
    ]
)

_FEWEST_FOR_FAINT: Final = 16
"""A wave that hardly shows is learned from many groups; among a few, two events of one time would pass for it."""

_LEAST_SPREAD: Final = 0.01
"""Less is no map, however still the times are: one percent."""

_CERTAIN: Final = 0.6

_IMPOSSIBLE: Final = -40.0
_MOST: Final = 30.0
_FEWEST_UNITS: Final = 2
_MOST_UNITS: Final = 400
_CLOSE: Final = 0.7
_FAR: Final = 2.0
_NEVER: Final = 1e6
_WORSE: Final = 2.0
_WORSE_BY: Final = 0.25
_LEAST_TOLD: Final = 6.0
_APART: Final = 1.4
_APART_BY: Final = 0.12
"""How much worse the old labels, and the best assignment that avoids the one found, must fit. Read off counties,
registrations and census districts with their labels exchanged or their people (docs/variance.md)."""


def telling(evidence: Evidence) -> Flags:
    """Groups that have anything to say about a new map: units compared, come or gone, or entities."""
    found: Flags = (evidence.against >= _FEWEST_UNITS) | (evidence.appeared + evidence.disappeared > 0)
    return found | (evidence.moved + evidence.stayed > 0)


def boundary_odds(panel: Panel, evidence: Evidence, turnover: Turnover, ratios: Ratios = DEFAULT) -> Floats:
    """The logarithm of the likelihood ratio of redrawn against not redrawn.

    Args:
        panel: the panel.
        evidence: of each group and time.
        turnover: likewise.
        ratios: what changed units and entities weigh.

    Returns:
        Four figures (rows) per group and time: if redrawings show faintly in the measures, mixed, plainly or clearly;
        far below zero where nothing can have been redrawn (a single unit, or no time before).
    """
    shown = np.minimum(_PER_DEVIATION * evidence.dispersion, _MOST)
    faint = np.log(1 - _SHOWN + _SHOWN * np.exp(shown))
    mixed = np.log(1 - _SHOWN_MIXED + _SHOWN_MIXED * np.exp(shown - _MIXED_SHIFT))
    plain = np.log(1 - _SHOWN_PLAIN + _SHOWN_PLAIN * np.exp(shown - _MIXED_SHIFT))
    clear = np.maximum(shown - _UNLIKE_CLEAR * np.maximum(_CLEAR - evidence.dispersion, 0.0), _LEAST_CLEAR)
    odds = np.vstack([faint, mixed, plain, clear])
    changed = evidence.appeared + evidence.disappeared > 0
    # Where rows are often missing, or units come and go, one more says little: some do at any time.
    stays = (1 - evidence.absent) * (1 - turnover.rate)
    by_chance = 1 - stays ** np.maximum(evidence.units, evidence.before)
    told = np.clip(np.log(_CHANGED_IF_REDRAWN / np.maximum(by_chance, 1e-6)), 0.0, ratios.set_changed)
    odds = odds + np.where(changed, told + turnover.odds, np.where(told > 0, ratios.set_unchanged, 0.0))
    if panel.entity is not None:
        further = np.clip(evidence.moved - 1, 0, _MOST_FURTHER)
        none = np.where(evidence.stayed > 0, ratios.none_moved, 0.0)
        odds = odds + np.where(evidence.moved > 0, ratios.first_moved + ratios.next_moved * further, none)
    possible = (evidence.units > 0) & (evidence.before > 0)
    possible &= np.maximum(evidence.units, evidence.before) >= _FEWEST_UNITS
    possible &= evidence.continued
    return np.where(possible, odds, _IMPOSSIBLE)


def contradicted(evidence: Evidence) -> Flags:
    """Groups whose own units say that they were not redrawn, whatever happened to the others at that time.

    Their units stood still, or only went on counting: a redrawn unit that loses people counts fewer.
    """
    told = (evidence.against >= _FEWEST_UNITS) & (evidence.appeared + evidence.disappeared == 0) & (evidence.moved == 0)
    found: Flags = told & ((evidence.spread < _LEAST_SPREAD) | ~evidence.fell)
    return found


def named_by_others(probability: Floats, odds: Floats) -> Flags:
    """Groups whose own evidence rather speaks against a new map, and that others do not make all but certain.

    Args:
        probability: of each group and time, with what other groups suggest.
        odds: from ``boundary_odds``, of their own.
    """
    found: Flags = (odds.max(axis=0) < 0) & (probability < _CERTAIN)
    return found


def boundary_probabilities(odds: Floats, telling: Flags, cells: tuple[int, int]) -> Floats:
    """Weigh the odds of all groups at one time together.

    Args:
        odds: from ``boundary_odds``; how clearly redrawings show is weighed like the share of groups redrawn.
        telling: groups that have anything to say; only from many of them is a wave learned that hardly shows.
        cells: the number of groups and of times.

    Returns:
        The probability, 0 to 1, that each group was redrawn at each time.
    """
    by_time = odds.reshape(len(odds), *cells)
    possible = by_time[0] > _IMPOSSIBLE
    told = possible & telling.reshape(cells)
    ratio = np.exp(np.minimum(by_time, _MOST))
    weight = np.empty((len(odds), len(SHARES), cells[1]))
    for clarity, own in enumerate(ratio):
        for place, share in enumerate(SHARES):
            weight[clarity, place] = np.where(possible, np.log1p(share * (own - 1)), 0.0).sum(axis=0)
    prior = np.repeat(_CLARITY[:, :, None], cells[1], axis=2)
    prior[0][np.ix_(SHARES > 0.5, told.sum(axis=0) < _FEWEST_FOR_FAINT)] = 0.0  # noqa: PLR2004  most groups
    weight += np.log(np.maximum(prior, np.finfo(float).tiny))
    weight = np.exp(weight - weight.max(axis=(0, 1)))
    weight /= weight.sum(axis=(0, 1))
    found = np.zeros(cells)
    for clarity, own in enumerate(ratio):
        for place, share in enumerate(SHARES):
            found += weight[clarity, place] * share * own / (1 + share * (own - 1))
    return np.where(possible, found, 0.0).ravel()


@dataclass(frozen=True, kw_only=True)
class Renumbering:
    """Units of one group and time that are other units of the time before.

    Attributes:
        old: unit codes before.
        new: unit codes after, in the same order.
        units: all units compared.
    """

    old: Codes
    new: Codes
    units: int


def renumbering(panel: Panel, steps: Steps, rows_before: Codes, rows_after: Codes) -> Renumbering | None:
    """Find out whether units only exchanged or changed their labels.

    Every unit after is assigned to the unit before that it resembles most in all measures (Kuhn's Hungarian method).

    Args:
        panel: the panel.
        steps: its steps.
        rows_before: the group's rows at the time before.
        rows_after: the group's rows now.

    Returns:
        The units relabelled; ``None`` unless all units fit one before as closely as in ordinary times, the relabelled
        ones far better than the unit of their label, and any other assignment fits worse.
    """
    if not (_FEWEST_UNITS <= len(rows_after) <= _MOST_UNITS and len(rows_before) <= _MOST_UNITS):
        return None
    if len(rows_before) != len(rows_after):
        return None
    swing = np.nan_to_num(steps.swing[:, panel.time[rows_after[0]]])[:, None]
    old, new = steps.levels[:, rows_before] + swing, steps.levels[:, rows_after]
    known = np.isfinite(old).any(axis=0).all() and np.isfinite(new).any(axis=0).all()
    if not known:
        return None
    cost = _unlikeness(old, new, steps.scale[:, rows_after])
    before, after = linear_sum_assignment(cost)
    matched = cost[before, after]
    old_units, new_units = panel.unit[rows_before[before]], panel.unit[rows_after[after]]
    other = old_units != new_units
    if other.sum() < 1 or matched.mean() > _CLOSE or np.quantile(matched, 0.9) > _FAR:
        return None
    measured = int(np.isfinite(new).any(axis=1).sum())
    if not _told_apart(cost, (before, after), panel.unit[rows_before], new_units, measured):
        return None
    return Renumbering(old=old_units[other], new=new_units[other], units=len(rows_after))


def _told_apart(cost: Floats, assigned: tuple[Codes, Codes], old_units: Codes, new_units: Codes, measured: int) -> bool:
    """Whether the old labels, and every other assignment, fit far worse than the one found."""
    before, after = assigned
    matched = cost[before, after]
    other = old_units[before] != new_units
    place = {unit: at for at, unit in enumerate(old_units.tolist())}
    own = [
        cost[place[unit], to] if unit in place else np.inf for unit, to in zip(new_units.tolist(), after, strict=True)
    ]
    own_label = float(np.mean(np.array(own)[other]))
    # A single measure lets two units change places by chance, and of many units some pair will.
    ways = gammaln(len(matched) + 1) - gammaln(len(matched) - other.sum() + 1)
    if measured * (own_label - matched[other].mean()) * other.sum() < max(_LEAST_TOLD, ways):
        return False
    if own_label < max(_WORSE * matched[other].mean(), matched[other].mean() + _WORSE_BY):
        return False
    rivals = cost.copy()
    rivals[before, after] = _NEVER
    second = rivals[linear_sum_assignment(rivals)]
    return bool(second.mean() >= max(_APART * matched.mean(), matched.mean() + _APART_BY))


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
