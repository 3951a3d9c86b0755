"""Drift: how far each column of one partition is from another, from their summaries alone.

Put here which summaries are compared, and how size and chance are judged. Keep out the statistics.
"""

from __future__ import annotations

import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from mlops_assets.variance.drift.absences import absent, chance_of_absence
from mlops_assets.variance.drift.category_summaries import Categories
from mlops_assets.variance.drift.divergences import divergences
from mlops_assets.variance.drift.grids import CategoryGrid, NumberGrid
from mlops_assets.variance.drift.multivariate import Separability, separability
from mlops_assets.variance.drift.number_summaries import Numbers
from mlops_assets.variance.drift.repetition import adjusted
from mlops_assets.variance.drift.summaries import Summary, alike
from mlops_assets.variance.errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from mlops_assets.variance.drift.divergences import Distances, Divergences
    from mlops_assets.variance.drift.grids import Cells, Grid, Member
    from mlops_assets.variance.drift.paired import Paired

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]
    Pair = tuple[str, str]

SAMPLED: Final = 5000
"""Rows of a partition that are enough to compare all columns together: an AUC of 0.52 is told from chance."""

ALL_COLUMNS: Final = "(all columns)"
"""The name under which all columns together are compared."""

SIGNIFICANT: Final = 0.01
"""The share of false discoveries among findings that is put up with, over all times (see ``repetition``)."""

LEVELS: Final = ("small", "moderate", "strong")
_BY_PSI: Final = (0.1, 0.25)
_BY_AUC: Final = (0.6, 0.75)

_NUMBERS: Final = (
    "rows_before", "rows_after", "missing_before", "missing_after",
    "psi", "jensen_shannon", "chi_square", "degrees_of_freedom", "cramers_v",
    "ks", "ks_bound", "wasserstein", "wasserstein_bound", "wasserstein_scaled", "mean_before", "mean_after",
    "auc", "auc_error", "p_value",
)  # fmt: skip
SCHEMA: Final = pa.schema(
    [(name, pa.string()) for name in ("before", "after", "column", "kind")]
    + [(name, pa.int64() if name.startswith("rows") else pa.float64()) for name in (*_NUMBERS, "q_value")]
    + [(name, pa.string()) for name in ("drift", "largest_change", "gone", "appeared", "note")]
)
"""Drift as a table, one row per pair of partitions and column.

``missing_*`` are shares of rows that are NULL or not a number, ``wasserstein_scaled`` is in standard deviations of the
numbers before; for the other statistics see `divergences`. ``q_value`` is the p-value among all that was looked at
until then (see ``repetition``). ``drift`` is none where it is above `SIGNIFICANT`, else small, moderate or strong by
the population stability index (from 0.1, from 0.25) or, for all columns together, by the AUC (from 0.6, from 0.75);
unknown where nothing could be compared, which ``note`` explains. ``gone`` and ``appeared`` name the values that no row
has after or before, beyond chance, with how many had them.
"""

# Pairs at once: fewer and NumPy is called more often than need be, more and they share ever fewer of their bins.
_TOGETHER: Final = 16


def drift(
    partitions: Mapping[str, Summary],
    pairs: Sequence[Pair],
    *,
    paired: Mapping[Pair, Mapping[str, Paired]] | None = None,
    new_at: Callable[[str], str] = str,
) -> pa.Table:
    """Compare pairs of partitions: each column, and all columns together where samples were kept.

    Args:
        partitions: the summary of each partition.
        pairs: labels of the partitions to compare, earlier one first, in the order in which they became new.
        paired: of pairs with the same entities in both the tests that know it, by column; they stand for the others.
        new_at: when the later partition of a label became new; those of one time are judged together.

    Returns:
        Rows of `SCHEMA`, in the order of pairs and columns, ``ALL_COLUMNS`` last.

    Raises:
        ComparisonError: a pair names no partition, or there is nothing to compare.
    """
    found = pa.concat_tables([compared(partitions, pairs), _compared_together(partitions, pairs)])
    return judged(with_paired(found, paired or {}), new_at=new_at)


