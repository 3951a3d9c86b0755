"""Tests of the schedules: what is due follows from the scheduled time."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from mlops_assets.plumbing.schedules import TIME_ZONE, house_returns_due, schedules, voting_history_due

BY_NAME = {schedule.name: schedule for schedule in schedules()}


def evaluate(name: str, moment: str) -> tuple[list[str | None], str]:
    """The partitions asked for at that local time, and the reason why none was."""
    local = dt.datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(TIME_ZONE))
    context = dg.build_schedule_context(scheduled_execution_time=local)
    result: Any = BY_NAME[name](context)
    if isinstance(result, dg.SkipReason):
        return [], result.skip_message or ""
    return [request.partition_key for request in result], ""


def test_the_schedules_run_at_their_times() -> None:
    assert {name: schedule.cron_schedule for name, schedule in BY_NAME.items()} == {
        "voting_history_refresh": "30 6 3 * *",
        "house_returns_refresh": "0 7 1 3 *",
        "district_profiles_refresh": "0 7 1 10 *",
    }
    assert {schedule.execution_timezone for schedule in BY_NAME.values()} == {TIME_ZONE}
    assert {schedule.default_status for schedule in BY_NAME.values()} == {dg.DefaultScheduleStatus.RUNNING}


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
