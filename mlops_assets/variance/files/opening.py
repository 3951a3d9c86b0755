"""Opened files: a table of anybody's with its columns as they were delivered, and whom to name when it cannot be read.

Put here how a file or a relation is opened, and the text of a column. Keep out encodings (``plain_text``), the parsing
of text (``delimited``), and what numbers (``numbers``) and times (``times``) look like.

Texts are kept exactly as delivered: ``5`` and ``5.00`` are two. Columns of Parquet that are no text have one: whole
numbers their digits, also where they are kept as floating point (as pandas does where some are missing), decimals all
of their places, dates and moments ISO 8601, truths ``true`` and ``false``. Blank is missing.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import duckdb
import pyarrow as pa
from pyarrow import parquet

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files.delimited import delimited, literal_path, quoted, require_names, visible
from mlops_assets.variance.files.plain_text import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from mlops_assets.variance.files.delimited import Delimited

Decimal = Literal["point", "comma"]
DayOrder = Literal["day-first", "month-first"]

NUMBERS: Final = frozenset(
    {"tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"}
    | {"float", "double", "decimal"}
)
"""Types of numbers, as DuckDB calls them."""

_FLOATING: Final = frozenset({"float", "double"})
_TEXTS: Final = frozenset({"varchar", "enum"})
_PLAIN: Final = frozenset(
    {"boolean", "date", "time", "timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "uuid"}
    | {"timestamp with time zone", "time with time zone"}
)
_EXACT: Final = 2**53
_MOST_DIGITS: Final = 38
_MARK: Final = b"PAR1"
_FAULTS: Final = (duckdb.Error, pa.ArrowException, OSError, UnicodeDecodeError)
_SPACES: Final = " \t\r\n\u00a0\u202f"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is known of files that they do not say themselves.

    Attributes:
        encoding: of text that is not UTF-8 and bears no mark.
        decimal: what stands before decimals, where the numbers of a column can be read in two ways.
        dates: what stands first in dates such as 05/01/2017, where those of a column can be read in two ways.
    """

    encoding: str | None = None
    decimal: Decimal | None = None
    dates: DayOrder | None = None


AS_DELIVERED: Final = Reading()
"""Nothing else is known."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A table that can be queried.

    Attributes:
        relation: its rows, in the order of the file.
        source: how messages name it.
        returns: whether line ends within texts may be those of another system.
        parsed: the text that is parsed; ``None`` where columns have types of their own.
    """

    relation: DuckDBPyRelation
    source: str
    returns: bool = False
    parsed: Delimited | None = None

    def kept(self, connection: DuckDBPyConnection, name: str, columns: Sequence[str]) -> Opened:
        """The same with some columns only, parsed once, where text would be parsed at every look.

        Args:
            connection: which keeps them.
            name: of the table that does.
            columns: their names.
        """
        if self.parsed is None:
            return self
        chosen = ", ".join(quoted(column) for column in dict.fromkeys(columns))
        with self.guarded():
            connection.execute(f"CREATE TEMP TABLE {name} AS {self.relation.project(chosen).sql_query()}")
        return replace(self, relation=connection.table(name))

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """What DuckDB cannot read while the context lasts is told of this table."""
        try:
            yield
        except _FAULTS as error:
            raise _unreadable(error, self.parsed, self.source) from error

    def require(self, names: Sequence[str]) -> None:
        """Refuse columns that are not there.

        Raises:
            ComparisonError: so it is.
        """
        missing = [name for name in names if name not in self.relation.columns]
        if missing:
            raise ComparisonError(
                f"it has no column {', '.join(missing)}; it has {', '.join(self.relation.columns)}. Name others.",
                source=self.source,
            )

    def kind(self, name: str) -> str:
        """The type of a column, as DuckDB calls it."""
        return str(self.relation.types[self.relation.columns.index(name)].id)

    def text(self, name: str) -> str:
        """SQL of a column's text, NULL where it is blank.

        Raises:
            ComparisonError: the column holds lists, bytes or the like.
        """
        kind, column = self.kind(name), quoted(name)
        if kind in _TEXTS:
            ended = f"replace({column}, chr(13) || chr(10), chr(10))" if self.returns else f"CAST({column} AS VARCHAR)"
            # Most texts begin with a sign of ASCII that is no space, which is seen much faster.
            return f"CASE WHEN {ended} > '!' AND {ended} < '~' OR trim({ended}, '{_SPACES}') <> '' THEN {ended} END"
        if kind in _FLOATING:
            return (
                f"CASE WHEN isnan({column}) THEN NULL WHEN {column} = trunc({column}) AND abs({column}) < {_EXACT} "
                f"THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE CAST({column} AS VARCHAR) END"
            )
        if kind not in NUMBERS | _PLAIN:
            raise ComparisonError(
                f"column {name} holds values of type {kind}, which have no plain text. Cast it, or name another.",
                source=self.source,
            )
        return f"CAST({column} AS VARCHAR)"


