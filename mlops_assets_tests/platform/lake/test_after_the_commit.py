"""Trouble at the commit of a publish and after it: what the lake refers to stays, and reruns end well.

Put here faults from COMMIT on. Keep out those before it, and the regular exits of a step.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import duckdb
import pyarrow as pa
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from mlops_assets.platform.assets.addition import add
from mlops_assets.platform.lake import ledger, publish
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import sweep
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake.test_publishing import publish_rows
from mlops_assets_tests.platform.lake.test_repair import mend
from mlops_assets_tests.postgres import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.stage import StagedFile
    from mlops_assets_tests.postgres import PostgresServer

ROTTEN: orchard.Row = {"week": "w1", "tree": 9, "picker": "Picker 9", "kilos": -1.0}


def swept(lake: str) -> list[Path]:
    """What a sweep of the lake removes now."""
    with LakeSession(Settings.load()) as session:
        return sweep(session, lake, older_than_seconds=0)


def data_files(contract: Contract) -> list[Path]:
    """The files that the table now consists of."""
    with LakeSession(Settings.load()) as session:
        catalog = session.attach(contract.lake.name)
        files = session.connection.execute(
            "SELECT data_file FROM ducklake_list_files(?, ?, schema => ?)", [catalog, contract.table, contract.layer]
        ).fetchall()
    return [Path(file) for (file,) in files]


def forget_pages() -> None:
    """Forget what this process has read of the lake's files, which DuckDB takes for unchanging."""
    with LakeSession(Settings.load()) as session:
        session.connection.execute("SET GLOBAL enable_external_file_cache = false")
        session.connection.execute("SET GLOBAL enable_external_file_cache = true")


def adopted(result: dg.ExecuteInProcessResult, node: str) -> object:
    """Whether the step adopted a publish that was there; the run succeeded."""
    assert result.success, failure(result)
    [materialization] = result.asset_materializations_for_node(node)
    return materialization.metadata["adopted"].value


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the failed step says."""
    [failed] = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data
    return str(data.user_failure_data.description if data.user_failure_data else data.error)


def interrupt(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Act once between a publish's COMMIT and its event."""
    original = ledger.find

    def find(*arguments: object) -> object:
        monkeypatch.setattr(ledger, "find", original)
        act()
        return original(*arguments)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(ledger, "find", find)


