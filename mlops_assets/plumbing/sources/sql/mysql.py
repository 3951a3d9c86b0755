"""MySQL and MariaDB: one statement read whole, in one read-only snapshot, row by row.

Put here how they are asked and what their types and errors mean. Keep out other databases. DuckDB's own extension is
not used: it makes NULL of the day 0000-00-00 and doubles of wide decimals, and its errors have no number.
"""

from __future__ import annotations

import datetime as dt
import re
import ssl
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pymysql
from pymysql.constants import CR, ER, FIELD_TYPE
from pymysql.converters import encoders
from pymysql.cursors import SSCursor

from mlops_assets.platform.errors import PlatformError, SettingsError, SourceError, SourceUnavailableError
from mlops_assets.platform.lake.catalog import literal
from mlops_assets.plumbing.sources.secret import text_of
from mlops_assets.plumbing.sources.sql.copies import TEXT, Column, Copied, Question, refuse_columns, typed
from mlops_assets.plumbing.sources.templates import END, START
from mlops_assets.plumbing.sources.trust import is_on_this_machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlops_assets.plumbing.sources.delivered import Request
    from mlops_assets.plumbing.sources.sql.databases import MySql

# The protocol does not tell us which are unsigned, so each kind of number has room for both.
_TYPES: Final = {
    FIELD_TYPE.TINY: "BIGINT", FIELD_TYPE.SHORT: "BIGINT", FIELD_TYPE.INT24: "BIGINT", FIELD_TYPE.LONG: "BIGINT",
    FIELD_TYPE.YEAR: "BIGINT", FIELD_TYPE.FLOAT: "DOUBLE",
    FIELD_TYPE.DOUBLE: "DOUBLE", FIELD_TYPE.DATE: "DATE", FIELD_TYPE.NEWDATE: "DATE",
    FIELD_TYPE.DATETIME: "TIMESTAMP", FIELD_TYPE.TIMESTAMP: "TIMESTAMPTZ",
}  # fmt: skip
_DECIMALS: Final = frozenset({FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL})
_WIDEST: Final = 38
_BATCH_ROWS: Final = 20_000
_BATCH_BYTES: Final = 16_000_000


def copy_mysql(database: MySql, question: Question, request: Request) -> Copied:
    """Copy the answer to the request's file.

    Raises:
        SourceUnavailableError: the server is away or broke off.
        SourceError: it refuses, or what it gives cannot be read.
        SettingsError: address or password are not set.
    """
    name = (
        f"MySQL database {text_of(database.database, 'database')} at {text_of(database.host, 'host')}:{database.port}"
    )
    password = database.password.read(request.settings) if database.password else ""
    source = question.called(name)
    texts, file = request.scratch / "sql_texts.parquet", request.raw
    with _connected(database, password, question, name) as connection:
        cursor = SSCursor(connection)
        try:
            columns = _copy(connection, cursor, question, texts, source)
        except (pymysql.Error, UnicodeDecodeError) as error:
            raise _told(source, question, connection, error) from None
        finally:
            _leave(cursor)
    rows = typed(
        request.connection, f"read_parquet({literal(str(texts))}, hive_partitioning = false)", columns, file, source
    )
    texts.unlink()
    return Copied(source=source, database=name, rows=rows)


@contextmanager
def _connected(database: MySql, password: str, question: Question, name: str) -> Iterator[Any]:
    host = text_of(database.host, "host")
    if database.ca is None and database.verify and not is_on_this_machine(host):
        raise SettingsError(
            source=name,
            culprit="nothing says how the server proves who it is.",
            remedy="Name ca, a file of the certificates that its own follows from; verify: false asks for no proof.",
        )
    tls = {"ssl_ca": database.ca, "ssl_verify_cert": True, "ssl_verify_identity": True} if database.ca else {}
    try:
        connection = pymysql.connect(
            host=host,
            port=database.port,
            database=text_of(database.database, "database"),
            user=text_of(database.user, "user"),
            password=password,
            charset="utf8mb4",
            # No value becomes a Python object: all arrive as the server writes them.
            conv=encoders,
            connect_timeout=question.connect_seconds,
            read_timeout=question.connect_seconds,
            program_name="mlops_assets",
            **tls,
        )
    except (pymysql.Error, OSError) as error:
        raise _not_connected(name, error) from None
    # The server keeps the time of a statement; this is for one that is gone without a word.
    connection._read_timeout = question.seconds + question.connect_seconds  # noqa: SLF001  it has no public name
    try:
        yield connection
    finally:
        if connection.open:
            connection.close()


