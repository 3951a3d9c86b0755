"""Tests of arrivals: each delivery is asked for until it is published, and no more."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets.platform.assets.ranges import RANGE_END, RANGE_START
from mlops_assets.platform.contracts.volume import Volume
from mlops_assets.plumbing.sources import arrivals
from mlops_assets.plumbing.sources.files import source as files
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Manifest, Marker, Quiet
from mlops_assets_tests.plumbing.sources.shop import SALES, RegionalSale, Sale, contract, rows, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


GOOD = "sale,day,amount,note\n1,2024-01-03,1.5,first\n"


class Clock:
    """The time that the sensor sees."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        return self.now


class Looks:
    """A folder, and the sensor that looks at it again and again."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, **options: Any) -> None:  # noqa: ANN401  a declaration's
        given = {"contract": SALES, "file": "{month}.csv", "whole": Quiet(seconds=0), "retries": 0, **options}
        self.source = FileSource(path=str(folder), **given)
        self.instance = instance
        self.cursor: str | None = None
        defs = build_defs([self.source.asset()], name="shop", sensors=self.source.sensors())
        self.repository = defs.get_repository_def()

    def look(self) -> dg.SensorResult:
        [sensor] = self.source.sensors()
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, repository_def=self.repository)
        result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def asked(self) -> list[str | None]:
        return [
            f"{each.tags[RANGE_START]} to {each.tags[RANGE_END]}" if RANGE_START in each.tags else each.partition_key
            for each in self.look().run_requests or []
        ]

    def run(self, partition: str | None = "2024-01") -> bool:
        return run(self.source, partition, instance=self.instance).success


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "delivered"
    made.mkdir()
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(arrivals, "time", clock)
    return clock


def test_a_file_is_asked_for_until_it_is_published(folder: Path, instance: dg.DagsterInstance, clock: Clock) -> None:
    looks = Looks(folder, instance)
    assert looks.asked() == []
    (folder / "2024-01.csv").write_text(GOOD)
    assert looks.asked() == ["2024-01"]
    assert looks.asked() == []
    clock.now += arrivals.FIRST_PAUSE_SECONDS
    assert looks.asked() == ["2024-01"]
    assert looks.run()
    clock.now += arrivals.LONGEST_PAUSE_SECONDS
    assert looks.asked() == []


@pytest.mark.parametrize("cursor", [None, "", "nonsense", "[]"])
def test_a_lost_cursor_asks_for_nothing_that_is_published(
    folder: Path, instance: dg.DagsterInstance, cursor: str | None
) -> None:
    looks = Looks(folder, instance)
    (folder / "2024-01.csv").write_text(GOOD)
    assert looks.run()
    looks.cursor = cursor
    assert looks.asked() == []


def test_a_delivery_that_comes_back_after_another_is_asked_for_again(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    looks = Looks(folder, instance, whole=Manifest())
    first, second = GOOD, GOOD.replace("first", "second")
    for content in (first, second, first):
        (folder / "2024-01.csv").write_text(content)
        (folder / "manifest.json").write_text(json.dumps({"sha256": digest(content)}))
        looks.cursor = None
        assert looks.asked() == ["2024-01"]
        assert looks.run()
        assert looks.asked() == []
    assert rows()[0][-1] == "first"


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def test_one_that_cannot_be_published_is_asked_for_again_with_growing_pauses(
    folder: Path, instance: dg.DagsterInstance, clock: Clock
) -> None:
    looks = Looks(folder, instance)
    (folder / "2024-01.csv").write_text("sale\n1\n")
    for pause in (0, 60, 240, 960, 3_840, 15_360, 21_600, 21_600):
        clock.now += pause - 1
        assert not pause or looks.asked() == []
        clock.now += 1
        assert looks.asked() == ["2024-01"]
        assert not looks.run()
    (folder / "2024-01.csv").write_text(GOOD)
    assert looks.asked() == ["2024-01"]


def test_one_that_a_run_is_making_is_left_to_it(folder: Path, instance: dg.DagsterInstance) -> None:
    looks = Looks(folder, instance)
    for month in ("2024-01", "2024-02", "2024-05"):
        (folder / f"{month}.csv").write_text(GOOD)
    job = looks.repository.get_implicit_global_asset_job_def()
    instance.create_run_for_job(
        job,
        asset_selection=frozenset({SALES.key}),
        tags={RANGE_START: "2024-01", RANGE_END: "2024-03"},
        status=dg.DagsterRunStatus.STARTED,
    )
    assert looks.asked() == ["2024-05"]


def test_those_of_neighbours_are_asked_for_together(folder: Path, instance: dg.DagsterInstance) -> None:
    looks = Looks(folder, instance)
    for month in ("2024-01", "2024-02", "2024-03", "2024-06"):
        (folder / f"{month}.csv").write_text(GOOD)
    assert looks.asked() == ["2024-01 to 2024-03", "2024-06"]


def test_one_that_is_not_complete_is_not_asked_for(folder: Path, instance: dg.DagsterInstance) -> None:
    looks = Looks(folder, instance, whole=Marker())
    (folder / "2024-01.csv").write_text(GOOD)
    assert looks.asked() == []
    (folder / "2024-01.csv.done").touch()
    assert looks.asked() == ["2024-01"]


def test_files_of_no_partition_and_folders_that_are_away_are_told(folder: Path, instance: dg.DagsterInstance) -> None:
    looks = Looks(folder, instance)
    (folder / "2031-01.csv").write_text(GOOD)
    (folder / "2024-01.csv").mkdir()
    assert "File 2031-01.csv" in str(looks.look().skip_reason)
    gone = Looks(folder / "gone", instance)
    assert "it cannot be read (No such file or directory)" in str(gone.look().skip_reason)


def test_a_name_that_begins_with_a_dot_is_still_being_written(folder: Path, instance: dg.DagsterInstance) -> None:
    looks = Looks(folder, instance, file="{month}/{partition}.csv")
    for month in ("2024-01", ".2024-02"):
        (folder / month).mkdir()
        (folder / month / ".2024-02.csv").write_text(GOOD)
    assert looks.look().skip_reason.skip_message == "Nothing new has arrived."  # type: ignore[union-attr]
    hidden = Looks(folder, instance, file=".{month}/.{partition}.csv")
    assert hidden.asked() == ["2024-02"]


def test_a_manifest_that_was_corrected_is_asked_for_at_once(
    folder: Path, instance: dg.DagsterInstance, clock: Clock
) -> None:
    looks = Looks(folder, instance, whole=Manifest())
    (folder / "2024-01.csv").write_text(GOOD)
    for rows_said in (7, 1):
        (folder / "manifest.json").write_text(json.dumps({"sha256": digest(GOOD), "rows": rows_said}))
        assert looks.asked() == ["2024-01"]
        clock.now += 1
        assert looks.run() == (rows_said == 1)
        assert looks.asked() == []


def test_a_file_of_all_partitions_is_asked_for_once_for_all(folder: Path, instance: dg.DagsterInstance) -> None:
    looks = Looks(folder, instance, file="all.csv")
    assert looks.asked() == []
    (folder / "all.csv").write_text("month,sale,day,amount,note\n")
    assert looks.asked() == ["2024-01 to 2024-12"]


ALL = "month,sale,day,amount,note\n2024-01,1,2024-01-03,1.5,first\n2024-02,2,2024-02-03,2,x\n"


class TestOneFileOfAllPartitions:
    def test_partitions_that_are_not_in_it_are_not_asked_for(self, folder: Path, instance: dg.DagsterInstance) -> None:
        looks = Looks(folder, instance, file="all.csv")
        (folder / "all.csv").write_text(ALL)
        assert looks.asked() == ["2024-01 to 2024-02"]
        assert "no rows of 2024-03 and 9 more" in str(looks.look().skip_reason)

    def test_one_that_comes_into_it_is_asked_for_then(self, folder: Path, instance: dg.DagsterInstance) -> None:
        looks = Looks(folder, instance, file="all.csv")
        (folder / "all.csv").write_text(ALL)
        assert looks.asked()
        (folder / "all.csv").write_text(f"{ALL}2024-03,3,2024-03-03,2,x\n")
        assert looks.asked() == ["2024-01 to 2024-03"]

    def test_a_large_one_is_read_by_a_run_of_one_partition_first(
        self, folder: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_MOST_LOOKED_INTO", 10)
        looks = Looks(folder, instance, file="all.csv")
        (folder / "all.csv").write_text(ALL)
        assert looks.asked() == ["2024-01 to 2024-12"]
        assert looks.run("2024-02")
        looks.cursor = None
        assert looks.asked() == ["2024-01"]
        (folder / "all.csv").write_text(f"{ALL}2024-03,3,2024-03-03,2,x\n")
        looks.cursor = None
        assert looks.asked() == ["2024-02"]
        assert looks.run("2024-02")
        assert looks.asked() == ["2024-01", "2024-03"]

    def test_one_that_cannot_be_read_is_asked_for_so_that_a_run_tells(
        self, folder: Path, instance: dg.DagsterInstance
    ) -> None:
        looks = Looks(folder, instance, file="all.csv")
        (folder / "all.csv").write_text("month,sale\n2024-01.0,1\n")
        assert looks.asked() == ["2024-01 to 2024-12"]
        looks.cursor = None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FileSource, "_whole", None)
            assert looks.asked() == ["2024-01 to 2024-12"]

    def test_where_partitions_may_be_empty_all_are_asked_for(self, folder: Path, instance: dg.DagsterInstance) -> None:
        table = contract("sales_or_none", Sale, volume=Volume(allow_empty=True))
        looks = Looks(folder, instance, contract=table, file="all.csv")
        (folder / "all.csv").write_text(ALL)
        assert looks.asked() == ["2024-01 to 2024-12"]
        assert looks.run("2024-07")

    def test_one_that_is_due_and_not_in_it_is_late(self, folder: Path, instance: dg.DagsterInstance) -> None:
        (folder / "all.csv").write_text(ALL)
        looks = Looks(folder, instance, file="all.csv", cron="0 6 2 * *")
        due = looks.source.keys_due(dt.datetime(2024, 4, 2, 6, tzinfo=dt.UTC), instance)
        assert looks.source.wanted(instance, due) == ["2024-03"]
        told = run(looks.source, "2024-03", instance=instance).told
        assert "no rows of partition 2024-03, which is late" in told
        assert "(it has rows of 2: 2024-01, 2024-02)" in told
        assert rows() == []


def test_what_is_due_and_not_there_is_asked_for_so_that_the_run_says_it_is_late(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    source = FileSource(
        contract=SALES, path=str(folder), file="{month}.csv", whole=Quiet(seconds=0), cron="0 6 2 * *", retries=0
    )
    [schedule] = source.schedules()
    repository = build_defs([source.asset()], name="shop", schedules=[schedule]).get_repository_def()
    moment = dt.datetime(2024, 2, 2, 6, tzinfo=dt.UTC)

    def due() -> list[str | None]:
        ticked = schedule.evaluate_tick(
            dg.build_schedule_context(instance, scheduled_execution_time=moment, repository_def=repository)
        )
        return [each.partition_key for each in ticked.run_requests or []]

    assert due() == ["2024-01"]
    assert "it is not there" in run(source, instance=instance).told
    (folder / "2024-01.csv").write_text(GOOD)
    assert run(source, instance=instance).success
    assert due() == []
    (folder / "2024-01.csv").write_text(GOOD.replace("first", "another"))
    assert due() == ["2024-01"]


def test_two_dimensions_are_told_apart_by_folders(folder: Path, instance: dg.DagsterInstance) -> None:
    regions = dg.MultiPartitionsDefinition(
        {
            "month": dg.MonthlyPartitionsDefinition("2024-01", end_date="2024-04", fmt="%Y-%m"),
            "region": dg.StaticPartitionsDefinition(["north", "south"]),
        }
    )

    table = contract(
        "regional_sales",
        RegionalSale,
        partitions_def=regions,
        partition_columns={"month": "month", "region": "region"},
    )
    looks = Looks(folder, instance, contract=table, file="{region}/{start:%Y}/{month}.csv")
    (folder / "south" / "2024").mkdir(parents=True)
    (folder / "south" / "2024" / "2024-02.csv").write_text(GOOD)
    assert looks.asked() == ["2024-02|south"]
    assert looks.run("2024-02|south")
    assert looks.asked() == []


def test_a_pipe_is_no_delivery(folder: Path, instance: dg.DagsterInstance) -> None:
    os.mkfifo(folder / "2024-01.csv")
    assert Looks(folder, instance).asked() == []


def test_a_key_that_cannot_be_a_name_keeps_no_other_back(folder: Path, instance: dg.DagsterInstance) -> None:
    table = contract("odd_sales", Sale, partitions_def=dg.StaticPartitionsDefinition(["..", "a/b", "2024-01"]))
    looks = Looks(folder, instance, contract=table, file="{month}/sales.csv")
    (folder / "2024-01").mkdir()
    (folder / "2024-01" / "sales.csv").write_text(GOOD)
    assert looks.asked() == ["2024-01"]


def test_a_file_that_could_be_of_two_hours_is_told(folder: Path, instance: dg.DagsterInstance) -> None:
    hours = dg.HourlyPartitionsDefinition(
        "2024-10-20-00:00+0200", end_date="2024-10-28-00:00+0100", timezone="Europe/Berlin"
    )
    table = contract("hourly_sales", Sale, partitions_def=hours)
    looks = Looks(folder, instance, contract=table, file="{start:%Y%m%d%H}.csv")
    (folder / "2024102702.csv").write_text(GOOD)
    (folder / "2024102703.csv").write_text(GOOD)
    assert len(looks.asked()) == 1


def test_what_is_due_is_the_last_partition_that_has_ended(folder: Path) -> None:
    ahead = dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m", end_offset=1)
    table = contract("sales_ahead", Sale, partitions_def=ahead)
    source = FileSource(contract=table, path=str(folder), file="{month}.csv", cron="0 6 1 * *")
    assert source.keys_due(dt.datetime(2024, 3, 1, 6, tzinfo=dt.UTC)) == ["2024-02"]


def test_a_file_of_all_partitions_serves_two_dimensions(folder: Path, instance: dg.DagsterInstance) -> None:
    regions = dg.MultiPartitionsDefinition(
        {
            "month": dg.MonthlyPartitionsDefinition("2024-01", end_date="2024-03", fmt="%Y-%m"),
            "region": dg.StaticPartitionsDefinition(["north", "south"]),
        }
    )
    columns = {"month": "month", "region": "region"}
    table = contract("sales_of_all", RegionalSale, partitions_def=regions, partition_columns=columns)
    looks = Looks(folder, instance, contract=table, file="all.csv")
    header, row = GOOD.splitlines()
    (folder / "all.csv").write_text(f"month,region,{header}\n2024-01,south,{row}\n")
    assert looks.asked()
    assert looks.run("2024-01|south")