def compared(partitions: Mapping[str, Summary], pairs: Sequence[Pair]) -> pa.Table:
    """Compare pairs of partitions column by column, without judging yet.

    Tables too large to be held at once may be compared some columns at a time, and `judged` together.

    Args:
        partitions: the summary of each partition.
        pairs: labels of the partitions to compare, earlier one first.

    Returns:
        Rows of `SCHEMA`, columns one after the other, with ``q_value`` and ``drift`` still empty.

    Raises:
        ComparisonError: a pair names no partition, or there is nothing to compare.
    """
    unknown = sorted({label for pair in pairs for label in pair} - set(partitions))
    if unknown:
        raise ComparisonError(f"There is no partition {', '.join(unknown)}. Name pairs of those that are given.")
    names = list(dict.fromkeys(name for summary in partitions.values() for name in summary.columns))
    if not pairs or not names:
        raise ComparisonError("There is no pair of partitions with a column to compare. Give two summaries at least.")
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        return pa.concat_tables(list(threads.map(lambda name: _column(name, partitions, pairs), names)))


def with_paired(table: pa.Table, paired: Mapping[Pair, Mapping[str, Paired]]) -> pa.Table:
    """The same rows with the chance that paired tests give, where there are any."""
    rows = zip(*(table[name].to_pylist() for name in ("before", "after", "column")), strict=True)
    tests = [paired.get((before, after), {}).get(column) for before, after, column in rows]
    chance = [
        given if test is None else test.p_value for given, test in zip(table["p_value"].to_pylist(), tests, strict=True)
    ]
    notes = [
        given if test is None else f"{given} {test.note}".strip()
        for given, test in zip(table["note"].to_pylist(), tests, strict=True)
    ]
    return _with(table, p_value=pa.array(chance, pa.float64()), note=pa.array(notes, pa.string()))


def judged(table: pa.Table, *, new_at: Callable[[str], str] = str) -> pa.Table:
    """The same rows with ``q_value`` and ``drift``, which depend on the others of their time and on those before.

    Args:
        table: rows of `compared`, pairs in the order in which they became new.
        new_at: when the later partition of a label became new; those of one time are judged together.
    """
    chance, sizes = _floats(table["p_value"]), _floats(table["psi"])
    together, auc = np.array(table["column"].to_pylist()) == ALL_COLUMNS, _floats(table["auc"])
    times = [new_at(label) for label in table["after"].to_pylist()]
    q_value = adjusted(chance, times, level=SIGNIFICANT)
    level = np.where(together, np.searchsorted(_BY_AUC, auc, "right"), np.searchsorted(_BY_PSI, sizes, "right"))
    words = np.array(LEVELS)[np.minimum(level, len(LEVELS) - 1)]
    moved = q_value <= SIGNIFICANT
    verdict = np.where(np.isfinite(chance), np.where(moved, words, "none"), "unknown")
    told = {
        name: pa.array(np.where(moved, np.array(table[name].to_pylist(), dtype=object), "").tolist(), pa.string())
        for name in ("gone", "appeared")
    }
    q_values = pa.array(q_value, from_pandas=True)
    return _with(table, q_value=q_values, drift=pa.array(verdict.tolist()), **told).cast(SCHEMA)


def _with(table: pa.Table, **columns: pa.Array) -> pa.Table:
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    return table


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.to_numpy(), dtype=np.float64)


class _Rows:
    """Rows of one column, one for each pair, filled as they are found."""

    def __init__(self, name: str, pairs: Sequence[Pair]) -> None:
        self.name, self.pairs = name, pairs
        self.numbers = {field: np.full(len(pairs), np.nan) for field in _NUMBERS}
        self.texts = {field: [""] * len(pairs) for field in ("kind", "largest_change", "gone", "appeared", "note")}

    def take(self, places: Codes, found: Divergences | Distances) -> None:
        """Fill in the statistics that have a column of their own."""
        for field in fields(found):
            if field.name in self.numbers and field.name != "p_value":
                self.numbers[field.name][places] = getattr(found, field.name)

    def table(self) -> pa.Table:
        """Rows of `SCHEMA`, not yet judged."""
        count = len(self.pairs)
        values: dict[str, Any] = {
            "before": [pair[0] for pair in self.pairs],
            "after": [pair[1] for pair in self.pairs],
            "column": [self.name] * count,
            **self.texts,
            **{name: pa.array(own, from_pandas=True) for name, own in self.numbers.items()},
        }
        rows = [values.get(name, pa.nulls(count)) for name in SCHEMA.names]
        return pa.table(dict(zip(SCHEMA.names, rows, strict=True))).cast(SCHEMA)


