"""Rows of the variance tables become what a page tells, in the words of the voter files."""

from __future__ import annotations

from typing import Any

from mlops_assets.variance.report.reports import history_page
from mlops_assets.wrangling.event_reports import history_of_lake
from mlops_assets.wrangling.named_events import Event

REDRAWN: dict[str, Any] = vars(
    Event(
        event_id="9f0011223344",
        source="variance/voter_events",
        partition="2022-03|NC",
        state="NC",
        time="2022-03",
        since="2022-02-01",
        until="2022-03-01",
        cause="boundary",
        kind="redrawn",
        name="redrawn: 3 districts after 2",
        probability=1.0,
        units="01,03",
        size=1200.0,
        size_unit="voters",
        evidence="1200 of 9000 at an unchanged address are in another unit",
        judgement="open",
        judged_by="",
        notes="",
        cuts=True,
    )
)
TOTALS = [
    {"state": "NC", "district": district, "month": month, "voters": voters}
    for district, voters in (("01", 500), ("02", 400), ("03", None))
    for month in ("2022-04", "2022-01", "2022-03", "2022-02")
]


def test_a_district_is_cut_in_the_month_in_which_its_map_changed() -> None:
    history = history_of_lake([REDRAWN], TOTALS)
    assert [(track.unit, list(track.times), list(track.cuts)) for track in history.tracks] == [
        ("01", ["2022-01", "2022-02", "2022-03", "2022-04"], ["2022-03"]),
        ("02", ["2022-01", "2022-02", "2022-03", "2022-04"], []),
    ]


def test_an_event_of_all_districts_cuts_each_and_one_before_the_first_month_none() -> None:
    everywhere = {**REDRAWN, "units": "all"}
    before = {**REDRAWN, "units": "all", "until": "2022-01-01"}
    assert [list(track.cuts) for track in history_of_lake([everywhere, before], TOTALS).tracks] == [["2022-03"]] * 2


def test_the_page_of_the_lake_speaks_of_voters_and_districts() -> None:
    assert "Registered voters of 2 districts over time" in history_page(history_of_lake([REDRAWN], TOTALS))
