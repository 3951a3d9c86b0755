"""Panels with known causes: units of people of three kinds, counted at each time, to whom things happen.

Put here how a panel with truth is made. Keep out what is expected of the detection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEASURES = ("red", "blue", "other", "total", "share")
CAUSES = ("boundary", "renumbering", "entry", "population", "units")
ENTRIES = ("doubled", "hundredfold", "thousandth", "swapped", "lost", "repeated", "recoded")

UNITS = ("opening", "closing", "attrition", "merger", "split")
"""How units come and go: one is new, one is gone, up to two thirds are, two become one, one becomes two."""

_LEAVING: Final = 0.1
_IN_A_WAVE: Final = 0.9


@dataclass(frozen=True, kw_only=True)
class World:
    """How a simulated panel is made; sizes of effects are fractions of the people.

    ``turnover`` is the share of units that close, and of others that open, at any time without being an event.
    """

    groups: int = 40
    times: int = 12
    most_units: int = 20
    people: int = 50_000
    noise: float = 0.03
    events: float = 0.05
    redrawn: float = 0.3
    growth: float = 0.25
    recoded: float = 0.5
    named: bool = True
    wave: bool = False
    causes: tuple[str, ...] = CAUSES
    turnover: float = 0.0


def simulate(world: World, seed: int) -> tuple[pa.Table, dict[tuple[str, str], str]]:
    """Make a panel and its truth.

    Args:
        world: sizes.
        seed: equal seeds give equal panels.

    Returns:
        The panel (``group``, ``unit``, ``time``, ``name`` and ``MEASURES``) and, by group and time, the cause of each
        event with its way after a colon; groups and times without event are missing.
    """
    random = np.random.default_rng(seed)
    swings = random.normal(0, 0.05, (world.times, 3)) + 0.15 * (np.arange(world.times) % 2)[:, None]
    truth: dict[tuple[str, str], str] = {}
    pieces: list[dict[str, NDArray[Any]]] = []
    wave = int(random.integers(2, world.times)) if world.wave else -1
    for number in range(world.groups):
        group = _Group(number, world, random)
        # Events keep apart, so that each has a before and an after.
        calm_until = 1
        for time in range(world.times):
            cause = _cause(world, random, wave=time == wave > 0, calm=time < calm_until)
            how = group.live(cause, time)
            piece = group.piece(time, swings[time])
            if cause == "entry":
                how = str(random.choice(ENTRIES))
                piece = _enter(piece, how, world)
            if cause:
                calm_until = time + 3
                truth[f"g{number:04d}", str(2000 + 2 * time)] = cause + (f":{how}" if how else "")
            pieces.append(piece)
    return pa.table({name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}), truth


class _Group:
    """The people of one group, the names and the labels of their units."""

    def __init__(self, number: int, world: World, random: np.random.Generator) -> None:
        self._number, self._world, self._random = number, world, random
        units = int(random.integers(2, world.most_units + 1))
        self._kinds = random.dirichlet((4, 4, 2), units) * random.lognormal(np.log(world.people), 0.4, (units, 1))
        self._names = np.array([f"N{number}-{unit}" for unit in range(units)], dtype=object)
        self._labels = np.arange(units) + 1
        self._next = units + 1

    def live(self, cause: str, time: int) -> str:
        """Ordinary change, and what befalls the group beyond it; how it did."""
        random, world = self._random, self._world
        leave = random.random(len(self._kinds)) < _LEAVING
        self._names[leave] = [f"N{self._number}-{time}-{place}" for place in np.flatnonzero(leave)]
        self._kinds = self._kinds * np.exp(random.normal(0, world.noise, self._kinds.shape))
        if world.turnover and time:
            self._turn_over(time)
        if cause == "boundary":
            self._kinds = _redraw(self._kinds, world.redrawn, random)
        elif cause == "renumbering":
            order = _derangement(len(self._kinds), random)
            self._kinds, self._names = self._kinds[order], self._names[order]
        elif cause == "population":
            growth = np.log1p(world.growth) * random.uniform(0.9, 1.1, (len(self._kinds), 1))
            self._kinds = self._kinds * np.exp(growth)
        elif cause == "units":
            return self._come_or_go(time)
        return ""

    def piece(self, time: int, swing: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        seen = self._random.poisson(self._kinds * np.exp(swing)).astype(float)
        return {
            "group": np.repeat(f"g{self._number:04d}", len(seen)),
            "unit": self._labels.astype(str),
            "time": np.repeat(2000 + 2 * time, len(seen)),
            "name": self._names.copy(),
            "red": seen[:, 0],
            "blue": seen[:, 1],
            "other": seen[:, 2],
            "total": seen.sum(axis=1),
            "share": seen[:, 0] / np.maximum(seen[:, :2].sum(axis=1), 1),
        }

    def _come_or_go(self, time: int) -> str:
        """One way in which units come and go; groups of up to three units only open another one."""
        random, units = self._random, len(self._kinds)
        how = str(random.choice(UNITS)) if units > 3 else "opening"
        one, other = random.choice(units, 2, replace=False)
        if how == "opening":
            self._open(random.dirichlet((4, 4, 2)) * random.lognormal(np.log(self._world.people), 0.4), time)
        elif how == "closing":
            self._close(np.array([one]))
        elif how == "attrition":
            self._close(random.permutation(units)[: int(random.integers(2, max(2 * units // 3, 2) + 1))])
        elif how == "merger":
            self._kinds[other] += self._kinds[one]
            self._close(np.array([one]))
        else:
            half = self._kinds[one] * random.uniform(0.3, 0.7)
            self._kinds[one] = self._kinds[one] - half
            self._open(half, time)
        return how

    def _turn_over(self, time: int) -> None:
        gone = np.flatnonzero(self._random.random(len(self._kinds)) < self._world.turnover)
        self._close(gone[: max(len(self._kinds) - 2, 0)])
        for _ in range(int(self._random.binomial(len(self._kinds), self._world.turnover))):
            size = self._random.lognormal(np.log(self._world.people), 0.4)
            self._open(self._random.dirichlet((4, 4, 2)) * size, time)

    def _open(self, kinds: NDArray[np.float64], time: int) -> None:
        self._kinds = np.vstack([self._kinds, kinds])
        self._names = np.append(self._names, f"N{self._number}-{time}-{self._next}")
        self._labels = np.append(self._labels, self._next)
        self._next += 1

    def _close(self, units: NDArray[np.int64]) -> None:
        self._kinds = np.delete(self._kinds, units, axis=0)
        self._names, self._labels = np.delete(self._names, units), np.delete(self._labels, units)


def _cause(world: World, random: np.random.Generator, *, wave: bool, calm: bool) -> str:
    if wave and random.random() < _IN_A_WAVE:
        return "boundary"
    if calm or random.random() >= world.events:
        return ""
    return str(random.choice(world.causes))


def _redraw(kinds: NDArray[np.float64], share: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Every unit gives a share of its people, of its own mixture, to the next one; the group keeps its total."""
    around = np.roll(random.permutation(len(kinds)), 1)
    given = kinds * share * random.uniform(0.7, 1.3, (len(kinds), 1))
    received = np.empty_like(given)
    received[around] = given[np.roll(around, 1)]
    return kinds - given + received


def _derangement(size: int, random: np.random.Generator) -> NDArray[np.int64]:
    while True:
        order = random.permutation(size)
        if not (order == np.arange(size)).any():
            return order


def _enter(piece: dict[str, NDArray[Any]], how: str, world: World) -> dict[str, NDArray[Any]]:
    counts = ("red", "blue", "other", "total")
    if how == "repeated":
        return {name: np.concatenate([values, values]) for name, values in piece.items()}
    if how == "lost":
        return piece | {"other": np.full(len(piece["other"]), np.nan)}
    if how == "swapped":
        return piece | {"red": piece["other"], "other": piece["red"]}
    if how == "recoded":
        moved = np.rint(piece["red"] * world.recoded)
        return piece | {"red": piece["red"] - moved, "other": piece["other"] + moved}
    factor = {"doubled": 2.0, "hundredfold": 100.0, "thousandth": 0.001}[how]
    return piece | {name: piece[name] * factor for name in counts}