@contextmanager
def opened(
    connection: DuckDBPyConnection, source: Path | DuckDBPyRelation, reading: Reading = AS_DELIVERED
) -> Iterator[Opened]:
    """Open a file or a relation of any connection, to be queried while the context lasts.

    Args:
        connection: with which it is queried; its time zone becomes UTC.
        source: delimited text, also packed by gzip, or Parquet; never a pattern of names.
        reading: what the file does not say itself.

    Raises:
        ComparisonError: it is not there, is empty, or cannot be read, also where that shows in the context only.
    """
    connection.execute("SET TimeZone = 'UTC'")
    if isinstance(source, duckdb.DuckDBPyRelation):
        connection.register("source", source.to_arrow_table())
        table = Opened(relation=connection.table("source"), source="The table")
        with table.guarded():
            yield table
        return
    name = f"File {source}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            if is_parquet(source):
                _require_parquet(source, name)
                relation = connection.read_parquet(literal_path(source), hive_partitioning=False)
                found = Opened(relation=relation, source=name)
            else:
                plain = plain_text(source, Path(folder), encoding=reading.encoding, source=name)
                text = delimited(plain.file, name)
                named = ", ".join(quoted(column) for column in visible(text.names))
                relation = text.relation(connection).project(named)
                found = Opened(relation=relation, source=name, returns=plain.returns, parsed=text)
            with found.guarded():
                if relation.limit(1).fetchone() is None:
                    raise ComparisonError("it has columns and no rows. Give a file with rows.", source=name)
                yield found
    except _FAULTS as error:
        raise _unreadable(error, None, name) from error


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet by its name or its first bytes.

    Raises:
        ComparisonError: there is no such file.
        OSError: it cannot be read.
    """
    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise ComparisonError(f"it {what}. Name a CSV or Parquet file.", source=f"File {path}")
    with path.open("rb") as begun:
        return path.suffix.lower() in {".parquet", ".pq"} or begun.read(len(_MARK)) == _MARK


def _require_parquet(path: Path, source: str) -> None:
    schema = parquet.read_schema(path)
    require_names(schema.names, source)
    for field in schema:
        if pa.types.is_decimal(field.type) and field.type.precision > _MOST_DIGITS:
            # DuckDB reads them as other numbers.
            raise ComparisonError(
                f"column {field.name} holds decimals of more than {_MOST_DIGITS} digits. Write them as text.",
                source=source,
            )


def _unreadable(error: Exception, text: Delimited | None, source: str) -> ComparisonError:
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
        return ComparisonError("it takes more memory than there is. Give fewer rows or columns.", source=source)
    if isinstance(error, OSError) and error.strerror:
        return ComparisonError(f"it cannot be read: {error.strerror}. Look at the file and its folder.", source=source)
    if text is not None and not isinstance(error, duckdb.ConversionException):
        return ComparisonError(
            f"{text.first_bad_line()}. Look at that line; the first line must be the header.", source=source
        )
    return ComparisonError(
        f"it cannot be read as CSV or Parquet: it is damaged, or its text is not UTF-8 ({type(error).__name__}). "
        "Have it written again.",
        source=source,
    )
