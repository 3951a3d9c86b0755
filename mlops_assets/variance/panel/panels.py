"""Panels: what many units of several groups measured at several times, as arrays ready to be compared.

Put here how a panel is read, ordered and transformed. Keep out what is concluded from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files import quoted, relation_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_assets.variance.arrays import Codes, Floats

MOST_CELLS: Final = 20_000_000
"""Groups times periods beyond this are refused: columns were probably mistaken for one another."""


_MONTH: Final = re.compile(r"((?:18|19|20)\d\d)-?(0[1-9]|1[0-2])")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a panel mean what.

    Attributes:
        unit: names a unit within its group, such as a district.
        group: what units belong to, such as a state.
        time: orders the rows: numbers, dates, or texts in the order of their letters.
        measures: columns of numbers.
        weight: the number of cases behind a row, for measures that are shares or means; optional.
        entity: a name that should stay in its unit, such as an incumbent; optional.
    """

    unit: str
    group: str
    time: str
    measures: tuple[str, ...]
    weight: str | None = None
    entity: str | None = None

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
        measures: names of the measures.
        units: labels of units, by code; a unit is a label within a group.
        group: group code of each row.
        unit: unit code of each row.
        time: time code of each row.
        copies: how many rows of the source were this unit and time.
        values: measures (rows) by rows (columns), NaN where missing; of repeated rows the mean.
        weight: of each row, NaN where missing; None where not given.
        entity: code of each row's entity, -1 where missing; None where not given.
    """

    groups: list[str]
    times: list[str]
    measures: tuple[str, ...]
    units: list[str]
    group: Codes
    unit: Codes
    time: Codes
    copies: Codes
    values: Floats
    weight: Floats | None
    entity: Codes | None

    @property
    def elapsed(self) -> Floats:
        """How far apart times lie: dates and months in days, other numbers as they are, other texts one by one."""
        for read in (_days, float):
            try:
                found = np.array([read(label) for label in self.times])
            except ValueError:
                continue
            if (np.diff(found) > 0).all():
                return found
        return np.arange(len(self.times), dtype=np.float64)

    @property
    def cells(self) -> tuple[int, int]:
        """The number of groups and the number of times."""
        return len(self.groups), len(self.times)


def read_panel(source: Path | duckdb.DuckDBPyRelation, columns: Columns) -> Panel:
    """Read a panel.

    Args:
        source: a CSV or Parquet file, or a DuckDB relation; one row per unit and time. Rows without unit, group or time
            are left out; repeated rows count once, with the mean of their measures.
        columns: which columns mean what.

    Returns:
        The panel in the order of unit and time.

    Raises:
        ComparisonError: a column is missing, named twice, or is not a column of numbers; the file cannot be read or
            has no usable row; there are more groups times periods than ``MOST_CELLS``.
    """
    with duckdb.connect() as connection:
        relation = relation_of(connection, source) if not isinstance(source, duckdb.DuckDBPyRelation) else source
        _require(relation, columns)
        if isinstance(source, duckdb.DuckDBPyRelation):
            connection.register("source", source.to_arrow_table())
            relation = connection.table("source")
        return _read(connection, relation, columns)


def _require(relation: duckdb.DuckDBPyRelation, columns: Columns) -> None:
    named = columns.named()
    missing = [name for name in named if name not in relation.columns]
    if missing:
        raise ComparisonError(
            f"The panel has no column {', '.join(missing)}; it has {', '.join(relation.columns)}. Name others."
        )
    if not columns.measures:
        raise ComparisonError("No measure is named: without one there is nothing to compare. Name at least one column.")
    keys = (columns.unit, columns.group, columns.time)
    if (
        len(set(keys)) < len(keys)
        or set(keys) & set(columns.measures)
        or len(set(columns.measures)) < len(columns.measures)
    ):
        raise ComparisonError("Unit, group, time and measures must be different columns. Name each once.")


def _read(connection: duckdb.DuckDBPyConnection, relation: duckdb.DuckDBPyRelation, columns: Columns) -> Panel:
    texts = {"u": columns.unit, "g": columns.group, "t": columns.time}
    parts = [f"CAST({quoted(name)} AS VARCHAR) AS {alias}" for alias, name in texts.items()]
    numbers = list(columns.measures) + ([columns.weight] if columns.weight else [])
    parts += [f"TRY_CAST({quoted(name)} AS DOUBLE) AS n{place}" for place, name in enumerate(numbers)]
    parts.append(_entity(columns.entity))
    connection.execute("CREATE TEMP TABLE given AS " + relation.project(", ".join(parts)).sql_query())
    connection.execute("DELETE FROM given WHERE u IS NULL OR g IS NULL OR t IS NULL")
    _require_numbers(connection, numbers)
    means = ", ".join(f"avg(n{place}) FILTER (isfinite(n{place})) AS n{place}" for place in range(len(numbers)))
    order = _order_of_times(connection)
    connection.execute(
        f"""CREATE TEMP TABLE times AS SELECT t, row_number() OVER (ORDER BY {order}, t) - 1 AS time
            FROM (SELECT DISTINCT t FROM given)"""  # noqa: S608  one of three fixed orders
    )
    connection.execute(
        """CREATE TEMP TABLE units AS SELECT g, u, row_number() OVER (ORDER BY g, u) - 1 AS unit,
             dense_rank() OVER (ORDER BY g) - 1 AS "group" FROM (SELECT DISTINCT g, u FROM given)"""
    )
    groups = _column(connection, 'SELECT DISTINCT g, "group" FROM units ORDER BY "group"')
    times = _column(connection, "SELECT t FROM times ORDER BY time")
    if not groups:
        raise ComparisonError(
            f"No row has {columns.unit}, {columns.group} and {columns.time}: there is nothing to compare. "
            "Check the file and the columns named."
        )
    if len(groups) * len(times) > MOST_CELLS:
        raise ComparisonError(
            f"{len(groups):,} groups at {len(times):,} times are more than {MOST_CELLS:,} cells: {columns.group} or "
            f"{columns.time} seems to name single rows. Name a coarser column, or split the panel."
        )
    rows = connection.execute(
        f"""SELECT "group", unit, time, count(*) AS copies, {means}, any_value(e) AS e
            FROM given JOIN units USING (g, u) JOIN times USING (t) GROUP BY ALL ORDER BY unit, time"""  # noqa: S608  columns are counted, not named
    ).fetchnumpy()
    found = [_floats(rows[f"n{place}"]) for place in range(len(numbers))]
    return Panel(
        groups=groups,
        times=times,
        measures=columns.measures,
        units=_column(connection, "SELECT u FROM units ORDER BY unit"),
        group=rows["group"].astype(np.int64),
        unit=rows["unit"].astype(np.int64),
        time=rows["time"].astype(np.int64),
        copies=rows["copies"].astype(np.int64),
        values=np.vstack(found[: len(columns.measures)]),
        weight=found[-1] if columns.weight else None,
        entity=_codes(rows["e"]) if columns.entity else None,
    )


def _entity(name: str | None) -> str:
    """A code of the entity, without regard to case, spaces and punctuation; NULL where it says nothing."""
    if name is None:
        return "NULL::UBIGINT AS e"
    plain = f"nullif(regexp_replace(upper(CAST({quoted(name)} AS VARCHAR)), '[^\\p{{L}}\\p{{N}}]+', ' ', 'g'), '')"
    return f"hash(trim({plain})) // 2 AS e"


def _require_numbers(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
    counts = ", ".join(f"count(n{place})" for place in range(len(names)))
    query = f"SELECT count(*), {counts} FROM given"  # noqa: S608  columns are counted, not named
    row = connection.execute(query).fetchone() or (0,)
    empty = [name for name, known in zip(names, row[1:], strict=False) if not known]
    if row[0] and len(empty) == len(names):
        raise ComparisonError(f"Column {', '.join(empty)} holds no number. Name columns of numbers.")


def _days(label: str) -> float:
    """A date, or a month such as 2001-03 or 200103, as a number of days.

    Raises:
        ValueError: it is neither.
    """
    digits = label.strip().replace("/", "-")
    month = _MONTH.fullmatch(digits)
    return float(datetime.fromisoformat(f"{month[1]}-{month[2]}-01" if month else digits).toordinal())


def _order_of_times(connection: duckdb.DuckDBPyConnection) -> str:
    """How times are ordered: as numbers if all are, else as dates if all are, else as texts."""
    for kind in ("DOUBLE", "TIMESTAMP"):
        query = f"SELECT count(*) FROM given WHERE TRY_CAST(t AS {kind}) IS NULL"  # noqa: S608  one of two types
        if connection.execute(query).fetchone() == (0,):
            return f"CAST(t AS {kind})"
    return "t"


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
