"""The catalog of a lake: the publish lock, and the tables of ledger and erasures beside DuckLake's own.

Put here what is said to the catalog's database and not to DuckLake. Keep out what the ledger's records mean
(``ledger``) and connections (``session``).

The ledger's table is filled by a trigger on DuckLake's ``ducklake_snapshot_changes``: whatever commits a snapshot
commits its records with it, and no other way leads into the table. Unlike DuckLake's own tables it has indexes, and it
loses nothing when snapshots expire.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.platform.catalog_address import SQLITE
from mlops_assets.platform.errors import CatalogAwayError, LakeError
from mlops_assets.platform.withheld import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import duckdb
    import psycopg2.extensions

    from mlops_assets.platform.settings import Settings

    Run = Callable[..., list[tuple[Any, ...]]]

AUTHOR: Final = "mlops-assets"
"""The author of the snapshots that publishes make."""

BUSY_SECONDS: Final = 30.0
_LOCK_SECONDS: Final = 120.0
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS mlops_assets_ledger (
    version BIGINT NOT NULL,
    asset TEXT NOT NULL,
    partition TEXT NOT NULL,
    publish_id TEXT NOT NULL UNIQUE,
    content_hash TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (asset, partition, version)
);
CREATE INDEX IF NOT EXISTS mlops_assets_ledger_version ON mlops_assets_ledger (version);
CREATE TABLE IF NOT EXISTS mlops_assets_erasure (
    number BIGINT NOT NULL PRIMARY KEY,
    erasure_id TEXT NOT NULL UNIQUE,
    salt TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS mlops_assets_tombstone (
    kind TEXT NOT NULL,
    hash TEXT NOT NULL,
    erasure_id TEXT NOT NULL,
    PRIMARY KEY (kind, hash)
);
CREATE TABLE IF NOT EXISTS mlops_assets_erased (
    asset TEXT NOT NULL,
    partition TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    left_hash TEXT NOT NULL,
    erasure_id TEXT NOT NULL,
    PRIMARY KEY (asset, partition, content_hash)
);
"""
_SQLITE_LEDGER: Final = f"""{_TABLE}
CREATE TRIGGER IF NOT EXISTS mlops_assets_ledger AFTER INSERT ON ducklake_snapshot_changes
WHEN NEW.author = '{AUTHOR}' AND NEW.commit_extra_info IS NOT NULL
BEGIN
    INSERT INTO mlops_assets_ledger
    SELECT NEW.snapshot_id, value ->> 'asset', coalesce(value ->> 'partition', ''), value ->> 'publish_id',
           value ->> 'content_hash', value
    FROM json_each(NEW.commit_extra_info);
END;
"""
_POSTGRES_LEDGER: Final = f"""{_TABLE}
CREATE OR REPLACE FUNCTION mlops_assets_ledger() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    INSERT INTO mlops_assets_ledger
    SELECT NEW.snapshot_id, value ->> 'asset', coalesce(value ->> 'partition', ''), value ->> 'publish_id',
           value ->> 'content_hash', value::text
    FROM json_array_elements(NEW.commit_extra_info::json) AS value;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER mlops_assets_ledger AFTER INSERT ON ducklake_snapshot_changes FOR EACH ROW
WHEN (NEW.author = '{AUTHOR}' AND NEW.commit_extra_info IS NOT NULL) EXECUTE FUNCTION mlops_assets_ledger();
"""
# PostgreSQL finishes a COMMIT whose client was killed or cut off, later if a standby is slow, and nobody sees it until
# then. Such a transaction has written a snapshot, so this waits for its end.
_AWAIT_COMMITS: Final = """
DO $$ BEGIN
    IF to_regclass('public.ducklake_snapshot') IS NOT NULL THEN
        LOCK TABLE public.ducklake_snapshot IN SHARE MODE;
    END IF;
END $$
"""


def quote(identifier: str) -> str:
    """An SQL identifier in double quotes."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string literal in single quotes."""
    return "'" + text.replace("'", "''") + "'"


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its type."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def is_embedded(settings: Settings, lake: str) -> bool:
    """Whether the catalog is a SQLite file; else it is a PostgreSQL database."""
    return settings.lake(lake).catalog == SQLITE


