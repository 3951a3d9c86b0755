"""The ledger: the records of publishes, committed with the data, found by an index, and kept when snapshots expire."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import duckdb
import psycopg2
import pytest

from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake import session as lake_session
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake.test_publishing import publish_rows

CURATED = "curated"


@pytest.fixture
def settings(on_each_catalog: Settings) -> Settings:
    return on_each_catalog


def publishes(settings: Settings, **version: int) -> dict[str | None, str]:
    """The ids of the publishes that are current, by partition."""
    with LakeSession(settings) as session:
        entries = ledger.current(session, orchard.YIELDS, [*orchard.WEEKS, "never"], **version)
        return {key: entry.record.publish_id for key, entry in entries.items()}


def test_the_newest_publish_of_each_partition_at_a_version_is_found(settings: Settings) -> None:
    publish_rows(settings, "w1", [1], "first")
    then = publish_rows(settings, "w2", [1], "other")
    publish_rows(settings, "w1", [2], "second")
    assert publishes(settings) == {"w1": "second", "w2": "other"}
    assert publishes(settings, version=then) == {"w1": "first", "w2": "other"}


def test_records_outlive_the_snapshots_that_they_came_with(settings: Settings) -> None:
    publish_rows(settings, "w1", [1], "first")
    publish_rows(settings, "w1", [2], "second")
    publish_rows(settings, "w2", [1], "other")
    with LakeSession(settings) as session:
        session.attach(CURATED)
        session.connection.execute("CALL ducklake_expire_snapshots('curated', older_than => now() + INTERVAL 1 HOUR)")
        session.connection.execute("CALL ducklake_cleanup_old_files('curated', cleanup_all => true)")
        [(left,)] = session.query(CURATED, "SELECT count(*) AS n FROM ducklake_snapshot")
        assert int(left) == 1
        assert [entry.record.publish_id for entry in ledger.since(session, CURATED, 0)] == ["first", "second", "other"]
    assert publishes(settings) == {"w1": "second", "w2": "other"}
    assert len(orchard.visible(orchard.YIELDS)) == 2


def test_what_was_rolled_back_left_no_record(settings: Settings) -> None:
    publish_rows(settings, "w1", [1], "first")
    with LakeSession(settings) as session:
        session.attach(CURATED)
        [made] = ledger.since(session, CURATED, 0)
        extra = ledger.recorded([made.record.model_copy(update={"publish_id": "second"})]).replace("'", "''")
        session.connection.execute("BEGIN; DELETE FROM curated.wrangled.yields")
        session.connection.execute(f"CALL curated.set_commit_message('mlops-assets', '', extra_info => '{extra}')")
        session.connection.execute("ROLLBACK")
    assert publishes(settings) == {"w1": "first"}


def test_the_same_publish_cannot_be_committed_twice(settings: Settings) -> None:
    publish_rows(settings, "w1", [1], "first")
    with LakeSession(settings) as session:
        session.attach(CURATED)
        [made] = ledger.since(session, CURATED, 0)
        extra = ledger.recorded([made.record]).replace("'", "''")
        session.connection.execute("BEGIN; DELETE FROM curated.wrangled.yields")
        session.connection.execute(f"CALL curated.set_commit_message('mlops-assets', '', extra_info => '{extra}')")
        with pytest.raises(duckdb.Error, match=r"(?i)unique"):
            session.connection.execute("COMMIT")
    assert len(orchard.visible(orchard.YIELDS)) == 1


def test_one_commit_can_record_several_partitions(settings: Settings) -> None:
    publish_rows(settings, "w1", [1], "first")
    with LakeSession(settings) as session:
        session.attach(CURATED)
        [made] = ledger.since(session, CURATED, 0)
        records = [made.record.model_copy(update={"publish_id": week, "partition": week}) for week in ("w2", "w3")]
        extra = ledger.recorded(records).replace("'", "''")
        session.connection.execute("BEGIN; DELETE FROM curated.wrangled.yields")
        session.connection.execute(f"CALL curated.set_commit_message('mlops-assets', '', extra_info => '{extra}')")
        session.connection.execute("COMMIT")
    assert publishes(settings) == {"w1": "first", "w2": "w2", "w3": "w3"}


def test_looking_up_publishes_goes_by_index(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_rows(settings, "w1", [1], "first")
    asked: list[str] = []
    query = LakeSession.query

    def noted(session: LakeSession, lake: str, statement: str) -> list[tuple[object, ...]]:
        asked.append(statement)
        return query(session, lake, statement)

    monkeypatch.setattr(LakeSession, "query", noted)
    with LakeSession(settings) as session:
        ledger.current(session, orchard.YIELDS, ["w1"])
        ledger.find(session, orchard.YIELDS, ["first"])
        ledger.of_content(session, orchard.YIELDS, {"w1": "first"})
        ledger.since(session, CURATED, 1)
    for statement in asked:
        plan = plan_of(settings, statement)
        assert "mlops_assets_ledger" in plan
        assert "SCAN mlops_assets_ledger" not in plan
        assert "(asset=?)" not in plan, "all publishes of the table are looked at"
        assert "Seq Scan on mlops_assets_ledger" not in plan


def plan_of(settings: Settings, statement: str) -> str:
    """How the catalog's database finds the rows of a statement."""
    if settings.lake(CURATED).catalog == "sqlite":
        with closing(sqlite3.connect(settings.lake_catalog_path(CURATED))) as catalog:
            return "\n".join(str(row[3]) for row in catalog.execute(f"EXPLAIN QUERY PLAN {statement}"))
    password = settings.lake(CURATED).password
    assert password is not None
    connected = psycopg2.connect(settings.lake(CURATED).catalog, password=password.get_secret_value())
    with closing(connected) as connection, connection.cursor() as cursor:
        # So few rows are read faster without an index.
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(f"EXPLAIN {statement}")
        return "\n".join(str(row[0]) for row in cursor.fetchall())


def test_a_lake_of_a_version_without_ledger_is_refused_and_told(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home
    settings = Settings.load()
    publish_rows(settings, "w1", [1], "first")
    with sqlite3.connect(settings.lake_catalog_path(CURATED)) as catalog:
        catalog.execute("DROP TABLE mlops_assets_ledger")
        catalog.execute("DROP TRIGGER IF EXISTS mlops_assets_ledger")
        catalog.execute(
            "UPDATE ducklake_snapshot_changes SET commit_extra_info = json_extract(commit_extra_info, '$[0]')"
            " WHERE author = 'mlops-assets'"
        )
    catalog.close()
    monkeypatch.setattr(lake_session, "_ENGINE", lake_session._Engine())
    with LakeSession(settings) as session, pytest.raises(LakeError, match="made by an earlier version"):
        session.attach(CURATED)
