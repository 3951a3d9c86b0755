"""Tests of the changes of House results."""

from __future__ import annotations

import functools
import math
from collections import Counter
from typing import Any

import ibis
import pytest

from mlops_assets.contracts.variance import RESULT_CHANGES
from mlops_assets.wrangling import house_results as returns
from mlops_assets.wrangling.result_changes import result_changes
from mlops_assets_tests.wrangling.election_tables import Row, house_results, nation
from mlops_assets_tests.wrangling.kept_contract import engine, kept_rows
from mlops_assets_tests.wrangling.public_files import house_returns

_BEFORE = {"NC": [1000, 1010, 990, 1005], "GA": [1000, 1020, 980], "VA": [1000, 1015, 985], "TX": [1000, 990]}
_AFTER = {"NC": [1100, 1120, 1080, 1110], "GA": [1110, 1115, 1090], "VA": [1095, 1120, 1080], "TX": [1105, 1085]}


def _changes(rows: list[Row], *, election: str = "2018") -> dict[tuple[str, str], dict[str, Any]]:
    found = kept_rows(result_changes(house_results(rows), election=election), RESULT_CHANGES)
    return {(row["state"], row["district"]): row for row in found}


def _causes(rows: list[Row], state: str, *, election: str = "2018") -> set[str]:
    return {row["cause"] for (s, _), row in _changes(rows, election=election).items() if s == state}


def test_an_ordinary_change_has_numbers_and_no_cause() -> None:
    rows = _changes([*nation("2014", _BEFORE), *nation("2018", _AFTER)])
    assert {row["cause"] for row in rows.values()} == {"none"}
    row = rows["NC", "01"]
    assert (row["election"], row["previous_election"], row["before"], row["after"]) == ("2018", "2014", 1000, 1100)
    assert row["log_change"] == pytest.approx(math.log(1.1))
    assert row["national_log_change"] == pytest.approx(math.log(1.1), abs=0.02)
    assert abs(row["score"]) < 2
    assert "times the national change" in row["evidence"]


def test_a_state_loaded_twice_is_an_entry_change_confirmed_by_the_election_between() -> None:
    doubled = _AFTER | {"GA": [2 * votes for votes in _AFTER["GA"]]}
    rows = _changes([*nation("2014", _BEFORE), *nation("2016", _BEFORE), *nation("2018", doubled)])
    georgia = [row for (state, _), row in rows.items() if state == "GA"]
    assert [row["cause"] for row in georgia] == ["entry"] * 3
    assert georgia[0]["evidence"].startswith("the state as a whole is off by a factor of 2: median of 3 districts")
    assert georgia[0]["evidence"].endswith("2016 confirms that 2018 is off")
    assert {row["cause"] for (state, _), row in rows.items() if state != "GA"} == {"none"}


def test_the_election_between_tells_that_the_earlier_side_is_off() -> None:
    doubled = _BEFORE | {"GA": [2 * votes for votes in _BEFORE["GA"]]}
    rows = _changes([*nation("2014", doubled), *nation("2016", _BEFORE), *nation("2018", _AFTER)])
    assert rows["GA", "01"]["cause"] == "entry"
    assert "a factor of 0.5:" in rows["GA", "01"]["evidence"]
    assert rows["GA", "01"]["evidence"].endswith("2016 confirms that 2014 is off")


def test_without_the_election_between_a_tight_factor_is_still_named() -> None:
    thousands = _AFTER | {"GA": [1000 * votes for votes in _AFTER["GA"]]}
    rows = _changes([*nation("2014", _BEFORE), *nation("2018", thousands)])
    assert rows["GA", "01"]["cause"] == "entry"
    assert "a factor of 1000:" in rows["GA", "01"]["evidence"]
    assert rows["GA", "01"]["evidence"].endswith("2016 is not known, so either side may be off")


def test_a_state_that_doubled_by_itself_is_not_an_entry_change() -> None:
    surge = _AFTER | {"GA": [2 * votes for votes in _AFTER["GA"]]}
    halfway = _BEFORE | {"GA": [int(1.4 * votes) for votes in _BEFORE["GA"]]}
    rows = [*nation("2014", _BEFORE), *nation("2016", halfway), *nation("2018", surge)]
    assert _causes(rows, "GA") == {"unknown"}


