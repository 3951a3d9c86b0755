"""What a database is asked, and the copy of what it answers, in the types that it has there.

Put here what holds for every kind of database. Keep out how one of them is reached.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb

from mlops_assets.platform.errors import SourceError
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.platform.lake.files import COMPRESSION, ROW_GROUP
from mlops_assets.plumbing.sources.sql.parameters import with_values, without_end

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

TEXT: Final = "VARCHAR"
FORMAT: Final = f"(FORMAT parquet, COMPRESSION {COMPRESSION}, ROW_GROUP_SIZE {ROW_GROUP})"
"""Of the copies: that of the lake's own files."""

_MOST_NEAR: Final = 3


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a database is asked for a partition.

    Attributes:
        table: the table to read, or
        query: the query.
        where: a condition of the table's rows.
        values: of the parameters.
        numbers: those of them that are whole numbers.
        wanted: the database's names of the columns that the contract takes.
        personal: whether the contract holds persons; then no message repeats a word of the query.
        seconds: how long the statement may take.
        connect_seconds: how long the database may take to answer at all.
    """

    table: str | None
    query: str | None
    where: str | None
    values: Mapping[str, str]
    numbers: frozenset[str]
    wanted: frozenset[str]
    personal: bool
    seconds: float
    connect_seconds: float

    def statement(self, dialect: str, quoted: Callable[[str], str], write: Callable[[str, str], str]) -> str:
        """The one statement that is asked.

        Args:
            dialect: the kind of database.
            quoted: writes an identifier.
            write: writes a parameter, from its name and its value.
        """
        if self.query is not None:
            return with_values(without_end(self.query, dialect), dialect, self.values, write)
        name = ".".join(quoted(part) for part in str(self.table).split("."))
        # On a line of its own: the condition may end in a comment.
        where = f" WHERE ({with_values(self.where, dialect, self.values, write)}\n)" if self.where else ""
        return f"SELECT * FROM {name}{where}"

    def called(self, database: str) -> str:
        """How messages name what is read."""
        return f"Table {self.table} of {database}" if self.table else f"Query of {database}"

    def near(self, tables: Sequence[str]) -> str:
        """The remedy where the table is missing."""
        # Those of all schemas, where the declaration names one.
        known = tables if "." in str(self.table) else [name.rpartition(".")[2] for name in tables]
        lower = {name.lower(): name for name in known}
        found = difflib.get_close_matches(str(self.table).lower(), lower, n=_MOST_NEAR)
        if not found:
            return "Is this the right database, and may the account see the table?"
        return f"There is {', '.join(lower[name] for name in found)}."


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column as the database gives it.

    Attributes:
        name: its name.
        kind: DuckDB's type for its values, which arrive as text.
        through: a type that the text becomes first, where DuckDB reads that faster.
        bytes: what the database calls it, if its values are bytes, which no contract has; ``None`` otherwise.
    """

    name: str
    kind: str = TEXT
    through: str | None = None
    bytes: str | None = None

    def text(self, place: int) -> str:
        """SQL of its text, as DuckDB writes such values."""
        if self.kind == "DATE":
            # Without the brackets DuckDB takes a day before our era for one of it.
            return f"replace(c{place}, ' BC', ' (BC)')"
        return f"CAST(c{place} AS {self.through})" if self.through else f"c{place}"


@dataclass(frozen=True, kw_only=True)
class Copied:
    """The whole answer.

    Attributes:
        source: how messages name what was read.
        database: how they name the database.
        rows: how many there are.
    """

    source: str
    database: str
    rows: int


def refuse_columns(source: str, columns: Sequence[Column], question: Question) -> None:
    """Refuse columns that cannot be told apart, or whose values are bytes.

    Raises:
        SourceError: there is such a column.
    """
    seen: set[str] = set()
    for column in columns:
        if column.name.lower() in seen:
            raise SourceError(
                source=source,
                culprit=f"it has two columns {column.name} (letters' case does not tell columns apart).",
                remedy="Name them in a query: SELECT a.id AS id, b.id AS other_id.",
            )
        seen.add(column.name.lower())
        if column.bytes and column.name in question.wanted:
            raise SourceError(
                source=source,
                culprit=f"its column {column.name} holds bytes ({column.bytes}).",
                remedy="Say in a query which text they are: encode(x, 'hex') or convert_from(x, 'LATIN1') in "
                "PostgreSQL; HEX(x), CONVERT(x USING latin1), or x + 0 of bits in MySQL; hex(x) or CAST(x AS TEXT) in "
                "SQLite.",
            )


def typed(
    connection: duckdb.DuckDBPyConnection, texts: str, columns: Sequence[Column], target: Path, source: str
) -> int:
    """Write texts in their columns' names and types; returns how many rows there are.

    Args:
        connection: where.
        texts: SQL of them, in columns ``c0``, ``c1`` and so on.
        columns: what each is.
        target: Parquet file to write.
        source: for messages.

    Raises:
        SourceError: a text is no value of its type.
    """
    chosen = ", ".join(
        f"CAST({column.text(n)} AS {column.kind}) AS {quote(column.name)}" for n, column in enumerate(columns)
    )
    try:
        [(rows,)] = connection.execute(
            f"COPY (SELECT {chosen} FROM {texts}) TO {literal(str(target))} {FORMAT}"
        ).fetchall()
    except duckdb.ConversionException:
        _refuse_values(connection, texts, columns, source)
        raise
    return int(rows)


def _refuse_values(connection: duckdb.DuckDBPyConnection, texts: str, columns: Sequence[Column], source: str) -> None:
    """Count what has no value of its column's type.

    Raises:
        SourceError: there is such a value.
    """
    counts = ", ".join(
        f"count(*) FILTER (WHERE c{n} IS NOT NULL AND TRY_CAST({column.text(n)} AS {column.kind}) IS NULL)"
        for n, column in enumerate(columns)
    )
    [found] = connection.execute(f"SELECT {counts} FROM {texts}").fetchall()
    said = [
        f"{column.name}: {count:,} are no {column.kind}" for column, count in zip(columns, found, strict=True) if count
    ]
    if said:
        raise SourceError(
            source=source,
            culprit=f"it holds values that only this kind of database knows ({'; '.join(said)}), such as the day "
            "0000-00-00, a moment before our era, or a decimal NaN.",
            remedy="Say in a query what they mean: NULLIF(x, '0000-00-00'), or CAST(x AS CHAR(40)).",
        ) from None
