"""Storage of the embedded Dagster instance: SQLite files whose connections stay open.

Put here what makes Dagster's own SQLite storages fast enough for an instance on one machine. Keep out the storage of a
deployment, which is PostgreSQL.

Dagster opens and closes a connection for each event of a run. Setting one up takes longer than the event, and SQLite
moves the journal into the database whenever the last connection is closed.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections import OrderedDict
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagster._serdes import ConfigurableClassData
    from sqlalchemy import Connection, Engine

_FOLDER: Final = Path("history", "runs")
"""Where Dagster's default instance has its event log, below its home."""

_LOCK: Final = "storage.lock"
_MOST_OPEN: Final = 8
"""Files kept open: the index, and those of the runs that were touched last."""


class KeptSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's event log in SQLite files, with one connection for each file that is in use.

    The files are those of the default instance: either class reads what the other wrote.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the event log below ``base_dir``, the instance's home; it is made where there is none."""
        self._open: OrderedDict[str, Engine] = OrderedDict()
        super().__init__(str(Path(base_dir) / _FOLDER), inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        # The lock is what lets threads share a connection.
        with self._db_lock, self._engine(shard).connect() as connection, connection.begin():
            yield connection

    def wipe(self) -> None:
        """Remove every event."""
        with self._db_lock:
            self._close()
        super().wipe()

    def dispose(self) -> None:
        """Close every file."""
        with self._db_lock:
            self._close()
        super().dispose()

    def _engine(self, shard: str) -> Engine:
        engine = self._open.get(shard)
        if engine is None:
            engine = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=StaticPool,
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
            )
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection:
                # A crash of the process loses nothing; one of the machine may lose the last events, not the database.
                # What was published then is told by the reconciler.
                connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
            self._open[shard] = engine
            if len(self._open) > _MOST_OPEN:
                _, longest_unused = self._open.popitem(last=False)
                longest_unused.dispose()
        self._open.move_to_end(shard)
        return engine

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:  # noqa: FBT001, FBT002  Dagster's own
        """Lay out a file that is new, as the index is laid out."""
        try:
            laid_out = not for_index_shard and self._lay_out_like_index(str(engine.url.database))
        except sqlite3.Error:
            laid_out = False
        if not laid_out:
            super()._initdb(engine, for_index_shard)

    def _lay_out_like_index(self, shard: str) -> bool:
        """Give the file the tables of the index, if it has none; returns whether it has those of the index's revision.

        Dagster has alembic load all its revisions to find the last one: a third of a short run's time.
        """
        with (
            closing(sqlite3.connect(self.path_for_shard(INDEX_SHARD_NAME))) as index,
            closing(sqlite3.connect(shard, timeout=SQLITE_BUSY_TIMEOUT_SECONDS, isolation_level=None)) as new,
        ):
            revision = index.execute("SELECT version_num FROM alembic_version").fetchone()
            if revision is None:
                # Another process is only just laying the index out, or was killed while it did.
                return False
            if new.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                new.execute("PRAGMA journal_mode = WAL")
                new.execute("BEGIN IMMEDIATE")
                for (statement,) in index.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"):
                    new.execute(statement)
                new.execute("INSERT INTO alembic_version VALUES (?)", revision)
                new.execute("COMMIT")
            return bool(new.execute("SELECT version_num FROM alembic_version").fetchone() == revision)

    def _close(self) -> None:
        for engine in self._open.values():
            engine.dispose()
        self._open.clear()


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """Let one process at a time open the storage of that home.

    Of those that find it empty at once each would lay it out, so that some fail, or all that come later do.
    """
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class KeptSqliteStorage(DagsterSqliteStorage):
    """Dagster's storage in SQLite files, its event log with connections that stay open.

    In ``dagster.yaml``::

        storage:
          custom:
            module: mlops_assets.platform.assets.embedded_storage
            class: KeptSqliteStorage
            config: {base_dir: {env: DAGSTER_HOME}}

    The files are those of the default instance.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the storage below ``base_dir``, the instance's home; it is made where there is none."""
        with _one_at_a_time(Path(base_dir)):
            super().__init__(base_dir, inst_data)
            self._event_log_storage = KeptSqliteEventLogStorage(base_dir)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> KeptSqliteStorage:
        """The storage that ``dagster.yaml`` asks for."""
        return cls.from_local(inst_data=inst_data, **config_value)
