"""Orders: through which worlds that could have been a change is led, and what each cause is credited with there.

Put here the causes of a change and the ways of undoing them one by one. Keep out entities, units and counts.

A world is the set of causes that have had their effect in it: none in the earlier snapshot, all in the later one. The
part of a cause is the sum over worlds of a statistic times a credit. The credits of a cause add up to zero. Those of
all causes together are one in the last world, minus one in the first and zero in between: hence parts add up to the
change of whatever statistic it is, and none is what the others leave over.

How records are written comes first in every order: codes, weights and numbers. Halfway through such a step two ways of
writing would stand side by side in one population, and joiners, who are known in the new one only, would be blamed for
the difference. Everything after that happened to the map or to people, and either order could have been.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.variance.arrays import Codes

RECORDED: Final = ("entry", "weighting", "renumbering")
"""Causes in how records are written, in their sequence."""

HAPPENED: Final = ("boundary", "movers", "joiners", "leavers", "attributes")
"""Causes in the map and in people, in the sequence used unless all orders are."""

World = frozenset[str]
"""The causes that have had their effect."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """Worlds and credits.

    Attributes:
        causes: names of the parts.
        worlds: the first without any cause, the last with all.
        credits: one row per cause, one column per world: whole numbers, to be divided by ``per``, so that parts of
            whole counts are as exact as a floating-point number can be.
        per: what credits are counted in.
    """

    causes: tuple[str, ...]
    worlds: tuple[World, ...]
    credits: Codes
    per: int = 1


def sequence(*, weighting: bool) -> Order:
    """One order: each cause is credited with the world after it, minus the world before it.

    Args:
        weighting: whether entities may weigh more or less than before.
    """
    causes = (*_recorded(weighting=weighting), *HAPPENED)
    worlds = tuple(frozenset(causes[:place]) for place in range(len(causes) + 1))
    credit = np.zeros((len(causes), len(worlds)), dtype=np.int64)
    for place in range(len(causes)):
        credit[place, place : place + 2] = -1, 1
    return Order(causes=causes, worlds=worlds, credits=credit)


def shapley(*, weighting: bool) -> Order:
    """Records first, then the mean over all 120 orders of what happened.

    The mean of what a cause adds, over the orders of ``n`` causes, is a sum over the sets of causes that came before:
    a set of ``s`` weighs ``s! (n - s - 1)! / n!`` (Shapley, 1953, "A value for n-person games"). So 32 worlds do for
    120 orders. That some causes precede others in every order is a game under precedence constraints (Faigle and Kern,
    1992, "The Shapley value for cooperative games under precedence constraints").

    Args:
        weighting: whether entities may weigh more or less than before.
    """
    recorded = _recorded(weighting=weighting)
    prefix = [frozenset(recorded[:place]) for place in range(len(recorded))]
    sizes = range(len(HAPPENED) + 1)
    happened = [frozenset(chosen) for size in sizes for chosen in combinations(HAPPENED, size)]
    worlds = (*prefix, *(frozenset(recorded) | chosen for chosen in happened))
    orders = factorial(len(HAPPENED))
    credit = np.zeros((len(recorded) + len(HAPPENED), len(worlds)), dtype=np.int64)
    for place in range(len(recorded)):
        credit[place, place : place + 2] = -orders, orders
    for row, cause in enumerate(HAPPENED, start=len(recorded)):
        for column, chosen in enumerate(happened, start=len(prefix)):
            before = len(chosen - {cause})
            times = factorial(before) * factorial(len(HAPPENED) - before - 1)
            credit[row, column] = times if cause in chosen else -times
    return Order(causes=(*recorded, *HAPPENED), worlds=worlds, credits=credit, per=orders)


def _recorded(*, weighting: bool) -> Sequence[str]:
    return [cause for cause in RECORDED if weighting or cause != "weighting"]
