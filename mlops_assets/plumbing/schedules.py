"""Schedules: which partitions of which source are due on a day of the calendar.

Put here when a source is expected or refreshed. Keep out what arrives at its own time, and sources whose
declaration says when.

What is due depends on the scheduled time alone, so that a tick that was missed asks for the same when it is made up.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts.partitions import ELECTION_YEARS, PROFILE_YEARS, STATES, election_day
from mlops_assets.contracts.raw import DISTRICT_PROFILES, HOUSE_RETURNS, VOTING_HISTORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops_assets.platform.contracts.contract import Contract

TIME_ZONE: Final = "America/New_York"

_HISTORY_FROM: Final = dt.timedelta(days=30)
_HISTORY_UNTIL: Final = dt.timedelta(days=365)
_RETURNS_FROM: Final = dt.timedelta(days=100)


def voting_history_due(day: dt.date) -> list[str]:
    """The voting history to refresh on that day: offices record it within a month and correct it for about a year."""
    return [
        str(dg.MultiPartitionKey({"election": election, "state": state}))
        for election in ELECTION_YEARS
        if _HISTORY_FROM <= day - election_day(election) <= _HISTORY_UNTIL
        for state in STATES
    ]


def house_returns_due(day: dt.date) -> list[str]:
    """The House returns to refresh on that day: those of the last election that is certified everywhere."""
    return [election for election in ELECTION_YEARS if election_day(election) + _RETURNS_FROM <= day][-1:]


def district_profiles_due(day: dt.date) -> list[str]:
    """The census profiles to refresh on that day: those of the year before, which appear in September."""
    year = str(day.year - 1)
    return [year] if year in PROFILE_YEARS else []


def _refresh(
    contract: Contract, *, cron: str, due: Callable[[dt.date], Sequence[str]], description: str
) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{contract.table}_refresh",
        cron_schedule=cron,
        execution_timezone=TIME_ZONE,
        target=dg.AssetSelection.assets(contract.key),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
    def _schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        day = context.scheduled_execution_time.date()
        requests = _requests(due(day), day)
        return requests or dg.SkipReason(f"No partition of {contract.key.to_user_string()} is due on {day}.")

    return _schedule


def _requests(partition_keys: Sequence[str], day: dt.date) -> list[dg.RunRequest]:
    return [dg.RunRequest(run_key=f"{key}:{day}", partition_key=key) for key in partition_keys]


def schedules() -> list[dg.ScheduleDefinition]:
    """The schedules of this code location, but for those that declarations bring."""
    return [
        _refresh(
            VOTING_HISTORY,
            cron="30 6 3 * *",
            due=voting_history_due,
            description="Monthly: the last general election, until a year after it.",
        ),
        _refresh(
            HOUSE_RETURNS,
            cron="0 7 1 3 *",
            due=house_returns_due,
            description="Every March: the last general election.",
        ),
        _refresh(
            DISTRICT_PROFILES,
            cron="0 7 1 10 *",
            due=district_profiles_due,
            description="Every October: the year before.",
        ),
    ]
