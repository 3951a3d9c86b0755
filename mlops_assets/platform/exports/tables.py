"""The tables of an export: from Arrow to typed SQLite, and a digest that both must agree on.

Put here how columns, rows and keys are carried over. Keep out files, folders and which export is current. Arrow is not
imported at run time, because the service imports this package and needs no Arrow.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports.layout import MOST_LIMITS, statements
from mlops_assets.platform.exports.manifest import LATEST, Kind, Mode, TableRecord
from mlops_assets.platform.identifiers import is_identifier

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from mlops_assets.platform.exports.manifest import Cell, ServedAs

    Rows: TypeAlias = pa.Table | pa.RecordBatchReader

PARAMETERS: Final = frozenset({"limit", "cursor", "as_of"})
"""What a list of rows is asked for with beside its filters."""
SCOPE: Final = re.compile(r"[a-z][a-z0-9_]*:[a-z]+")
"""What a principal may be allowed to do: an object and a verb."""
_BATCH_ROWS: Final = 10_000
_INTEGERS: Final = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
_KINDS: Final = {
    **dict.fromkeys(_INTEGERS, Kind.INTEGER),
    "bool": Kind.BOOLEAN,
    **dict.fromkeys(("float", "double"), Kind.NUMBER),
    **dict.fromkeys(("string", "large_string", "string_view"), Kind.TEXT),
    "date32[day]": Kind.DATE,
    **dict.fromkeys(("binary", "large_binary"), Kind.BYTES),
}
_TIMESTAMP: Final = re.compile(r"timestamp\[(?:s|ms|us)(, tz=.+)?\]")


def check_table(name: str, table: Rows, key: Sequence[str]) -> None:
    """Refuse a table that SQLite cannot hold faithfully.

    Raises:
        ArtifactError: a name is no lower-case identifier or is repeated, a column's type has no SQLite counterpart,
            the key names a column that is missing, or batches have no key.
    """
    if not key and not _is_whole(table):
        raise _refused(name, "it comes in batches and has no key by which they could be sorted", "Name its key.")
    check_names(name, table.schema.names, key)
    for field in table.schema:
        if _kind(str(field.type)) is None:
            raise _refused(name, f"column {field.name} has type {field.type}, which SQLite lacks", "Cast it.")


def check_names(name: str, columns: Sequence[str], key: Sequence[str]) -> None:
    """Refuse names that SQLite would not take as they are, and a key of other columns.

    Raises:
        ArtifactError: a name is no lower-case identifier or is repeated, or the key names a column that is missing.
    """
    for identifier in (name, *columns):
        if not is_identifier(identifier):
            raise _refused(name, f"the name {identifier!r} is no lower-case identifier", "Rename it.")
    if name.startswith("sqlite_"):
        raise _refused(name, "SQLite keeps names that begin with sqlite_ for itself", "Rename it.")
    if not columns or len(set(columns)) != len(columns):
        raise _refused(name, "it has no columns, or two of one name", "Give each column a name of its own.")
    if missing := [column for column in key if column not in columns]:
        raise _refused(name, f"its key names missing columns {missing}", "Correct the key.")
    if len(set(key)) != len(key):
        raise _refused(name, "its key names a column twice", "Name each once.")


def check_served(name: str, columns: Sequence[str], key: Sequence[str], served: ServedAs | None) -> None:
    """Refuse a way to offer a table that does not fit it.

    Raises:
        ArtifactError: it has no key, a column is missing or called like a parameter of the service, or the scope is
            none.
    """
    if served is None:
        return
    if not key:
        raise _refused(name, "it is served and has no key", "Name the columns that identify a row.")
    named = {*served.limit_by, *served.filters, *served.values, *({served.latest} if served.latest else ())}
    if missing := sorted(named - set(columns)):
        raise _refused(name, f"it is served by columns {missing}, which it has not", f"It has {', '.join(columns)}.")
    if taken := sorted(PARAMETERS.intersection({*served.filters, *key})):
        raise _refused(name, f"the service has parameters of its own called {taken}", "Rename the columns.")
    if served.latest is not None and served.latest not in key:
        raise _refused(name, f"{served.latest}, whose latest is asked for, is not in its key", "Name one of it.")
    if served.mode is Mode.LOOKUP and served.filters:
        raise _refused(name, "it is for look-up alone, and has filters", "Leave them out, or let it be listed.")
    if len(served.limit_by) > MOST_LIMITS:
        raise _refused(name, f"{len(served.limit_by)} columns limit its rows", f"Name {MOST_LIMITS} at most.")
    if SCOPE.fullmatch(served.scope) is None:
        raise _refused(name, f"its scope is {served.scope!r}", f"Give a scope such as {name}:read.")


def check_asked(name: str, columns: Mapping[str, Kind], key: Sequence[str], served: ServedAs | None) -> None:
    """Refuse a table whose rows would be asked for by bytes.

    Raises:
        ArtifactError: they would.
    """
    asked = set() if served is None else {*key, *served.filters, *served.limit_by}
    if unfit := sorted(column for column in asked if columns[column] is Kind.BYTES):
        raise _refused(name, f"rows cannot be asked for by bytes, as {unfit[0]} holds them", "Cast them to text.")


def fill_table(
    connection: sqlite3.Connection, name: str, table: Rows, key: Sequence[str], served: ServedAs | None = None
) -> TableRecord:
    """Create the table in SQLite and insert its rows, sorted by key, or by all columns without one.

    A table in memory is sorted here, as Python values: meant for up to a few million rows. Batches must come sorted by
    the key, ascending by value and text by its UTF-8 bytes; of them one at a time is held.

    Raises:
        ArtifactError: two rows share a key, a key is null, a number is not finite, a date or text is none, a row's
            value of ``served.latest`` is the word for the greatest, or batches do not come sorted.
    """
    columns = {field.name: Kind(_kind(str(field.type)) or "") for field in table.schema}
    check_asked(name, columns, key, served)
    create, *indexes = statements(name, columns, key, served).values()
    connection.execute(create)
    marks = ", ".join("?" for _ in columns)
    places = [list(columns).index(column) for column in key or columns]
    cells = _cells(name, table)
    rows = _sorted(cells, places) if _is_whole(table) else cells
    digest = _Digest()
    passed = _in_order(name, rows, key, places) if key else rows
    connection.executemany(f'INSERT INTO "{name}" VALUES ({marks})', digest.of(passed))  # noqa: S608  a checked identifier
    for index in indexes:
        connection.execute(index)
    if served is not None:
        _demand_told_apart(connection, name, served.latest)
        _demand_listed(connection, name, served.values)
    return TableRecord(rows=digest.rows, columns=columns, key=tuple(key), digest=digest.text, served=served)


def rows_digest(connection: sqlite3.Connection, name: str, record: TableRecord) -> str:
    """The digest of the rows as SQLite gives them back; equal to the record's when nothing was lost."""
    order = ", ".join(f'"{column}"' for column in record.key) or "rowid"
    digest = _Digest()
    for _ in digest.of(connection.execute(f'SELECT * FROM "{name}" ORDER BY {order}')):  # noqa: S608  checked identifiers
        pass
    return digest.text


