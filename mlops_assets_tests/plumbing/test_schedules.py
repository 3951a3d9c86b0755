"""Tests of the schedules that the voter sources declare: what is due follows from the scheduled time."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from mlops_assets.contracts.partitions import TIME_ZONE
from mlops_assets.plumbing.assets.district_profiles import district_profiles
from mlops_assets.plumbing.assets.house_returns import house_returns
from mlops_assets.plumbing.assets.voting_history import voting_history

BY_NAME = {
    schedule.name: schedule
    for source in (voting_history, house_returns, district_profiles)
    for schedule in source.schedules()
}
BOTH = ["2022|GA", "2022|NC"]


def evaluated(name: str, moment: str) -> Any:  # noqa: ANN401  Dagster's own is as wide
    local = dt.datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(TIME_ZONE))
    with dg.instance_for_test() as instance:
        return BY_NAME[name](dg.build_schedule_context(instance, scheduled_execution_time=local))


def test_the_schedules_run_at_their_times() -> None:
    assert {name: schedule.cron_schedule for name, schedule in BY_NAME.items()} == {
        "raw_voting_history_due": "30 6 3 * *",
        "raw_house_returns_due": "0 7 1 3 *",
        "raw_district_profiles_due": "0 7 1 10 *",
    }
    assert {schedule.execution_timezone for schedule in BY_NAME.values()} == {TIME_ZONE}
    assert {schedule.default_status for schedule in BY_NAME.values()} == {dg.DefaultScheduleStatus.RUNNING}


@pytest.mark.parametrize(
    ("name", "moment", "keys"),
    [
        # From a month to a year after an election.
        ("raw_voting_history_due", "2022-12-03T06:30", []),
        ("raw_voting_history_due", "2023-01-03T06:30", BOTH),
        ("raw_voting_history_due", "2023-11-03T06:30", BOTH),
        ("raw_voting_history_due", "2023-12-03T06:30", []),
        # In March, of the last election.
        ("raw_house_returns_due", "2023-03-01T07:00", ["2022"]),
        ("raw_house_returns_due", "2024-03-01T07:00", ["2022"]),
        ("raw_house_returns_due", "1970-03-01T07:00", []),
        # In October, of the year before.
        ("raw_district_profiles_due", "2023-10-01T07:00", ["2022"]),
        ("raw_district_profiles_due", "2040-10-01T07:00", []),
    ],
)
def test_what_is_due_follows_from_the_scheduled_time(name: str, moment: str, keys: list[str]) -> None:
    result = evaluated(name, moment)

    assert ([] if isinstance(result, dg.SkipReason) else [request.partition_key for request in result]) == keys


def test_a_tick_that_is_made_up_asks_for_the_same_runs() -> None:
    results = [evaluated("raw_house_returns_due", "2023-03-01T07:00") for _ in range(2)]

    assert [[request.run_key for request in result] for result in results] == [["2022:2023-03-01T07:00:00-05:00"]] * 2