def query(
    connection: duckdb.DuckDBPyConnection, settings: Settings, lake: str, statement: str
) -> list[tuple[Any, ...]]:
    """The rows that the catalog's database gives for a statement in its own SQL; the lake must be attached.

    It goes through DuckDB's connection. Another SQLite library in this process must not open the file while DuckDB has
    it open: whichever closes it first drops the other's locks, and the other goes on reading a file that is gone.
    """
    function = "sqlite_query" if is_embedded(settings, lake) else "postgres_query"
    metadata = literal(f"__ducklake_metadata_{lake}")
    return connection.execute(f"FROM {function}({metadata}, {literal(statement)})").fetchall()


def has_ledger(connection: duckdb.DuckDBPyConnection, settings: Settings, lake: str) -> bool:
    """Whether the catalog has the tables of ledger and erasures, and what fills the ledger.

    Raises:
        LakeError: the lake was written by a version of the platform that kept its records otherwise.
    """
    triggers = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name = 'mlops_assets_ledger'"
        if is_embedded(settings, lake)
        else "SELECT tgname FROM pg_trigger WHERE tgname = 'mlops_assets_ledger' AND tgenabled IN ('O', 'A')"
        " AND tgrelid = 'public.ducklake_snapshot_changes'::regclass"
    )
    if query(connection, settings, lake, triggers):
        # A lake of before there were erasures has the trigger alone.
        tables = (
            "SELECT name FROM sqlite_master WHERE name = 'mlops_assets_erased'"
            if is_embedded(settings, lake)
            else "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = 'mlops_assets_erased'"
        )
        return bool(query(connection, settings, lake, tables))
    earlier = f"SELECT snapshot_id FROM ducklake_snapshot_changes WHERE author = {literal(AUTHOR)} LIMIT 1"
    if query(connection, settings, lake, earlier):
        raise LakeError(
            source=f"Lake {lake}",
            culprit="it was made by an earlier version of mlops-assets, whose records of publishes are not read.",
            remedy="Name a new home folder or catalog, and materialize the assets again.",
        )
    return False


def make_ledger(connection: duckdb.DuckDBPyConnection, settings: Settings, lake: str) -> None:
    """Make those tables and what fills the ledger; under the lock. A SQLite file must not be attached meanwhile."""
    if is_embedded(settings, lake):
        with closing(sqlite3.connect(settings.lake_catalog_path(lake), timeout=BUSY_SECONDS)) as file:
            file.executescript(_SQLITE_LEDGER)
    else:
        metadata = literal(f"__ducklake_metadata_{lake}")
        connection.execute(f"CALL postgres_execute({metadata}, {literal(_POSTGRES_LEDGER)})")


@contextmanager
def transaction(settings: Settings, lake: str) -> Iterator[Run]:
    """One transaction of the catalog's database, by Python's own client; under the lock.

    DuckDB must have let go of the lake (`LakeSession.detach`). What is deleted from a SQLite file is overwritten.

    Yields:
        A function that runs a statement with its values, for which ``?`` stands, and gives its rows.

    Raises:
        LakeError: the database cannot be reached, or refused; nothing was changed.
    """
    try:
        with _client(settings, lake) as run:
            run("BEGIN IMMEDIATE" if is_embedded(settings, lake) else "BEGIN")
            try:
                yield run
                run("COMMIT")
            except BaseException:
                run("ROLLBACK")
                raise
    except _client_errors() as error:
        raise _refused(lake, error) from error


