"""The embedded instance's event log: the same as Dagster's own, also for other processes and threads."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator  # noqa: TC003  Dagster resolves the asset's annotations
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.storage.event_log import EventLogStorage, SqliteEventLogStorage

from mlops_assets.platform.assets.embedded_storage import KeptSqliteEventLogStorage
from mlops_assets_tests import processes

if TYPE_CHECKING:
    from pathlib import Path

OBSERVATIONS = 5
RUNS = 12
SETTINGS = """
telemetry: {enabled: false}
storage:
  custom:
    module: mlops_assets.platform.assets.embedded_storage
    class: KeptSqliteStorage
    config: {base_dir: {env: DAGSTER_HOME}}
"""


@dg.asset
def orchard() -> Iterator[dg.AssetObservation | dg.MaterializeResult[None]]:
    """Tells of a few trees."""
    for tree in range(OBSERVATIONS):
        yield dg.AssetObservation(asset_key="orchard", metadata={"tree": tree})
    yield dg.MaterializeResult()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of an embedded instance."""
    (tmp_path / "dagster.yaml").write_text(SETTINGS)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """An embedded instance as its settings make it."""
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made


def materialized(instance: dg.DagsterInstance) -> str:
    """The id of a run that has told of the orchard."""
    return dg.materialize([orchard], instance=instance).run_id


def told(storage: EventLogStorage[Any], run_id: str) -> list[str | None]:
    """The types of a run's events."""
    return [entry.dagster_event_type for entry in storage.get_logs_for_run(run_id) if entry.dagster_event_type]


def test_dagsters_own_storage_reads_what_was_written(instance: dg.DagsterInstance, home: Path) -> None:
    run_id = materialized(instance)
    own = SqliteEventLogStorage(str(home / "history" / "runs"))
    assert told(own, run_id) == told(instance.event_log_storage, run_id)
    assert told(own, run_id).count(dg.DagsterEventType.ASSET_OBSERVATION) == OBSERVATIONS


def opened(home: str, at: float) -> None:
    """Open the instance at that time, in a process of its own."""
    time.sleep(max(0.0, at - time.time()))
    with dg.DagsterInstance.from_config(home) as instance:
        assert instance.get_runs() == []


def test_a_new_instance_is_laid_out_once_by_processes_that_open_it_at_the_same_time(home: Path) -> None:
    at = time.time() + 1.0
    opening = [processes.started(opened, str(home), at) for _ in range(4)]
    for process in opening:
        process.join()
    assert [process.exitcode for process in opening] == [0] * 4
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_runs() == []


def test_more_runs_than_files_are_kept_open_all_have_their_events(instance: dg.DagsterInstance) -> None:
    runs = [materialized(instance) for _ in range(RUNS)]
    storage = instance.event_log_storage
    assert isinstance(storage, KeptSqliteEventLogStorage)
    assert len(storage._open) < RUNS
    assert all(told(storage, run_id)[-1] is dg.DagsterEventType.PIPELINE_SUCCESS for run_id in runs)


def test_another_process_sees_the_events_at_once_and_its_own_are_seen(instance: dg.DagsterInstance, home: Path) -> None:
    materialized(instance)
    program = (
        "import dagster as dg, sys\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    key = dg.AssetKey('orchard')\n"
        "    print(len(instance.fetch_observations(key, limit=99).records))\n"
        "    instance.report_runless_asset_event(dg.AssetObservation(asset_key=key))\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "DAGSTER_HOME": str(home)}, capture_output=True, check=True
    )
    assert int(other.stdout) == OBSERVATIONS
    assert len(instance.fetch_observations(dg.AssetKey("orchard"), limit=99).records) == OBSERVATIONS + 1


def test_threads_share_the_files(instance: dg.DagsterInstance) -> None:
    runs = [materialized(instance) for _ in range(2)]
    with ThreadPoolExecutor(4) as threads:
        counts = set(threads.map(lambda number: len(instance.all_logs(runs[number % 2])), range(40)))
    assert len(counts) == 1


def test_a_wiped_log_is_empty_and_takes_new_events(instance: dg.DagsterInstance) -> None:
    before = materialized(instance)
    instance.event_log_storage.wipe()
    assert not instance.all_logs(before)
    after = materialized(instance)
    assert dg.DagsterEventType.PIPELINE_SUCCESS in told(instance.event_log_storage, after)


def schema(file: Path) -> set[tuple[str, str | None]]:
    with closing(sqlite3.connect(file)) as connection:
        return set(connection.execute("SELECT name, sql FROM sqlite_master").fetchall())


def test_a_runs_file_is_laid_out_as_dagster_does_it(instance: dg.DagsterInstance, home: Path, tmp_path: Path) -> None:
    ours = home / "history" / "runs" / f"{materialized(instance)}.db"
    own = SqliteEventLogStorage(str(tmp_path / "own"))
    with own.run_connection("run"):
        pass
    assert schema(ours) == schema(tmp_path / "own" / "run.db")
    with closing(sqlite3.connect(ours)) as shard, closing(sqlite3.connect(tmp_path / "own" / "run.db")) as other:
        for question in ("SELECT version_num FROM alembic_version", "PRAGMA journal_mode"):
            assert shard.execute(question).fetchall() == other.execute(question).fetchall()


def test_an_index_that_is_not_stamped_yet_is_no_obstacle_and_heals(instance: dg.DagsterInstance, home: Path) -> None:
    with closing(sqlite3.connect(home / "history" / "runs" / "index.db")) as index:
        [stamped] = index.execute("SELECT version_num FROM alembic_version").fetchall()
        index.execute("DELETE FROM alembic_version")
        index.commit()
        again = KeptSqliteEventLogStorage(str(home))
        assert again.get_logs_for_run("another") == []
        assert again.has_asset_key(dg.AssetKey("orchard")) is False
        assert index.execute("SELECT version_num FROM alembic_version").fetchall() == [stamped]
    assert instance.get_runs() == []


def test_a_runs_file_whose_layout_was_cut_off_is_completed(instance: dg.DagsterInstance, home: Path) -> None:
    with closing(sqlite3.connect(home / "history" / "runs" / "cut-off.db")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    assert instance.event_log_storage.get_logs_for_run("cut-off") == []
