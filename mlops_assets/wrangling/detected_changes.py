"""Detected changes: what happened to the districts or counties of each state, from aggregates that link no person.

Put here how results, profiles and registrations become panels for the variance engine. Keep out the detection itself.

Each table is compared as it was known at its own time: later data never change what was said of an earlier time, so
that events keep their ids, and nothing that is made from them looks ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa

from mlops_assets.contracts.wrangled import PROFILE_MEASURES
from mlops_assets.variance.panel.panels import Columns, Panel, read_panel

if TYPE_CHECKING:
    import ibis.expr.types as ir

FEWEST_TIMES: Final = 3
"""With fewer times what is ordinary has to be assumed, and volatile measures such as votes look redrawn everywhere."""

FEWEST_PROFILES: Final = 2
"""Measures of people are steady enough to be compared from one time to the next."""

SURVEY: Final = "acs1"
"""Of a census and a survey of the same year the survey is compared, because it is there in every year."""

PARTIES: Final = ("DEMOCRATIC", "REPUBLICAN", "UNAFFILIATED", "LIBERTARIAN", "GREEN", "OTHER")
"""Classes compared. An inactive voter is one in every party, so that class has no place beside the others."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """How a table is compared.

    Attributes:
        partition: the column of its time, which is also that of the changes.
        columns: what the columns of its panel mean.
        fewest: how many times must be known, its own included.
    """

    partition: str
    columns: Columns
    fewest: int


RESULTS: Final = Source(
    partition="election",
    columns=Columns(
        unit="district",
        group="state",
        time="election",
        measures=("share", "democratic_votes", "republican_votes", "total_votes"),
        entity="winner_token",
    ),
    fewest=FEWEST_TIMES,
)
PROFILES: Final = Source(
    partition="year",
    columns=Columns(unit="district", group="state", time="year", measures=PROFILE_MEASURES),
    fewest=FEWEST_PROFILES,
)
REGISTRATIONS: Final = Source(
    partition="month",
    columns=Columns(unit="county", group="state", time="month", measures=PARTIES),
    fewest=FEWEST_TIMES,
)


def result_changes(house_results: ir.Table, *, election: str) -> pa.Table:
    """What happened to each state's districts since the election before.

    Args:
        house_results: ``wrangled/house_results`` of that election and earlier ones; later ones are ignored.
        election: the year of the election.

    Returns:
        Rows of ``variance/result_changes``; none where too few elections are known.
    """
    votes = house_results.democratic_votes + house_results.republican_votes
    rows = house_results.select(
        "state",
        "district",
        "election",
        "democratic_votes",
        "republican_votes",
        "total_votes",
        "winner_token",
        share=house_results.democratic_votes / votes.nullif(0),
    )
    return _changes(rows, RESULTS, election)


def profile_changes(district_profiles: ir.Table, *, year: str) -> pa.Table:
    """What happened to each state's districts since the profile before.

    Args:
        district_profiles: ``wrangled/district_profiles`` of that year and earlier ones; later ones are ignored.
        year: the year.

    Returns:
        Rows of ``variance/profile_changes``; none where too few profiles are known.
    """
    t = district_profiles
    with_survey = t.filter(t.dataset == SURVEY).select(surveyed=t.year).distinct()
    chosen = t.left_join(with_survey, t.year == with_survey.surveyed)
    chosen = chosen.filter((chosen.dataset == SURVEY) | chosen.surveyed.isnull())
    wide = chosen.group_by("state", "district", "year").agg(
        **{measure: chosen.value.max(where=chosen.measure == measure) for measure in PROFILE_MEASURES}
    )
    return _changes(wide, PROFILES, year)


def registration_changes(county_registrations: ir.Table, *, month: str) -> pa.Table:
    """What happened to each state's counties since the statistic before.

    Args:
        county_registrations: ``wrangled/county_registrations`` of that month and earlier ones; later ones are ignored.
        month: the month.

    Returns:
        Rows of ``variance/registration_changes``; none where too few months are known.
    """
    t = county_registrations
    # A state that has nothing to say this month says nothing about its earlier ones either.
    present = t.filter(t.month == month).select(present=t.state).distinct()
    own = t.semi_join(present, t.state == present.present)
    wide = own.group_by("state", "county", "month").agg(
        **{party: own.registered.sum(where=own.party == party) for party in PARTIES}
    )
    return _changes(wide, REGISTRATIONS, month)


def _changes(rows: ir.Table, source: Source, time: str) -> pa.Table:
    # Imported where it is needed: a third of a second for every run that loads the location and detects nothing.
    from mlops_assets.variance.panel.detection import detect  # noqa: PLC0415

    known = rows.filter(rows[source.partition] <= time).to_pyarrow()
    times = sorted(set(known.column(source.partition).to_pylist()))
    if len(times) < source.fewest or times[-1] != time:
        return _table([], source)
    measures = tuple(name for name in source.columns.measures if known.column(name).null_count < known.num_rows)
    if not measures:
        return _table([], source)
    panel = read_panel(duckdb.from_arrow(known), replace(source.columns, measures=measures))
    found = [row for row in detect(panel).to_pylist() if row["time"] == time]
    before = _time_before(panel)
    return _table(
        [
            {
                "state": row["group"],
                "compared_with": before.get(row["group"], times[-2]),
                "states": len(panel.groups),
                "cause": row["cause"],
                "probability": row["probability"],
                "magnitude": row["magnitude"],
                "units": row["units"],
                "evidence": row["evidence"],
                source.partition: time,
            }
            for row in found
        ],
        source,
    )


def _time_before(panel: Panel) -> dict[str, str]:
    """For each group the latest time before the last of the panel that it has rows of."""
    last = len(panel.times) - 1
    earlier = panel.time < last
    found: dict[str, str] = {}
    for number, group in enumerate(panel.groups):
        own = panel.time[earlier & (panel.group == number)]
        if own.size:
            found[group] = panel.times[int(own.max())]
    return found


def _table(rows: list[dict[str, Any]], source: Source) -> pa.Table:
    schema = pa.schema(
        [
            ("state", pa.string()),
            ("compared_with", pa.string()),
            ("states", pa.int64()),
            ("cause", pa.string()),
            ("probability", pa.float64()),
            ("magnitude", pa.float64()),
            ("units", pa.string()),
            ("evidence", pa.string()),
            (source.partition, pa.string()),
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)
