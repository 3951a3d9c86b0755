"""The lakes: opening a DuckDB connection with the lakes attached, and the lock under which publishes happen.

Put here what concerns connections, catalogs and locks. Keep out tables, contracts and their meaning.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import importlib.util
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import duckdb
import ibis

from mlops_assets.platform.errors import LakeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from ibis.backends.duckdb import Backend

    from mlops_assets.platform.settings import LakeName, Settings

_EXTENSIONS: Final = ("ducklake", "sqlite_scanner")
_POSTGRES_EXTENSION: Final = "postgres_scanner"
_LOCK_SECONDS: Final = 120.0
_BUSY_MILLISECONDS: Final = 30_000
# PostgreSQL finishes a COMMIT whose client was killed or cut off, later if a standby is slow, and nobody sees it until
# then. Such a transaction has written a snapshot, so this waits for its end.
_AWAIT_COMMITS: Final = """
DO $$ BEGIN
    IF to_regclass('public.ducklake_snapshot') IS NOT NULL THEN
        LOCK TABLE public.ducklake_snapshot IN SHARE MODE;
    END IF;
END $$
"""


def extension_file(name: str) -> Path:
    """The signed DuckDB extension that the wheel ``duckdb-extension-<name>`` carries.

    Raises:
        LakeError: the wheel is not installed. Nothing is ever downloaded.
    """
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    for root in (spec.submodule_search_locations or []) if spec else []:
        for file in Path(root).glob(f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"):
            return file
    raise LakeError(
        source=f"DuckDB extension {name}",
        culprit=f"no extension file for DuckDB {duckdb.__version__} is installed.",
        remedy=f"Install duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}.",
    )


def quote(identifier: str) -> str:
    """An SQL identifier in double quotes."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string literal in single quotes."""
    return "'" + text.replace("'", "''") + "'"


class _Engine:
    """The DuckDB instance of this process: extensions loaded and lakes attached once, shared by all sessions.

    Loading and attaching take a fifth of a second, as much as a small step's whole work.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.process = 0
        self.attached: dict[LakeName, str] = {}
        self.root: duckdb.DuckDBPyConnection | None = None

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the shared instance."""
        with self.lock:
            if self.root is None or self.process != os.getpid():
                self.root = self._open()
                self.process = os.getpid()
                self.attached = {}
            connection = self.root.cursor()
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    @staticmethod
    def _open() -> duckdb.DuckDBPyConnection:
        spill = tempfile.mkdtemp(prefix="mlops-assets-spill-")
        atexit.register(shutil.rmtree, spill, ignore_errors=True)
        connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                # A table name never means a Python variable.
                "python_enable_replacements": "false",
                "temp_directory": spill,
            }
        )
        for name in _EXTENSIONS:
            connection.execute(f"LOAD {literal(str(extension_file(name)))}")
        return connection


_ENGINE: Final = _Engine()


