"""The deployment's storage: what Dagster's own keeps and reads, over a few connections that stay open."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator  # noqa: TC003  Dagster resolves the asset's annotations
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import Pool

from mlops_assets.demo.live import free_port
from mlops_assets.demo.waiting import wait_until
from mlops_assets.deployment import storage
from mlops_assets.deployment.storage import KeptPostgresStorage
from mlops_assets_tests.deployment.instances import instance_on
from mlops_assets_tests.postgres import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from dagster._core.storage.event_log import EventLogStorage
    from sqlalchemy import Engine

    from mlops_assets_tests.postgres import PostgresDatabase

pytestmark = [pytest.mark.postgres]

TREES = 3
KEPT = 2


@dg.asset
def orchard() -> Iterator[dg.AssetObservation | dg.MaterializeResult[None]]:
    """Tells of a few trees."""
    for tree in range(TREES):
        yield dg.AssetObservation(asset_key="orchard", metadata={"tree": tree})
    yield dg.MaterializeResult()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagster_postgres.utils.calculate_delay", lambda **_: 0.01)


@pytest.fixture
def instance(postgres_database: PostgresDatabase, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on an empty database."""
    with instance_on(postgres_database, tmp_path) as made:
        yield made
        engine(made).dispose()


@pytest.fixture
def opened() -> Iterator[list[object]]:
    """Every connection that any pool of this process has opened since."""
    found: list[object] = []

    def note(connection: object, _: object) -> None:
        found.append(connection)

    event.listen(Pool, "connect", note)
    yield found
    event.remove(Pool, "connect", note)


def engine(instance: dg.DagsterInstance) -> Engine:
    """What gives the instance its connections."""
    log = instance.event_log_storage
    assert isinstance(log, PostgresEventLogStorage)
    return log._engine


def materialized(instance: dg.DagsterInstance) -> str:
    """The id of a run that has told of the orchard."""
    return dg.materialize([orchard], instance=instance).run_id


def told(log: EventLogStorage[Any], run_id: str) -> list[str | None]:
    """The types of a run's events."""
    return [entry.dagster_event_type for entry in log.get_logs_for_run(run_id) if entry.dagster_event_type]


def settled(database: PostgresDatabase, at_most: int) -> set[int]:
    """The database's sessions, once the server has ended those that were closed."""
    return wait_until(
        lambda found: len(found) <= at_most,
        database.sessions,
        what="Sessions",
        remedy=f"At most {at_most} should stay.",
        pause=0.05,
    )


def test_dagsters_own_storage_reads_what_was_written(
    instance: dg.DagsterInstance, postgres_database: PostgresDatabase
) -> None:
    run_id = materialized(instance)
    own = DagsterPostgresStorage(postgres_database.url)
    assert told(own.event_log_storage, run_id) == told(instance.event_log_storage, run_id)
    assert told(own.event_log_storage, run_id).count(dg.DagsterEventType.ASSET_OBSERVATION) == TREES
    assert [run.status for run in own.run_storage.get_runs()] == [dg.DagsterRunStatus.SUCCESS]


def test_what_dagsters_own_storage_has_written_is_read(postgres_database: PostgresDatabase, tmp_path: Path) -> None:
    own = DagsterPostgresStorage(postgres_database.url)
    own.event_log_storage.add_dynamic_partitions("orchards", ["north"])
    with instance_on(postgres_database, tmp_path) as instance:
        assert instance.get_dynamic_partitions("orchards") == ["north"]
        engine(instance).dispose()


def test_runs_and_schedules_open_no_connection_but_use_those_that_are_kept(
    instance: dg.DagsterInstance, postgres_database: PostgresDatabase, opened: list[object]
) -> None:
    materialized(instance)
    assert len(settled(postgres_database, KEPT)) <= KEPT
    opened.clear()
    for _ in range(3):
        materialized(instance)
        assert instance.all_instigator_state() == []
        assert len(instance.get_runs()) > 1
    assert opened == []


def test_dagsters_own_storage_opens_a_connection_again_and_again(
    postgres_database: PostgresDatabase, opened: list[object]
) -> None:
    own = DagsterPostgresStorage(postgres_database.url)
    opened.clear()
    for _ in range(3):
        own.run_storage.get_runs()
        own.event_log_storage.get_dynamic_partitions("orchards")
        own.schedule_storage.all_instigator_state()
    assert len(opened) >= 9


