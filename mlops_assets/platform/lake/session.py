"""Sessions: DuckDB connections with the lakes attached.

Put here what concerns DuckDB's connections. Keep out what the catalogs hold (``catalog``), tables and contracts.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import sqlite3
import threading
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import duckdb
import ibis

from mlops_assets.platform import scratch
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake.catalog import (
    BUSY_SECONDS,
    first_line,
    has_ledger,
    is_embedded,
    literal,
    make_ledger,
    publish_lock,
    query,
    quote,
)
from mlops_assets.platform.settings import EngineSettings
from mlops_assets.platform.withheld import reason

if TYPE_CHECKING:
    from types import TracebackType

    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

    from mlops_assets.platform.settings import Settings

_EXTENSIONS: Final = ("ducklake", "sqlite_scanner")
_POSTGRES_EXTENSION: Final = "postgres_scanner"


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


class _Engine:
    """The DuckDB instance of this process: extensions loaded and lakes attached once, shared by all sessions.

    Loading and attaching take a fifth of a second, as much as a small step's whole work.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.process = 0
        self.attached: dict[str, str] = {}
        self.root: duckdb.DuckDBPyConnection | None = None
        self.limits = EngineSettings()

    def connect(self, limits: EngineSettings) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the instance with these limits; others, as between tests, are another's."""
        with self.lock:
            if self.root is None or self.process != os.getpid() or self.limits != limits:
                self.root = self._open(limits)
                self.process = os.getpid()
                self.attached = {}
                self.limits = limits
            connection = self.root.cursor()
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    @staticmethod
    def _open(limits: EngineSettings) -> duckdb.DuckDBPyConnection:
        scratch.remove_abandoned()
        spill = scratch.make("spill-")
        atexit.register(scratch.remove, spill)
        connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                # A table name never means a Python variable.
                "python_enable_replacements": "false",
                "temp_directory": str(spill),
                **({"memory_limit": limits.memory} if limits.memory else {}),
                **({"max_temp_directory_size": limits.scratch} if limits.scratch else {}),
            }
        )
        for name in _EXTENSIONS:
            connection.execute(f"LOAD {literal(str(extension_file(name)))}")
        return connection


_ENGINE: Final = _Engine()


