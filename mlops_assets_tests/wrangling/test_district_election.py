"""Tests of the features of districts before an election."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.contracts import partitions
from mlops_assets.contracts.features import DISTRICT_ELECTION
from mlops_assets.wrangling import house_results as returns
from mlops_assets.wrangling.district_election import district_election
from mlops_assets_tests.wrangling.election_tables import district_profiles, house_results, nation, profile, seat
from mlops_assets_tests.wrangling.kept_contract import kept_rows
from mlops_assets_tests.wrangling.public_files import house_returns

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets_tests.wrangling.election_tables import Row

_NO_PROFILES = district_profiles()
_PERSONS: dict[str, Any] = {
    "population": 700_000.0,
    "population_18_and_over": 500_000.0,
    "population_65_and_over": 70_000.0,
}


def _features(rows: list[Row], profiles: ir.Table = _NO_PROFILES, *, election: str = "2018") -> list[dict[str, Any]]:
    return kept_rows(district_election(house_results(rows), profiles, election=election), DISTRICT_ELECTION)


def _feature(rows: list[Row], profiles: ir.Table = _NO_PROFILES, *, election: str = "2018") -> dict[str, Any]:
    (row,) = _features(rows, profiles, election=election)
    return row


def _profile_year(*profiles: list[Row], election: str = "2018") -> str | None:
    year: str | None = _feature(
        [seat(str(int(election) - 2), "01", 10)], district_profiles(*profiles), election=election
    )["profile_year"]
    return year


def test_the_three_elections_before_and_the_latest_profile_become_one_row() -> None:
    rows = [
        *nation("2016", {"NC": [300_000]}),
        *nation("2014", {"NC": [200_000]}),
        *nation("2012", {"NC": [310_000]}),
    ]
    profiles = district_profiles(profile("2012", "01", congress=113, **_PERSONS))
    assert _feature(rows, profiles) == {
        "election": "2018",
        "state": "NC",
        "district": "01",
        "presidential": 0,
        "votes_last": 300_000.0,
        "votes_second_last": 200_000.0,
        "votes_third_last": 310_000.0,
        "uncontested_last": 0,
        "state_votes_last": 300_000.0,
        "state_votes_second_last": 200_000.0,
        "share_last": None,
        "share_second_last": None,
        "share_third_last": None,
        "state_share_last": None,
        "nation_share_last": None,
        "unopposed_last": 0,
        "president_democratic": 0,
        "profile_year": "2012",
        "population": 700_000.0,
        "population_18_and_over": 500_000.0,
        "share_65_and_over": 0.1,
    }


def test_every_district_of_the_last_election_has_a_row_and_no_other() -> None:
    rows = [*nation("2016", {"NC": [1, 2, 3], "VT": [4]}), *nation("2014", {"NC": [1] * 5})]
    found = [(row["state"], row["district"]) for row in _features(rows)]
    assert found == [("NC", "01"), ("NC", "02"), ("NC", "03"), ("VT", "01")]


def test_a_seat_without_a_count_is_null_and_left_out_of_the_states_mean() -> None:
    rows = _features(nation("2016", {"NC": [None, 100, 300]}))
    assert [row["votes_last"] for row in rows] == [None, 100.0, 300.0]
    assert [row["uncontested_last"] for row in rows] == [1, 0, 0]
    assert {row["state_votes_last"] for row in rows} == {200.0}


def test_an_unknown_last_election_leaves_its_features_null() -> None:
    row = _feature(nation("2014", {"NC": [200]}))
    assert (row["votes_last"], row["votes_second_last"], row["uncontested_last"]) == (None, 200.0, 0)


def test_nothing_known_before_gives_no_rows() -> None:
    assert _features([]) == []


@pytest.mark.parametrize(("election", "presidential"), [("2016", 1), ("2018", 0), ("2020", 1)])
def test_presidential_years_are_told(election: str, presidential: int) -> None:
    assert _feature([seat(str(int(election) - 2), "01", 5)], election=election)["presidential"] == presidential


@settings(max_examples=5)
@given(st.sampled_from(["2018", "2020", "2022"]), st.integers(2, 10**6), st.booleans())
def test_nothing_of_the_election_itself_or_later_is_used(year: str, votes: int, uncontested: bool) -> None:  # noqa: FBT001 - hypothesis gives positions
    known = [*nation("2016", {"NC": [300, 310]}), *nation("2014", {"NC": [200, 210]})]
    profiles = [profile("2016", "01", congress=114, **_PERSONS)]
    future = [seat(year, district, votes, uncontested=uncontested) for district in ("01", "02", "03")]
    later = [profile(year, "01", congress=114, population=float(votes)), *profiles]
    assert _features(known + future, district_profiles(*later)) == _features(known, district_profiles(*profiles))


def test_the_latest_profile_before_the_election_year_is_used() -> None:
    years = ("2012", "2014", "2017", "2018", "2019")
    profiles = [profile(year, "01", congress=113, population=float(year)) for year in years]
    assert _profile_year(*profiles) == "2017"


def test_a_profile_older_than_six_years_is_not_used() -> None:
    assert _profile_year(profile("2012", "01", congress=113, population=1.0), election="2020") is None
    assert _profile_year(profile("2014", "01", congress=114, population=1.0), election="2020") == "2014"


def test_a_profile_of_the_maps_of_the_decade_before_is_not_used() -> None:
    old, new = (profile("2010", "01", congress=congress, population=1.0) for congress in (111, 113))
    assert _profile_year(old, election="2012") is None
    assert _profile_year(old, election="2010") is None
    assert _profile_year(new, election="2014") == "2010"


def test_a_profile_tabulated_for_a_later_congress_is_not_used() -> None:
    assert _profile_year(profile("2010", "01", congress=115, population=1.0), election="2014") is None


def test_a_profile_without_a_congress_is_judged_by_its_year() -> None:
    assert _profile_year(profile("2011", "01", congress=None, population=1.0), election="2014") is None
    assert _profile_year(profile("2012", "01", congress=None, population=1.0), election="2014") == "2012"


def test_the_census_goes_before_the_survey_of_the_same_year() -> None:
    profiles = district_profiles(
        profile("2017", "01", congress=115, population=1.0),
        profile("2017", "01", congress=115, dataset="dec", population=2.0),
    )
    assert _feature([seat("2016", "01", 5)], profiles)["population"] == 2.0


def test_the_partition_mappings_hold_only_the_past() -> None:
    for year in partitions.PROFILE_YEARS:
        assert all(year < election for election in partitions.elections_informed_by_profile(year))
    assert partitions.elections_informed_by_profile("2012") == ("2014", "2016", "2018")
    assert (partitions.congress_elected_in("2012"), partitions.congress_elected_in("2022")) == (113, 118)
    maps = {election: partitions.first_election_of_the_maps_of(election) for election in ("2010", "2012", "2020")}
    assert maps == {"2010": "2002", "2012": "2012", "2020": "2012"}


@pytest.mark.real_data
def test_every_real_election_has_435_districts_to_forecast() -> None:
    results = returns.house_results(house_returns("1976-2020-house.csv.gz", encoding="utf-8"))
    for election in ("1982", "2008", "2022"):
        rows = kept_rows(district_election(results, _NO_PROFILES, election=election), DISTRICT_ELECTION)
        assert len(rows) == 435
        assert sum(row["votes_last"] is None for row in rows) <= 20


def _contested(election: str, district: str, democratic: int, republican: int, *, state: str = "NC") -> Row:
    votes = {"democratic_votes": democratic, "republican_votes": republican}
    return {**seat(election, district, democratic + republican, state=state), **votes}


def test_shares_of_the_two_large_parties_are_those_of_seats_for_which_both_ran() -> None:
    rows = [
        _contested("2016", "01", 60, 40),
        _contested("2016", "02", 0, 300),
        _contested("2016", "03", 100, 300),
        _contested("2016", "01", 500, 500, state="VT"),
        _contested("2014", "02", 30, 70),
    ]
    first, second, *_ = _features(rows)
    assert (first["share_last"], first["share_second_last"], first["unopposed_last"]) == (0.6, None, 0)
    assert (second["share_last"], second["share_second_last"], second["unopposed_last"]) == (None, 0.3, -1)
    assert first["state_share_last"] == second["state_share_last"] == 0.32
    assert first["nation_share_last"] == 0.44


@pytest.mark.parametrize(("election", "democratic"), [("1978", 1), ("1990", 0), ("2010", 1), ("2018", 0), ("2022", 1)])
def test_the_president_in_office_is_known_before_the_election(election: str, democratic: int) -> None:
    rows = nation(str(int(election) - 2), {"NC": [10]})
    assert _feature(rows, election=election)["president_democratic"] == democratic