def test_instances_made_one_after_another_share_the_connections(
    instance: dg.DagsterInstance, postgres_database: PostgresDatabase
) -> None:
    materialized(instance)
    before = settled(postgres_database, KEPT)
    for _ in range(5):
        with dg.DagsterInstance.from_ref(instance.get_ref()) as another:
            assert another.get_runs_count() == 1
    assert postgres_database.sessions() == before


def test_as_many_threads_as_ask_get_a_connection_each_and_a_few_stay_open(
    instance: dg.DagsterInstance, postgres_database: PostgresDatabase
) -> None:
    together = Barrier(20)

    def ask(_: int) -> int:
        with engine(instance).connect() as connection:
            together.wait(timeout=60)
            return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())

    with ThreadPoolExecutor(20) as threads:
        asked = set(threads.map(ask, range(20)))
    assert len(asked) == 20
    kept = settled(postgres_database, KEPT)
    assert len(kept) == KEPT
    assert kept < asked


def test_a_kept_connection_that_the_server_has_cut_is_replaced_before_it_is_used(
    instance: dg.DagsterInstance, postgres_database: PostgresDatabase
) -> None:
    materialized(instance)
    postgres_database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
    )
    assert told(instance.event_log_storage, materialized(instance))[-1] is dg.DagsterEventType.PIPELINE_SUCCESS


@pytest.mark.usefixtures("_impatient")
def test_events_are_stored_again_once_the_server_is_back(tmp_path: Path) -> None:
    with running_server() as server:
        database = server.create_database()
        with instance_on(database, tmp_path) as instance:
            materialized(instance)
            server.stop()
            with pytest.raises(DagsterPostgresException):
                instance.get_runs()
            server.start()
            assert told(instance.event_log_storage, materialized(instance))[-1] is dg.DagsterEventType.PIPELINE_SUCCESS
            engine(instance).dispose()


def test_a_connection_that_is_too_old_is_not_used_again(
    postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = storage._connections(postgres_database.url, oldest_seconds=3600)

    def session() -> int:
        with connections.connect() as connection:
            return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())

    first = session()
    assert session() == first
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + 3601)
    assert session() != first
    connections.dispose()


def test_a_server_that_goes_away_without_a_word_is_noticed(instance: dg.DagsterInstance) -> None:
    with engine(instance).connect() as connection:
        told_to_libpq = connection.connection.dbapi_connection.info.dsn_parameters  # type: ignore[union-attr]
    assert told_to_libpq["tcp_user_timeout"] == "30000"
    assert told_to_libpq["keepalives_idle"] == "30"


@pytest.mark.parametrize(("asked", "used"), [(60, 60), (3600, 300), (-1, 300)])
def test_no_option_of_a_web_server_keeps_connections_longer_than_five_minutes(
    instance: dg.DagsterInstance, asked: int, used: int
) -> None:
    instance.optimize_for_webserver(statement_timeout=200, pool_recycle=asked, max_overflow=20)
    assert engine(instance).pool._recycle == used
    engine(instance).dispose()


def test_statements_of_a_web_server_have_their_time_limit_in_every_storage(instance: dg.DagsterInstance) -> None:
    instance.optimize_for_webserver(statement_timeout=2000, pool_recycle=3600, max_overflow=20)
    limited = engine(instance)
    assert instance.run_storage._engine is limited  # type: ignore[attr-defined]
    assert instance.schedule_storage is not None
    assert instance.schedule_storage._engine is limited  # type: ignore[attr-defined]
    with limited.connect() as connection, pytest.raises(OperationalError, match="statement timeout"):
        connection.execute(text("SELECT pg_sleep(60)"))
    assert instance.get_runs_count() == 0
    limited.dispose()


def test_a_process_that_comes_first_makes_the_tables_and_others_use_them(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    program = (
        "import dagster as dg\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    instance.report_runless_asset_event(dg.AssetObservation(asset_key='orchard'))\n"
    )
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "DAGSTER_HOME": str(tmp_path)}, check=True)
    assert len(instance.fetch_observations(dg.AssetKey("orchard"), limit=9).records) == 1


@pytest.mark.usefixtures("_impatient")
def test_a_server_that_is_not_there_is_told_after_a_few_attempts() -> None:
    nobody = f"postgresql+psycopg2://nobody@127.0.0.1:{free_port()}/nothing"
    with pytest.raises(DagsterPostgresException, match="too many retries"):
        KeptPostgresStorage(nobody)
