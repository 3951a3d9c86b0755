"""Lives: entities with all that may happen to one, led through the orders of causes one by one, by brute force.

Put here the building of ways from single entities, and what parts and errors must be. Keep out expectations on both.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any, Final

import ibis
import numpy as np
import pyarrow as pa

from mlops_assets.variance.linked.attribution import split
from mlops_assets.variance.linked.explanation import ORDERS
from mlops_assets.variance.linked.kinds import WEIGHTS
from mlops_assets.variance.linked.orders import HAPPENED, RECORDED
from mlops_assets.variance.linked.ways import cells

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlops_assets.variance.linked.attribution import Measure
    from mlops_assets.variance.linked.explanation import OrderName

Cell = tuple[str, str, str]
Found = dict[Cell, dict[str, float | None]]

_CAUSES: Final = (*RECORDED, *HAPPENED)
_STEP: Final = 1e-4
_KEY: Final = {
    "attribute": "string",
    "was": "boolean",
    "now": "boolean",
    **dict.fromkeys(("unit_before", "unit_renumbered", "unit_redrawn", "unit_after"), "string"),
    **dict.fromkeys(("class_before", "class_restated", "class_after"), "string"),
}
_SUMS: Final = {"entities": "int64", **dict.fromkeys(WEIGHTS, "float64")}


@dataclass(frozen=True, kw_only=True)
class Life:
    """One entity and its way.

    Attributes:
        units: before, renumbered, redrawn and after, a letter each.
        classes: before, restated and after, a letter each.
        weights: before and after; ``None`` in a snapshot that the entity is not in.
    """

    units: str = "1111"
    classes: str = "AAA"
    weights: tuple[float | None, float | None] = (1.0, 1.0)

    @property
    def stays(self) -> bool:
        """Whether it is in both snapshots."""
        return None not in self.weights

    def happened(self) -> int:
        """How many causes concern it that have no fixed place among the others."""
        redrawn = self.units[1] != self.units[2]
        if self.stays:
            return redrawn + (self.units[2] != self.units[3]) + (self.classes[1] != self.classes[2])
        return 1 + (redrawn and self.weights[1] is None)


def found(
    lives: Sequence[Life], *, measure: Measure = "count", order: OrderName = "shapley", sampled: bool = True
) -> Found:
    """What is found, by unit, attribute and category; with all errors, and the part weighting, if sampled."""
    chosen = ORDERS[order](weighting=sampled)
    engine, queries = _engine()
    engine.con.register("ways", _ways(lives))
    there = engine.con.execute(queries[order, sampled]).to_arrow_table()
    table = split(there, chosen, measure=measure, sample=len(lives) if sampled else None)
    return {(row.pop("unit"), row.pop("attribute"), row.pop("category")): row for row in table.to_pylist()}


def expected(lives: Sequence[Life], *, measure: Measure, order: OrderName) -> Found:
    """The parts, by leading every entity through every order, one cause after the other."""
    orders = [(*RECORDED, *happened) for happened in permutations(HAPPENED)] if order == "shapley" else [_CAUSES]
    worlds = _Worlds(lives, measure)
    visited = {cell for path in orders for place in range(len(path) + 1) for cell in worlds.counts(path[:place])}
    rows: Found = {}
    for cell in visited:
        before, after = (worlds.value(done, cell) if worlds.known(done, cell) else None for done in ((), _CAUSES))
        row: dict[str, float | None] = {"before": before, "after": after}
        for cause in _CAUSES:
            steps = [path[: path.index(cause) + 1] for path in orders]
            gains = [worlds.value(step, cell) - worlds.value(step[:-1], cell) for step in steps]
            row[cause] = None if before is None or after is None else sum(gains) / len(gains)
        if any(abs(value or 0.0) > 1e-12 for value in row.values()):
            rows[cell] = row
    return rows


def expected_errors(lives: Sequence[Life], *, measure: Measure, order: OrderName) -> Found:
    """Standard errors from what every part gains if one entity weighs a little more: influences as differences."""
    plain = expected(lives, measure=measure, order=order)
    influences: dict[Cell, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for place, life in enumerate(lives):
        up, down = (
            expected([*lives[:place], _heavier(life, by), *lives[place + 1 :]], measure=measure, order=order)
            for by in (1 + _STEP, 1 - _STEP)
        )
        for cell, row in plain.items():
            gains = {name: ((up[cell][name] or 0.0) - (down[cell][name] or 0.0)) / (2 * _STEP) for name in row}
            for name, gain in {**gains, "change": gains["after"] - gains["before"]}.items():
                influences[cell][name].append(gain)
    return {
        cell: {f"{name}_error": float(np.sqrt(len(lives) * np.var(row, ddof=1))) for name, row in rows.items()}
        for cell, rows in influences.items()
    }


class _Worlds:
    """Statistics of those entities after some causes, in the order in which they had their effect."""

    def __init__(self, lives: Iterable[Life], measure: Measure) -> None:
        self._lives, self._measure = lives, measure
        self.counts = functools.cache(self._counts)

    def value(self, done: tuple[str, ...], cell: Cell) -> float:
        if self._measure == "count":
            return self.counts(done)[cell]
        if not self.known(done, cell):
            return self.value((), cell) if done else 0.0
        return self.counts(done)[cell] / self._whole(done, cell)

    def known(self, done: tuple[str, ...], cell: Cell) -> bool:
        return self._measure == "count" or self._whole(done, cell) > 0

    def _whole(self, done: tuple[str, ...], cell: Cell) -> float:
        return sum(count for other, count in self.counts(done).items() if other[0] == cell[0])

    def _counts(self, done: tuple[str, ...]) -> Counter[Cell]:
        counts: Counter[Cell] = Counter()
        for life in self._lives:
            state = _after(life, done)
            if state is not None:
                unit, category, weight = state
                counts[unit, "kind", category] += weight  # type: ignore[assignment]  # a counter of weights
                if self._measure == "count":
                    counts[unit, "all", "all"] += weight  # type: ignore[assignment]  # a counter of weights
        return counts


def _after(life: Life, done: tuple[str, ...]) -> tuple[str, str, float] | None:
    """Unit, class and weight of an entity after those causes, one by one; ``None`` while it is not there."""
    before, after = life.weights
    if before is None:
        assert after is not None
        return (life.units[3], life.classes[2], after) if "joiners" in done else None
    if after is None and "leavers" in done:
        return None
    unit, category, weight, moved = life.units[0], life.classes[0], before, False
    for cause in done:
        if cause == "entry":
            category = life.classes[1]
        elif cause == "renumbering":
            unit = life.units[1]
        elif cause == "weighting":
            weight = before if after is None else after
        elif cause == "boundary" and life.units[1] != life.units[2] and not moved:
            unit = life.units[2]
        elif cause == "movers" and life.stays and life.units[2] != life.units[3]:
            unit, moved = life.units[3], True
        elif cause == "attributes" and life.stays and life.classes[1] != life.classes[2]:
            category = life.classes[2]
    return unit, category, weight


def _heavier(life: Life, by: float) -> Life:
    before, after = (None if weight is None else weight * by for weight in life.weights)
    return replace(life, weights=(before, after))


@functools.cache
def _engine() -> tuple[Any, dict[tuple[str, bool], str]]:
    """An engine, and the compiled worlds of a table of ways by order and whether they are of a sample."""
    engine = ibis.duckdb.connect()
    ways = ibis.table({**_KEY, **_SUMS, "way": "int64"}, name="ways")
    return engine, {
        (name, sampled): engine.compile(cells(ways, order(weighting=sampled).worlds))
        for name, order in ORDERS.items()
        for sampled in (False, True)
    }


def _ways(lives: Iterable[Life]) -> pa.Table:
    """The ways of those entities, those of equal ways counted together."""
    sums: dict[tuple[object, ...], list[float]] = defaultdict(lambda: [0.0] * len(_SUMS))
    for life in lives:
        was, now = (weight is not None for weight in life.weights)
        before, after = (weight or 0.0 for weight in life.weights)
        units = [*(life.units[:3] if was else (None,) * 3), life.units[3] if now else None]
        for attribute, classes in (("all", ("all",) * 3), ("kind", tuple(life.classes))):
            seen = [*(classes[:2] if was else (None, None)), classes[2] if now else None]
            masses = (1, before, after, before * before, before * after, after * after)
            way = sums[attribute, was, now, *units, *seen]
            way[:] = [old + new for old, new in zip(way, masses, strict=True)]
    rows = [(*key, *masses, place) for place, (key, masses) in enumerate(sums.items())]
    types = {"string": pa.string(), "boolean": pa.bool_(), "int64": pa.int64(), "float64": pa.float64()}
    names = {**_KEY, **_SUMS, "way": "int64"}
    columns = [[row[place] for row in rows] for place in range(len(names))]
    arrays = [pa.array(column).cast(types[kind]) for column, kind in zip(columns, names.values(), strict=True)]
    return pa.table(arrays, names=list(names))
