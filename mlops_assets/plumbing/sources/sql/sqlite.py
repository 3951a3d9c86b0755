"""SQLite files: one statement read whole, each value as the text that it is.

Put here how a SQLite file is asked. Keep out other databases, and Python's own ``sqlite3``: DuckDB carries another copy
of SQLite, and in one process whichever closes a file first drops the locks of the other.
"""

from __future__ import annotations

import secrets
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from mlops_assets.platform.errors import PlatformError, SourceError, SourceUnavailableError
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.plumbing.sources import room
from mlops_assets.plumbing.sources.secret import text_of
from mlops_assets.plumbing.sources.sql.copies import FORMAT, Copied, Question

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops_assets.plumbing.sources.delivered import Request
    from mlops_assets.plumbing.sources.sql.databases import Sqlite

_TABLES: Final = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"


def copy_sqlite(database: Sqlite, question: Question, request: Request) -> Copied:
    """Copy the answer to the request's file: all columns are text.

    Raises:
        SourceUnavailableError: the file is not there, or stays locked.
        SourceError: it cannot be read.
        SettingsError: its path is not set.
    """
    path = Path(text_of(database.path, "path"))
    name = f"SQLite database {path.name}"
    there = False
    with suppress(OSError):
        # A path may be longer than any.
        there = path.is_file()
    if not there:
        raise SourceUnavailableError(
            source=name, culprit="there is no such file.", remedy="Is its disk mounted, and its path right?"
        )
    given: dict[str, str] = {}

    def write(parameter: str, value: str) -> str:
        if parameter in question.numbers:
            # A number is never equal to a text, nor greater, and a bare one becomes text beside a column of text.
            return f"CAST({value} AS INTEGER)"
        given[parameter] = value
        return f"?{list(given).index(parameter) + 1}"

    statement = question.statement("sqlite", quote, write)
    source = question.called(name)
    file = request.raw
    with _attached(request.connection, path, question) as (connection, alias):
        asked = _Asked(connection, alias, statement, list(given.values()))
        names: list[str] = []
        try:
            names = asked.columns()
            with _time_limit(connection, question.seconds):
                rows = asked.copy({each: _text(each, question) for each in names}, file)
        except duckdb.ConversionException:
            raise _not_text(source, question, asked, names) from None
        except duckdb.Error as error:
            if room.is_full(error):
                raise
            raise _told(source, question, asked, error) from None
    return Copied(source=source, database=name, rows=rows)


@contextmanager
def _attached(
    connection: duckdb.DuckDBPyConnection, path: Path, question: Question
) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """A connection of its own that the file is attached to, and under which name."""
    alias = f"sql_source_{secrets.token_hex(8)}"
    connection.execute(
        f"ATTACH {literal(str(path.absolute()))} AS {alias} "
        f"(TYPE sqlite, READ_ONLY, BUSY_TIMEOUT {round(question.connect_seconds * 1000)})"
    )
    own = connection.cursor()
    try:
        yield own, alias
    finally:
        # A statement that failed may have left a transaction, in which nothing is detached.
        own.close()
        connection.execute(f"DETACH {alias}")


