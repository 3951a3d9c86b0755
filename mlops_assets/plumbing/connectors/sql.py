"""Voting-history databases: one election of one state from SQLite or PostgreSQL, read whole or not at all.

Put here how the database is reached and asked. Keep out any change of its values. No message holds a password, or what
a driver says: drivers quote values.
"""

from __future__ import annotations

import math
import re
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import ConstantExpression, StarExpression

from mlops_assets.contracts.partitions import election_day
from mlops_assets.contracts.raw import VOTING_HISTORY
from mlops_assets.platform.contracts.contract import PARTITION_SEPARATOR
from mlops_assets.platform.errors import PlatformError, SettingsError, SourceError, SourceUnavailableError
from mlops_assets.platform.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

    from mlops_assets.platform.settings import Settings

TABLE: Final = "voting_history"
COLUMNS: Final = ("state", "ncid", "county_id", "county_desc", "election_lbl", "voting_method", "voted_party_cd")
SQLITE: Final = "sqlite:///"

_SETTING: Final = "SOURCES__VOTING_HISTORY"
_PASSWORD_SETTING: Final = f"{_SETTING}_PASSWORD"
_BATCH_ROWS: Final = 50_000
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
_SQLITE_AWAY: Final = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN
})  # fmt: skip
# A failed connection has no SQLSTATE in psycopg2, so that only the text tells a refusal from an absence.
_POSTGRES_REFUSES: Final = re.compile(r"authentication|password|pg_hba|does not exist|permission denied|not permitted")


class _Database(Protocol):
    """A kind of database."""

    @property
    def name(self) -> str:
        """How error messages name the database."""

    @property
    def placeholder(self) -> str:
        """How its driver marks a parameter."""

    def connect(self) -> Any:  # noqa: ANN401  the drivers share PEP 249, which has no types
        """A DB-API connection that cannot write."""

    def columns(self, connection: Any) -> list[str]:  # noqa: ANN401  as above
        """The columns of the table; none if there is no such table."""

    def cursor(self, connection: Any) -> Any:  # noqa: ANN401  as above
        """A cursor that does not fetch everything at once."""

    def error(self, error: Exception) -> PlatformError:
        """What an error of the driver means."""


class VotingHistoryDatabase:
    """The database of a state's election office that says who voted when.

    Its table ``voting_history`` holds one row per person and election, with at least the columns ``COLUMNS``;
    ``election_lbl`` is the day of the election as ``MM/DD/YYYY``.

    Args:
        settings: give address, password, time-out and attempts.
        pause: how to wait some seconds between attempts.

    Raises:
        SettingsError: the address or a PostgreSQL account's password is not set, or the address cannot be used.
    """

    def __init__(self, settings: Settings, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._database = _database(settings)
        self._attempts = settings.sources.attempts
        self._pause = pause

    @property
    def name(self) -> str:
        """The database's name in messages: no path, no account."""
        return self._database.name

    def read(
        self, connection: duckdb.DuckDBPyConnection, scratch: Path, *, state: str, election: str
    ) -> duckdb.DuckDBPyRelation:
        """Who voted in the general election of that year.

        Args:
            connection: where the result lives.
            scratch: folder for the copy that the result reads.
            state: postal code.
            election: year of the election.

        Returns:
            One row per row of the table: exactly the columns of ``contracts.raw.VOTING_HISTORY``, all text.

        Raises:
            ContractError: state and election are not a partition of the voting history.
            SourceUnavailableError: the database did not answer, or broke off, at every attempt.
            SourceError: it refuses the account, lacks the table or a column, or knows nobody who voted.
        """
        VOTING_HISTORY.partition_values(f"{election}{PARTITION_SEPARATOR}{state}")
        label = election_day(election).strftime("%m/%d/%Y")
        copy = scratch / "voting_history.parquet"
        rows = self._until_it_answers(lambda: self._copy(copy, state=state, label=label))
        if rows == 0:
            raise SourceError(
                source=self._database.name,
                culprit=f"it holds no row of state {state} and election day {label}.",
                remedy="Has the office recorded this election yet? Check election_lbl (MM/DD/YYYY) and state.",
            )
        return connection.read_parquet(str(copy), hive_partitioning=False).select(
            StarExpression(), ConstantExpression(election).cast("VARCHAR").alias("election")
        )

    def _until_it_answers(self, ask: Callable[[], int]) -> int:
        for attempt in range(1, self._attempts):
            try:
                return ask()
            except SourceUnavailableError:
                self._pause(min(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), _LONGEST_PAUSE_SECONDS))
        return ask()

    def _copy(self, target: Path, *, state: str, label: str) -> int:
        database = self._database
        schema = pa.schema([(column, pa.string()) for column in COLUMNS])
        columns = ", ".join(f"CAST({column} AS TEXT)" for column in COLUMNS)
        mark = database.placeholder
        query = f"SELECT {columns} FROM {TABLE} WHERE state = {mark} AND election_lbl = {mark}"  # noqa: S608  constants
        rows = 0
        try:
            with closing(database.connect()) as connected:
                self._refuse_missing_columns(database.columns(connected))
                with closing(database.cursor(connected)) as cursor, pq.ParquetWriter(target, schema) as writer:
                    cursor.execute(query, (state, label))
                    while batch := cursor.fetchmany(_BATCH_ROWS):
                        arrays = [pa.array(values, pa.string()) for values in zip(*batch, strict=True)]
                        writer.write_batch(pa.record_batch(arrays, schema=schema))
                        rows += len(batch)
        except (sqlite3.Error, psycopg2.Error) as error:
            raise database.error(error) from None
        return rows

    def _refuse_missing_columns(self, columns: list[str]) -> None:
        if not columns:
            raise SourceError(
                source=self._database.name,
                culprit=f"it has no table {TABLE} that this account can see.",
                remedy=f"Does {PREFIX}{_SETTING} name the right database, and its search path the right schema?",
            )
        missing = [column for column in COLUMNS if column not in columns]
        if missing:
            raise SourceError(
                source=self._database.name,
                culprit=f"its table {TABLE} lacks {', '.join(missing)}.",
                remedy="Has the office changed the table? Offer the old columns in a view of that name.",
            )


