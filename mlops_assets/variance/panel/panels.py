"""Panels: what many units of several groups measured at several times, as arrays ready to be compared.

Put here how a panel is read, ordered and transformed. Keep out what is concluded from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files.numbers import counted, numbers
from mlops_assets.variance.files.opening import AS_DELIVERED, Opened, Reading, opened
from mlops_assets.variance.files.times import Spelling, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_assets.variance.arrays import Codes, Floats
    from mlops_assets.variance.files.times import Timeline

MOST_CELLS: Final = 20_000_000
"""Groups times periods beyond this are refused: columns were probably mistaken for one another."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a panel mean what.

    Attributes:
        unit: names a unit within its group, such as a district.
        group: what units belong to, such as a state.
        time: orders the rows: numbers, years, quarters, months, days or moments, as `files.times` reads them.
        measures: columns of numbers.
        weight: the number of cases behind a row, for measures that are shares or means; optional.
        entity: a name that should stay in its unit, such as an incumbent; optional.
        reading: what the file does not say itself.
    """

    unit: str
    group: str
    time: str
    measures: tuple[str, ...]
    weight: str | None = None
    entity: str | None = None
    reading: Reading = AS_DELIVERED

    def named(self) -> tuple[str, ...]:
        """Every column that is asked for."""
        optional = (name for name in (self.weight, self.entity) if name is not None)
        return (self.unit, self.group, self.time, *self.measures, *optional)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One row per unit and time, in the order of unit and time.

    Attributes:
        groups: labels of groups, by code.
        times: labels of times, by code, in order.
        elapsed: where each time lies: numbers as they are, all others in days.
        measures: names of the measures.
        units: labels of units, by code; a unit is a label within a group.
        group: group code of each row.
        unit: unit code of each row.
        time: time code of each row.
        copies: how many rows of the source were this unit and time.
        values: measures (rows) by rows (columns), NaN where missing; of repeated rows the mean.
        weight: of each row, NaN where missing; None where not given.
        entity: code of each row's entity, -1 where missing; None where not given.
        notes: what was left out or put together, in sentences.
    """

    groups: list[str]
    times: list[str]
    elapsed: Floats
    measures: tuple[str, ...]
    units: list[str]
    group: Codes
    unit: Codes
    time: Codes
    copies: Codes
    values: Floats
    weight: Floats | None
    entity: Codes | None
    notes: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[int, int]:
        """The number of groups and the number of times."""
        return len(self.groups), len(self.times)


def read_panel(source: Path | duckdb.DuckDBPyRelation, columns: Columns) -> Panel:
    """Read a panel.

    Args:
        source: a CSV or Parquet file, or a DuckDB relation; one row per unit and time. Rows without unit, group or time
            are left out; repeated rows count once, with the mean of their measures; ``notes`` tell how many.
        columns: which columns mean what.

    Returns:
        The panel in the order of unit and time.

    Raises:
        ComparisonError: a column is missing, named twice, or holds what is no number or no time; the file cannot be
            read, or has no usable row, or one time only; there are more groups times periods than ``MOST_CELLS``.
    """
    with duckdb.connect() as connection, opened(connection, source, columns.reading) as table:
        _require(table, columns)
        panel = _read(connection, table.kept(connection, "delivered", columns.named()), columns)
        if isinstance(source, Path) and len(panel.times) == 1:
            raise ComparisonError(
                f"all rows are of one time, {columns.time} {panel.times[0]}: there is nothing to compare it with. Give "
                "a file with two times or more.",
                source=table.source,
            )
    return panel


def _require(table: Opened, columns: Columns) -> None:
    table.require(columns.named())
    if not columns.measures:
        raise ComparisonError("No measure is named: without one there is nothing to compare. Name at least one column.")
    keys = (columns.unit, columns.group, columns.time)
    if (
        len(set(keys)) < len(keys)
        or set(keys) & set(columns.measures)
        or len(set(columns.measures)) < len(columns.measures)
    ):
        raise ComparisonError("Unit, group, time and measures must be different columns. Name each once.")


