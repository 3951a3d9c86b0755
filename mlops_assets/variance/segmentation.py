"""Segmentation: by which classes cases are best told apart, judged by what the segments say of a time not yet seen.

Put here comparing candidates and choosing one. Keep out where cases come from, and which events cut series.

Method. At every time but the first, each candidate predicts the rate of each of its cells from earlier times: the
cell's rate, drawn towards its group's by ``PRIOR`` cases. The level of the new time is taken as known, because it is
the same for all candidates; they are judged by how cells differ from it. The error is the root of the mean squared
difference of predicted and observed rates, over the finest cells, weighted by cases: equal noise for all candidates. Of
those within two standard errors of the best the one with the fewest cells is chosen (the rule of Breiman et al.,
Classification and Regression Trees, 1984, with two instead of one, because the best of many is so by chance as well);
the standard error is that of the differences, over groups and times.

Units whose map changed are not the units they were. Their history is carried over a crosswalk where one is known, and
ends at the change where none is.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.variance.crosswalk import carried

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.variance.crosswalk import Shares
    from mlops_assets.variance.panels import Codes, Floats

PRIOR: Final = 50.0
"""A cell of so many cases lies half-way between its own rate and its group's."""

LEAST_CELL: Final = 30
MOST_SMALL: Final = 0.01
"""At most this share of cases may be in cells of fewer than the least number of cases."""

LARGEST: Final = 2
"""Dimensions that are crossed at most."""

NEAR: Final = 2.0
"""Standard errors within which a candidate is as good as the best."""

AS_LABELLED: Final = "as labelled"
CUT: Final = "cut"
BRIDGED: Final = "bridged"

UNIT: Final = "unit"

SCHEMA: Final = pa.schema(
    [
        ("candidate", pa.string()),
        ("series", pa.string()),
        ("cells", pa.int64()),
        ("smallest_cell", pa.int64()),
        ("small_share", pa.float64()),
        ("error", pa.float64()),
        ("error_above_best", pa.float64()),
        ("standard_error", pa.float64()),
        ("stability", pa.float64()),
        ("tests", pa.int64()),
        ("eligible", pa.bool_()),
        ("chosen", pa.bool_()),
        ("reason", pa.string()),
    ]
)


class SegmentationError(ValueError):
    """Candidates cannot be compared as asked; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A way of telling cases apart.

    Attributes:
        dimensions: columns that are crossed; none for one cell in each group.
        series: how a unit's history is treated where its map changed: ``AS_LABELLED``, ``CUT`` or ``BRIDGED``.
    """

    dimensions: tuple[str, ...]
    series: str = AS_LABELLED

    @property
    def name(self) -> str:
        """The dimensions in words."""
        return " x ".join(self.dimensions) or "whole groups"


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Cases counted in the finest cells.

    Attributes:
        table: columns ``time``, ``group``, ``unit``, ``vintage`` (of the unit's map, a whole number that rises by one
            with each change), one of text for every other dimension, ``cases`` and ``successes``.
        dimensions: the other dimensions.
        crosswalks: for a group and the vintage that begins, the shares of old units that new units got.
    """

    table: pa.Table
    dimensions: tuple[str, ...]
    crosswalks: Mapping[tuple[str, int], Shares]


def candidates_of(cells: Cells) -> list[Candidate]:
    """Every dimension and crossing; those with units in each treatment of their history that makes a difference."""
    changed = len(set(cells.table.column("vintage").to_pylist())) > 1
    treatments = [AS_LABELLED, CUT, *([BRIDGED] if cells.crosswalks else [])] if changed else [AS_LABELLED]
    found = []
    for size in range(LARGEST + 1):
        for dimensions in itertools.combinations((UNIT, *cells.dimensions), size):
            kinds = treatments if UNIT in dimensions else [AS_LABELLED]
            found += [Candidate(dimensions=dimensions, series=kind) for kind in kinds]
    return found


def segmentation(cells: Cells, *, least_cell: int = LEAST_CELL) -> pa.Table:
    """Compare all candidates and choose one.

    Args:
        cells: cases counted in the finest cells, at two times or more.
        least_cell: fewest cases of a cell that is to be relied on.

    Returns:
        One row per candidate, best first: ``candidate``, ``series`` (how units were treated where their map changed),
        ``cells``, ``smallest_cell`` (cases), ``small_share`` (of cases in cells of fewer than the least), ``error``
        (of rates, 0 to 1), ``error_above_best`` (of squared rates) with its ``standard_error``, ``stability`` (mean
        change of a cell's distance from its group's rate between times, of rates), ``tests`` (times predicted),
        ``eligible``, ``chosen`` and ``reason``. Exactly one is chosen.

    Raises:
        SegmentationError: there are fewer than two times, or no cases.
    """
    data = _Data(cells)
    if len(data.times) < 2:  # noqa: PLR2004  one to learn from, one to be tested on
        raise SegmentationError(
            f"Cases of {len(data.times)} times cannot be segmented: nothing is left to test on. Give two times or more."
        )
    judged = [_Judged(data, candidate, least_cell) for candidate in candidates_of(cells)]
    allowed = [each for each in judged if not each.objection]
    best = min(allowed, key=lambda each: (each.error, each.cells))
    apart = {id(each): each.above(best) for each in judged}
    near = [each for each in allowed if apart[id(each)][0] <= NEAR * apart[id(each)][1]] or [best]
    chosen = min(near, key=lambda each: (each.cells, each.error))
    ordered = sorted(judged, key=lambda each: (bool(each.objection), each.error, each.candidate.name))
    rows = []
    for each in ordered:
        above, deviation = apart[id(each)]
        rows.append(
            {
                "candidate": each.candidate.name,
                "series": each.candidate.series if UNIT in each.candidate.dimensions else "",
                "cells": each.cells,
                "smallest_cell": each.smallest,
                "small_share": round(each.small_share, 6),
                "error": round(each.error, 6),
                "error_above_best": round(above, 9),
                "standard_error": round(deviation, 9),
                "stability": round(each.stability, 6),
                "tests": len(data.times) - 1,
                "eligible": not each.objection,
                "chosen": each is chosen,
                "reason": each.objection or _reason(each, chosen, best, near=each in near),
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _reason(each: _Judged, chosen: _Judged, best: _Judged, *, near: bool) -> str:
    if each is chosen and each is best:
        return "the smallest error of all, and none with fewer cells comes within two standard errors"
    if each is chosen:
        return f"within two standard errors of {best.candidate.name}, which has {best.cells} cells, with {each.cells}"
    if near:
        return f"no worse than the chosen one, but with {each.cells} cells instead of {chosen.cells}"
    return "its error is larger by more than two standard errors"


Key = tuple[str, ...]
"""Group and cell of a candidate."""


@dataclass(frozen=True, kw_only=True)
class _At:
    """A candidate's cells at one time."""

    keys: list[Key]
    cell: Codes
    """Of each row at that time, the place of its cell in ``keys``."""
    cases: Floats
    successes: Floats
    vintage: Mapping[str, int]

    def totals(self) -> dict[Key, tuple[float, float]]:
        """Cases and successes of each cell."""
        return dict(zip(self.keys, zip(self.cases.tolist(), self.successes.tolist(), strict=True), strict=True))