class _Digest:
    """Number and SHA-256 of the rows that pass."""

    def __init__(self) -> None:
        self.rows = 0
        self._digest = hashlib.sha256()

    def of(self, rows: Iterable[tuple[Cell, ...]]) -> Iterator[tuple[Cell, ...]]:
        for row in rows:
            text = json.dumps([{"bytes": cell.hex()} if isinstance(cell, bytes) else cell for cell in row])
            self._digest.update(text.encode())
            self._digest.update(b"\n")
            self.rows += 1
            yield row

    @property
    def text(self) -> str:
        return self._digest.hexdigest()


def _is_whole(table: Rows) -> bool:
    """Whether it is a table in memory, and not batches that pass once."""
    return hasattr(table, "num_rows")


def _demand_listed(connection: sqlite3.Connection, name: str, values: Mapping[str, Sequence[str | int]]) -> None:
    """Refuse a row whose value is not among those that its column is said to hold."""
    for column, listed in values.items():
        among = f'"{column}" NOT IN ({", ".join("?" for _ in listed)})'
        if connection.execute(f'SELECT 1 FROM "{name}" WHERE {among} LIMIT 1', tuple(listed)).fetchone() is not None:  # noqa: S608  checked identifiers
            raise _refused(
                name,
                f"column {column} holds a value that its contract does not list",
                "Publish its partitions by the contract of today, or let the contract list the value.",
            )


