"""Publishing under many processes, on both catalogs, and reading one consistent state."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
import pytest

from mlops_assets.platform.assets.inputs import In, Read
from mlops_assets.platform.assets.reading import pinned_versions, read_inputs
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.catalog import publish_lock
from mlops_assets.platform.lake.frames import as_ibis
from mlops_assets.platform.lake.ledger import PublishRecord
from mlops_assets.platform.lake.publish import OvertakenError, Replacement, publish
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import StagedFile, lease, stage, sweep
from mlops_assets.platform.settings import Settings
from mlops_assets_tests import processes
from mlops_assets_tests.platform import orchard

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.postgres import PostgresDatabase


def publish_rows(
    settings: Settings,
    week: str,
    trees: list[int],
    publish_id: str,
    *,
    run_id: str = "none",
    made: PublishRecord | None = None,
) -> int:
    """Publish a week with those trees, past the Dagster layer; returns the lake version."""
    contract = orchard.YIELDS
    with LakeSession(settings) as session, lease(session, contract.lake.name) as attempt:
        table = pa.table({"week": [week] * len(trees), "tree": trees, "kilos": [1.0] * len(trees)})
        rows = as_ibis(session, table, rules.columns_of(contract))
        staged = stage(session, contract, rows, attempt=attempt)
        made = made or record(week, publish_id, staged, run_id)
        while True:
            replaced = ledger.current_version(session, contract, week)
            with suppress(OvertakenError):
                whole = Replacement(partition={"week": week}, staged=staged, record=made, instead_of=replaced)
                return publish(session, contract, whole).entry.version


def record(week: str, publish_id: str, staged: StagedFile, run_id: str = "none") -> PublishRecord:
    return PublishRecord(
        publish_id=publish_id,
        asset=orchard.YIELDS.key.to_user_string(),
        partition=week,
        run_id=run_id,
        code_version="1",
        package_version="0",
        environment="test",
        columns=list(rules.columns_of(orchard.YIELDS)),
        content_hash=publish_id,
        rows=1,
        bytes=staged.bytes,
        inputs={},
        checks=[],
        published_at=0.0,
    )


def publish_often(week: str, turns: int, publisher: int = 0) -> None:
    """Publish the week so many times, one row each time."""
    for turn in range(turns):
        publish_rows(Settings.load(), week, [turn + 1], f"{week}-{publisher}-{turn}")


def publish_from_many_processes(turns: int) -> list[str]:
    """Publish each week in two processes at a time; returns the ids of all publishes."""
    publishers = [processes.started(publish_often, week, turns, number) for week in orchard.WEEKS for number in (1, 2)]
    for publisher in publishers:
        publisher.join()
    assert {publisher.exitcode for publisher in publishers} == {0}
    return [f"{week}-{number}-{turn}" for week in orchard.WEEKS for number in (1, 2) for turn in range(turns)]


def published_ids(settings: Settings) -> list[str]:
    with LakeSession(settings) as session:
        return [entry.record.publish_id for entry in ledger.since(session, "curated", 0)]


def test_no_publish_is_lost_doubled_or_refused_under_many_processes(settings: Settings) -> None:
    made = publish_from_many_processes(turns=3)
    assert sorted(published_ids(settings)) == sorted(made)
    visible = orchard.visible(orchard.YIELDS)
    assert sorted(str(row[0]) for row in visible) == list(orchard.WEEKS), (
        "each week has the one row of its last publish"
    )


@pytest.mark.postgres
def test_a_postgresql_catalog_takes_publishes_from_many_processes(
    postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_LAKES__CURATED__CATALOG", postgres_database.dsn)
    monkeypatch.setenv("MLOPS_ASSETS_LAKES__CURATED__PASSWORD", postgres_database.password)
    made = publish_from_many_processes(turns=2)
    settings = Settings.load()
    assert sorted(published_ids(settings)) == sorted(made)
    assert len(orchard.visible(orchard.YIELDS)) == 3


def test_a_stuck_lock_ends_in_a_clear_error(settings: Settings) -> None:
    with (
        publish_lock(settings, "curated"),
        pytest.raises(LakeError, match="held the lock for more than"),
        publish_lock(settings, "curated", seconds=0.1),
    ):
        pass


def test_a_catalog_that_is_away_ends_in_one_error_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_LAKES__CURATED__CATALOG", "host=127.0.0.1 port=1 dbname=lake user=lake")
    monkeypatch.setenv("MLOPS_ASSETS_LAKES__CURATED__PASSWORD", "hunter2-hunter2")
    with LakeSession(Settings.load()) as session, pytest.raises(LakeError, match="Lake curated") as caught:
        session.attach("curated")
    assert "hunter2" not in str(caught.value)


def test_an_old_version_stays_readable_after_a_partition_was_replaced(settings: Settings) -> None:
    first = publish_rows(settings, "w1", [1, 2], "first")
    publish_rows(settings, "w1", [3], "second")
    with LakeSession(settings) as session:
        session.attach("curated")
        query = "SELECT tree FROM curated.wrangled.yields AT (VERSION => ?) ORDER BY tree"
        assert session.connection.execute(query.replace("?", str(first))).fetchall() == [(1,), (2,)]
        entry = ledger.current(session, orchard.YIELDS, ["w1"], version=first)["w1"]
    assert entry.record.publish_id == "first"


def test_the_sweeper_leaves_leased_and_young_files(settings: Settings) -> None:
    contract = orchard.YIELDS
    with LakeSession(settings) as session:
        rows = pa.table({"week": ["w1"], "tree": [1], "kilos": [1.0]})
        table = as_ibis(session, rows, rules.columns_of(contract))
        with lease(session, contract.lake.name) as attempt:
            stage(session, contract, table, attempt=attempt)
            assert sweep(session, contract.lake.name, older_than_seconds=0) == []
        assert sweep(session, contract.lake.name, older_than_seconds=3600) == []
        assert len(sweep(session, contract.lake.name, older_than_seconds=0)) == 1


def test_a_run_reads_the_state_of_its_beginning_overlaid_by_its_own_publishes(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    """Another process replaces w2 while a run, whose first step pinned the lake, is under way."""
    for week in ("w1", "w2"):
        orchard.weigh(week, orchard.good_rows(week, trees=2))
        assert orchard.pick(week, instance=instance).success

    seen: list[int] = []

    def look(run_id: str) -> None:
        with LakeSession(settings) as session:
            reads = {"yields": Read(orchard.YIELDS, In(orchard.YIELDS, window="all"))}
            versions = pinned_versions(session, ["curated"], instance, run_id)
            found = read_inputs(
                session, reads, orchard.SEASON, None, versions=versions, instance=instance, run_id=run_id
            )
            seen.append(int(found["yields"].table.count().to_pyarrow().as_py()))

    @dg.asset
    def looking(context) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  Dagster cannot read it here
        look(context.run.run_id)
        publish_rows(settings, "w2", [1, 2, 3, 4, 5, 6, 7, 8, 9], "intruder")
        look(context.run.run_id)
        publish_rows(settings, "w1", [1, 2, 3, 4, 5], "own", run_id=context.run.run_id)
        look(context.run.run_id)

    assert dg.materialize([looking], instance=instance).success
    assert seen == [4, 4, 7], "the intruder came later; what the run itself published is seen"


def test_a_later_step_of_a_run_need_not_wait_for_who_publishes(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    asked = []

    @dg.asset
    def looking(context) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  Dagster cannot read it here
        with LakeSession(settings) as session:
            asked.append(pinned_versions(session, ["curated"], instance, context.run.run_id))
            with publish_lock(settings, "curated"):
                asked.append(pinned_versions(session, ["curated"], instance, context.run.run_id))

    assert dg.materialize([looking], instance=instance).success
    assert asked[0] == asked[1]


def test_the_staged_files_of_a_replaced_partition_are_whole_files(settings: Settings, home: Path) -> None:
    for turn in range(3):
        publish_rows(settings, "w1", [turn + 1], f"turn-{turn}")
    with LakeSession(settings) as session:
        session.attach("curated")
        deletes = session.connection.execute(
            "SELECT count(*) FROM __ducklake_metadata_curated.ducklake_delete_file"
        ).fetchall()
    assert deletes == [(0,)], "a delete covering whole files leaves no delete files"
    assert home.exists()
