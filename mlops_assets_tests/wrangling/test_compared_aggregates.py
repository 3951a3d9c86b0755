"""Changes detected in aggregates: as known at their own time, from three kinds of tables."""

from __future__ import annotations

import csv
import functools
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.contracts.wrangled import COUNTY_REGISTRATIONS
from mlops_assets.platform.contracts import rules
from mlops_assets.wrangling import house_results as returns
from mlops_assets.wrangling.compared import PROFILES, REGISTRATIONS, RESULTS
from mlops_assets_tests.wrangling.election_tables import Row, district_profiles, house_results, seat
from mlops_assets_tests.wrangling.kept_contract import engine, kept_rows
from mlops_assets_tests.wrangling.public_files import house_returns, public_folder

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.wrangling.comparisons.declaration import Compare

STATES = ("AL", "AZ", "CO", "GA", "IA", "MD", "NC", "NY", "OH", "TX")


def _elections(*years: str, doubled: tuple[str, str] | None = None) -> list[Row]:
    """Ten states of eight districts that change by two percent; one state of one election may be doubled."""
    chance = np.random.default_rng(7)
    rows = []
    for state in STATES:
        for number in range(1, 9):
            size = 200_000 * chance.lognormal(0, 0.3)
            for year in years:
                votes = size * chance.lognormal(0, 0.02) * (2 if (state, year) == doubled else 1)
                row = seat(year, f"{number:02d}", int(votes), state=state)
                rows.append({**row, "democratic_votes": int(votes * 0.5), "republican_votes": int(votes * 0.45)})
    return rows


def _found(compared: Compare, rows: ir.Table, time: str) -> pa.Table:
    """What was said at that time, from rows of any time."""
    column = compared.timeline.column
    known = rows.filter(rows[column] <= time)
    times = known.select(column).distinct().to_pyarrow()[column].to_pylist()
    return compared.panel_changes(known, {column: time}, times)


def _kept(compared: Compare, rows: ir.Table, time: str) -> list[dict[str, Any]]:
    return kept_rows(ibis.memtable(_found(compared, rows, time)), compared.changes())


def _causes(rows: list[Row], election: str) -> dict[str, str]:
    found = _kept(RESULTS, house_results(rows), election)
    return {row["state"]: row["cause"] for row in found}


def test_a_state_entered_twice_is_named_and_no_other() -> None:
    causes = _causes(_elections("2012", "2014", "2016", "2018", doubled=("GA", "2018")), "2018")
    assert causes == {state: "entry" if state == "GA" else "none" for state in STATES}


def test_later_elections_change_nothing_of_what_was_said() -> None:
    early = _elections("2012", "2014", "2016")
    later = _elections("2012", "2014", "2016", "2018", doubled=("GA", "2018"))
    known = [row for row in later if row["election"] <= "2016"]  # type: ignore[operator]  # texts
    assert len(known) == len(early)
    with_later = _found(RESULTS, house_results(later), "2016")
    assert with_later.equals(_found(RESULTS, house_results(known), "2016"))


@pytest.mark.parametrize("years", [(), ("2018",), ("2016", "2018"), ("2012", "2014", "2016")])
def test_too_few_elections_or_none_of_its_own_give_no_rows(years: tuple[str, ...]) -> None:
    assert _causes(_elections(*years), "2018") == {}


def _profiles(year: str, dataset: str, factor: float) -> list[Row]:
    measures = {"population": 700_000.0, "hispanic": 90_000.0, "black_alone": 150_000.0}
    return [
        {
            "year": year, "dataset": dataset, "state": state, "district": f"{number:02d}", "congress": 112,
            "measure": measure, "value": value * (1 + number / 20) * (factor if measure == "hispanic" else 1.0),
            "code": "X",
        }
        for state in STATES
        for number in range(1, 9)
        for measure, value in measures.items()
    ]  # fmt: skip


def test_a_profile_is_compared_with_the_one_before_by_the_survey_where_there_is_one() -> None:
    table = district_profiles(
        _profiles("2010", "acs1", 1.0), _profiles("2010", "dec", 1.6), _profiles("2011", "acs1", 1.0)
    )
    rows = _kept(PROFILES, table, "2011")
    assert {row["cause"] for row in rows} == {"none"}
    assert {(row["compared_with"], row["groups"]) for row in rows} == {("2010", len(STATES))}
    assert _found(PROFILES, table, "2010").num_rows == 0


def test_registrations_are_compared_within_the_states_that_report() -> None:
    chance = np.random.default_rng(3)
    rows = [
        {
            "month": month, "state": state, "county": f"COUNTY {number}", "party": party,
            "registered": int(20_000 * (1 + number) * chance.lognormal(0, 0.01) * (2 if month == "2018-03" else 1)),
        }
        for state in ("MD", "SD")
        for number in range(12)
        for party in ("DEMOCRATIC", "REPUBLICAN", "INACTIVE")
        for month in ("2018-01", "2018-02", "2018-03")
        if not (state == "SD" and month == "2018-03")
    ]  # fmt: skip
    schema = ibis.schema(rules.columns_of(COUNTY_REGISTRATIONS)).to_pyarrow()
    table = ibis.memtable(pa.Table.from_pylist(rows, schema=schema))
    found = _kept(REGISTRATIONS, table, "2018-03")
    assert [(row["state"], row["cause"], row["compared_with"]) for row in found] == [("MD", "entry", "2018-02")]


@functools.cache
def _official() -> pa.Table:
    table: pa.Table = engine().to_pyarrow(
        returns.house_results(house_returns("1976-2020-house.csv.gz", encoding="utf-8"))
    )
    return table


@pytest.mark.real_data
def test_redrawn_states_of_the_official_returns_are_found_without_looking_ahead() -> None:
    truth: dict[tuple[str, str], str] = {}
    official = _official()
    with (public_folder("medsl-house").parent / "redistricting_state_year_labels_1972_2000.csv").open(
        encoding="utf-8"
    ) as file:
        for row in csv.DictReader(file):
            truth[row["state"], row["election_year"]] = row["label"]
    marks: list[tuple[bool, bool]] = []
    for election in ("1982", "1984", "1992", "1994"):
        found: list[dict[str, Any]] = _found(RESULTS, ibis.memtable(official), election).to_pylist()
        marks += [
            (label == "event", row["cause"] == "boundary" and row["probability"] >= RESULTS.probable)
            for row in found
            if (label := truth.get((row["state"], election))) in {"event", "no-event"}
        ]
    hits = sum(event and named for event, named in marks)
    assert hits / sum(named for _, named in marks) >= 0.9
    assert hits / sum(event for event, _ in marks) >= 0.7