def test_one_doubled_district_is_unknown() -> None:
    odd = _AFTER | {"GA": [2220, 1115, 1090]}
    rows = _changes([*nation("2014", _BEFORE), *nation("2016", _BEFORE), *nation("2018", odd)])
    assert [rows["GA", d]["cause"] for d in ("01", "02", "03")] == ["unknown", "none", "none"]
    assert rows["GA", "01"]["score"] > 3.5


def test_a_seat_without_a_count_on_a_side_is_uncontested() -> None:
    rows = _changes([*nation("2014", _BEFORE), *nation("2018", _AFTER | {"GA": [None, 1115, 1090]})])
    assert rows["GA", "01"]["cause"] == "uncontested"
    assert rows["GA", "01"]["evidence"] == "no count in 2018"
    assert rows["GA", "01"]["log_change"] is None


def test_a_state_with_another_number_of_districts_is_a_boundary_change() -> None:
    rows = _changes([*nation("2014", _BEFORE), *nation("2018", _AFTER | {"GA": [840, 830, 820, 810]})])
    assert {row["cause"] for (state, _), row in rows.items() if state == "GA"} == {"boundary"}
    assert rows["GA", "04"]["evidence"] == "the district is there in 2018 only: 3 districts before, 4 after"
    assert rows["GA", "01"]["evidence"] == "the state's number of districts changed: 3 districts before, 4 after"


def test_a_reshuffled_state_is_a_boundary_change_in_a_redistricting_cycle_only() -> None:
    reshuffled = _AFTER | {"NC": [1500, 700, 1450, 760]}
    cycle = [*nation("2008", _BEFORE), *nation("2012", reshuffled)]
    assert _causes(cycle, "NC", election="2012") == {"boundary"}
    assert _causes(cycle, "VA", election="2012") == {"none"}
    calm = [*nation("2014", _BEFORE), *nation("2018", reshuffled)]
    assert "boundary" not in _causes(calm, "NC")


def test_an_extreme_change_of_a_seat_contested_once_is_uncontested() -> None:
    rows: list[Row] = [*nation("2014", _BEFORE), *nation("2018", _AFTER | {"GA": [400, 1115, 1090]})]
    for row in rows:
        row["uncontested"] = (row["election"], row["state"], row["district"]) == ("2018", "GA", "01")
    changed = _changes(rows)["GA", "01"]
    assert changed["cause"] == "uncontested"
    assert changed["evidence"].startswith("only one candidate in 2018: score -")


@pytest.mark.parametrize("known", ["2014", "2018", "2016"])
def test_an_election_alone_gives_no_rows(known: str) -> None:
    assert _changes(nation(known, _BEFORE)) == {}


@functools.cache
def _real_results(edition: str, encoding: str) -> ibis.Table:
    return ibis.memtable(engine().to_pyarrow(returns.house_results(house_returns(edition, encoding=encoding))))


def _real(edition: str, encoding: str, election: str) -> list[dict[str, Any]]:
    return kept_rows(result_changes(_real_results(edition, encoding), election=election), RESULT_CHANGES)


@pytest.mark.real_data
def test_the_doubled_states_of_the_2018_edition_are_named() -> None:
    entry = [row for row in _real("1976-2018-house.csv.gz", "latin-1", "2018") if row["cause"] == "entry"]
    assert Counter(row["state"] for row in entry) == {"CA": 53, "FL": 20}
    assert all("by a factor of 2:" in row["evidence"] for row in entry)
    assert all(row["evidence"].endswith("2016 confirms that 2018 is off") for row in entry)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("edition", "encoding"),
    [("1976-2018-house_edition-notzane.csv.gz", "latin-1"), ("1976-2020-house.csv.gz", "utf-8")],
)
def test_no_entry_change_is_found_in_the_other_editions(edition: str, encoding: str) -> None:
    for election in ("1980", "1990", "1994", "2002", "2014", "2018"):
        assert "entry" not in {row["cause"] for row in _real(edition, encoding, election)}


@pytest.mark.real_data
def test_apportionment_of_2012_is_a_boundary_change() -> None:
    rows = _real("1976-2020-house.csv.gz", "utf-8", "2012")
    boundary = {row["state"] for row in rows if row["cause"] == "boundary"}
    gained_or_lost = {
        "AZ", "FL", "GA", "IA", "IL", "LA", "MA", "MI", "MO", "NJ", "NV", "NY", "OH", "PA", "SC", "TX", "UT", "WA",
    }  # fmt: skip
    assert gained_or_lost <= boundary
    assert "VT" not in boundary
