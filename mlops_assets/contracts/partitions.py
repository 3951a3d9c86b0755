"""The partitions of the domain: snapshot months, states, elections, forecasts, profile years, registration months.

Put here partition definitions and the mappings between them. Keep out anything that reads or writes a table.

All are static: the set of partitions is part of the versioned code and does not move with the clock, and only static
partitions can be mapped month to election by a mapping that Dagster carries across code locations.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import dagster as dg

STATES: Final = ("GA", "NC")
"""States whose voter files arrive, by postal code."""

ELECTION_YEARS: Final = tuple(str(year) for year in range(1976, 2026, 2))
"""General elections of the US House that the platform knows, the coming one last."""

FIRST_SNAPSHOT: Final = dt.date(2021, 7, 1)
LAST_SNAPSHOT: Final = dt.date(2024, 11, 1)


def _months(first: dt.date, last: dt.date) -> tuple[str, ...]:
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    return tuple(
        f"{first.year + (first.month - 1 + n) // 12}-{(first.month - 1 + n) % 12 + 1:02d}" for n in range(count)
    )


SNAPSHOT_MONTHS: Final = _months(FIRST_SNAPSHOT, LAST_SNAPSHOT)
"""Months of voter-file snapshots; a snapshot is taken on the first day of its month."""

FORECAST_YEARS: Final = ("2020", "2022", "2024")
"""Elections that are forecast: past ones as honest backtests, the coming one for use."""

PROFILE_YEARS: Final = tuple(str(year) for year in range(2000, 2025))
"""Years of census profiles."""

REGISTRATION_MONTHS: Final = _months(dt.date(1976, 1, 1), dt.date(2024, 12, 1))
"""Months in which county registration statistics may be dated."""

MONTHS: Final = dg.StaticPartitionsDefinition(list(SNAPSHOT_MONTHS))
ELECTIONS: Final = dg.StaticPartitionsDefinition(list(ELECTION_YEARS))
FORECASTS: Final = dg.StaticPartitionsDefinition(list(FORECAST_YEARS))
YEARS: Final = dg.StaticPartitionsDefinition(list(PROFILE_YEARS))
REGISTRATIONS: Final = dg.StaticPartitionsDefinition(list(REGISTRATION_MONTHS))
STATE: Final = dg.StaticPartitionsDefinition(list(STATES))

MONTH_BY_STATE: Final = dg.MultiPartitionsDefinition({"month": MONTHS, "state": STATE})
ELECTION_BY_STATE: Final = dg.MultiPartitionsDefinition({"election": ELECTIONS, "state": STATE})
FORECAST_BY_STATE: Final = dg.MultiPartitionsDefinition({"election": FORECASTS, "state": STATE})


def election_day(election: str) -> dt.date:
    """The day of the general election of that year: the Tuesday after the first Monday of November (2 U.S.C. 7)."""
    first = dt.date(int(election), 11, 1)
    first_monday = first + dt.timedelta(days=-first.weekday() % 7)
    return first_monday + dt.timedelta(days=1)


def snapshot_day(month: str) -> dt.date:
    """The day on which the snapshot of that month (``YYYY-MM``) is taken: its first."""
    return dt.date.fromisoformat(f"{month}-01")


def elections_informed_by(month: str) -> tuple[str, ...]:
    """The elections whose features may use the snapshot of that month.

    A snapshot informs the first election on or after its day. The first snapshot also gives the time-invariant
    attributes (birth cohort, gender, registration date) for all earlier elections, for which no snapshot exists.
    """
    day = snapshot_day(month)
    following = next((year for year in ELECTION_YEARS if election_day(year) >= day), None)
    informed = [] if following is None else [following]
    if month == SNAPSHOT_MONTHS[0]:
        informed = [year for year in ELECTION_YEARS if election_day(year) < day] + informed
    return tuple(informed)


def elections_after(election: str, *, most: int) -> tuple[str, ...]:
    """The next ``most`` elections after that one, nearest first, as far as the platform knows them."""
    return tuple(year for year in ELECTION_YEARS if year > election)[:most]