def _column(name: str, partitions: Mapping[str, Summary], pairs: Sequence[Pair]) -> pa.Table:
    rows = _Rows(name, pairs)
    # Pairs that share a grid are compared at once. It is that of the pair, so that each gets what it would get alone.
    alike_pairs: dict[Any, list[Member]] = defaultdict(list)
    for number, (before, after) in enumerate(pairs):
        one, other = partitions[before].columns.get(name), partitions[after].columns.get(name)
        if one is None or other is None:
            rows.texts["note"][number] = f"The column is not in {before if one is None else after}."
            continue
        one, other = alike(one, other)
        if isinstance(one, Numbers) and isinstance(other, Numbers):
            alike_pairs["number", max(one.level, other.level)].append((number, one, other))
        elif isinstance(one, Categories) and isinstance(other, Categories):
            lasts = [side.last for side in (one, other) if side.last is not None]
            alike_pairs["category", min(lasts) if lasts else None].append((number, one, other))
        else:
            kinds = ("numbers", "texts") if isinstance(one, Numbers) else ("texts", "numbers")
            rows.texts["note"][number] = f"The column holds {kinds[0]} in {before} and {kinds[1]} in {after}."
    for (kind, shared), members in alike_pairs.items():
        for start in range(0, len(members), _TOGETHER):
            part = members[start : start + _TOGETHER]
            for place, _, _ in part:
                rows.texts["kind"][place] = kind
            _fill(rows, NumberGrid(part, shared) if kind == "number" else CategoryGrid(part, shared), part)
    return rows.table()


def _fill(rows: _Rows, grid: Grid, part: Sequence[Member]) -> None:
    places = np.array([place for place, _, _ in part])
    sides = [before for _, before, _ in part], [after for _, _, after in part]
    cells = grid.cells(*sides)
    found = divergences(cells.before, cells.after)
    rows.take(places, found)
    chance = found.p_value
    if cells.distances is not None:
        rows.take(places, cells.distances)
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = cells.distances.wasserstein / cells.distances.deviation_before
        rows.numbers["wasserstein_scaled"][places] = np.where(np.isfinite(scaled), scaled, np.nan)
        # Two tests of one column: the smaller p-value counts twice.
        both = np.minimum(1.0, 2 * np.fmin(cells.distances.ks_p_value, chance))
        chance = np.where(np.isnan(cells.distances.ks_p_value), chance, both)
    else:
        absence = chance_of_absence(cells).min(axis=1)
        chance = np.where(np.isnan(chance), chance, np.minimum(1.0, 2 * np.fmin(chance, absence)))
    rows.numbers["p_value"][places] = chance
    for when, columns in zip(("before", "after"), sides, strict=True):
        total = np.array([column.rows for column in columns])
        rows.numbers[f"rows_{when}"][places] = total
        missing = np.array([column.missing for column in columns])
        rows.numbers[f"missing_{when}"][places] = np.where(total > 0, missing / np.maximum(total, 1), np.nan)
        for place in places[total == 0]:
            rows.texts["note"][place] = f"There are no rows {when}."
    _tell(rows, places, cells)


def _tell(rows: _Rows, places: Codes, cells: Cells) -> None:
    """Name the cell whose share of rows changed most, and those that are on one side only."""
    for row, gone, appeared in absent(cells, level=SIGNIFICANT):
        rows.texts["gone"][places[row]], rows.texts["appeared"][places[row]] = gone, appeared
    before, after = (counts / np.maximum(counts.sum(axis=1), 1)[:, None] for counts in (cells.before, cells.after))
    most = np.abs(after - before).argmax(axis=1)
    for row, (place, cell) in enumerate(zip(places, most, strict=True)):
        if not rows.texts["note"][place] and before[row, cell] != after[row, cell]:
            moved = f"{before[row, cell]:.2%} to {after[row, cell]:.2%}"
            rows.texts["largest_change"][place] = f"{cells.label(row, int(cell))}: {moved}"


def _compared_together(partitions: Mapping[str, Summary], pairs: Sequence[Pair]) -> pa.Table:
    return pa.concat_tables([SCHEMA.empty_table(), *_together(partitions, pairs)])


def _together(partitions: Mapping[str, Summary], pairs: Sequence[Pair]) -> Iterator[pa.Table]:
    for before, after in pairs:
        one, other = partitions[before].sample, partitions[after].sample
        if one is None or other is None:
            continue
        rows = _Rows(ALL_COLUMNS, [(before, after)])
        rows.texts["kind"][0] = "multivariate"
        for when, label in (("before", before), ("after", after)):
            rows.numbers[f"rows_{when}"][0] = partitions[label].rows
        found = separability(one, other)
        if isinstance(found, Separability):
            rows.numbers["auc"][0], rows.numbers["auc_error"][0] = found.auc, found.error
            rows.numbers["p_value"][0] = found.p_value
            rows.texts["note"][0] = f"A classifier was shown {found.rows:,} rows."
        else:
            rows.texts["note"][0] = found
        yield rows.table()
