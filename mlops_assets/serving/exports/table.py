"""A served table: the rows of one export, found by key, by filters page by page, or by many keys at once.

Put here the queries and the shape of rows. Keep out HTTP, and who may see which rows (callers say within what).
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mlops_assets.platform.base64url import from_base64url, to_base64url
from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports.layout import indexes, primary
from mlops_assets.platform.exports.manifest import Kind
from mlops_assets.serving.exports.values import from_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mlops_assets.platform.exports.export import Export
    from mlops_assets.platform.exports.layout import Index
    from mlops_assets.platform.exports.manifest import Cell, ServedAs

SPARE: Final = 2
"""Connections for queries that may take long; as many run at a time."""
_SLOW: Final = ThreadPoolExecutor(4, thread_name_prefix="slow-lists")
"""Threads of their own: exports are verified and rows scored in others."""
_MOST_SECONDS: Final = 10.0
_STEPS: Final = 10_000
"""SQLite's instructions between looks at the time: well below a millisecond."""
_MOST_PARTS: Final = 64
"""Above so many values that a principal may see, rows are filtered instead of being asked for by each."""
_QUICK_PARTS: Final = 4
_TYPES: Final[Mapping[Kind, Any]] = {
    Kind.INTEGER: int,
    Kind.NUMBER: float,
    Kind.BOOLEAN: bool,
    Kind.BYTES: bytes,
}

Row = msgspec.Struct
"""A row: one attribute for each column, in order."""


class CursorError(ValueError):
    """A cursor is not one that a page gave out."""


class TooSlowError(Exception):
    """A page took too long to find."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which rows a page holds.

    Attributes:
        filters: for columns the value that they hold.
        within: for other columns the values of which they hold one: what a principal may see. How long the answer takes
            tells nothing of rows that hold none of them.
        limit: how many rows at most.
        cursor: where the last page ended; ``None`` to begin.
    """

    filters: Mapping[str, Cell]
    within: Mapping[str, frozenset[Cell]]
    limit: int
    cursor: str | None = None


