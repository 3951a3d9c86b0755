"""PostgreSQL: one statement read whole, in one read-only snapshot, as the server sends it.

Put here how PostgreSQL is asked and what its types and errors mean. Keep out other databases. DuckDB's own extension
is not used: it makes doubles of numbers without a precision and 0 of a ``numeric`` NaN, and its errors have no
SQLSTATE.
"""

from __future__ import annotations

import io
import math
import re
import shutil
from contextlib import closing, suppress
from typing import IO, TYPE_CHECKING, Any, Final

import psycopg2
from psycopg2.extensions import adapt, parse_dsn

from mlops_assets.platform.errors import PlatformError, SettingsError, SourceError, SourceUnavailableError
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.plumbing.sources.secret import text_of
from mlops_assets.plumbing.sources.sql.copies import TEXT, Column, Copied, Question, refuse_columns, typed
from mlops_assets.plumbing.sources.sql.databases import DSN_REMEDY, fault_of
from mlops_assets.plumbing.sources.trust import is_on_this_machine

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import ReadableBuffer

    from mlops_assets.plumbing.sources.delivered import Request
    from mlops_assets.plumbing.sources.sql.databases import Postgres

_TYPES: Final = {
    16: "BOOLEAN", 20: "BIGINT", 21: "SMALLINT", 23: "INTEGER", 26: "UINTEGER", 700: "FLOAT", 701: "DOUBLE",
    1082: "DATE", 1083: "TIME", 1114: "TIMESTAMP", 1184: "TIMESTAMPTZ", 2950: "UUID",
}  # fmt: skip
_NUMERIC: Final = 1700
_BYTEA: Final = 17
_WIDEST: Final = 38
# Whatever the account's own settings are: texts that are read the same everywhere.
_SESSION: Final = (
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'iso_8601'; "
    "SET LOCAL extra_float_digits = 3; SET LOCAL standard_conforming_strings = on; "
    "SET LOCAL statement_timeout = {milliseconds}"
)
_TABLES: Final = (
    "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') LIMIT 10000"
)
_BUFFER: Final = 1 << 20
_PART: Final = 8 << 20
_LONGEST_LINE: Final = 2_000_000
# A failed connection has no SQLSTATE in psycopg2, so that only the text tells a refusal from an absence.
_REFUSES: Final = re.compile(r"authentication|password|pg_hba|permission denied|not permitted|role .* does not exist")
_NO_DATABASE: Final = re.compile(r"database .* does not exist")
_WORD: Final = re.compile(r'"[^"]+"|[\w.]+')


def copy_postgres(database: Postgres, question: Question, request: Request) -> Copied:
    """Copy the answer to the request's file.

    Raises:
        SourceUnavailableError: the server is away or broke off.
        SourceError: it refuses, or what it gives cannot be read.
        SettingsError: address or password are not set.
    """
    dsn = text_of(database.dsn, "dsn")
    if culprit := fault_of(dsn):
        raise SettingsError(
            source=str(getattr(database.dsn, "env_var_name", "dsn")), culprit=culprit, remedy=DSN_REMEDY
        )
    password = database.password.read(request.settings) if database.password else None
    parts = parse_dsn(dsn)
    if "sslmode" not in parts and not is_on_this_machine(parts.get("host") or parts.get("hostaddr")):
        raise SettingsError(
            source=f"PostgreSQL database {parts.get('dbname', '(default)')}",
            culprit="its connection string does not say how the server proves who it is.",
            remedy="Add sslmode=verify-full and sslrootcert=FILE; sslmode=disable asks for no proof.",
        )
    place = f"{parts.get('host') or parts.get('hostaddr') or 'localhost'}:{parts.get('port', 5432)}"
    name = f"PostgreSQL database {parts.get('dbname', '(default)')} at {place}"
    source = question.called(name)
    try:
        connection = _connected(dsn, password, question)
    except psycopg2.Error as error:
        raise _not_connected(name, error) from None
    parts = Parts(request.scratch / "sql")
    with closing(connection):
        try:
            columns, sent = _copy(connection, question, parts, source)
        except psycopg2.Error as error:
            raise _told(source, question, connection, error) from None
    file = request.raw
    rows = typed(request.connection, _read(parts, len(columns)), columns, file, source)
    shutil.rmtree(parts.folder)
    if rows != sent:
        raise SourceError(
            source=source,
            culprit=f"it sent {sent:,} rows, of which {rows:,} could be read.",
            remedy="Report this with the types of the columns.",
        )
    return Copied(source=source, database=name, rows=rows)