def _leave(cursor: SSCursor) -> None:
    """Give up what was not read: the cursor would fetch all of it before it closes, also of a dead connection."""
    result = cursor._result  # noqa: SLF001  no public way leaves an unbuffered result
    if result is not None:
        result.unbuffered_active = False
    cursor.connection = None


def _copy(connection: Any, cursor: SSCursor, question: Question, target: Path, source: str) -> list[Column]:  # noqa: ANN401
    milliseconds = max(1, round(question.seconds * 1000))
    is_maria = "mariadb" in connection.get_server_info().lower()
    limit = f"max_statement_time = {milliseconds / 1000}" if is_maria else f"max_execution_time = {milliseconds}"
    cursor.execute(f"SET SESSION {limit}, time_zone = '+00:00'")
    cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    statement = question.statement("mysql", _quoted, _written)
    cursor.execute(f"SELECT * FROM ({statement}\n) AS asked LIMIT 0")
    described = list(cursor.description)
    cursor.fetchall()
    if any(kind == FIELD_TYPE.FLOAT for _, kind, *_ in described):
        # As text the server rounds these to six digits, unless they are doubles.
        chosen = ", ".join(
            f"{_quoted(name)} + 0e0 AS {_quoted(name)}" if kind == FIELD_TYPE.FLOAT else _quoted(name)
            for name, kind, *_ in described
        )
        statement = f"SELECT {chosen} FROM ({statement}\n) AS asked"
    columns = [_column(*each) for each in described]
    refuse_columns(source, columns, question)
    cursor.execute(statement)
    schema = pa.schema([(f"c{n}", pa.string()) for n in range(len(columns))])
    with pq.ParquetWriter(target, schema) as writer:
        for rows in _batches(cursor):
            given = zip(columns, zip(*rows, strict=True), strict=True)
            texts = [_texts(column, values, question, source) for column, values in given]
            writer.write_batch(pa.record_batch(texts, schema=schema))
    return columns


def _batches(cursor: SSCursor) -> Iterator[list[tuple[str | bytes | None, ...]]]:
    """The rows, a bounded number of bytes at a time, however wide they are."""
    rows: list[tuple[str | bytes | None, ...]] = []
    size = 0
    for row in iter(cursor.fetchone, None):
        rows.append(row)
        size += sum(map(len, filter(None, row)))
        if size >= _BATCH_BYTES or len(rows) >= _BATCH_ROWS:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _texts(column: Column, values: Sequence[str | bytes | None], question: Question, source: str) -> pa.Array:
    """The values of a column, which are all of one kind."""
    if isinstance(next((value for value in values if value is not None), None), bytes):
        refuse_columns(source, [Column(name=column.name, bytes="binary")], question)
        return pa.array([value.hex() if isinstance(value, bytes) else None for value in values], pa.string())
    return pa.array(values, pa.string())


def _column(
    name: str,
    kind: int,
    _shown: None,
    length: int,
    _precision: int,
    scale: int,
    _null_ok: bool,  # noqa: FBT001
) -> Column:
    if kind == FIELD_TYPE.LONGLONG:
        # Parquet has no whole numbers of more than 64 bits.
        return Column(name=name, kind="DECIMAL(20, 0)", through="HUGEINT")
    if kind in _DECIMALS:
        # The length counts the point as well, and perhaps a sign. DuckDB reads wide decimals a hundred times slower.
        digits = length - (scale > 0)
        return Column(name=name, kind=f"DECIMAL({digits}, {scale})" if scale <= digits <= _WIDEST else TEXT)
    if kind == FIELD_TYPE.BIT:
        return Column(name=name, bytes="bit")
    return Column(name=name, kind=_TYPES.get(kind, TEXT))


def _quoted(identifier: str) -> str:
    return "`" + identifier.replace("`", "``") + "`"


def _written(name: str, value: str) -> str:
    """A literal of hexadecimal digits alone, which no server's mode reads otherwise."""
    if name in {START, END}:
        moment = dt.datetime.fromisoformat(value)
        value = moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"_utf8mb4 0x{value.encode().hex()}" if value else "''"


