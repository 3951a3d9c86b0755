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
ENTRIES = ("doubled", "hundredfold", "thousandth", "swapped", "lost", "repeated", "recoded")

_LEAVING: Final = 0.1
_IN_A_WAVE: Final = 0.9


@dataclass(frozen=True, kw_only=True)
class World:
    """How a simulated panel is made; sizes of effects are fractions of the people."""

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


def simulate(world: World, seed: int) -> tuple[pa.Table, dict[tuple[str, str], str]]:
    """Make a panel and its truth.

    Args:
        world: sizes.
        seed: equal seeds give equal panels.

    Returns:
        The panel (``group``, ``unit``, ``time``, ``name`` and ``MEASURES``) and the cause of each event by group and
        time; groups and times without event are missing.
    """
    random = np.random.default_rng(seed)
    swings = random.normal(0, 0.05, (world.times, 3)) + 0.15 * (np.arange(world.times) % 2)[:, None]
    truth: dict[tuple[str, str], str] = {}
    pieces: list[dict[str, NDArray[Any]]] = []
    wave = int(random.integers(2, world.times)) if world.wave else -1
    for group in range(world.groups):
        units = int(random.integers(2, world.most_units + 1))
        kinds = random.dirichlet((4, 4, 2), units) * random.lognormal(np.log(world.people), 0.4, (units, 1))
        names = np.array([f"N{group}-{number}" for number in range(units)], dtype=object)
        # Events keep apart, so that each has a before and an after.
        calm_until = 1
        for time in range(world.times):
            cause = _cause(world, random, wave=time == wave > 0, calm=time < calm_until)
            leave = random.random(units) < _LEAVING
            names[leave] = [f"N{group}-{time}-{place}" for place in np.flatnonzero(leave)]
            kinds = kinds * np.exp(random.normal(0, world.noise, kinds.shape))
            kinds, names = _happen(cause, kinds, names, world, random)
            seen = random.poisson(kinds * np.exp(swings[time])).astype(float)
            piece = _measured(group, time, names, seen)
            if cause == "entry":
                piece = _enter(piece, str(random.choice(ENTRIES)), world)
            if cause:
                calm_until = time + 3
                truth[f"g{group:04d}", str(2000 + 2 * time)] = cause
            pieces.append(piece)
    return pa.table({name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}), truth


def _cause(world: World, random: np.random.Generator, *, wave: bool, calm: bool) -> str:
    if wave and random.random() < _IN_A_WAVE:
        return "boundary"
    if calm or random.random() >= world.events:
        return ""
    return str(random.choice(["boundary", "renumbering", "entry", "population"]))


def _happen(
    cause: str, kinds: NDArray[np.float64], names: NDArray[Any], world: World, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """What befalls the people themselves, and the names that go with their units."""
    if cause == "boundary":
        return _redraw(kinds, world.redrawn, random), names
    if cause == "renumbering":
        order = _derangement(len(kinds), random)
        return kinds[order], names[order]
    if cause == "population":
        return kinds * np.exp(np.log1p(world.growth) * random.uniform(0.9, 1.1, (len(kinds), 1))), names
    return kinds, names


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


def _measured(group: int, time: int, names: NDArray[Any], seen: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    return {
        "group": np.repeat(f"g{group:04d}", len(seen)),
        "unit": np.array([str(number + 1) for number in range(len(seen))]),
        "time": np.repeat(2000 + 2 * time, len(seen)),
        "name": names.copy(),
        "red": seen[:, 0],
        "blue": seen[:, 1],
        "other": seen[:, 2],
        "total": seen.sum(axis=1),
        "share": seen[:, 0] / np.maximum(seen[:, :2].sum(axis=1), 1),
    }


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