def _read(parts: Parts, columns: int) -> str:
    """SQL of the texts. The server quotes every value and no NULL, so that an empty text and a missing one differ."""
    # A line that is longer than said is an error, and the buffer holds at least one.
    line = max(_LONGEST_LINE, parts.longest + 1)
    files = ", ".join(literal(str(file)) for file in parts.files)
    names = ", ".join(f"c{n}: {literal(TEXT)}" for n in range(columns))
    return (
        f"read_csv([{files}], columns = {{{names}}}, auto_detect = false, header = false, "
        # Within a file a thread that begins in its midst has to guess whether it is between quotes.
        "parallel = false, hive_partitioning = false, "
        r"""delim = ',', quote = '"', escape = '"', new_line = '\n', nullstr = '\N', allow_quoted_nulls = false, """
        f"max_line_size = {line}, buffer_size = {max(16 * _LONGEST_LINE, 2 * line)})"
    )


class Parts(io.RawIOBase):
    """Files of whole rows, one after the other, which several threads can read.

    A buffer before it takes the rows that the server sends, each by itself, and hands them on many at once: a function
    of ours for each took as long as to receive it.

    Args:
        folder: the one to make for them.

    Attributes:
        folder: likewise.
        files: their files, at least one.
        longest: no row has more bytes.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        folder.mkdir()
        self.folder = folder
        self.files: list[Path] = []
        self.longest = 0
        self._file = self._begun()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, rows: ReadableBuffer, /) -> int:
        """Add rows to the last file, or begin another."""
        size = memoryview(rows).nbytes
        if self._file.tell() >= _PART:
            self._file.close()
            self._file = self._begun()
        self._file.write(rows)
        self.longest = max(self.longest, size)
        return size

    def close(self) -> None:
        """End the last file."""
        self._file.close()
        super().close()

    def _begun(self) -> IO[bytes]:
        self.files.append(self.folder / f"{len(self.files):06}.csv")
        return self.files[-1].open("wb")


def _connected(dsn: str, password: str | None, question: Question) -> Any:  # noqa: ANN401  it publishes no types
    seconds = max(2, math.ceil(question.connect_seconds))
    given = {} if password is None else {"password": password}
    connection = psycopg2.connect(
        dsn,
        **given,
        connect_timeout=seconds,
        # A server that is gone without a word is noticed while we wait for rows.
        keepalives_idle=seconds,
        keepalives_interval=seconds,
        keepalives_count=3,
        tcp_user_timeout=seconds * 1000,
        application_name="mlops_assets",
        client_encoding="UTF8",
    )
    connection.set_session(readonly=True, isolation_level="REPEATABLE READ")
    return connection


def _copy(connection: Any, question: Question, parts: Parts, source: str) -> tuple[list[Column], int]:  # noqa: ANN401
    """What the columns are, and how many rows the server says to have sent."""

    def write(_: str, value: str) -> str:
        adapted = adapt(value)
        adapted.prepare(connection)
        return str(adapted.getquoted().decode())

    statement = question.statement("postgres", quote, write)
    with connection.cursor() as cursor:
        cursor.execute(_SESSION.format(milliseconds=math.ceil(question.seconds * 1000)))
        cursor.execute(f"SELECT * FROM ({statement}\n) AS asked LIMIT 0")
        columns = [_column(described) for described in cursor.description]
        refuse_columns(source, columns, question)
        with io.BufferedWriter(parts, _BUFFER) as rows:
            cursor.copy_expert(rf"COPY ({statement}" "\n" r") TO STDOUT (FORMAT csv, FORCE_QUOTE *, NULL '\N')", rows)
        return columns, cursor.rowcount


def _column(described: Any) -> Column:  # noqa: ANN401  psycopg2 publishes no types
    kind = _TYPES.get(described.type_code, TEXT)
    precision, scale = described.precision, described.scale
    if described.type_code == _NUMERIC and precision and 0 < precision <= _WIDEST and 0 <= scale <= precision:
        kind = f"DECIMAL({precision}, {scale})"
    return Column(name=described.name, kind=kind, bytes="bytea" if described.type_code == _BYTEA else None)


def _not_connected(name: str, error: psycopg2.Error) -> PlatformError:
    said = str(error)
    if _NO_DATABASE.search(said):
        return SourceError(
            source=name, culprit="there is no such database.", remedy="Check dbname in dsn against the server's list."
        )
    if _REFUSES.search(said):
        return SourceError(
            source=name,
            culprit="it refuses the account.",
            remedy="Check user and password, and that the account may connect from here (pg_hba.conf).",
        )
    if "certificate" in said or "support SSL" in said:
        return SourceError(
            source=name,
            culprit="no encrypted connection comes about.",
            remedy="Check sslmode, sslrootcert and the server's certificate.",
        )
    return SourceUnavailableError(
        source=name, culprit="it does not answer.", remedy="Is the server up and reachable from here?"
    )


# What a SQLSTATE means, the longest that fits; the first of a pair is the culprit.
_AWAY: Final = ("08", "53", "57P", "58", "40", "55P03")
_NOT_UTF_8: Final = ("it holds text that has no form in UTF-8 (SQLSTATE {code}).", "Convert it in a query.")
_MEANT: Final = {
    "57014": (
        "the server ended the statement: its time was over, or somebody cancelled it.",
        "Raise timeout_seconds, or ask for less: smaller partitions, an index for the condition.",
    ),
    "25006": ("its query would write, and is refused: sources are read only.", "Ask by a SELECT that only reads."),
    "42501": ("the account has no right to read it.", "GRANT SELECT on the table (and USAGE on its schema) to it."),
    "3F000": ("there is no such schema.", "Check the name before the dot."),
    "42P01": ("there is no such table{word}.", "Compare with the database's tables, and the account's search_path."),
    "42703": ("there is no such column{word}.", "Compare the names in query or where with the table's columns."),
    "22021": _NOT_UTF_8,
    "22P05": _NOT_UTF_8,
    "42": ("the server does not understand the query{word} (SQLSTATE {code}).", "Try it in psql; it must only read."),
    "0A": ("the server cannot run the query so (SQLSTATE {code}).", "It must only read: no INSERT, UPDATE or DELETE."),
    "22": ("a value cannot be computed or compared (SQLSTATE {code}).", "Does a parameter fit the column it meets?"),
    "": (
        "it cannot be read (SQLSTATE {code}).",
        "Look up the SQLSTATE in PostgreSQL's appendix A and the server's log.",
    ),
}


def _told(source: str, question: Question, connection: Any, error: psycopg2.Error) -> PlatformError:  # noqa: ANN401
    code = error.pgcode
    if code is None or code.startswith(_AWAY):
        return SourceUnavailableError(
            source=source,
            culprit=f"it broke off{f' (SQLSTATE {code})' if code else ''}.",
            remedy="Is the server up and reachable from here?",
        )
    culprit, remedy = next(_MEANT[code[:length]] for length in (5, 2, 0) if code[:length] in _MEANT)
    if code in {"42P01", "3F000"} and question.table:
        with suppress(psycopg2.Error), connection.cursor() as cursor:
            connection.rollback()
            cursor.execute(_TABLES)
            remedy = question.near([name for (name,) in cursor.fetchall()])
    return SourceError(source=source, culprit=culprit.format(code=code, word=_word(question, error)), remedy=remedy)


def _word(question: Question, error: psycopg2.Error) -> str:
    """The word of the query that the server points at; none where the table holds persons."""
    place, asked = error.diag.statement_position, getattr(error.cursor, "query", None)
    if question.personal or not place or not asked:
        return ""
    found = _WORD.match(asked.decode("utf-8", "replace"), int(place) - 1)
    return f": {found[0]}" if found else ""