_AWAY: Final = frozenset({
    0, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_CONN_HOST_ERROR, CR.CR_CONNECTION_ERROR,
    ER.CON_COUNT_ERROR, ER.SERVER_SHUTDOWN, ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK, ER.TOO_MANY_USER_CONNECTIONS,
    ER.USER_LIMIT_REACHED, ER.QUERY_INTERRUPTED, ER.NET_READ_ERROR, ER.NET_READ_INTERRUPTED,
    ER.NET_ERROR_ON_WRITE, ER.NET_WRITE_INTERRUPTED, ER.OUT_OF_RESOURCES, ER.HANDSHAKE_ERROR,
    1927,  # MariaDB: the connection was killed.
    3169,  # MySQL: likewise.
})  # fmt: skip
_TIME_OVER: Final = (
    "the server ended the statement: its time was over.",
    "Raise timeout_seconds, or ask for less: smaller partitions, an index for the condition.",
)
_NO_RIGHT: Final = ("the account has no right to read it.", "GRANT SELECT on the table to it.")
_MEANT: Final = {
    ER.STATEMENT_TIMEOUT: _TIME_OVER,
    ER.QUERY_TIMEOUT: _TIME_OVER,
    1792: (
        "its query would write, and is refused: sources are read only.",
        "Ask by a SELECT that only reads.",
    ),
    ER.TABLEACCESS_DENIED_ERROR: _NO_RIGHT,
    ER.COLUMNACCESS_DENIED_ERROR: _NO_RIGHT,
    ER.DBACCESS_DENIED_ERROR: _NO_RIGHT,
    ER.NO_SUCH_TABLE: ("there is no such table{word}.", "Compare with SHOW TABLES."),
    ER.BAD_DB_ERROR: ("there is no such database{word}.", "Check the name against SHOW DATABASES."),
    ER.BAD_FIELD_ERROR: (
        "there is no such column{word}.",
        "Compare the names in query or where with the table's columns.",
    ),
    ER.DUP_FIELDNAME: ("its query gives two columns of one name{word}.", "Name them: SELECT a.id, b.id AS other_id."),
    ER.PARSE_ERROR: (
        "the server does not understand the query (error {code}).",
        "Try it in a client; it must only read.",
    ),
}
_OTHER: Final = ("it cannot be read (error {code}).", "Look up the number in the server's manual, and in its log.")


def _not_connected(name: str, error: Exception) -> PlatformError:
    code = _code(error)
    # An OSError that the driver has not wrapped is one of the file of certificates.
    wrapped = getattr(error, "original_exception", None)
    if isinstance(error, OSError) or isinstance(wrapped, ssl.SSLError) or code == CR.CR_SSL_CONNECTION_ERROR:
        return SourceError(
            source=name,
            culprit="no encrypted connection comes about.",
            remedy="Does the server's certificate follow from those in ca, and is it for this host?",
        )
    if code in {ER.ACCESS_DENIED_ERROR, 1698, ER.DBACCESS_DENIED_ERROR, ER.HOST_NOT_PRIVILEGED}:
        return SourceError(
            source=name,
            culprit=f"it refuses the account (error {code}).",
            remedy="Check user, password and database, and that the account may connect from here.",
        )
    if code == ER.BAD_DB_ERROR:
        return SourceError(
            source=name, culprit="there is no such database.", remedy="Check the name against SHOW DATABASES."
        )
    return SourceUnavailableError(
        source=name, culprit=f"it does not answer (error {code}).", remedy="Is the server up and reachable from here?"
    )


def _told(source: str, question: Question, connection: Any, error: Exception) -> PlatformError:  # noqa: ANN401
    if isinstance(error, UnicodeDecodeError):
        return SourceError(
            source=source, culprit="it sends text that is not in UTF-8.", remedy="Convert it in a query: CONVERT(...)."
        )
    code = _code(error)
    if code in _AWAY:
        return SourceUnavailableError(
            source=source, culprit=f"it broke off (error {code}).", remedy="Is the server up and reachable from here?"
        )
    culprit, remedy = _MEANT.get(code, _OTHER)
    if code == ER.NO_SUCH_TABLE and question.table:
        with suppress(pymysql.Error), connection.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            remedy = question.near([name for (name,) in cursor.fetchall()])
    # The server names what it misses in quotes, in whatever language it speaks.
    word = None if question.personal else re.search(r"'([\w.$]+)'", str(error))
    return SourceError(
        source=source, culprit=culprit.format(code=code, word=f": {word[1]}" if word else ""), remedy=remedy
    )


def _code(error: Exception) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0