@contextmanager
def _time_limit(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """SQLite has no time limit of its own; this one is looked at between blocks of rows."""
    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


class _Asked:
    """A statement with its parameters' values, and the file that it is for."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, alias: str, statement: str, given: Sequence[str]) -> None:
        self._connection = connection
        self._statement = statement
        self._given = given
        bound = f", params = row({', '.join('?' for _ in given)})" if given else ""
        self._call = f"sqlite_query({literal(alias)}, ?{bound})"
        self._tables = f"sqlite_query({literal(alias)}, {literal(_TABLES)})"

    def columns(self) -> list[str]:
        """The names of its columns, without running it."""
        return [name for name, *_ in self._run("DESCRIBE SELECT * FROM", self._statement)]

    def copy(self, texts: Mapping[str, str], target: Path) -> int:
        """Write the rows as Parquet, of each column what SQLite gives for it; returns how many there are."""
        chosen = ", ".join(f"{text} AS {quote(name)}" for name, text in texts.items())
        # Neither the extension nor the writer looks whether text is in UTF-8.
        checked = ", ".join(f"decode(encode({quote(name)})) AS {quote(name)}" for name in texts)
        [(rows,)] = self._run(
            f"COPY (SELECT {checked} FROM",
            f"SELECT {chosen} FROM ({self._statement}\n)",
            f") TO {literal(str(target))} {FORMAT}",
        )
        return int(rows)

    def value(self, of: str, text: str, condition: str = "true") -> str | None:
        """What an expression of DuckDB over the texts ``v`` gives, which one of SQLite gives for the rows."""
        asks = f"SELECT {text} AS v FROM ({self._statement}\n) WHERE {condition}"
        [(found,)] = self._run(f"SELECT {of} FROM", asks)
        return None if found is None else str(found)

    def tables(self) -> list[str]:
        """Those of the file."""
        return [name for (name,) in self._connection.execute(f"SELECT name FROM {self._tables}").fetchall()]

    def _run(self, before: str, statement: str, behind: str = "") -> list[tuple[Any, ...]]:
        return self._connection.execute(f"{before} {self._call}{behind}", [statement, *self._given]).fetchall()


def _text(name: str, question: Question) -> str:
    """A column's value as text: of a number the shortest that gives it back, of bytes what cannot be text."""
    column = quote(name)
    text = f"CAST({column} AS TEXT)"
    number = f"CASE WHEN CAST({text} AS REAL) = {column} THEN {text} ELSE printf('%!.17g', {column}) END"
    refused = "x'ff'" if name in question.wanted else f"hex({column})"
    return f"CASE typeof({column}) WHEN 'blob' THEN {refused} WHEN 'real' THEN {number} ELSE {text} END"


def _not_text(source: str, question: Question, asked: _Asked, names: Sequence[str]) -> PlatformError:
    """Which column made the copy fail, and why."""
    for name in names:
        try:
            asked.value("count(decode(encode(v)))", _text(name, question))
        except duckdb.ConversionException:
            blobs = int(asked.value("count(*)", "1", f"typeof({quote(name)}) = 'blob'") or 0)
            if blobs and name in question.wanted:
                return SourceError(
                    source=source,
                    culprit=f"its column {name} holds bytes (blob), in {blobs:,} rows.",
                    remedy="Say in a query which text they are: CAST(x AS TEXT), hex(x).",
                )
            return SourceError(
                source=source,
                culprit=f"its column {name} holds text that is not in UTF-8, but perhaps in Latin-1.",
                remedy="Have it stored in UTF-8, or leave it out in a query; hex(x) gives its bytes.",
            )
    return SourceError(source=source, culprit="it cannot be read as text.", remedy="Check its encoding.")


# What SQLite says of a failure, in English always; the first that it says holds.
_AWAY: Final = ("unable to open", "is locked", "busy", "disk I/O error", "locking protocol")
_MEANT: Final = {
    "readonly": ("its query would write, and is refused: sources are read only.", "Ask by a SELECT that only reads."),
    "must return data": ("its query gives no rows.", "Ask by a SELECT."),
    "no such column": ("there is no such column{word}.", "Compare query or where with the table's columns."),
    "no such table": ("there is no such table{word}.", "Compare with the tables of the file."),
    "not a database": ("it is no SQLite database, or an encrypted one.", "Is this the right file?"),
    "malformed": ("the file is damaged.", "Check it with PRAGMA integrity_check; restore it."),
    "duplicate column": ("its query gives two columns of one name.", "Name them: SELECT a.id, b.id AS other_id."),
    "": ("SQLite does not understand the query.", "Try it in the sqlite3 shell; it must only read."),
}


def _told(source: str, question: Question, asked: _Asked, error: duckdb.Error) -> PlatformError:
    if isinstance(error, duckdb.InterruptException):
        return SourceError(
            source=source,
            culprit=f"it took more than {question.seconds:g} s.",
            remedy="Raise timeout_seconds, or ask for less: smaller partitions, an index for the condition.",
        )
    # Before the message DuckDB repeats the query, behind it a line of its own.
    said = str(error).rpartition('": ')[2].partition("\n")[0] if '": ' in str(error) else str(error)
    if any(sign in said for sign in _AWAY):
        return SourceUnavailableError(
            source=source,
            culprit="it cannot be opened: it is locked, or cannot be read.",
            remedy="Who writes it so long, and may this account read it and its -wal and -shm files?",
        )
    sign = next(sign for sign in _MEANT if sign in said)
    culprit, remedy = _MEANT[sign]
    if sign == "no such table" and question.table:
        remedy = question.near(asked.tables())
    word = "" if question.personal else said.partition(": ")[2]
    return SourceError(source=source, culprit=culprit.format(word=f": {word}" if word else ""), remedy=remedy)
