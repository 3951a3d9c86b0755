"""Segments: cases in cells over time, and what earlier times say of each cell.

Put here cells, their history over changed maps, and the prediction of their rates. Keep out which cells are best.

The rate of a cell is drawn towards its group's by ``PRIOR`` cases. Units whose map changed are not the units they were:
their history is carried over a crosswalk where one is known, and ends at the change where none is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.variance.files.times import Spelling, timeline
from mlops_assets.variance.linked.crosswalk import carried

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops_assets.variance.arrays import Codes, Floats
    from mlops_assets.variance.linked.crosswalk import Shares

PRIOR: Final = 50.0
"""A cell of so many cases lies half-way between its own rate and its group's."""

AS_LABELLED: Final = "as labelled"
CUT: Final = "cut"
BRIDGED: Final = "bridged"

UNIT: Final = "unit"

_CROSSED: Final = " x "
_WHOLE: Final = "whole groups"

Key = tuple[str, ...]
"""Group and cell of a candidate."""


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
        return _CROSSED.join(self.dimensions) or _WHOLE

    @classmethod
    def named(cls, name: str, series: str) -> Self:
        """The candidate of a row of the comparison."""
        return cls(dimensions=() if name == _WHOLE else tuple(name.split(_CROSSED)), series=series or AS_LABELLED)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Cases counted in the finest cells.

    Attributes:
        table: columns ``time`` (as `files.times` reads them), ``group``, ``unit``, ``vintage`` (of the unit's map, a
            whole number that rises by one with each change), one of text for every other dimension, ``cases`` and
            ``successes``.
        dimensions: the other dimensions.
        crosswalks: for a group and the vintage that begins, the shares of old units that new units got.
    """

    table: pa.Table
    dimensions: tuple[str, ...]
    crosswalks: Mapping[tuple[str, int], Shares]


def expected(cells: Cells, candidate: Candidate) -> pa.Table:
    """What earlier times say of each cell at each time, exactly as the comparison predicts it.

    Args:
        cells: cases counted in the finest cells; successes of the last time are not looked at.
        candidate: by which dimensions, and how units are treated where their map changed.

    Returns:
        One row per time and cell: ``time``, ``group``, the candidate's dimensions, ``cases`` at that time,
        ``past_cases`` (earlier, as far as they are carried over) and ``difference`` of the cell's rate from its
        group's, -1 to 1; 0 without a past.
    """
    data = Finest(cells)
    rows = []
    for time, now, past in course(data, candidate):
        for key, (known, difference), cases in zip(now.keys, differences(now, past), now.cases.tolist(), strict=True):
            own = dict(zip(("group", *candidate.dimensions), key, strict=True))
            rows.append(
                {"time": data.times[time], **own, "cases": cases, "past_cases": known, "difference": difference}
            )
    texts = [(name, pa.string()) for name in ("time", "group", *candidate.dimensions)]
    numbers = [(name, pa.float64()) for name in ("cases", "past_cases", "difference")]
    return pa.Table.from_pylist(rows, schema=pa.schema([*texts, *numbers]))


@dataclass(frozen=True, kw_only=True)
class CellsAt:
    """A candidate's cells at one time.

    Attributes:
        keys: group and cell.
        cell: of each row of the finest cells at that time, the place of its cell in ``keys``.
        cases: of each cell.
        successes: of each cell.
        vintage: of each group's map.
    """

    keys: list[Key]
    cell: Codes
    cases: Floats
    successes: Floats
    vintage: Mapping[str, int]

    def totals(self) -> dict[Key, tuple[float, float]]:
        """Cases and successes of each cell."""
        return dict(zip(self.keys, zip(self.cases.tolist(), self.successes.tolist(), strict=True), strict=True))


class Finest:
    """The finest cells as arrays.

    Attributes:
        times: every time, in order.
        rows: for each time the places of its rows.
        names: for each column its values.
        codes: for each column and row the place of its value in ``names``.
        vintage: of each row.
        cases: of each row.
        successes: of each row.
        crosswalks: as given.
    """

    def __init__(self, cells: Cells) -> None:
        table = cells.table.filter(pc.greater(cells.table.column("cases"), 0))
        self.crosswalks = cells.crosswalks
        self.names: dict[str, list[str]] = {}
        self.codes: dict[str, Codes] = {}
        for name in ("time", "group", UNIT, *cells.dimensions):
            found, codes = np.unique(np.array(table.column(name).to_pylist(), dtype=str), return_inverse=True)
            self.names[name], self.codes[name] = found.tolist(), codes.astype(np.int64)
        self._order_times()
        self.times = self.names["time"]
        self.vintage: Codes = np.array(table.column("vintage").to_pylist(), dtype=np.int64)
        self.cases: Floats = np.array(table.column("cases").to_pylist(), dtype=np.float64)
        self.successes: Floats = np.array(table.column("successes").to_pylist(), dtype=np.float64)
        self.rows = [np.flatnonzero(self.codes["time"] == number) for number in range(len(self.times))]

    def _order_times(self) -> None:
        """Times in the order in which they came, not that of their letters."""
        found, codes = np.array(self.names["time"], dtype=str), self.codes["time"]
        first = {label: int(np.argmax(codes == code)) for code, label in enumerate(found.tolist())}
        counts = np.bincount(codes, minlength=len(found))
        spellings = {
            label: Spelling(count=int(count), row=first[label] + 1)
            for label, count in zip(found.tolist(), counts, strict=True)
        }
        order = timeline(spellings, column="time", source="The cells")
        places = np.array([order.place[label] for label in found.tolist()], dtype=np.int64)
        self.names["time"], self.codes["time"] = order.labels, places[codes]

    def at(self, time: int, dimensions: Sequence[str]) -> CellsAt:
        """The cells of those dimensions within groups."""
        rows = self.rows[time]
        names = ("group", *dimensions)
        code = np.zeros(len(rows), dtype=np.int64)
        for name in names:
            code = code * len(self.names[name]) + self.codes[name][rows]
        _, first, cell = np.unique(code, return_index=True, return_inverse=True)
        keys = [tuple(self.names[name][self.codes[name][row]] for name in names) for row in rows[first].tolist()]
        groups = self.codes["group"][rows]
        return CellsAt(
            keys=keys,
            cell=cell,
            cases=np.bincount(cell, self.cases[rows]).astype(np.float64),
            successes=np.bincount(cell, self.successes[rows]).astype(np.float64),
            vintage={self.names["group"][g]: int(self.vintage[rows][groups == g].max()) for g in np.unique(groups)},
        )


def course(data: Finest, candidate: Candidate) -> Iterator[tuple[int, CellsAt, dict[Key, tuple[float, float]]]]:
    """Each time (its place), its cells, and the cases and successes that they had at earlier times, on its maps."""
    past: dict[tuple[int, Key], tuple[float, float]] = {}
    for time in range(len(data.times)):
        now = data.at(time, candidate.dimensions)
        yield time, now, _carried(data, candidate, past, now.vintage)
        for key, (cases, successes) in now.totals().items():
            known = past.get((now.vintage[key[0]], key), (0.0, 0.0))
            past[now.vintage[key[0]], key] = (known[0] + cases, known[1] + successes)


def differences(now: CellsAt, past: Mapping[Key, tuple[float, float]]) -> list[tuple[float, float]]:
    """For each cell its cases in the past, and how far its rate, drawn towards its group's, lay from that."""
    levels = levels_of(past)
    found = []
    for key in now.keys:
        level = levels.get(key[0])
        cases, successes = past.get(key, (0.0, 0.0))
        found.append((cases, 0.0 if level is None else (successes + PRIOR * level) / (cases + PRIOR) - level))
    return found


def _carried(
    data: Finest,
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


def _on_the_map(data: Finest, candidate: Candidate, group: str, unit: str, old: int, new: int) -> Mapping[str, float]:
    """The shares of an old unit in the units of a later map; none where the way there is not known."""
    shares = {unit: 1.0}
    for vintage in range(old + 1, new + 1):
        crosswalk = data.crosswalks.get((group, vintage)) if candidate.series == BRIDGED else None
        if crosswalk is None:
            return {}
        shares = carried(shares, crosswalk)
    return shares


def levels_of(totals: Mapping[Key, tuple[float, float]]) -> dict[str, float]:
    """The rate of each group as a whole."""
    sums: dict[str, tuple[float, float]] = {}
    for key, (cases, successes) in totals.items():
        known = sums.get(key[0], (0.0, 0.0))
        sums[key[0]] = (known[0] + cases, known[1] + successes)
    return {group: successes / cases for group, (cases, successes) in sums.items()}