def throw(error: BaseException) -> Callable[[], object]:
    """What raises that error."""

    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    "error",
    [MemoryError(), KeyboardInterrupt(), DagsterExecutionInterruptedError(), OSError("disk"), duckdb.IOException("")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_after_the_commit_leaves_the_published_file(
    error: BaseException, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    interrupt(monkeypatch, throw(error))
    with suppress(type(error)):
        orchard.pick("w1", [orchard.harvest], instance=instance)
    assert len(orchard.visible(orchard.HARVEST)) == 4
    assert swept("restricted") == []
    assert adopted(orchard.pick("w1", [orchard.harvest], instance=instance), "raw__harvest") is True
    assert len(orchard.visible(orchard.HARVEST)) == 4


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
def test_a_run_that_is_interrupted_after_the_commit_leaves_the_published_file(
    sent: signal.Signals, instance: dg.DagsterInstance
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    orchard.pick_and_send("w1", "after_the_commit", sent, orchard.sorted_harvest)
    [run] = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert len(orchard.visible(orchard.SORTED_HARVEST)) == 4
    assert swept("restricted") == []
    again = orchard.pick("w1", [orchard.sorted_harvest], instance=instance)
    assert adopted(again, "raw__sorted_harvest") is True


def test_an_error_after_the_commit_leaves_good_and_quarantined_rows_and_no_others(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchard.weigh("w1", [*orchard.good_rows("w1"), ROTTEN])
    interrupt(monkeypatch, throw(MemoryError()))
    assert not orchard.pick("w1", [orchard.sorted_harvest], instance=instance).success
    assert len(orchard.visible(orchard.SORTED_HARVEST)) == 4
    with LakeSession(Settings.load()) as session:
        session.attach("restricted")
        aside = session.connection.execute("SELECT tree FROM restricted.raw.sorted_harvest_quarantine").fetchall()
    assert aside == [(9,)]
    assert swept("restricted") == [], "what was split is gone, and nothing else may go"


def test_an_addition_that_ends_after_its_commit_leaves_the_published_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = pa.table({"week": ["w1"], "tree": [1], "kilos": [1.0]})
    interrupt(monkeypatch, throw(KeyboardInterrupt()))
    with LakeSession(settings) as session, pytest.raises(KeyboardInterrupt):
        add(session, orchard.YIELDS, "w1", lambda _: row)
    assert len(orchard.visible(orchard.YIELDS)) == 1
    assert swept("curated") == []


def test_an_error_before_the_commit_leaves_no_file(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    monkeypatch.setattr(ledger, "recorded", throw(MemoryError()))
    assert not orchard.pick("w1", [orchard.harvest], instance=instance).success
    assert list(home.rglob("*.parquet")) == []


def test_a_publish_that_is_adopted_leaves_no_second_file(instance: dg.DagsterInstance, home: Path) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    for _ in range(2):
        assert orchard.pick("w1", [orchard.harvest], instance=instance).success
    assert list(home.rglob("*.parquet")) == data_files(orchard.HARVEST)


def test_a_table_without_partitions_whose_file_is_missing_is_given_up_and_published_anew(
    instance: dg.DagsterInstance,
) -> None:
    publish_rows(Settings.load(), "w1", [1, 2], "yields")
    dg.materialize([orchard.season], instance=instance)
    [file] = data_files(orchard.SEASON)
    file.unlink()
    forget_pages()
    failed = dg.materialize([orchard.season], instance=instance, raise_on_error=False)
    assert "mlops-assets lake repair curated" in failure(failed)
    mend()
    again = dg.materialize([orchard.season], instance=instance)
    assert adopted(again, "features__season") is False
    assert orchard.visible(orchard.SEASON) == [(1, 2.0)]


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_partition_whose_file_cannot_be_read_is_not_adopted_but_fails_naming_it_and_its_remedy(
    damage: str, instance: dg.DagsterInstance
) -> None:
    for week in ("w1", "w2"):
        orchard.weigh(week, orchard.good_rows(week))
        orchard.pick(week, [orchard.harvest], instance=instance)
    [file] = [file for file in data_files(orchard.HARVEST) if "w1" in file.read_bytes().decode("latin-1")]
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-50])
        forget_pages()
    failed = orchard.pick("w1", [orchard.harvest], instance=instance)
    assert not failed.success
    assert "table raw/harvest, partition w1" in failure(failed)
    assert str(file) in failure(failed)
    assert "Restore that file from a backup" in failure(failed)
    assert adopted(orchard.pick("w2", [orchard.harvest], instance=instance), "raw__harvest") is True

    file.write_bytes(content)
    forget_pages()
    assert adopted(orchard.pick("w1", [orchard.harvest], instance=instance), "raw__harvest") is True


def test_without_a_backup_the_partition_is_given_up_and_published_anew_and_no_other(
    instance: dg.DagsterInstance,
) -> None:
    for week in ("w1", "w2"):
        orchard.weigh(week, orchard.good_rows(week))
        orchard.pick(week, [orchard.harvest], instance=instance)
    data_files(orchard.HARVEST)[0].unlink()
    [planned] = mend("restricted")
    [lost] = planned.lost
    again = {
        week: adopted(orchard.pick(week, [orchard.harvest], instance=instance), "raw__harvest") for week in ("w1", "w2")
    }
    assert again == {week: week != lost for week in ("w1", "w2")}
    assert len(orchard.visible(orchard.HARVEST)) == 8


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServer]:
    """A server that a test may break, with the catalogs of both lakes."""
    with running_server() as server:
        for lake in ("restricted", "curated"):
            database = server.create_database()
            monkeypatch.setenv(f"MLOPS_ASSETS_LAKES__{lake.upper()}__CATALOG", database.dsn)
            monkeypatch.setenv(f"MLOPS_ASSETS_LAKES__{lake.upper()}__PASSWORD", database.password)
        yield server
        for lake in ("restricted", "curated"):
            monkeypatch.delenv(f"MLOPS_ASSETS_LAKES__{lake.upper()}__CATALOG")
        for lake in ("restricted", "curated"):
            # Detaches the catalogs that end with the server; this process would go on asking for them.
            with LakeSession(Settings.load()) as session:
                session.attach(lake)


def until(condition: Callable[[], object]) -> None:
    """Wait for it; pytest's own limit ends what never comes."""
    while not condition():
        time.sleep(0.05)


@pytest.mark.postgres
def test_a_postgresql_that_dies_after_the_commit_leaves_the_published_file(
    server: PostgresServer, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    interrupt(monkeypatch, server.stop)
    assert not orchard.pick("w1", [orchard.harvest], instance=instance).success
    server.start()
    assert len(orchard.visible(orchard.HARVEST)) == 4
    assert swept("restricted") == []
    assert adopted(orchard.pick("w1", [orchard.harvest], instance=instance), "raw__harvest") is True


@pytest.mark.postgres
def test_a_commit_that_is_done_although_postgresql_dies_in_it_leaves_the_published_file(
    server: PostgresServer, instance: dg.DagsterInstance
) -> None:
    orchard.weigh("w2", orchard.good_rows("w2"))
    assert orchard.pick("w2", [orchard.harvest], instance=instance).success
    orchard.weigh("w1", orchard.good_rows("w1"))
    with ThreadPoolExecutor(max_workers=1) as pool, server.holding_commits():
        run = pool.submit(orchard.pick, "w1", [orchard.harvest])
        until(server.held_commits)
        server.stop()
        assert not run.result().success
        server.start()
    assert len(orchard.visible(orchard.HARVEST)) == 8
    assert swept("restricted") == []
    assert adopted(orchard.pick("w1", [orchard.harvest], instance=instance), "raw__harvest") is True


@pytest.mark.postgres
def test_a_commit_that_postgresql_never_got_leaves_the_last_good_partition_and_a_file_to_sweep(
    server: PostgresServer, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    assert orchard.pick("w1", [orchard.harvest], instance=instance).success
    orchard.weigh("w1", orchard.good_rows("w1", trees=7))
    mark = publish._mark

    def stop_before_the_commit(files: Sequence[StagedFile], *, maybe_published: bool) -> None:
        monkeypatch.setattr(publish, "_mark", mark)
        server.stop()
        mark(files, maybe_published=maybe_published)

    monkeypatch.setattr(publish, "_mark", stop_before_the_commit)
    assert not orchard.pick("w1", [orchard.harvest], instance=instance).success
    server.start()
    assert len(orchard.visible(orchard.HARVEST)) == 4
    assert len(swept("restricted")) == 1
    assert len(orchard.visible(orchard.HARVEST)) == 4
    assert adopted(orchard.pick("w1", [orchard.harvest], instance=instance), "raw__harvest") is False
    assert len(orchard.visible(orchard.HARVEST)) == 7


PUBLISHER = """
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform.lake.test_after_the_commit import publish_late
publish_late(Settings.load())
"""


def publish_late(settings: Settings) -> int:
    """Publish three rows as w1; returns the lake version."""
    return publish_rows(settings, "w1", [1, 2, 3], "late")


@pytest.mark.postgres
def test_a_commit_that_outlives_its_process_is_neither_swept_nor_published_twice(
    server: PostgresServer, settings: Settings
) -> None:
    publish_rows(settings, "w2", [1], "early")
    with ThreadPoolExecutor(max_workers=2) as pool, server.holding_commits():
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )
        until(server.held_commits)
        process.kill()
        process.wait()
        publishing = pool.submit(publish_late, settings)
        until(server.awaited_locks)
        sweeping = pool.submit(swept, "curated")
        until(lambda: server.awaited_locks() == 2 or sweeping.done())
    publishing.result()
    assert sweeping.result() == []
    assert len(orchard.visible(orchard.YIELDS)) == 4


def cut_connections(port: int) -> None:
    """Cut this process's connections to that port, as a network would, without a word to the other end."""
    for descriptor in Path("/proc/self/fd").iterdir():
        # Descriptors come and go, and not every socket is connected.
        with suppress(OSError):
            if str(descriptor.readlink()).startswith("socket:"):
                with socket.socket(fileno=os.dup(int(descriptor.name))) as connection:
                    if connection.getpeername()[1] == port:
                        connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.postgres
def test_a_commit_whose_connection_is_cut_is_known_to_be_done_before_another_attempt(
    server: PostgresServer, settings: Settings
) -> None:
    publish_rows(settings, "w2", [1], "early")
    with ThreadPoolExecutor(max_workers=1) as pool, server.holding_commits():
        publishing = pool.submit(publish_late, settings)
        until(server.held_commits)
        cut_connections(server.port)
        until(server.awaited_locks)
    version = publishing.result()
    assert len(orchard.visible(orchard.YIELDS)) == 4
    with LakeSession(settings) as session:
        published = [entry.version for entry in ledger.since(session, "curated", 0)]
    assert published[-1] == version
    assert len(published) == 2
    assert swept("curated") == []
