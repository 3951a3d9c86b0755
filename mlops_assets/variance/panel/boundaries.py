"""Boundaries: how probable it is that a group's units were redrawn, by its own evidence and by that of others.

Put here what weighs the evidence for a changed division of groups. Keep out labels, and units that come and go.

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

if TYPE_CHECKING:
    from mlops_assets.variance.arrays import Flags, Floats
    from mlops_assets.variance.panel.evidence import Evidence
    from mlops_assets.variance.panel.panels import Panel
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

_QUIETER: Final = -1.25
_MOST_OF: Final = 0.5
"""Standard deviations of ordinary times, by at least half of the units."""

_LEAST_SPREAD: Final = 0.01
"""Less is no map, however still the times are: one percent."""

_DENIED: Final = 0.6

_IMPOSSIBLE: Final = -40.0
_MOST: Final = 30.0
_FEWEST_UNITS: Final = 2


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

    Their units stood still, moved less than they ordinarily do, or only went on counting: a redrawn unit that loses
    people counts fewer.
    """
    told = (evidence.against >= _FEWEST_UNITS) & (evidence.appeared + evidence.disappeared == 0) & (evidence.moved == 0)
    quieter = (evidence.dispersion < _QUIETER) & (evidence.against >= _MOST_OF * evidence.units)
    found: Flags = told & ((evidence.spread < _LEAST_SPREAD) | quieter | ~evidence.fell)
    return found


@dataclass(frozen=True, kw_only=True)
class Redrawn:
    """How probable a new map is, one figure per group and time (flat).

    Attributes:
        probability: with what other groups suggest; 0 where the group's own evidence contradicts it.
        alone: by the group's own evidence, as if nothing were known of others.
        share: the share of groups that seem to be redrawn at that time.
        contradicted: whether the group's own units say that they were not redrawn, whatever others did.
    """

    probability: Floats
    alone: Floats
    share: Floats
    contradicted: Flags


def redrawn_of(panel: Panel, evidence: Evidence, turnover: Turnover, ratios: Ratios = DEFAULT) -> Redrawn:
    """Weigh the evidence of each group, then that of all groups at one time together.

    Args:
        panel: the panel.
        evidence: of each group and time.
        turnover: likewise.
        ratios: what changed units and entities weigh.

    Returns:
        The probabilities. How clearly redrawings show is weighed like the share of groups redrawn.
    """
    odds = boundary_odds(panel, evidence, turnover, ratios)
    possible = odds[0] > _IMPOSSIBLE
    by_time = odds.reshape(len(odds), *panel.cells)
    weights = _learned(by_time, (possible & _telling(evidence)).reshape(panel.cells))
    probability = _weighed(by_time, weights)
    denied = contradicted(evidence)
    # Whoever rather denies it must be made clearly likelier by others.
    doubtful = (odds.max(axis=0) < 0) & (probability < _DENIED)
    return Redrawn(
        probability=np.where(possible & ~denied & ~doubtful, probability, 0.0),
        alone=np.where(possible & ~denied, _alone(odds), 0.0),
        share=np.tile(np.einsum("cst,s->t", weights, SHARES), panel.cells[0]),
        contradicted=denied,
    )


def _telling(evidence: Evidence) -> Flags:
    """Groups that have anything to say about a new map: units compared, come or gone, or entities."""
    found: Flags = (evidence.against >= _FEWEST_UNITS) | (evidence.appeared + evidence.disappeared > 0)
    return found | (evidence.moved + evidence.stayed > 0)


def _learned(by_time: Floats, telling: Flags) -> Floats:
    """How probable each clarity and each share of groups redrawn is at each time."""
    ratio = np.exp(np.minimum(by_time, _MOST))
    possible = by_time[0] > _IMPOSSIBLE
    weight = np.empty((len(by_time), len(SHARES), by_time.shape[2]))
    for clarity, own in enumerate(ratio):
        for place, share in enumerate(SHARES):
            weight[clarity, place] = np.where(possible, np.log1p(share * (own - 1)), 0.0).sum(axis=0)
    prior = np.repeat(_CLARITY[:, :, None], by_time.shape[2], axis=2)
    prior[0][np.ix_(SHARES > 0.5, telling.sum(axis=0) < _FEWEST_FOR_FAINT)] = 0.0  # noqa: PLR2004  most groups
    weight += np.log(np.maximum(prior, np.finfo(float).tiny))
    weight = np.exp(weight - weight.max(axis=(0, 1)))
    learned: Floats = weight / weight.sum(axis=(0, 1))
    return learned


def _alone(odds: Floats) -> Floats:
    """The probability of each group as if nothing were known of others: clarity and share are learned from it alone."""
    redrawn, either = np.zeros(odds.shape[1]), np.zeros(odds.shape[1])
    for own, of_shares in zip(np.exp(np.minimum(odds, _MOST)), _CLARITY, strict=True):
        redrawn += (of_shares * SHARES).sum() * own
        either += of_shares.sum() + (of_shares * SHARES).sum() * (own - 1)
    found: Floats = redrawn / either
    return found


def _weighed(by_time: Floats, weights: Floats) -> Floats:
    """The probability of each group, averaged over clarities and shares by their weights at each time."""
    found = np.zeros(by_time.shape[1:])
    for own, of_shares in zip(np.exp(np.minimum(by_time, _MOST)), weights, strict=True):
        for share, weight in zip(SHARES, of_shares, strict=True):
            found += weight * share * own / (1 + share * (own - 1))
    return found.ravel()
