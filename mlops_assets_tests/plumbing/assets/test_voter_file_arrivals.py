"""Tests of when voter files are asked for: by the sensor of the landing folder, and by the calendar."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from mlops_assets.contracts.partitions import TIME_ZONE
from mlops_assets.plumbing.assets.voter_file import voter_file
from mlops_assets.plumbing.definitions import definitions
from mlops_assets_tests.plumbing.voter_files import Delivery, voters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY: Final = "2022-03|NC"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def landing(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Elsewhere than in the home folder."""
    assert home.is_dir()
    monkeypatch.setenv("MLOPS_ASSETS_SOURCES__LANDING", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def load(instance: dg.DagsterInstance) -> bool:
    return dg.materialize([voter_file.asset()], instance=instance, partition_key=KEY).success


def look(instance: dg.DagsterInstance, cursor: str | None = None) -> tuple[list[str], str, str | None]:
    """What the sensor asks for, what it tells if that is nothing, and its cursor."""
    [sensor] = voter_file.sensors()
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, repository_def=definitions().get_repository_def()
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    asked = [f"{each.partition_key or sorted(each.tags.values())}" for each in result.run_requests or ()]
    return asked, str(result.skip_reason and result.skip_reason.skip_message), result.cursor


def due(instance: dg.DagsterInstance, moment: str) -> list[str | None]:
    [schedule] = voter_file.schedules()
    local = dt.datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(TIME_ZONE))
    result: Any = schedule(dg.build_schedule_context(instance, scheduled_execution_time=local))
    return [] if isinstance(result, dg.SkipReason) else [request.partition_key for request in result]


def test_each_file_once_and_again_when_its_manifest_is_corrected(landing: Path, instance: dg.DagsterInstance) -> None:
    delivery = Delivery(landing)
    delivery.drop_voters(voters(1))
    delivery.write_manifest(rows=2)
    asked, _, cursor = look(instance)
    assert asked == [KEY]
    asked, _, cursor = look(instance, cursor)
    assert asked == []
    delivery.write_manifest(rows=1)
    assert look(instance, cursor)[0] == [KEY]
    assert load(instance)
    assert look(instance)[0] == []


def test_both_states_of_a_month_in_one_run(landing: Path, instance: dg.DagsterInstance) -> None:
    for state in ("NC", "GA"):
        Delivery(landing, state).drop_voters(voters(1, state_cd=state))
    assert look(instance)[0] == ["['2022-03|GA', '2022-03|NC']"]


def test_what_cannot_be_used_is_told_and_hides_no_other(landing: Path, instance: dg.DagsterInstance) -> None:
    (Delivery(landing, "NC", "2022-02").folder / "manifest.json").write_text('{"state": "N', encoding="utf-8")
    for state, month in (("TX", "2022-03"), ("NC", "1999-01")):
        Delivery(landing, state, month).drop_voters(voters(1))
    (Delivery(landing, "NC", "2022-04").folder / "ncvoter.zip").write_bytes(b"half")
    Delivery(landing, ".incoming").drop_voters(voters(1))
    asked, told, _ = look(instance)
    assert asked == []
    assert "NC/1999-01/manifest.json" in told
    assert "TX/2022-03/manifest.json" in told
    assert "NC/2022-02/manifest.json" in told
    assert "2022-04" not in told
    assert "incoming" not in told
    Delivery(landing).drop_voters(voters(1))
    assert look(instance)[0] == [KEY]


def test_a_missing_landing_folder_is_told(landing: Path, instance: dg.DagsterInstance) -> None:
    landing.rmdir()
    assert "it cannot be read (No such file or directory)" in look(instance)[1]


def test_the_day_after_the_snapshot_what_is_not_published_so_that_a_run_says_it_is_late(
    landing: Path, instance: dg.DagsterInstance
) -> None:
    Delivery(landing).drop_voters(voters(1))
    assert due(instance, "2022-03-02T06:00") == ["2022-03|GA", KEY]
    assert load(instance)
    assert due(instance, "2022-03-02T06:00") == ["2022-03|GA"]


def test_nothing_outside_the_known_months(landing: Path, instance: dg.DagsterInstance) -> None:
    assert landing.is_dir()
    assert due(instance, "2030-03-02T06:00") == []


def test_the_sensor_and_the_schedule_run_unasked() -> None:
    [sensor], [schedule] = voter_file.sensors(), voter_file.schedules()
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 5
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 6 2 * *", TIME_ZONE)