def _demand_told_apart(connection: sqlite3.Connection, name: str, column: str | None) -> None:
    """Refuse a row that nobody could ask for, as its value is the word for the newest."""
    if column is None:
        return
    query = f'SELECT 1 FROM "{name}" WHERE "{column}" = ? LIMIT 1'  # noqa: S608  checked identifiers
    if connection.execute(query, (LATEST,)).fetchone() is not None:
        raise _refused(
            name,
            f"column {column} holds the text {LATEST!r}, which in a question stands for its greatest value",
            "Correct the rows, or name no column as latest.",
        )


def _sorted(rows: Iterable[tuple[Cell, ...]], places: Sequence[int]) -> list[tuple[Cell, ...]]:
    return sorted(rows, key=lambda row: [(row[place] is not None, row[place]) for place in places])


def _in_order(
    name: str, rows: Iterable[tuple[Cell, ...]], key: Sequence[str], places: Sequence[int]
) -> Iterator[tuple[Cell, ...]]:
    """The rows as they pass, refused where their key is null, repeated or less than the one before."""
    previous: tuple[Any, ...] = ()
    for row in rows:
        found: tuple[Any, ...] = tuple(row[place] for place in places)
        if None in found:
            raise _refused(
                name,
                f"column {key[found.index(None)]} of its key is null in a row",
                "Leave such rows out, or name a key that every row has.",
            )
        if found == previous:
            raise _refused(
                name, f"two rows have the same {', '.join(key)}, its key", "Correct the rows, or name a longer key."
            )
        if found < previous:
            raise _refused(name, "its batches are not sorted by the key", f"Sort them by {', '.join(key)}.")
        previous = found
        yield row


def _cells(name: str, table: Rows) -> Iterator[tuple[Cell, ...]]:
    for batch in _batches(table):
        columns = [
            _column_cells(name, field.name, values) for field, values in zip(table.schema, batch.columns, strict=True)
        ]
        yield from zip(*columns, strict=True)


def _column_cells(table: str, column: str, values: pa.Array) -> list[Cell]:
    try:
        return [_cell(table, column, value) for value in values.to_pylist()]
    except (ValueError, OverflowError) as error:
        # Its message may hold the value.
        what = (
            "text that is not UTF-8"
            if isinstance(error, UnicodeError)
            else "a date or time outside the years 1 to 9999"
        )
        raise _refused(table, f"column {column} holds {what}", "Correct it, or use null for none.") from None


def _batches(table: Rows) -> Iterator[pa.RecordBatch]:
    for batch in table.to_batches() if _is_whole(table) else table:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            yield batch.slice(start, _BATCH_ROWS)


def _cell(table: str, column: str, value: object) -> Cell:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            # SQLite would turn NaN into NULL without a word, and JSON knows neither.
            raise _refused(table, f"column {column} holds {value}, which is not a finite number", "Use null for none.")
        return value + 0.0  # SQLite keeps no negative zero: adding 0.0 makes it the positive one
    if value is None or isinstance(value, int | str | bytes):
        return value
    if isinstance(value, datetime):
        # One fixed form, so that the order of the text is the order of time.
        aware = value.astimezone(UTC) if value.tzinfo else value
        return aware.isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    raise _refused(table, f"column {column} holds a {type(value).__name__}", "Cast it.")


def _kind(arrow_type: str) -> Kind | None:
    if (timestamp := _TIMESTAMP.fullmatch(arrow_type)) is not None:
        return Kind.LOCAL_TIME if timestamp[1] is None else Kind.INSTANT
    return _KINDS.get(arrow_type)


def _refused(table: str, culprit: str, remedy: str) -> ArtifactError:
    return ArtifactError(source=f"Table {table} of an export", culprit=f"{culprit}.", remedy=remedy)