class ServedTable:
    """A table of an open export.

    Attributes:
        name: its name.
        export: the export.
        served: how it is offered.
        columns: for each column, in order, what its values are.
        key: the columns that identify a row.
        newest: the greatest value of the column that ``served.latest`` names; ``None`` without one, or without rows.
    """

    def __init__(self, export: Export, name: str) -> None:
        """Take over the table.

        Raises:
            ArtifactError: it has no key, or is not to be served.
        """
        record = export.manifest.tables[name]
        if record.served is None or not record.key:
            raise ArtifactError(
                source=f"Export {export.manifest.export_id}",
                culprit=f"its table {name} has no key, or does not say how it is served.",
                remedy="Write an export that fits.",
            )
        self.name, self.export, self.columns, self.key = name, export, record.columns, record.key
        self.served: ServedAs = record.served
        self._rows = record.rows
        self._row: Callable[..., Row] = msgspec.defstruct(
            "Row", [(column, _TYPES.get(kind, str) | None) for column, kind in self.columns.items()], frozen=True
        )
        self._booleans = [number for number, kind in enumerate(self.columns.values()) if kind is Kind.BOOLEAN]
        self._select = f"SELECT {', '.join(map(_quoted, self.columns))} FROM {_quoted(name)}"  # noqa: S608  identifiers
        self._by_key = f"{self._select} WHERE {_equal(self.key)}"
        self._indexes = [*primary(name, self.key), *indexes(name, self.key, self.served)]
        self._free = list(export.spare)
        self._turns = asyncio.Semaphore(len(export.spare))
        self._under_way: set[asyncio.Task[list[tuple[Cell, ...]]]] = set()
        self._closed = False
        self.newest: Cell = None
        if (latest := self.served.latest) is not None:
            [(self.newest,)] = export.fetched(f"SELECT max({_quoted(latest)}) FROM {_quoted(name)}")  # noqa: S608  identifiers

    @property
    def export_id(self) -> str:
        """The id of the export."""
        return self.export.manifest.export_id

    def one(self, key: Sequence[Cell]) -> Row | None:
        """The row with those values of the key's columns; ``None`` where there is none."""
        found = self.export.fetched(self._by_key, tuple(key))
        return self._as_row(found[0]) if found else None

    def latest(self, rest: Mapping[str, Cell]) -> Row | None:
        """The row with the greatest value of the column of ``served.latest`` among those with the rest of the key."""
        order = f" ORDER BY {_quoted(str(self.served.latest))} DESC LIMIT 1"
        where = f" WHERE {_equal(rest)}" if rest else ""
        found = self.export.fetched(f"{self._select}{where}{order}", tuple(rest.values()))
        return self._as_row(found[0]) if found else None

    async def page(self, question: Question) -> tuple[list[Row], str | None]:
        """The rows after the cursor, sorted by key, and the cursor of the next page if there is one.

        What may take long is looked for beside the event loop.

        Raises:
            CursorError: the cursor is not one that a page gave out.
            TooSlowError: it takes too long.
            ArtifactError: the export cannot be read.
        """
        parts = self._parts(question)
        if len(parts) <= _QUICK_PARTS and all(part.quick for part in parts):
            return self._page(self._asked(self.export.connection, parts, question.limit), question.limit)
        # A request that goes away does not end its query, which has its connection and its turn until then.
        asked = asyncio.create_task(self._in_turn(parts, question.limit))
        self._under_way.add(asked)
        asked.add_done_callback(self._answered)
        return self._page(await asyncio.shield(asked), question.limit)

    async def _in_turn(self, parts: Sequence[_Part], limit: int) -> list[tuple[Cell, ...]]:
        async with self._turns:
            connection = self._free.pop()
            try:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(_SLOW, self._timed, connection, parts, limit)
            finally:
                self._free.append(connection)

    def _answered(self, asked: asyncio.Task[list[tuple[Cell, ...]]]) -> None:
        self._under_way.discard(asked)
        if not asked.cancelled():
            # Whoever asked may have gone away, and an error that nobody takes is told to stderr.
            asked.exception()
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close the export, as soon as no query is under way on it."""
        self._closed = True
        if not self._under_way:
            self.export.close()

    def _parts(self, question: Question) -> list[_Part]:
        """The queries whose rows together, in the key's order, are those asked for."""
        after = None if question.cursor is None else self._position(question.cursor)
        within = {column: sorted(values, key=repr) for column, values in question.within.items()}
        combinations = math.prod(map(len, within.values()))
        if not combinations:
            return []
        index = self._index({*question.filters, *within}, limits=frozenset(within))
        if combinations > _MOST_PARTS or index is None:
            # Without an index that begins with what may be seen, each part would read as much as the whole.
            return [self._part(question.filters, after, within, index)]
        return [
            self._part({**question.filters, **dict(zip(within, values, strict=True))}, after, {}, index)
            for values in itertools.product(*within.values())
        ]

    def _part(
        self,
        filters: Mapping[str, Cell],
        after: Mapping[str, Cell] | None,
        within: Mapping[str, list[Cell]],
        index: Index | None,
    ) -> _Part:
        # Columns that hold one value have no part in the order: the rest is the order of an index.
        rest = [column for column in self.key if column not in filters]
        seen = [f"{_quoted(column)} IN ({_marks(values)})" for column, values in within.items()]
        parameters = [*itertools.chain(*within.values()), *filters.values()]
        conditions = [*seen, *(f"{_quoted(column)} = ?" for column in filters)]
        if index is None and within and filters:
            # All rows are read in the key's order, and a hidden one is compared with nothing that is asked for.
            conditions = [f"CASE WHEN {' AND '.join(seen)} THEN {_equal(filters)} END"]
        if after is not None:
            columns, sign = self._behind(filters, after)
            conditions.append(f"({_listed(columns)}) {sign} ({_marks(columns)})" if columns else sign)
            parameters += [after[column] for column in columns]
        found_by = f" INDEXED BY {_quoted(index.name)}" if index is not None else ""
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = f" ORDER BY {_listed(rest)}" if rest else ""
        quick = not within and (not filters or (index is not None and index.given == filters.keys()))
        return _Part(f"{self._select}{found_by}{where}{order} LIMIT ?", parameters, quick=quick)

    def _behind(self, fixed: Mapping[str, Cell], after: Mapping[str, Cell]) -> tuple[list[str], str]:
        """How rows with those fixed values are compared with a place to lie behind it: columns, and the comparison.

        Without columns it is a condition of its own: all of them do, or none.
        """
        compared = []
        for column in self.key:
            if column not in fixed:
                compared.append(column)
            elif fixed[column] is None:
                return [], "0"
            elif fixed[column] != after[column]:
                later: bool = fixed[column] > after[column]  # type: ignore[operator]  # both are of the column's kind
                return (compared, ">=" if later else ">") if compared else ([], "1" if later else "0")
        return (compared, ">") if compared else ([], "0")

    def _index(self, given: set[str], *, limits: frozenset[str]) -> Index | None:
        """The index that has the rows with given values together, of as many columns as possible.

        One that does not begin with what limits the principal would lead through rows that it may not see.
        """
        fitting = [index for index in self._indexes if limits <= index.given <= given]
        return max(fitting, key=lambda index: len(index.given), default=None)

    def _asked(self, connection: sqlite3.Connection, parts: Sequence[_Part], limit: int) -> list[tuple[Cell, ...]]:
        found = [
            self.export.fetched(part.query, [*part.parameters, limit + 1], connection=connection) for part in parts
        ]
        if len(found) == 1:
            return found[0]
        places = [list(self.columns).index(column) for column in self.key]
        rows = sorted(itertools.chain(*found), key=lambda row: [row[place] for place in places])
        return rows[: limit + 1]

    def _timed(self, connection: sqlite3.Connection, parts: Sequence[_Part], limit: int) -> list[tuple[Cell, ...]]:
        ends = time.monotonic() + _MOST_SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
        try:
            return self._asked(connection, parts, limit)
        except ArtifactError as error:
            if time.monotonic() > ends:
                raise TooSlowError from error
            raise
        finally:
            connection.set_progress_handler(None, 0)

    def _page(self, rows: Sequence[tuple[Cell, ...]], limit: int) -> tuple[list[Row], str | None]:
        items = [self._as_row(row) for row in rows[:limit]]
        if len(rows) <= limit:
            return items, None
        last = [getattr(items[-1], column) for column in self.key]
        # It is a key, not a number of rows, so that it stays true when the export changes.
        return items, to_base64url(msgspec.json.encode(last))

    def _as_row(self, cells: tuple[Cell, ...]) -> Row:
        if self._booleans:
            changed = list(cells)
            for number in self._booleans:
                if changed[number] is not None:
                    changed[number] = bool(changed[number])
            return self._row(*changed)
        return self._row(*cells)

    def _position(self, cursor: str) -> dict[str, Cell]:
        try:
            cells = msgspec.json.decode(from_base64url(cursor), type=list[str | int | float | bool])
        except (ValueError, RecursionError) as error:
            raise CursorError("the cursor is not one that a page gave out") from error
        try:
            return {
                # A key may hold a longer text than rows are asked for by.
                column: cell if isinstance(cell, str) and kind is Kind.TEXT else from_json(kind, cell)
                for column, kind, cell in zip(self.key, map(self.columns.__getitem__, self.key), cells, strict=True)
            }
        except ValueError as error:
            raise CursorError("the cursor is not one that a page gave out") from error


@dataclass(frozen=True)
class _Part:
    """A query of rows in the key's order; its last parameter is how many."""

    query: str
    parameters: Sequence[Cell]
    quick: bool


def _quoted(name: str) -> str:
    return f'"{name}"'


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(_quoted, names))


def _marks(names: Iterable[object]) -> str:
    return ", ".join("?" for _ in names)


def _equal(names: Iterable[str]) -> str:
    return " AND ".join(f"{_quoted(name)} = ?" for name in names)