def _read(connection: duckdb.DuckDBPyConnection, table: Opened, columns: Columns) -> Panel:
    measured = list(columns.measures) + ([columns.weight] if columns.weight else [])
    (parsed,) = numbers([table], measured, columns.reading.decimal)
    texts = {"u": columns.unit, "g": columns.group, "t": columns.time}
    parts = [f"{table.text(name)} AS {alias}" for alias, name in texts.items()]
    parts += [f"{parsed[name]} AS n{place}" for place, name in enumerate(measured)]
    parts.append(_entity(table, columns.entity))
    connection.execute("CREATE TEMP TABLE given AS " + table.relation.project(", ".join(parts)).sql_query())
    notes = list(_left_out(connection, columns, measured))
    order = _order_of_times(connection, table, columns)
    means = ", ".join(f"avg(n{place}) AS n{place}" for place in range(len(measured)))
    connection.execute(
        """CREATE TEMP TABLE units AS SELECT g, u, row_number() OVER (ORDER BY g, u) - 1 AS unit,
             dense_rank() OVER (ORDER BY g) - 1 AS "group" FROM (SELECT DISTINCT g, u FROM given)"""
    )
    groups = _column(connection, 'SELECT DISTINCT g, "group" FROM units ORDER BY "group"')
    if not groups:
        raise ComparisonError(
            f"no row has {columns.unit}, {columns.group} and {columns.time}: there is nothing to compare. "
            "Check the file and the columns named.",
            source=table.source,
        )
    if len(groups) * len(order.labels) > MOST_CELLS:
        raise ComparisonError(
            f"{len(groups):,} groups at {len(order.labels):,} times are more than {MOST_CELLS:,} cells: "
            f"{columns.group} or {columns.time} seems to name single rows. Name a coarser column, or split the panel.",
            source=table.source,
        )
    rows = connection.execute(
        f"""SELECT "group", unit, time, count(*) AS copies, {means}, any_value(e) AS e
            FROM given JOIN units USING (g, u) JOIN times USING (t) GROUP BY ALL ORDER BY unit, time"""  # noqa: S608  columns are counted, not named
    ).fetchnumpy()
    found = [_floats(rows[f"n{place}"]) for place in range(len(measured))]
    copies = rows["copies"].astype(np.int64)
    if repeated := int((copies > 1).sum()):
        notes.append(
            f"{counted(repeated, 'pair')} of {columns.unit} and {columns.time} came in more than one row "
            f"({counted(int(copies[copies > 1].sum()), 'row')}); the mean of their measures was taken."
        )
    if merged := len(order.place) - len(order.labels):
        notes.append(f"{columns.time}: {counted(merged, 'label')} said a time that another one says too.")
    return Panel(
        groups=groups,
        times=order.labels,
        elapsed=order.elapsed,
        measures=columns.measures,
        units=_column(connection, "SELECT u FROM units ORDER BY unit"),
        group=rows["group"].astype(np.int64),
        unit=rows["unit"].astype(np.int64),
        time=rows["time"].astype(np.int64),
        copies=copies,
        values=np.vstack(found[: len(columns.measures)]),
        weight=found[-1] if columns.weight else None,
        entity=_codes(rows["e"]) if columns.entity else None,
        notes=tuple(notes),
    )


def _left_out(connection: duckdb.DuckDBPyConnection, columns: Columns, measured: Sequence[str]) -> Iterator[str]:
    """Leave out rows without unit, group or time, and tell of them and of missing numbers.

    Raises:
        ComparisonError: there is no number at all.
    """
    (left,) = connection.execute("DELETE FROM given WHERE u IS NULL OR g IS NULL OR t IS NULL").fetchone() or (0,)
    if left:
        yield f"{counted(left, 'row')} without {columns.unit}, {columns.group} or {columns.time} left out."
    counts = ", ".join(f"count(n{place})" for place in range(len(measured)))
    total, *known = connection.execute(f"SELECT count(*), {counts} FROM given").fetchone() or (0,)  # noqa: S608  columns are counted, not named
    if total and not any(known):
        raise ComparisonError(f"Column {', '.join(measured)} holds no number. Name columns of numbers.")
    for name, count in zip(measured, known, strict=True):
        if count < total:
            yield f"{name} is missing in {counted(total - count, 'row')} of {total:,}."


def _entity(table: Opened, name: str | None) -> str:
    """A code of the entity, without regard to case, spaces and punctuation; NULL where it says nothing."""
    if name is None:
        return "NULL::UBIGINT AS e"
    plain = f"nullif(regexp_replace(upper({table.text(name)}), '[^\\p{{L}}\\p{{N}}]+', ' ', 'g'), '')"
    return f"hash(trim({plain})) // 2 AS e"


def _order_of_times(connection: duckdb.DuckDBPyConnection, table: Opened, columns: Columns) -> Timeline:
    """The times in order, and a table of the place of each label."""
    found = connection.execute(
        "SELECT t, count(*), min(rowid) + 1 FROM given GROUP BY t ORDER BY min(rowid)"
    ).fetchall()
    spellings = {label: Spelling(count=count, row=row) for label, count, row in found}
    order = timeline(spellings, column=columns.time, source=table.source, dates=columns.reading.dates)
    places = pa.table(
        {"t": pa.array(order.place.keys(), pa.string()), "time": pa.array(order.place.values(), pa.int64())}
    )
    connection.register("times", places)
    return order


def _column(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(query).fetchall()]


def _floats(column: Any) -> Floats:  # noqa: ANN401  NumPy's masked arrays are not told apart by DuckDB's stubs
    return np.asarray(np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan), dtype=np.float64)


def _codes(column: Any) -> Codes:  # noqa: ANN401  see above
    masked = np.ma.asarray(column)
    known = ~np.ma.getmaskarray(masked)
    codes = np.full(len(masked), -1, dtype=np.int64)
    codes[known] = np.unique(masked.data[known], return_inverse=True)[1]
    return codes