class LakeSession:
    """A DuckDB connection of its own, with lakes attached on demand and a scratch folder.

    Use it as a context manager. It is not safe for use by several threads; several sessions are.

    Args:
        settings: say where the lakes are.
        read_only: refuse every write, and make no lake that is not there.
    """

    def __init__(self, settings: Settings, *, read_only: bool = False) -> None:
        self.settings = settings
        self._read_only = read_only

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "connection" in self.__dict__:
            self.connection.close()
        if "scratch" in self.__dict__:
            scratch.remove(self.scratch)

    @cached_property
    def scratch(self) -> Path:
        """A folder for temporary files, removed with the session."""
        return scratch.make()

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB connection: extensions from wheels, no downloads; temporary tables and views are its own."""
        return _ENGINE.connect(self.settings.engine)

    @cached_property
    def ibis(self) -> Backend:
        """The Ibis backend over the same connection."""
        return ibis.duckdb.from_connection(self.connection)

    def attach(self, lake: str) -> str:
        """Attach the lake if it is not yet, creating it on first use; returns the name of its DuckDB catalog.

        Raises:
            LakeError: the catalog cannot be reached.
        """
        target = self._identity(lake)
        connection = self.connection
        with _ENGINE.lock:
            if _ENGINE.attached.get(lake) == target:
                return lake
            try:
                # The settings may have changed in this process, as they do between tests.
                _ENGINE.attached.pop(lake, None)
                # An attachment that failed half-way, as on a full disk, would keep every later one from succeeding.
                connection.execute(f"DETACH DATABASE IF EXISTS {quote(lake)}")
                self._attach(lake)
            except (duckdb.Error, OSError, sqlite3.Error) as error:
                if "does not match existing data path" in str(error):
                    raise LakeError(
                        source=f"Lake {lake}",
                        culprit="its catalog was made for data in another folder than data_path names now.",
                        remedy="Name that folder again; or another home folder (MLOPS_ASSETS_HOME), which has catalogs "
                        "of its own, as a test should.",
                    ) from error
                raise LakeError(
                    source=f"Lake {lake}",
                    culprit=f"its catalog cannot be opened ({_reason(error)}).",
                    remedy="Is the catalog's server up, has the account access to the catalog and the data path, and "
                    "have their disks room?",
                ) from error
            _ENGINE.attached[lake] = target
        return lake

    def detach(self, lake: str) -> None:
        """Detach the lake, so that its folder may go or others open its catalog; it is attached anew when asked for.

        DuckDB looks at every attached lake, whichever is asked for.
        """
        with _ENGINE.lock:
            if _ENGINE.process == os.getpid() and _ENGINE.attached.pop(lake, None) is not None:
                self.connection.execute(f"DETACH {quote(lake)}")

    def rollback(self) -> None:
        """Roll the connection's transaction back, if one is open."""
        try:
            self.connection.execute("ROLLBACK")
        except duckdb.Error:
            # The failing statement has ended the transaction already, or its connection with it.
            return

    def query(self, lake: str, statement: str) -> list[tuple[Any, ...]]:
        """The rows that the database of the lake's catalog gives for a statement in its own SQL."""
        self.attach(lake)
        return query(self.connection, self.settings, lake, statement)

    def rows(self, expression: ir.Expr) -> list[tuple[Any, ...]]:
        """The rows of an Ibis expression, as the engine gives them."""
        return self.connection.execute(str(self.ibis.compile(expression))).fetchall()

    def _identity(self, lake: str) -> str:
        catalog = self.settings.lake(lake).catalog
        file = self.settings.lake_catalog_path(lake) if is_embedded(self.settings, lake) else catalog
        return f"{file} {self.settings.lake_data_path(lake)}{' read-only' if self._read_only else ''}"

    def _attach(self, lake: str) -> None:
        data_path = self.settings.lake_data_path(lake)
        if self._read_only:
            there = f"sqlite:{self.settings.lake_catalog_path(lake)}"
            target = there if is_embedded(self.settings, lake) else self._prepare_postgres(lake)
            self.connection.execute(
                f"ATTACH {literal('ducklake:' + target)} AS {quote(lake)} "
                f"(READ_ONLY, DATA_PATH {literal(str(data_path) + '/')}{self._options(lake)})"
            )
            return
        data_path.mkdir(parents=True, exist_ok=True)
        embedded = is_embedded(self.settings, lake)
        with publish_lock(self.settings, lake):
            target = self._prepare_sqlite(lake) if embedded else self._prepare_postgres(lake)
            attach = (
                f"ATTACH {literal('ducklake:' + target)} AS {quote(lake)} "
                f"(DATA_PATH {literal(str(data_path) + '/')}, DATA_INLINING_ROW_LIMIT 0{self._options(lake)})"
            )
            self.connection.execute(attach)
            if not has_ledger(self.connection, self.settings, lake):
                if embedded:
                    self.connection.execute(f"DETACH {quote(lake)}")
                make_ledger(self.connection, self.settings, lake)
                if embedded:
                    self.connection.execute(attach)

    def _options(self, lake: str) -> str:
        if is_embedded(self.settings, lake):
            moved = ", OVERRIDE_DATA_PATH true" if self._is_beside_its_data(lake) else ""
            return f", META_BUSY_TIMEOUT {int(BUSY_SECONDS * 1000)}{moved}"
        return f", META_SECRET {literal(_secret_name(lake))}"

    def _is_beside_its_data(self, lake: str) -> bool:
        """Whether the catalog was made beside its data, and so still is where its home folder was moved or copied."""
        file = self.settings.lake_catalog_path(lake)
        if self.settings.lake(lake).data_path is not None or not (
            file.exists() and self.settings.lake_data_path(lake).is_dir()
        ):
            return False
        with closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as catalog:
            try:
                made = catalog.execute("SELECT value FROM ducklake_metadata WHERE key = 'data_path'").fetchall()
            except sqlite3.OperationalError:
                # A lake that is only being made.
                return False
        return [Path(path).parts[-3:] for (path,) in made] == [("lakes", lake, "data")]

    def _prepare_sqlite(self, lake: str) -> str:
        file = self.settings.lake_catalog_path(lake)
        file.parent.mkdir(parents=True, exist_ok=True)
        # A catalog in the default journal mode lets one publisher starve all readers; WAL does not.
        with sqlite3.connect(file, timeout=BUSY_SECONDS) as catalog:
            catalog.execute("PRAGMA journal_mode=WAL")
        catalog.close()
        return f"sqlite:{file}"

    def _prepare_postgres(self, lake: str) -> str:
        self.connection.execute(f"LOAD {literal(str(extension_file(_POSTGRES_EXTENSION)))}")
        settings = self.settings.lake(lake)
        password = settings.password.get_secret_value() if settings.password else ""
        # The password goes into DuckDB's secret store, not into the connection string that errors repeat.
        self.connection.execute(
            f"CREATE OR REPLACE SECRET {quote(_secret_name(lake))} (TYPE postgres, PASSWORD {literal(password)})"
        )
        return f"postgres:{settings.catalog}"


def _reason(error: Exception) -> str:
    # Of files and connections the engine says what a person has to know, of data what it read there.
    about_files = isinstance(error, duckdb.IOException | OSError | sqlite3.Error)
    return first_line(error) if about_files else reason(error)


def _secret_name(lake: str) -> str:
    return f"catalog_{lake}"
