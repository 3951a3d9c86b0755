"""The partitions of the domain: snapshot months, states, elections, forecasts, profile years, registration months.

Put here partition definitions and the mappings between them. Keep out anything that reads or writes a table.

All are static: the set of partitions is part of the versioned code and does not move with the clock, and only static
partitions can be mapped month to election by a mapping that Dagster carries across code locations.
"""

from __future__ import annotations

import datetime as dt
import warnings
from typing import TYPE_CHECKING, Final

import dagster as dg
from dagster._utils.warnings import BetaWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

STATES: Final = ("GA", "NC")
"""States whose voter files arrive, by postal code."""

TIME_ZONE: Final = "America/New_York"
"""Where they are; the times at which something is due are in it."""

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

FIRST_HISTORY: Final = "2010"
"""The first general election of which the states' voting-history databases still tell."""

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


def month_before(month: str) -> str | None:
    """The snapshot month before that one; ``None`` for the first."""
    position = SNAPSHOT_MONTHS.index(month)
    return SNAPSHOT_MONTHS[position - 1] if position else None


def elections_informed_by(month: str) -> tuple[str, ...]:
    """The elections whose features may use the snapshot of that month.

    A snapshot informs the first two elections on or after its day: the second, because between an election and the next
    snapshot the one at hand is still the latest. The first snapshot also gives the time-invariant attributes (birth
    cohort, gender, registration date) for the earlier elections of which voting history tells and for which no
    snapshot exists.
    """
    day = snapshot_day(month)
    informed = [year for year in ELECTION_YEARS if election_day(year) >= day][:2]
    if month == SNAPSHOT_MONTHS[0]:
        informed = [year for year in ELECTION_YEARS if year >= FIRST_HISTORY and election_day(year) < day] + informed
    return tuple(informed)


def elections_after(election: str, *, most: int) -> tuple[str, ...]:
    """The next ``most`` elections after that one, nearest first, as far as the platform knows them."""
    return tuple(year for year in ELECTION_YEARS if year > election)[:most]


def _with_same_state(dimension: str, downstream: str, mapping: dict[str, list[str]]) -> dg.MultiPartitionMapping:
    with warnings.catch_warnings():
        # These mappings are in beta; what we need of them is pinned by tests.
        warnings.simplefilter("ignore", BetaWarning)
        return dg.MultiPartitionMapping(
            {
                dimension: dg.DimensionPartitionMapping(downstream, dg.StaticPartitionMapping(mapping)),
                "state": dg.DimensionPartitionMapping("state", dg.IdentityPartitionMapping()),
            }
        )


def _to_states(dimension: str) -> dg.MultiToSingleDimensionPartitionMapping:
    with warnings.catch_warnings():
        # In beta likewise.
        warnings.simplefilter("ignore", BetaWarning)
        return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=dimension)


SNAPSHOTS_TO_ELECTIONS: Final = _with_same_state(
    "month", "election", {month: list(elections_informed_by(month)) for month in SNAPSHOT_MONTHS}
)
"""A state's snapshot informs the elections of `elections_informed_by` in that state."""

HISTORY_TO_ELECTIONS: Final = _with_same_state(
    "election", "election", {election: [election, *elections_after(election, most=3)] for election in ELECTION_YEARS}
)
"""A state's voting history is the label of its own election and a feature of the three after it."""


RESULTS_TO_FEATURES: Final = dg.StaticPartitionMapping(
    {election: list(elections_after(election, most=3)) for election in ELECTION_YEARS}
)
"""Results of an election are features of the districts before the next three."""


PROFILE_YEARS_BACK: Final = 6
"""A census profile older than this many years tells nothing of an election any more."""

_FIRST_CONGRESS: Final = 1786
_YEARS_OF_MAPS: Final = 10
_FIRST_MAPS: Final = 1972


def congress_elected_in(election: str) -> int:
    """The number of the Congress elected in that year: 118 in 2022 (the first was chosen in 1788)."""
    return (int(election) - _FIRST_CONGRESS) // 2


def first_election_of_the_maps_of(election: str) -> str:
    """The first election of the apportionment decade: ``2012`` for 2012 to 2020.

    Seats are apportioned anew after each census and first filled in the years ending in 2. Maps redrawn within a
    decade are not told apart.
    """
    return str(int(election) - (int(election) - _FIRST_MAPS) % _YEARS_OF_MAPS)


def elections_informed_by_profile(year: str) -> tuple[str, ...]:
    """The elections after a profile's year that are near enough to use it; whether the map is theirs the rows tell."""
    return tuple(e for e in ELECTION_YEARS if 0 < int(e) - int(year) <= PROFILE_YEARS_BACK)


PROFILES_TO_FEATURES: Final = dg.StaticPartitionMapping(
    {year: list(elections_informed_by_profile(year)) for year in PROFILE_YEARS}
)
"""A census profile informs the elections of the six years after it."""

RESULTS_TO_FORECASTS: Final = dg.StaticPartitionMapping(
    {election: [forecast for forecast in FORECAST_YEARS if forecast > election] for election in ELECTION_YEARS}
)
"""What is known of an election teaches the models of the forecasts after it, and of no other."""

ELECTIONS_TO_FORECASTS: Final = dg.StaticPartitionMapping({forecast: forecast for forecast in FORECAST_YEARS})
"""Features of an election are what its forecast is made from."""

ELECTIONS_TO_FORECASTS_BY_STATE: Final = _with_same_state(
    "election", "election", {forecast: [forecast] for forecast in FORECAST_YEARS}
)
"""Features of a state's election are what its forecast is made from."""

FORECASTS_TO_STATES: Final = _to_states("election")
"""The model of a forecast serves every state."""


def elections_before(forecast: str, elections_by_state: Sequence[str]) -> list[str]:
    """Of partition keys such as ``2020|NC``, those of elections before the forecast's."""
    return [key for key in elections_by_state if key.split("|")[0] < forecast]


def election_itself(forecast: str, elections_by_state: Sequence[str]) -> list[str]:
    """Of partition keys such as ``2020|NC``, those of the forecast's own election."""
    return [key for key in elections_by_state if key.split("|")[0] == forecast]
