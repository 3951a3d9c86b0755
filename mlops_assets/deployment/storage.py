"""Storage of a deployment's Dagster instance: PostgreSQL, with connections that stay open.

Put here what makes Dagster's own PostgreSQL storages fast enough for many runs at once. Keep out the storage of an
instance on one machine, which is ``platform/embedded_storage.py``.

Dagster opens and closes a connection for every statement or two: two dozen for each step of a run. With TLS, a password
checked by SCRAM and a process of the server for each, setting one up takes far longer than storing the event.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from dagster import StringSource
from dagster._core.storage.event_log import SqlEventLogStorageMetadata
from dagster._core.storage.runs import RunStorageSqlMetadata
from dagster._core.storage.schedules import ScheduleStorageSqlMetadata
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.utils import retry_pg_connection_fn, set_pg_statement_timeout
from sqlalchemy import create_engine, event, inspect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster._serdes import ConfigurableClassData
    from sqlalchemy import Engine

_KEPT: Final = 2
"""Connections that a process keeps while it does not use them."""

_OLDEST_SECONDS: Final = 300
"""Age from which a kept connection is not used again: a new one has to show what is valid then."""

_NOTICE_SILENCE: Final = {"keepalives_idle": 30, "tcp_user_timeout": 30_000}
"""Seconds and milliseconds. A server that went away without a word would be waited for a quarter of an hour."""

_NO_LIMIT: Final = -1


class KeptPostgresStorage(DagsterPostgresStorage):
    """Dagster's storage in PostgreSQL, with a few connections for each process.

    In ``dagster.yaml``::

        storage:
          custom:
            module: mlops_assets.deployment.storage
            class: KeptPostgresStorage
            config: {postgres_url: {env: MLOPS_ASSETS_PG_URL}}

    The tables are those of Dagster's own class: either reads what the other wrote.
    """

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the storage; where tables are missing they are made.

        Raises:
            DagsterPostgresException: the server could not be reached, after six attempts.
        """
        engine = _connections(postgres_url)
        # Dagster asks for each storage anew, over a connection that it does not keep.
        complete = retry_pg_connection_fn(lambda: _has_all_tables(engine))
        super().__init__(postgres_url, should_autocreate_tables=not complete, inst_data=inst_data)
        self._run_storage = _RunStorage(postgres_url, should_autocreate_tables=False)
        self._event_log_storage = _EventLogStorage(postgres_url, should_autocreate_tables=False)
        self._schedule_storage = _ScheduleStorage(postgres_url, should_autocreate_tables=False)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage.keep_connections()

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """What ``dagster.yaml`` has to say."""
        return {"postgres_url": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> KeptPostgresStorage:
        """The storage that ``dagster.yaml`` asks for."""
        return cls(inst_data=inst_data, **config_value)


class _KeptConnections:
    """What the three storages have in common: the process's connections instead of new ones for each statement."""

    postgres_url: str
    _engine: Engine

    def keep_connections(self) -> None:
        """Use the process's connections from now on."""
        self._engine = _connections(self.postgres_url)

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Limit statements to ``statement_timeout`` milliseconds, and connections as the web server's options say."""
        self._engine = _connections(
            self.postgres_url,
            oldest_seconds=pool_recycle if 0 <= pool_recycle < _OLDEST_SECONDS else _OLDEST_SECONDS,
            # Dagster's limit is for each of its three storages.
            overflow=3 * max_overflow if max_overflow >= 0 else _NO_LIMIT,
            statement_milliseconds=statement_timeout,
        )


class _RunStorage(_KeptConnections, PostgresRunStorage):
    """Dagster's runs."""


class _EventLogStorage(_KeptConnections, PostgresEventLogStorage):
    """Dagster's events."""


class _ScheduleStorage(_KeptConnections, PostgresScheduleStorage):
    """Dagster's schedules and sensors."""


@cache
def _connections(
    url: str, *, oldest_seconds: int = _OLDEST_SECONDS, overflow: int = _NO_LIMIT, statement_milliseconds: int = 0
) -> Engine:
    """The process's connections to a database: of all storages, and of all instances made one after another."""
    made = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=_KEPT,
        max_overflow=overflow,
        pool_recycle=oldest_seconds,
        # What was cut meanwhile is replaced before it is used.
        pool_pre_ping=True,
        connect_args=_NOTICE_SILENCE,
    )
    if statement_milliseconds:

        def limit(connection: Any, _: object) -> None:  # noqa: ANN401  psycopg2 has no types
            set_pg_statement_timeout(connection, statement_milliseconds)

        event.listen(made, "connect", limit)
    return made


def _has_all_tables(engine: Engine) -> bool:
    needed = {
        name
        for metadata in (RunStorageSqlMetadata, SqlEventLogStorageMetadata, ScheduleStorageSqlMetadata)
        for name in metadata.tables
    }
    return needed <= set(inspect(engine).get_table_names())