class _Data:
    """The finest cells as arrays."""

    def __init__(self, cells: Cells) -> None:
        table = cells.table.filter(pc.greater(cells.table.column("cases"), 0))
        self.crosswalks = cells.crosswalks
        self.names: dict[str, list[str]] = {}
        self.codes: dict[str, Codes] = {}
        for name in ("time", "group", UNIT, *cells.dimensions):
            found, codes = np.unique(np.array(table.column(name).to_pylist(), dtype=str), return_inverse=True)
            self.names[name], self.codes[name] = found.tolist(), codes.astype(np.int64)
        self.times = self.names["time"]
        self.vintage: Codes = np.array(table.column("vintage").to_pylist(), dtype=np.int64)
        self.cases: Floats = np.array(table.column("cases").to_pylist(), dtype=np.float64)
        self.successes: Floats = np.array(table.column("successes").to_pylist(), dtype=np.float64)
        self.rows = [np.flatnonzero(self.codes["time"] == number) for number in range(len(self.times))]

    def at(self, time: int, dimensions: Sequence[str]) -> _At:
        """The cells of those dimensions within groups."""
        rows = self.rows[time]
        names = ("group", *dimensions)
        code = np.zeros(len(rows), dtype=np.int64)
        for name in names:
            code = code * len(self.names[name]) + self.codes[name][rows]
        _, first, cell = np.unique(code, return_index=True, return_inverse=True)
        keys = [tuple(self.names[name][self.codes[name][row]] for name in names) for row in rows[first].tolist()]
        groups = self.codes["group"][rows]
        return _At(
            keys=keys,
            cell=cell,
            cases=np.bincount(cell, self.cases[rows]).astype(np.float64),
            successes=np.bincount(cell, self.successes[rows]).astype(np.float64),
            vintage={self.names["group"][g]: int(self.vintage[rows][groups == g].max()) for g in np.unique(groups)},
        )


