"""Segmentation: by which classes cases are best told apart, judged by what the segments say of a time not yet seen.

Put here comparing candidates and choosing one. Keep out the cells and their history (``segments``).

Method. At every time but the first, each candidate predicts the rate of each of its cells from earlier times: the
cell's rate, drawn towards its group's by ``PRIOR`` cases. The level of the new time is taken as known, because it is
the same for all candidates; they are judged by how cells differ from it. The error is the root of the mean squared
difference of predicted and observed rates, over the finest cells, weighted by cases: equal noise for all candidates. Of
those within two standard errors of the best the one with the fewest cells is chosen (the rule of Breiman et al.,
Classification and Regression Trees, 1984, with two instead of one, because the best of many is so by chance as well);
the standard error is that of the differences, over groups and times.

Which candidate describes cases best and which one others may follow can differ: dimensions that must not be followed
(a protected class, say) are barred, compared like all others, and left out of the second choice.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from mlops_assets.variance.segmentation.segments import (
    AS_LABELLED,
    BRIDGED,
    CUT,
    UNIT,
    Candidate,
    Cells,
    CellsAt,
    Finest,
    Key,
    course,
    differences,
    levels_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

LEAST_CELL: Final = 30
MOST_SMALL: Final = 0.01
"""CellsAt most this share of cases may be in cells of fewer than the least number of cases."""

LARGEST: Final = 2
"""Dimensions that are crossed at most."""

NEAR: Final = 2.0
"""Standard errors within which a candidate is as good as the best."""

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
        ("followed", pa.bool_()),
        ("reason", pa.string()),
    ]
)


class SegmentationError(ValueError):
    """Candidates cannot be compared as asked; the message says why and what to do."""


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


def segmentation(cells: Cells, *, least_cell: int = LEAST_CELL, barred: Collection[str] = ()) -> pa.Table:
    """Compare all candidates and choose one.

    Args:
        cells: cases counted in the finest cells, at two times or more.
        least_cell: fewest cases of a cell that is to be relied on.
        barred: dimensions that nobody may follow.

    Returns:
        One row per candidate, best first: ``candidate``, ``series`` (how units were treated where their map changed),
        ``cells``, ``smallest_cell`` (cases), ``small_share`` (of cases in cells of fewer than the least), ``error``
        (of rates, 0 to 1), ``error_above_best`` (of squared rates) with its ``standard_error``, ``stability`` (mean
        change of a cell's distance from its group's rate between times, of rates), ``tests`` (times predicted),
        ``eligible``, ``chosen``, ``followed`` and ``reason``. Exactly one is chosen and exactly one followed: the
        chosen one, or what would have been chosen without the barred dimensions.

    Raises:
        SegmentationError: there are fewer than two times, or no cases.
    """
    data = Finest(cells)
    if len(data.times) < 2:  # noqa: PLR2004  one to learn from, one to be tested on
        raise SegmentationError(
            f"Cases of {len(data.times)} times cannot be segmented: nothing is left to test on. Give two times or more."
        )
    judged = [_Judged(data, candidate, least_cell) for candidate in candidates_of(cells)]
    allowed = [each for each in judged if not each.objection]
    best, near, chosen = _choice(allowed)
    followed = chosen
    if set(chosen.candidate.dimensions).intersection(barred):
        _, _, followed = _choice([each for each in allowed if not set(each.candidate.dimensions).intersection(barred)])
    ordered = sorted(judged, key=lambda each: (bool(each.objection), each.error, each.candidate.name))
    rows = []
    for each in ordered:
        above, deviation = each.above(best)
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
                "followed": each is followed,
                "reason": each.objection
                or _reason(each, chosen, best, near=each in near)
                + (f"; the best without {' and '.join(barred)}" if each is followed is not chosen else ""),
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _choice(allowed: Sequence[_Judged]) -> tuple[_Judged, list[_Judged], _Judged]:
    """The best of them, those that are as good, and of these the one with the fewest cells."""
    best = min(allowed, key=lambda each: (each.error, each.cells))
    near = []
    for each in allowed:
        above, deviation = each.above(best)
        if each is best or above <= NEAR * deviation:
            near.append(each)
    return best, near, min(near, key=lambda each: (each.cells, each.error))


def _reason(each: _Judged, chosen: _Judged, best: _Judged, *, near: bool) -> str:
    if each is chosen and each is best:
        return "the smallest error of all, and none with fewer cells comes within two standard errors"
    if each is chosen:
        return f"within two standard errors of {best.candidate.name}, which has {best.cells} cells, with {each.cells}"
    if near:
        return f"no worse than the chosen one, but with {each.cells} cells instead of {chosen.cells}"
    return "its error is larger by more than two standard errors"


class _Judged:
    """One candidate with what was measured of it."""

    def __init__(self, data: Finest, candidate: Candidate, least_cell: int) -> None:
        self.candidate = candidate
        self.blocks: dict[tuple[str, str], tuple[float, float]] = {}
        """For each group and time the sum of squared errors and the cases."""
        counts: list[float] = []
        drift: list[tuple[float, float]] = []
        before: dict[Key, float] = {}
        every: set[Key] = set()
        for time, now, past in course(data, candidate):
            totals = now.totals()
            levels = levels_of(totals)
            if time:
                self._test(data, time, now, past, levels)
            distance = {key: successes / cases - levels[key[0]] for key, (cases, successes) in totals.items()}
            drift += [(abs(distance[key] - before[key]), totals[key][0]) for key in distance if key in before]
            before = distance
            every.update(totals)
            counts += now.cases.tolist()
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

    def _objection(self, data: Finest, least_cell: int) -> str:
        crossed = UNIT in self.candidate.dimensions and self.candidate.series == AS_LABELLED
        if crossed and (data.vintage != data.vintage.min()).any():
            return "its units are not the same before and after a map changed"
        if self.small_share > MOST_SMALL and self.candidate.dimensions:
            return f"{self.small_share:.0%} of the cases are in cells of fewer than {least_cell}"
        return ""

    def _test(
        self,
        data: Finest,
        time: int,
        now: CellsAt,
        past: Mapping[Key, tuple[float, float]],
        levels: Mapping[str, float],
    ) -> None:
        own = [difference for _, difference in differences(now, past)]
        predicted = np.clip(np.array([levels[key[0]] for key in now.keys]) + np.array(own), 0.0, 1.0)
        rows = data.rows[time]
        observed = data.successes[rows] / data.cases[rows]
        squares = data.cases[rows] * (predicted[now.cell] - observed) ** 2
        groups = data.codes["group"][rows]
        for group in np.unique(groups).tolist():
            own_rows = groups == group
            block = (data.names["group"][group], data.times[time])
            self.blocks[block] = (float(squares[own_rows].sum()), float(data.cases[rows][own_rows].sum()))
