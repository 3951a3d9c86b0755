"""The tables of an export: from Arrow to typed SQLite, and a digest that both must agree on.

Put here how columns, rows and keys are carried over. Keep out files, folders and which export is current. Arrow is not
imported at run time, because the service imports this package and needs no Arrow.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sqlite3
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.export_manifest import TableRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]*")
_BATCH_ROWS: Final = 10_000
_INTEGERS: Final = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
_SQLITE_TYPES: Final = {
    **dict.fromkeys((*_INTEGERS, "bool"), "INTEGER"),
    **dict.fromkeys(("float", "double"), "REAL"),
    **dict.fromkeys(("string", "large_string", "string_view", "date32[day]"), "TEXT"),
    **dict.fromkeys(("binary", "large_binary"), "BLOB"),
}
_TIMESTAMP: Final = re.compile(r"timestamp\[(s|ms|us)(, tz=.+)?\]")

Cell = str | int | float | bytes | None
"""A value as SQLite holds it."""


@dataclass(frozen=True, kw_only=True)
class PreparedTable:
    """A table ready for SQLite: its name, its record and its sorted rows."""

    name: str
    record: TableRecord
    rows: Sequence[tuple[Cell, ...]]


def check_table(name: str, table: pa.Table, key: Sequence[str]) -> None:
    """Refuse a table that SQLite cannot hold faithfully.

    Raises:
        ArtifactError: a name is no lower-case identifier or is repeated, a column's type has no SQLite counterpart, or
            the key names a column that is missing.
    """
    columns = table.schema.names
    for identifier in (name, *columns):
        if not _IDENTIFIER.fullmatch(identifier):
            raise _refused(name, f"the name {identifier!r} is no lower-case identifier", "Rename it.")
    if name.startswith("sqlite_"):
        raise _refused(name, "SQLite keeps names that begin with sqlite_ for itself", "Rename it.")
    if not columns or len(set(columns)) != len(columns):
        raise _refused(name, "it has no columns, or two of one name", "Give each column a name of its own.")
    if missing := [column for column in key if column not in columns]:
        raise _refused(name, f"its key names missing columns {missing}", "Correct the key.")
    for field in table.schema:
        if _sqlite_type(str(field.type)) is None:
            raise _refused(name, f"column {field.name} has type {field.type}, which SQLite lacks", "Cast it.")


def prepare(name: str, table: pa.Table, key: Sequence[str]) -> PreparedTable:
    """The rows as SQLite will hold them, sorted by key, or by all columns without one, and the record of the table.

    Raises:
        ArtifactError: a number is not finite.
    """
    columns = {field.name: str(_sqlite_type(str(field.type))) for field in table.schema}
    places = [list(columns).index(column) for column in key or columns]
    rows = sorted(_cells(name, table), key=lambda row: [(row[place] is not None, row[place]) for place in places])
    record = TableRecord(rows=len(rows), columns=columns, key=tuple(key), digest=_digest(rows))
    return PreparedTable(name=name, record=record, rows=rows)


def fill_table(connection: sqlite3.Connection, table: PreparedTable) -> None:
    """Create the table in SQLite and insert its rows in their order.

    Raises:
        ArtifactError: two rows share a key, or a key is null.
    """
    name, key = table.name, table.record.key
    parts = [f'"{column}" {kind}' for column, kind in table.record.columns.items()]
    options = "STRICT"
    if key:
        parts.append("PRIMARY KEY ({})".format(", ".join(f'"{column}"' for column in key)))
        options += ", WITHOUT ROWID"
    connection.execute(f'CREATE TABLE "{name}" ({", ".join(parts)}) {options}')
    marks = ", ".join("?" for _ in table.record.columns)
    try:
        connection.executemany(f'INSERT INTO "{name}" VALUES ({marks})', table.rows)  # noqa: S608  a checked identifier
    except sqlite3.IntegrityError as error:
        raise _refused(name, f"the key {list(key)} is null or repeated", "Correct rows or key.") from error


def rows_digest(connection: sqlite3.Connection, name: str, record: TableRecord) -> str:
    """The digest of the rows as SQLite gives them back; equal to the record's when nothing was lost."""
    order = ", ".join(f'"{column}"' for column in record.key) or "rowid"
    return _digest(connection.execute(f'SELECT * FROM "{name}" ORDER BY {order}'))  # noqa: S608  checked identifiers


def _cells(name: str, table: pa.Table) -> Iterator[tuple[Cell, ...]]:
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        columns = [
            [_cell(name, field.name, value) for value in values.to_pylist()]
            for field, values in zip(table.schema, batch.columns, strict=True)
        ]
        yield from zip(*columns, strict=True)


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


def _digest(rows: Iterable[tuple[Cell, ...]]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        text = json.dumps([{"bytes": cell.hex()} if isinstance(cell, bytes) else cell for cell in row])
        digest.update(text.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _sqlite_type(arrow_type: str) -> str | None:
    return "TEXT" if _TIMESTAMP.fullmatch(arrow_type) else _SQLITE_TYPES.get(arrow_type)


def _refused(table: str, culprit: str, remedy: str) -> ArtifactError:
    return ArtifactError(source=f"Table {table} of an export", culprit=f"{culprit}.", remedy=remedy)