class _Judged:
    """One candidate with what was measured of it."""

    def __init__(self, data: _Data, candidate: Candidate, least_cell: int) -> None:
        self.candidate = candidate
        self.blocks: dict[tuple[str, str], tuple[float, float]] = {}
        """For each group and time the sum of squared errors and the cases."""
        counts: list[float] = []
        drift: list[tuple[float, float]] = []
        past: dict[tuple[int, Key], tuple[float, float]] = {}
        before: dict[Key, float] = {}
        every: set[Key] = set()
        for time in range(len(data.times)):
            now = data.at(time, candidate.dimensions)
            totals = now.totals()
            levels = _levels(totals)
            if past:
                self._test(data, time, now, _carried(data, candidate, past, now.vintage), levels)
            distance = {key: successes / cases - levels[key[0]] for key, (cases, successes) in totals.items()}
            drift += [(abs(distance[key] - before[key]), totals[key][0]) for key in distance if key in before]
            before = distance
            every.update(totals)
            counts += now.cases.tolist()
            for key, (cases, successes) in totals.items():
                known = past.get((now.vintage[key[0]], key), (0.0, 0.0))
                past[now.vintage[key[0]], key] = (known[0] + cases, known[1] + successes)
        self.cells = len(every)
        self.smallest = int(min(counts))
        self.small_share = sum(count for count in counts if count < least_cell) / sum(counts)
        moved = sum(weight for _, weight in drift)
        self.stability = sum(change * weight for change, weight in drift) / moved if moved else 0.0
        squares, cases = (sum(block[place] for block in self.blocks.values()) for place in (0, 1))
        self.error = float(np.sqrt(squares / cases))
        self.objection = self._objection(data, least_cell)

    def above(self, best: _Judged) -> tuple[float, float]:
        """The mean squared error above that of the best one, and the standard error of this difference."""
        whole = sum(cases for _, cases in self.blocks.values())
        parts = np.array([(own - best.blocks[block][0]) / whole for block, (own, _) in self.blocks.items()])
        many = len(parts)
        deviation = float(np.sqrt(many * parts.var(ddof=1))) if many > 1 else 0.0
        return float(parts.sum()), deviation

    def _objection(self, data: _Data, least_cell: int) -> str:
        crossed = UNIT in self.candidate.dimensions and self.candidate.series == AS_LABELLED
        if crossed and (data.vintage != data.vintage.min()).any():
            return "its units are not the same before and after a map changed"
        if self.small_share > MOST_SMALL and self.candidate.dimensions:
            return f"{self.small_share:.0%} of the cases are in cells of fewer than {least_cell}"
        return ""

    def _test(
        self,
        data: _Data,
        time: int,
        now: _At,
        past: Mapping[Key, tuple[float, float]],
        levels: Mapping[str, float],
    ) -> None:
        past_levels = _levels(past)
        predicted = np.empty(len(now.keys))
        for place, key in enumerate(now.keys):
            level = past_levels.get(key[0])
            cases, successes = past.get(key, (0.0, 0.0))
            own = 0.0 if level is None else (successes + PRIOR * level) / (cases + PRIOR) - level
            predicted[place] = min(max(levels[key[0]] + own, 0.0), 1.0)
        rows = data.rows[time]
        observed = data.successes[rows] / data.cases[rows]
        squares = data.cases[rows] * (predicted[now.cell] - observed) ** 2
        groups = data.codes["group"][rows]
        for group in np.unique(groups).tolist():
            own_rows = groups == group
            block = (data.names["group"][group], data.times[time])
            self.blocks[block] = (float(squares[own_rows].sum()), float(data.cases[rows][own_rows].sum()))


def _carried(
    data: _Data,
    candidate: Candidate,
    past: Mapping[tuple[int, Key], tuple[float, float]],
    vintage: Mapping[str, int],
) -> dict[Key, tuple[float, float]]:
    """Cases and successes of each cell in the past, on the map of now if units are carried over or cut."""
    found: dict[Key, tuple[float, float]] = {}
    place = 1 + candidate.dimensions.index(UNIT) if UNIT in candidate.dimensions else None
    for (old, key), (cases, successes) in past.items():
        if place is None or candidate.series == AS_LABELLED:
            shares: Mapping[str, float] = {"": 1.0}
        else:
            shares = _on_the_map(data, candidate, key[0], key[place], old, vintage.get(key[0], old))
        for unit, share in shares.items():
            new = key if place is None or not unit else (*key[:place], unit, *key[place + 1 :])
            known = found.get(new, (0.0, 0.0))
            found[new] = (known[0] + cases * share, known[1] + successes * share)
    return found


def _on_the_map(data: _Data, candidate: Candidate, group: str, unit: str, old: int, new: int) -> Mapping[str, float]:
    """The shares of an old unit in the units of a later map; none where the way there is not known."""
    shares = {unit: 1.0}
    for vintage in range(old + 1, new + 1):
        crosswalk = data.crosswalks.get((group, vintage)) if candidate.series == BRIDGED else None
        if crosswalk is None:
            return {}
        shares = carried(shares, crosswalk)
    return shares


def _levels(totals: Mapping[Key, tuple[float, float]]) -> dict[str, float]:
    """The rate of each group as a whole."""
    sums: dict[str, tuple[float, float]] = {}
    for key, (cases, successes) in totals.items():
        known = sums.get(key[0], (0.0, 0.0))
        sums[key[0]] = (known[0] + cases, known[1] + successes)
    return {group: successes / cases for group, (cases, successes) in sums.items()}
