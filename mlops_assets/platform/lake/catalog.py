"""The catalog of a lake: the database behind it, asked directly; its publish lock, and the ledger's table in it.

Put here what is said to the catalog beside DuckLake. Keep out what the ledger's records mean (``ledger``) and DuckDB's
own connection (``session``).

The ledger's table is filled by a trigger on DuckLake's ``ducklake_snapshot_changes``: whatever commits a snapshot
commits its records with it, and no other way leads into the table. Unlike DuckLake's own tables it has indexes, and it
loses nothing when snapshots expire.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.withheld import reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_assets.platform.settings import LakeName, Settings

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
)
"""
_BY_VERSION: Final = "CREATE INDEX IF NOT EXISTS mlops_assets_ledger_version ON mlops_assets_ledger (version)"
_SQLITE_TRIGGER: Final = f"""
CREATE TRIGGER IF NOT EXISTS mlops_assets_ledger AFTER INSERT ON ducklake_snapshot_changes
WHEN NEW.author = '{AUTHOR}' AND NEW.commit_extra_info IS NOT NULL
BEGIN
    INSERT INTO mlops_assets_ledger
    SELECT NEW.snapshot_id, value ->> 'asset', coalesce(value ->> 'partition', ''), value ->> 'publish_id',
           value ->> 'content_hash', value
    FROM json_each(NEW.commit_extra_info);
END
"""
_POSTGRES_TRIGGER: Final = f"""
CREATE OR REPLACE FUNCTION mlops_assets_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
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


class CatalogAwayError(LakeError):
    """The catalog's database cannot be reached, or broke off."""


