"""Tests of the schedules: what is due follows from the scheduled time."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from mlops_assets.plumbing.schedules import TIME_ZONE, house_returns_due, schedules, voting_history_due
from mlops_assets_tests.plumbing.voter_files import Delivery, voters

if TYPE_CHECKING:
    from pathlib import Path

BY_NAME = {schedule.name: schedule for schedule in schedules()}


def evaluate(name: str, moment: str) -> tuple[list[str | None], str]:
    """The partitions asked for at that local time, and the reason why none was."""
    local = dt.datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(TIME_ZONE))
    context = dg.build_schedule_context(scheduled_execution_time=local)
    result: Any = BY_NAME[name](context)
    if isinstance(result, dg.SkipReason):
        return [], result.skip_message or ""
    return [request.partition_key for request in result], ""


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLOPS_ASSETS_SOURCES__LANDING", str(tmp_path))
    return tmp_path


def test_the_schedules_run_at_their_times() -> None:
    assert {name: schedule.cron_schedule for name, schedule in BY_NAME.items()} == {
        "voter_file_expected": "0 6 2 * *",
        "voting_history_refresh": "30 6 3 * *",
        "house_returns_refresh": "0 7 1 3 *",
        "district_profiles_refresh": "0 7 1 10 *",
    }
    assert {schedule.execution_timezone for schedule in BY_NAME.values()} == {TIME_ZONE}
    assert {schedule.default_status for schedule in BY_NAME.values()} == {dg.DefaultScheduleStatus.RUNNING}


def test_the_voter_files_of_the_month_are_asked_for_once_all_have_landed(landing: Path) -> None:
    for state in ("NC", "GA"):
        Delivery(landing, state).drop_voters(voters(1, state_cd=state))
    assert evaluate("voter_file_expected", "2022-03-02T06:00") == (["2022-03|GA", "2022-03|NC"], "")


def test_a_voter_file_that_has_not_landed_does_not_hold_the_others_back(landing: Path) -> None:
    Delivery(landing, "NC").drop_voters(voters(1))
    assert evaluate("voter_file_expected", "2022-03-02T06:00") == (["2022-03|NC"], "")


def test_the_tick_says_which_voter_files_have_not_landed(landing: Path) -> None:
    del landing
    asked, why = evaluate("voter_file_expected", "2022-03-02T06:00")
    assert asked == []
    assert "GA/2022-03/manifest.json: it is not there" in why
    assert "NC/2022-03/manifest.json: it is not there" in why


def test_no_voter_file_is_expected_outside_the_known_months() -> None:
    assert evaluate("voter_file_expected", "2030-03-02T06:00") == ([], "No voter file is expected in 2030-03.")


def test_voting_history_is_refreshed_from_a_month_to_a_year_after_an_election() -> None:
    both = ["2022|GA", "2022|NC"]
    assert evaluate("voting_history_refresh", "2022-12-03T06:30")[0] == []
    assert evaluate("voting_history_refresh", "2023-01-03T06:30")[0] == both
    assert evaluate("voting_history_refresh", "2023-11-03T06:30")[0] == both
    assert evaluate("voting_history_refresh", "2023-12-03T06:30")[0] == []
    assert voting_history_due(dt.date(2022, 12, 8)) == both


def test_house_returns_are_refreshed_in_march_for_the_last_election() -> None:
    assert evaluate("house_returns_refresh", "2023-03-01T07:00") == (["2022"], "")
    assert evaluate("house_returns_refresh", "2024-03-01T07:00") == (["2022"], "")
    assert house_returns_due(dt.date(1970, 1, 1)) == []


def test_district_profiles_are_refreshed_in_october_for_the_year_before() -> None:
    assert evaluate("district_profiles_refresh", "2023-10-01T07:00") == (["2022"], "")
    assert evaluate("district_profiles_refresh", "2040-10-01T07:00")[0] == []


def test_a_tick_that_is_made_up_asks_for_the_same_runs() -> None:
    moment = dt.datetime(2023, 3, 1, 7, tzinfo=ZoneInfo(TIME_ZONE))
    results: list[Any] = [
        BY_NAME["house_returns_refresh"](dg.build_schedule_context(scheduled_execution_time=moment)) for _ in range(2)
    ]
    assert [[request.run_key for request in result] for result in results] == [["2022:2023-03-01"]] * 2
