"""Erasure: a person is gone from every version, others stay as they were, and nothing brings the person back."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import psycopg2
import pyarrow as pa
import pytest
from pandera import polars

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import erasure, expiry, ledger, repair
from mlops_assets.platform.lake.erasure_record import records
from mlops_assets.platform.lake.frames import as_ibis
from mlops_assets.platform.lake.publish import OvertakenError, Replacement, publish
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import lease, stage
from mlops_assets.platform.settings import Settings
from mlops_assets_tests import processes
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake import crowd, killed_erasure, upkeep
from mlops_assets_tests.platform.lake.killed_erasure import KILLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.platform.lake.erasure_record import ErasureRecord


def record(lake: str = "curated") -> ErasureRecord:
    """The record of the newest erasure in the lake."""
    with LakeSession(Settings.load()) as session:
        return records(session, lake)[-1]


def places_with_him() -> set[str]:
    """Where the canary is: files of the home, bytes and decoded Parquet, and tables of a PostgreSQL catalog."""
    settings = Settings.load()
    found = set()
    for file in settings.home.rglob("*"):
        if file.is_file():
            texts = [file.read_bytes().decode("latin-1")]
            if file.suffix == ".parquet":
                with duckdb.connect() as connection:
                    texts.append(str(connection.read_parquet(str(file)).fetchall()))
            if any(crowd.CANARY in text.upper() for text in texts):
                found.add(str(file.relative_to(settings.home)))
    place = settings.lake("curated")
    if place.catalog != "sqlite" and place.password is not None:
        with (
            closing(psycopg2.connect(place.catalog, password=place.password.get_secret_value())) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            for (table,) in cursor.fetchall():
                cursor.execute(f'SELECT t::text FROM "{table}" AS t')  # noqa: S608  a name from the catalog
                if any(crowd.CANARY in row for (row,) in cursor.fetchall()):
                    found.add(table)
    return found


def run_to_step(step: int) -> int:
    """Erase in a process that dies at that step; its exit code, 0 if there was no such step."""
    code = processes.ended(killed_erasure.forget_until, step)
    assert code in {0, KILLED}
    return code


@pytest.mark.usefixtures("on_each_catalog")
class TestWhatIsThere:
    """On each catalog, after one erasure or more."""

    def test_he_is_nowhere_and_everybody_else_is_in_every_version_as_before(self) -> None:
        crowd.some_weeks()
        before = crowd.versions()
        assert places_with_him()
        crowd.forget()
        assert places_with_him() == set()
        assert crowd.versions() == before
        assert crowd.versions(with_canary=True) == before

    def test_what_the_catalog_knows_of_nested_columns_goes_too(self) -> None:
        kept = {"week": polars.Column(str), "token": polars.Column(str), "kilos": polars.Column(float)}
        tagged = polars.DataFrameSchema({**kept, "tags": polars.Column(pl.List(pl.Struct({"of": pl.String})))})
        tokens = ["Ann", crowd.CANARY]
        tags = [[{"of": f"{token}'s"}] for token in tokens]
        rows: dict[str, list[Any]] = {"week": ["w1"] * 2, "token": tokens, "kilos": [1.0, 2.0], "tags": tags}
        upkeep.publish_table(replace(crowd.CROWD, model=tagged), "w1", rows)
        assert places_with_him()
        crowd.forget()
        assert places_with_him() == set()

    def test_the_lake_is_sound_and_says_what_was_erased(self) -> None:
        crowd.some_weeks()
        erasure_id = crowd.forget()
        assert upkeep.faults(hashes=True, contracts=crowd.CONTRACTS) == []
        done = record()
        assert done.erasure_id == erasure_id
        assert done.finished_at is not None
        assert crowd.CANARY not in done.model_dump_json()
        lost = {(one.partition, one.rows_removed, one.quarantined_removed) for one in done.publishes}
        assert lost == {("w1", 1, 0), ("w2", 1, 0), ("w3", 0, 1)}
        assert len(done.publishes) == 5
        with LakeSession(Settings.load()) as session:
            now = {e.record.publish_id: e.record for e in ledger.history(session, "curated", "wrangled/crowd")}
        for one in done.publishes:
            assert now[one.publish_id].content_hash == one.left_hash
            assert now[one.publish_id].erasures == [erasure_id]

    @pytest.mark.parametrize("harm", [Path.unlink, upkeep.cut], ids=["lost", "cut"])
    def test_a_file_that_is_harmed_later_is_named_as_without_an_erasure(self, harm: Callable[[Path], None]) -> None:
        crowd.some_weeks()
        crowd.forget()
        file = upkeep.current_files(crowd.NOTED)[0]
        harm(file)
        told = upkeep.faults(contracts=crowd.CONTRACTS)
        assert any("its rows cannot be read" in each for each in told)
        assert any(each.startswith(f"Lake curated, file {file}") for each in told)

    def test_what_was_made_from_his_rows_is_listed_and_cannot_be_read_as_recorded(self) -> None:
        first = crowd.week("w1", Ann=1.0, ZZ_XYZZYX_1=3.0)
        season = upkeep.season(4.0, crowd=first)
        yields = upkeep.publish_table(
            orchard.YIELDS, "w1", {"week": ["w1"], "tree": [1], "kilos": [1.0]}, inputs={"season": season}
        )
        upkeep.week("w2", [1])
        erasure_id = crowd.forget()
        assert {(one.publish_id, one.directly) for one in record().not_rebuildable} == {
            (season.record.publish_id, True),
            (yields.record.publish_id, False),
        }
        with pytest.raises(LakeError, match=f"erased from it .erasure {erasure_id}."):
            upkeep.as_recorded(first, crowd.CROWD)

    def test_what_old_versions_held_of_him_goes_though_they_were_let_go_already(self) -> None:
        crowd.some_weeks()
        crowd.week("w1", Ann=1.0)
        crowd.week("w2", Ann=1.0)
        with LakeSession(Settings.load()) as session:
            versions = expiry.expirable(session, "curated", older_than_seconds=0, pins=lambda _: {})
            session.connection.execute(f"CALL ducklake_expire_snapshots('curated', versions => {versions})").fetchall()
        # Their files wait to be removed, and the catalog's statistics are of all that ever was.
        assert places_with_him()
        crowd.forget()
        assert places_with_him() == set()

    def test_the_contents_that_an_erasure_left_outlive_an_expiry_while_something_needs_them(self) -> None:
        first = crowd.week("w1", Ann=1.0, ZZ_XYZZYX_1=3.0)
        upkeep.season(4.0, crowd=first)
        crowd.week("w1", Ann=9.0)
        crowd.forget()
        with LakeSession(Settings.load()) as session:
            versions = expiry.expirable(session, "curated", older_than_seconds=0, pins=lambda _: {})
            expiry.expire(session, "curated", versions)
            left = ledger.readable_version(session, crowd.CROWD, "w1", first.version)
        assert left is not None
        assert [row[2:4] for row in crowd.versions()[left]] == [("Ann", 1.0)]

    def test_a_source_that_still_delivers_him_does_not_bring_him_back(self) -> None:
        crowd.some_weeks()
        crowd.forget()
        entry = crowd.week("w2", Eve=1.0, ZZ_XYZZYX_1=4.0)
        assert entry.record.rows == 1
        assert places_with_him() == set()
        assert upkeep.faults(hashes=True, contracts=crowd.CONTRACTS) == []

    def test_what_was_staged_before_is_refused_after(self) -> None:
        crowd.some_weeks()
        contract = crowd.CROWD
        with LakeSession(Settings.load()) as session, lease(session, "curated") as attempt:
            rows = pa.table({"week": ["w2"], "token": [crowd.CANARY], "kilos": [1.0]})
            table = as_ibis(session, rows, rules.columns_of(contract))
            staged = stage(session, contract, table, attempt=attempt)
            crowd.forget()
            current = ledger.current(session, contract, ["w2"])["w2"]
            late = current.record.model_copy(update={"publish_id": "late"})
            whole = Replacement(partition={"week": "w2"}, staged=staged, record=late, instead_of=current.version)
            with pytest.raises(OvertakenError, match="persons were erased meanwhile"):
                publish(session, contract, whole)
            staged.remove()
        assert places_with_him() == set()

    def test_what_was_made_from_his_rows_before_is_refused_after(self) -> None:
        first = crowd.week("w1", Ann=1.0, ZZ_XYZZYX_1=3.0)
        crowd.forget()
        with pytest.raises(OvertakenError, match="persons were erased meanwhile"):
            upkeep.season(4.0, crowd=first)

    def test_one_that_was_begun_and_not_completed_is_a_fault(self) -> None:
        crowd.some_weeks()
        with LakeSession(Settings.load()) as session:
            begun = erasure.begin(session, crowd.CONTRACTS, crowd.GIVEN, by="test")
        assert [fault for fault in upkeep.faults() if f"erasure {begun}" in fault and "not completed" in fault]
        assert crowd.forget() == begun
        assert not [fault for fault in upkeep.faults() if "erasure" in fault]

    def test_one_that_was_killed_between_finishing_two_lakes_is_completed_under_its_id(self) -> None:
        crowd.some_weeks()
        upkeep.publish_table(orchard.HARVEST, "w1", {"week": ["w1"], "tree": [1], "picker": ["Ann"], "kilos": [1.0]})
        with LakeSession(Settings.load()) as session:
            begun = erasure.begin(session, crowd.CONTRACTS, crowd.GIVEN, by="test")
            erasure.erase(session, "curated", crowd.CONTRACTS, crowd.GIVEN, begun)
            erasure._update(session, "curated", begun, finished_at=1.0)
        assert crowd.forget() == begun
        with LakeSession(Settings.load()) as session:
            assert [one.finished_at is None for one in records(session, "restricted")] == [False]

    def test_one_that_was_begun_by_definitions_of_fewer_tables_is_completed_by_those_of_all(self) -> None:
        crowd.some_weeks()
        more = {**crowd.CONTRACTS, "wrangled/guests": replace(crowd.NOTED, table="guests", subject={"guest": "token"})}
        given = {**crowd.GIVEN, "guest": crowd.GIVEN["picker"]}
        with LakeSession(Settings.load()) as session:
            begun = erasure.begin(session, crowd.CONTRACTS, given, by="test")
            assert erasure.begin(session, more, given, by="test") == begun
            [both] = records(session, "curated")
            known = session.query("curated", "SELECT kind FROM mlops_assets_tombstone ORDER BY kind")
        assert set(both.tombstones) == {"guest", "picker"}
        assert known == [("guest",), ("picker",)]

    def test_one_that_shares_a_person_with_another_that_was_cut_off_is_an_erasure_of_its_own(self) -> None:
        crowd.some_weeks()
        guests = replace(crowd.NOTED, table="guests", lake=orchard.HARVEST.lake, subject={"guest": "token"})
        contracts = {**crowd.CONTRACTS, "wrangled/guests": guests}
        with LakeSession(Settings.load()) as session:
            session.attach(guests.lake.name)
            begun = erasure.begin(session, contracts, {**crowd.GIVEN, "guest": {"E5"}}, by="alice")
            assert erasure.begin(session, contracts, {**crowd.GIVEN, "guest": {"E9"}}, by="bob") != begun
            assert erasure.begin(session, contracts, {**crowd.GIVEN, "guest": {"E5"}}, by="alice") == begun

    def test_rows_that_came_back_past_the_platform_are_a_fault(self) -> None:
        crowd.some_weeks()
        kept = Settings.load().home / "backup.parquet"
        shutil.copyfile(upkeep.current_files(crowd.CROWD)[0], kept)
        crowd.forget()
        upkeep.execute(
            f"CALL ducklake_add_data_files('curated', 'crowd', '{kept}', schema => 'wrangled', allow_missing => true)"
        )
        faults = upkeep.faults(contracts=crowd.CONTRACTS)
        assert [one for one in faults if "1 rows of persons who were erased" in one]

    def test_a_file_of_which_single_rows_were_deleted_is_refused_with_a_remedy(self) -> None:
        crowd.some_weeks()
        upkeep.execute("DELETE FROM curated.wrangled.crowd WHERE token = 'Ann'")
        with pytest.raises(LakeError, match="deleted single rows of it past the platform"):
            crowd.forget()

    def test_a_repaired_table_is_erased_from_in_its_old_files_and_its_new_ones(self) -> None:
        crowd.some_weeks()
        lost = upkeep.current_files(crowd.CROWD)[-1]
        lost.unlink()
        with LakeSession(Settings.load()) as session:
            for planned in repair.plan(session, "curated", crowd.CONTRACTS):
                repair.repair(session, planned)
        erasure_id = crowd.forget()
        assert places_with_him() == set()
        assert [one.partition for one in record().publishes].count("w1") == 3
        faults = upkeep.faults(hashes=True, contracts=crowd.CONTRACTS)
        assert [fault for fault in faults if str(lost) not in fault and "were lost" not in fault] == []
        assert erasure_id

    def test_publishes_and_readers_go_on_meanwhile(self) -> None:
        crowd.some_weeks()
        before, without = crowd.counted(crowd.versions(with_canary=True)), crowd.counted(crowd.versions())
        reader = subprocess.Popen([sys.executable, "-m", killed_erasure.__name__], stdout=subprocess.PIPE, text=True)
        publisher = processes.started(killed_erasure.publish_often, 6)
        assert reader.stdout is not None
        seen = [reader.stdout.readline()]
        crowd.forget()
        publisher.join()
        assert publisher.exitcode == 0
        crowd.forget()
        time.sleep(1.0)
        reader.kill()
        seen += reader.stdout.read().splitlines()
        for line in filter(None, map(str.strip, seen)):
            shown = eval(line)  # noqa: S307  a dictionary that our own process printed
            if -1 in shown:
                assert "part-0.parquet" in shown[-1], shown
                continue
            wrong = {of: rows for of, rows in shown.items() if of in before and rows not in {before[of], without[of]}}
            assert not wrong
        assert places_with_him() == set()
        assert upkeep.faults(hashes=True, contracts=crowd.CONTRACTS) == []

    @pytest.mark.parametrize("step", [3, 15, 30, 48])
    def test_a_killed_one_is_completed_by_the_same_keys(self, step: int) -> None:
        crowd.some_weeks()
        killed_and_completed(step)


def killed_and_completed(step: int) -> int:
    """Let an erasure die at that step, look, and complete it; the exit code of the one that was to die."""
    whole, without = crowd.versions(with_canary=True), crowd.versions()
    code = run_to_step(step)
    # He is in all of it or in none, and everything can be read.
    assert crowd.versions(with_canary=True) in (whole, without)
    faults = upkeep.faults(hashes=True, contracts=crowd.CONTRACTS)
    assert not [fault for fault in faults if "table" in fault and "persons who were erased" not in fault]
    crowd.forget()
    assert places_with_him() == set()
    assert crowd.versions(with_canary=True) == without
    assert upkeep.faults(hashes=True, contracts=crowd.CONTRACTS) == []
    with LakeSession(Settings.load()) as session:
        # One that died when all was done is followed by one that finds nothing.
        noted = [one.publish_id for done in records(session, "curated") for one in done.publishes]
    assert len(noted) == len(set(noted)) == 5
    return code


EVERY = 7
"""Steps between two at which it is killed: each takes some seconds."""


def test_it_may_be_killed_at_any_step(home: Path) -> None:
    crowd.some_weeks()
    with LakeSession(Settings.load()) as session:
        for lake in session.settings.lake_names:
            session.attach(lake)
            session.detach(lake)
    kept = home.with_name("kept")
    shutil.copytree(home, kept)
    step = 0
    while True:
        if killed_and_completed(step) == 0:
            break
        with LakeSession(Settings.load()) as session:
            for lake in session.settings.lake_names:
                session.detach(lake)
        shutil.rmtree(home)
        shutil.copytree(kept, home)
        step += EVERY
    assert step > 20