def purge(settings: Settings, lake: str, tables: Sequence[str]) -> None:
    """Leave nothing of deleted or replaced rows in the database's files; DuckDB must have let go of the lake.

    Args:
        settings: where the lake is.
        lake: which lake.
        tables: on PostgreSQL, the tables to write anew; a SQLite file is written anew as a whole.

    Raises:
        LakeError: somebody read without pause for half a minute; try again.
    """
    try:
        with _client(settings, lake) as run:
            if not is_embedded(settings, lake):
                run(f"SET lock_timeout = '{int(BUSY_SECONDS)}s'")
                for table in tables:
                    run(f"VACUUM FULL {table}")
                return
            run("VACUUM")
            deadline = time.monotonic() + BUSY_SECONDS
            while run("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
                if time.monotonic() > deadline:
                    raise LakeError(
                        source=f"Lake {lake}",
                        culprit="its catalog was read without pause, so what was erased may still be in its log.",
                        remedy="Run the same command again.",
                    )
                time.sleep(0.05)
    except _client_errors() as error:
        raise _refused(lake, error) from error


@contextmanager
def _client(settings: Settings, lake: str) -> Iterator[Run]:
    """A connection that commits each statement by itself."""
    if is_embedded(settings, lake):
        with closing(
            sqlite3.connect(settings.lake_catalog_path(lake), timeout=BUSY_SECONDS, isolation_level=None)
        ) as file:
            file.execute("PRAGMA secure_delete = ON")
            yield lambda statement, *values: file.execute(statement, values).fetchall()
        return
    with closing(_connected(settings, lake)) as connection, connection.cursor() as cursor:

        def run(statement: str, *values: object) -> list[tuple[Any, ...]]:
            cursor.execute(statement.replace("?", "%s"), values or None)
            return cursor.fetchall() if cursor.description else []

        yield run


def _client_errors() -> tuple[type[Exception], ...]:
    try:
        import psycopg2  # noqa: PLC0415  only deployments with a PostgreSQL catalog need its client
    except ImportError:
        return (sqlite3.Error,)
    return (sqlite3.Error, psycopg2.Error)


def _refused(lake: str, error: Exception) -> LakeError:
    return LakeError(
        source=f"Lake {lake}",
        culprit=f"its catalog refused a change ({reason(error)}).",
        remedy="Is the catalog up, and does this account own it? Try again.",
    )


@contextmanager
def publish_lock(settings: Settings, lake: str, *, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Hold the lake's publish lock: an advisory lock on PostgreSQL, a locked file beside an embedded catalog.

    The lock falls with its process, so a killed publisher never blocks the next one. Whoever gets it sees how every
    publish before has ended: the commits of those that were killed or cut off are waited for.

    Raises:
        LakeError: the lock was not free within that many seconds, or the catalog cannot be reached.
    """
    if is_embedded(settings, lake):
        path = settings.lake_catalog_path(lake).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _file_lock(path, lake, seconds):
            yield
    else:
        with _advisory_lock(settings, lake, seconds):
            yield


@contextmanager
def _file_lock(path: Path, lake: str, seconds: float) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        pause = 0.001
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise _lock_error(lake, seconds) from None
                time.sleep(pause)
                pause = min(pause * 2, 0.05)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _advisory_lock(settings: Settings, lake: str, seconds: float) -> Iterator[None]:
    import psycopg2  # noqa: PLC0415  only deployments with a PostgreSQL catalog load its client

    number = int.from_bytes(hashlib.sha256(f"mlops-assets publish {lake}".encode()).digest()[:8], signed=True)
    connection = _connected(settings, lake)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", (f"{int(seconds * 1000)}ms",))
            try:
                cursor.execute("SELECT pg_advisory_lock(%s)", (number,))
                cursor.execute(_AWAIT_COMMITS)
            except psycopg2.errors.LockNotAvailable:
                raise _lock_error(lake, seconds) from None
            except psycopg2.Error as error:
                raise _away(lake, error) from error
        yield
    finally:
        connection.close()


def _connected(settings: Settings, lake: str) -> psycopg2.extensions.connection:
    """A connection to the PostgreSQL database that commits each statement by itself."""
    import psycopg2  # noqa: PLC0415

    lake_settings = settings.lake(lake)
    try:
        connection = psycopg2.connect(
            lake_settings.catalog,
            password=lake_settings.password.get_secret_value() if lake_settings.password else None,
        )
    except psycopg2.OperationalError as error:
        raise _away(lake, error) from error
    connection.autocommit = True
    return connection


def _away(lake: str, error: Exception) -> CatalogAwayError:
    return CatalogAwayError(
        source=f"Lake {lake}",
        culprit=f"its catalog cannot be reached ({first_line(error)}).",
        remedy="Is the catalog's PostgreSQL up, and is the account's password right?",
    )


def _lock_error(lake: str, seconds: float) -> LakeError:
    return LakeError(
        source=f"Lake {lake}",
        culprit=f"another publish held the lock for more than {seconds:g} s.",
        remedy="Run the step again; if it lasts, look for a stuck maintenance job, or a commit that awaits a standby.",
    )