class Catalog(ABC):
    """A connection of its own to the database behind one lake. Not safe for use by several threads."""

    listed: ClassVar[str]
    """A table with one column ``key``, from one parameter: a JSON list of texts."""

    filled: ClassVar[str]
    """Asks for the trigger that fills the ledger; gives no row where there is none."""

    ledger: ClassVar[tuple[str, ...]]
    """Statements that make the ledger's table and what fills it."""

    def __init__(self, settings: Settings, lake: LakeName) -> None:
        self._settings = settings
        self._lake = lake

    @abstractmethod
    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows that a statement gives, ``%s`` standing for the values; none if it gives none.

        Raises:
            CatalogAwayError: the database cannot be reached, or broke off; the next statement connects anew.
        """

    @abstractmethod
    def lock(self, *, seconds: float = _LOCK_SECONDS) -> Any:  # noqa: ANN401  contextmanager's type is no override
        """Hold the lake's publish lock while the block runs.

        The lock falls with its process, so a killed publisher never blocks the next one. Whoever gets it sees how every
        publish before has ended: the commits of those that were killed or cut off are waited for.

        Raises:
            LakeError: it was not free within that many seconds, or the catalog cannot be reached.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection; the next statement opens one."""

    def prepare_ledger(self) -> None:
        """Make the ledger where there is none; under the lock, when the lake has been made.

        Raises:
            LakeError: the lake was written by a version of the platform that kept its records otherwise.
        """
        if self.query(self.filled):
            return
        [(earlier,)] = self.query(
            "SELECT count(*) FROM ducklake_snapshot_changes WHERE author = %s AND commit_extra_info LIKE '{%%'", AUTHOR
        )
        if earlier:
            raise LakeError(
                source=f"Lake {self._lake}",
                culprit="it was made by an earlier version of mlops-assets, whose records of publishes are not read.",
                remedy="Name a new home folder or catalog, and materialize the assets again.",
            )
        for statement in self.ledger:
            self.query(statement)

    def _lock_error(self, seconds: float) -> LakeError:
        return LakeError(
            source=f"Lake {self._lake}",
            culprit=f"another publish held the lock for more than {seconds:g} s.",
            remedy="Run the step again; if it lasts, look for stuck maintenance, or a commit that awaits a standby.",
        )

    def _away(self, said: str) -> CatalogAwayError:
        return CatalogAwayError(
            source=f"Lake {self._lake}",
            culprit=f"its catalog cannot be reached ({said}).",
            remedy="Is the catalog's database up, and has the account access to it?",
        )


class SqliteCatalog(Catalog):
    """An embedded catalog: a file, and beside it a locked one."""

    listed = "(SELECT value AS key FROM json_each(%s))"
    filled = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = 'mlops_assets_ledger'"
    ledger = (_TABLE, _BY_VERSION, _SQLITE_TRIGGER)

    def __init__(self, settings: Settings, lake: LakeName) -> None:
        super().__init__(settings, lake)
        self._file = settings.lake_catalog_path(lake)
        self._connection: sqlite3.Connection | None = None

    def prepare_file(self) -> None:
        """Make the file, if it is not there, so that one publisher does not starve all readers."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self.query("PRAGMA journal_mode=WAL")

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """See ``Catalog``."""
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self._file, timeout=BUSY_SECONDS, isolation_level=None)
            return self._connection.execute(statement.replace("%s", "?").replace("%%", "%"), values).fetchall()
        except sqlite3.Error as error:
            self.close()
            raise self._away(first_line(error)) from error

    @contextmanager
    def lock(self, *, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
        """See ``Catalog``."""
        path = self._file.with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
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
                        raise self._lock_error(seconds) from None
                    time.sleep(pause)
                    pause = min(pause * 2, 0.05)
            yield
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """See ``Catalog``."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresCatalog(Catalog):
    """A catalog in a PostgreSQL database; the publish lock is an advisory one."""

    listed = "(SELECT json_array_elements_text(%s::json) AS key)"
    filled = "SELECT 1 FROM pg_trigger WHERE tgname = 'mlops_assets_ledger'"
    ledger = (_TABLE, _BY_VERSION, _POSTGRES_TRIGGER)

    def __init__(self, settings: Settings, lake: LakeName) -> None:
        super().__init__(settings, lake)
        self._connection: Any = None

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """See ``Catalog``."""
        import psycopg2  # noqa: PLC0415  only deployments with a PostgreSQL catalog load its client

        try:
            with self._connected().cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
            self.close()
            # With a SQLSTATE it is about a statement, and may quote what was in it.
            said = first_line(error) if error.pgcode is None else f"SQLSTATE {error.pgcode}, {reason(error)}"
            raise self._away(said) from error

    @contextmanager
    def lock(self, *, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
        """See ``Catalog``."""
        import psycopg2  # noqa: PLC0415  only deployments with a PostgreSQL catalog load its client

        number = int.from_bytes(hashlib.sha256(f"mlops-assets publish {self._lake}".encode()).digest()[:8], signed=True)
        # A connection for each lock: whatever becomes of it, its server lets go of the lock.
        self.close()
        try:
            self.query("SELECT set_config('lock_timeout', %s, false)", f"{int(seconds * 1000)}ms")
            try:
                self.query("SELECT pg_advisory_lock(%s)", number)
                self.query(_AWAIT_COMMITS)
            except CatalogAwayError as error:
                if isinstance(error.__cause__, psycopg2.errors.LockNotAvailable):
                    raise self._lock_error(seconds) from None
                raise
            yield
        finally:
            self.close()

    def close(self) -> None:
        """See ``Catalog``."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Any:  # noqa: ANN401  the driver has no types
        import psycopg2  # noqa: PLC0415  only deployments with a PostgreSQL catalog load its client

        if self._connection is None:
            settings = self._settings.lake(self._lake)
            password = settings.password.get_secret_value() if settings.password else None
            self._connection = psycopg2.connect(settings.catalog, password=password)
            self._connection.autocommit = True
        return self._connection


def catalog_of(settings: Settings, lake: LakeName) -> SqliteCatalog | PostgresCatalog:
    """The catalog of that lake, not connected yet."""
    return (SqliteCatalog if settings.lake(lake).catalog == "sqlite" else PostgresCatalog)(settings, lake)


def as_list(texts: Sequence[str]) -> str:
    """The parameter of ``Catalog.listed``."""
    return json.dumps(list(texts))


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its type."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