class LakeSession:
    """A DuckDB connection of its own, with lakes attached on demand and a scratch folder.

    Use it as a context manager. It is not safe for use by several threads; several sessions are.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "connection" in self.__dict__:
            self.connection.close()
        if "scratch" in self.__dict__:
            shutil.rmtree(self.scratch, ignore_errors=True)

    @cached_property
    def scratch(self) -> Path:
        """A folder for temporary files, removed with the session."""
        return Path(tempfile.mkdtemp(prefix="mlops-assets-"))

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB connection: extensions from wheels, no downloads; temporary tables and views are its own."""
        return _ENGINE.connect()

    @cached_property
    def ibis(self) -> Backend:
        """The Ibis backend over the same connection."""
        return ibis.duckdb.from_connection(self.connection)

    def attach(self, lake: LakeName) -> str:
        """Attach the lake if it is not yet, creating it on first use; returns the name of its DuckDB catalog.

        Raises:
            LakeError: the catalog cannot be reached.
        """
        target = self._identity(lake)
        connection = self.connection
        with _ENGINE.lock:
            if _ENGINE.attached.get(lake) == target:
                return lake.value
            try:
                if lake in _ENGINE.attached:
                    # The settings have changed in this process, as they do between tests.
                    del _ENGINE.attached[lake]
                    connection.execute(f"DETACH {quote(lake)}")
                self._attach(lake)
            except (duckdb.Error, OSError, sqlite3.Error) as error:
                raise LakeError(
                    source=f"Lake {lake}",
                    culprit=f"its catalog cannot be opened ({_first_line(error)}).",
                    remedy="Is the catalog's server up, and has the account access to the catalog and the data path?",
                ) from error
            _ENGINE.attached[lake] = target
        return lake.value

    def _identity(self, lake: LakeName) -> str:
        catalog = self.settings.lake(lake).catalog
        file = self.settings.lake_catalog_path(lake) if catalog == "sqlite" else catalog
        return f"{file} {self.settings.lake_data_path(lake)}"

    def _attach(self, lake: LakeName) -> None:
        data_path = self.settings.lake_data_path(lake)
        data_path.mkdir(parents=True, exist_ok=True)
        embedded = self.settings.lake(lake).catalog == "sqlite"
        with publish_lock(self.settings, lake):
            target = self._prepare_sqlite(lake) if embedded else self._prepare_postgres(lake)
            self.connection.execute(
                f"ATTACH {literal('ducklake:' + target)} AS {quote(lake)} "
                f"(DATA_PATH {literal(str(data_path) + '/')}, DATA_INLINING_ROW_LIMIT 0{self._options(lake)})"
            )

    def _options(self, lake: LakeName) -> str:
        if self.settings.lake(lake).catalog == "sqlite":
            return f", META_BUSY_TIMEOUT {_BUSY_MILLISECONDS}"
        return f", META_SECRET {literal(_secret_name(lake))}"

    def _prepare_sqlite(self, lake: LakeName) -> str:
        file = self.settings.lake_catalog_path(lake)
        file.parent.mkdir(parents=True, exist_ok=True)
        # A catalog in the default journal mode lets one publisher starve all readers; WAL does not.
        with sqlite3.connect(file, timeout=_BUSY_MILLISECONDS / 1000) as catalog:
            catalog.execute("PRAGMA journal_mode=WAL")
        catalog.close()
        return f"sqlite:{file}"

    def _prepare_postgres(self, lake: LakeName) -> str:
        self.connection.execute(f"LOAD {literal(str(extension_file(_POSTGRES_EXTENSION)))}")
        settings = self.settings.lake(lake)
        password = settings.password.get_secret_value() if settings.password else ""
        # The password goes into DuckDB's secret store, not into the connection string that errors repeat.
        self.connection.execute(
            f"CREATE OR REPLACE SECRET {quote(_secret_name(lake))} (TYPE postgres, PASSWORD {literal(password)})"
        )
        return f"postgres:{settings.catalog}"


def _secret_name(lake: LakeName) -> str:
    return f"catalog_{lake.value}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@contextmanager
def publish_lock(settings: Settings, lake: LakeName, *, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Hold the lake's publish lock: an advisory lock on PostgreSQL, a locked file beside an embedded catalog.

    The lock falls with its process, so a killed publisher never blocks the next one. Whoever gets it sees how every
    publish before has ended: the commits of those that were killed or cut off are waited for.

    Raises:
        LakeError: the lock was not free within that many seconds, or the catalog cannot be reached.
    """
    if settings.lake(lake).catalog == "sqlite":
        path = settings.lake_catalog_path(lake).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _file_lock(path, lake, seconds):
            yield
    else:
        with _advisory_lock(settings, lake, seconds):
            yield


@contextmanager
def _file_lock(path: Path, lake: LakeName, seconds: float) -> Iterator[None]:
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
def _advisory_lock(settings: Settings, lake: LakeName, seconds: float) -> Iterator[None]:
    import psycopg2  # noqa: PLC0415  only deployments with a PostgreSQL catalog load its client

    lake_settings = settings.lake(lake)
    number = int.from_bytes(hashlib.sha256(f"mlops-assets publish {lake}".encode()).digest()[:8], signed=True)
    try:
        connection = psycopg2.connect(
            lake_settings.catalog,
            password=lake_settings.password.get_secret_value() if lake_settings.password else None,
        )
    except psycopg2.OperationalError as error:
        raise LakeError(
            source=f"Lake {lake}",
            culprit=f"its catalog cannot be reached ({_first_line(error)}).",
            remedy="Is the catalog's PostgreSQL up, and is the account's password right?",
        ) from error
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", (f"{int(seconds * 1000)}ms",))
            try:
                cursor.execute("SELECT pg_advisory_lock(%s)", (number,))
                cursor.execute(_AWAIT_COMMITS)
            except psycopg2.errors.LockNotAvailable:
                raise _lock_error(lake, seconds) from None
        yield
    finally:
        connection.close()


def _lock_error(lake: LakeName, seconds: float) -> LakeError:
    return LakeError(
        source=f"Lake {lake}",
        culprit=f"another publish held the lock for more than {seconds:g} s.",
        remedy="Run the step again; if it lasts, look for a stuck maintenance job, or a commit that awaits a standby.",
    )