def _database(settings: Settings) -> _Database:
    address = settings.sources.voting_history
    if not address:
        raise SettingsError(
            source=f"{PREFIX}{_SETTING}",
            culprit="the voting-history database is not set.",
            remedy=f"Set it to {SQLITE}path or to a libpq connection string such as 'host=db dbname=history user=me'.",
        )
    if address.startswith(SQLITE):
        path = Path(address.removeprefix(SQLITE))
        return _Sqlite(
            name=f"Voting-history database {path.name}", path=path, timeout_seconds=settings.sources.timeout_seconds
        )
    try:
        parts = psycopg2.extensions.parse_dsn(address)
    except psycopg2.Error:
        parts = {}
    if not parts or "password" in parts:
        raise SettingsError(
            source=f"{PREFIX}{_SETTING}",
            culprit="it holds a password." if parts else f"it is neither {SQLITE}path nor a libpq connection string.",
            remedy=f"Name host, port, dbname and user there, and set the password as {PREFIX}{_PASSWORD_SETTING}.",
        )
    host, port, dbname = parts.get("host", "localhost"), parts.get("port", "5432"), parts.get("dbname", "")
    return _Postgres(
        name=f"Voting-history database {dbname} at {host}:{port}",
        dsn=address,
        password=settings.secret(settings.sources.voting_history_password, _PASSWORD_SETTING),
        timeout_seconds=settings.sources.timeout_seconds,
    )


@dataclass(frozen=True, kw_only=True)
class _Sqlite:
    name: str
    path: Path
    timeout_seconds: float
    placeholder: str = "?"

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(self.path.absolute()))}?mode=ro", uri=True, timeout=self.timeout_seconds
        )

    def columns(self, connection: sqlite3.Connection) -> list[str]:
        return [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (TABLE,))]

    def cursor(self, connection: sqlite3.Connection) -> sqlite3.Cursor:
        return connection.cursor()

    def error(self, error: Exception) -> PlatformError:
        # The low byte is the primary code; the others detail it.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _SQLITE_AWAY:
            missing = "there is no such file" if not self.path.exists() else "it is locked or cannot be read"
            return SourceUnavailableError(
                source=self.name,
                culprit=f"it cannot be opened: {missing}.",
                remedy=f"Is its disk mounted, and does {PREFIX}{_SETTING} name the right file?",
            )
        return SourceError(
            source=self.name,
            culprit=f"SQLite cannot read it ({getattr(error, 'sqlite_errorname', type(error).__name__)}).",
            remedy="Check it with PRAGMA integrity_check; restore it if damaged.",
        )


@dataclass(frozen=True, kw_only=True)
class _Postgres:
    name: str
    dsn: str
    password: str = field(repr=False)
    timeout_seconds: float
    placeholder: str = "%s"

    def connect(self) -> Any:  # noqa: ANN401  psycopg2 publishes no types
        connection = psycopg2.connect(
            self.dsn,
            password=self.password,
            connect_timeout=max(2, math.ceil(self.timeout_seconds)),
            tcp_user_timeout=math.ceil(self.timeout_seconds * 1000),
            application_name="mlops_assets",
            client_encoding="UTF8",
        )
        connection.set_session(readonly=True, isolation_level="REPEATABLE READ")
        return connection

    def columns(self, connection: Any) -> list[str]:  # noqa: ANN401  as above
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)", (TABLE,))
            if cursor.fetchone() == (None,):
                return []
            cursor.execute(f"SELECT * FROM {TABLE} LIMIT 0")  # noqa: S608  a constant
            return [column.name for column in cursor.description]

    def cursor(self, connection: Any) -> Any:  # noqa: ANN401  as above
        return connection.cursor(name=TABLE)

    def error(self, error: Exception) -> PlatformError:
        state = getattr(error, "pgcode", None)
        if isinstance(error, psycopg2.errors.InsufficientPrivilege) or (
            state is None and _POSTGRES_REFUSES.search(str(error))
        ):
            return SourceError(
                source=self.name,
                culprit="it refuses the account.",
                remedy=f"Check user and dbname in {PREFIX}{_SETTING}, the password in {PREFIX}{_PASSWORD_SETTING}, and "
                f"that the account may connect and read {TABLE}.",
            )
        if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
            return SourceUnavailableError(
                source=self.name,
                culprit="it does not answer, or broke off." if state is None else f"it broke off (SQLSTATE {state}).",
                remedy="Is the server up and reachable from here? Try again when it is.",
            )
        return SourceError(
            source=self.name,
            culprit=f"it cannot be read (SQLSTATE {state}).",
            remedy="Look up the SQLSTATE in PostgreSQL's appendix A and in the server's log.",
        )
