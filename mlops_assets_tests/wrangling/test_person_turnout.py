"""Tests of the turnout features: what is known before an election day, and nothing more."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.contracts.features import PERSON_TURNOUT
from mlops_assets.contracts.partitions import (
    ELECTION_BY_STATE,
    HISTORY_TO_ELECTIONS,
    MONTH_BY_STATE,
    SNAPSHOTS_TO_ELECTIONS,
)
from mlops_assets.contracts.wrangled import VOTERS, VOTING_HISTORY
from mlops_assets.wrangling.person_turnout import latest_snapshot, person_turnout, snapshots_in_time
from mlops_assets_tests.wrangling.kept_contract import kept_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.platform.contracts.contract import Contract

_VOTER: dict[str, Any] = {
    "state": "NC",
    "month": "2022-11",
    "person_token": "p1",
    "address_token": "a1",
    "district": "04",
    "county": "ALAMANCE",
    "status": "ACTIVE",
    "race": "WHITE",
    "ethnicity": "NOT_HISPANIC",
    "gender": "FEMALE",
    "party": "DEMOCRATIC",
    "birth_cohort": 1980,
    "registered_year": 2009,
    "race_code": "W",
    "ethnic_code": "NL",
    "gender_code": "F",
    "party_code": "DEM",
    "copies": 1,
}


def _schema(contract: Contract) -> pa.Schema:
    columns = contract.schema.columns
    numbers = {"birth_cohort", "registered_year", "copies"}
    return pa.schema([(name, pa.int64() if name in numbers else pa.string()) for name in columns])


def _voters(*rows: Mapping[str, Any]) -> ibis.Table:
    return ibis.memtable(pa.Table.from_pylist([{**_VOTER, **row} for row in rows], _schema(VOTERS)))


def _history(*ballots: tuple[str, ...]) -> ibis.Table:
    rows = [
        {"state": "NC", "election": b[0], "person_token": b[1], "county": "ALAMANCE", "party": (*b, "DEMOCRATIC")[2]}
        for b in ballots
    ]
    return ibis.memtable(pa.Table.from_pylist(rows, _schema(VOTING_HISTORY)))


def _features(
    voters: Sequence[Mapping[str, Any]], history: Sequence[tuple[str, ...]], election: str = "2022"
) -> dict[str, dict[str, Any]]:
    table = person_turnout(_voters(*voters), _history(*history), election=election)
    return {row["person_token"]: row for row in kept_rows(table, PERSON_TURNOUT)}


def test_a_person_has_what_was_known_before_the_day() -> None:
    history = [("2022", "p1"), ("2020", "p1", "REPUBLICAN"), ("2016", "p1"), ("2014", "p1")]
    assert _features([{}], history)["p1"] == {
        "state": "NC",
        "election": "2022",
        "person_token": "p1",
        "district": "04",
        "county": "ALAMANCE",
        "snapshot_month": "2022-11",
        "age": 40,
        "age_group": "35-44",
        "years_registered": 13,
        "presidential": 0,
        "voted_last": 1,
        "voted_second_last": 0,
        "voted_third_last": 1,
        "party_last": "REPUBLICAN",
        "gender": "FEMALE",
        "place_turnout": 1.0,
        "voted": 1,
    }


def test_label_is_unknown_while_the_election_has_no_history() -> None:
    persons = [{}, {"person_token": "p2"}]
    before = _features(persons, [("2020", "p1")])
    after = _features(persons, [("2020", "p1"), ("2022", "p2")])
    assert [before[p]["voted"] for p in ("p1", "p2")] == [None, None]
    assert [after[p]["voted"] for p in ("p1", "p2")] == [0, 1]


def test_a_person_who_never_voted_has_no_party() -> None:
    assert _features([{}], [("2014", "p1")])["p1"]["party_last"] == "NONE"


def test_place_turnout_is_the_countys_share_of_those_registered_two_years_before() -> None:
    persons: list[dict[str, Any]] = [
        {"person_token": "p1"},
        {"person_token": "p2"},
        {"person_token": "p3", "registered_year": 2020},
        {"person_token": "p4", "county": "WAKE"},
        {"person_token": "p5", "county": "ASHE", "registered_year": 2021},
    ]
    features = _features(persons, [("2020", "p1"), ("2020", "p3"), ("2020", "p4"), ("2018", "p2")])
    assert features["p3"]["place_turnout"] == 0.5
    assert features["p4"]["place_turnout"] == 1.0
    # Nobody of Ashe was registered then, so it takes the state's share.
    assert features["p5"]["place_turnout"] == pytest.approx(2 / 3)


def test_place_turnout_is_zero_where_nothing_is_known() -> None:
    assert _features([{"registered_year": None}], [])["p1"]["place_turnout"] == 0.0


def test_latest_snapshot_before_the_day_is_used_and_everybody_on_it_was_registered_in_time() -> None:
    persons: list[dict[str, Any]] = [
        {"month": "2022-10", "district": "01"},
        {"month": "2022-11", "district": "02"},
        {"month": "2022-12", "district": "03"},
        {"month": "2022-10", "person_token": "left"},
        {"month": "2022-11", "person_token": "new", "registered_year": 2022},
    ]
    features = _features(persons, [])
    assert {p: (row["snapshot_month"], row["district"]) for p, row in features.items()} == {
        "p1": ("2022-11", "02"),
        "new": ("2022-11", "04"),
    }
    assert features["new"]["years_registered"] == 0


def test_before_the_first_snapshot_only_persons_registered_in_an_earlier_year_count() -> None:
    persons: list[dict[str, Any]] = [
        {"month": "2021-07", "person_token": "p1", "registered_year": 2015},
        {"month": "2021-07", "person_token": "p2", "registered_year": 2016},
        {"month": "2021-07", "person_token": "p3", "registered_year": None},
        {"month": "2021-08", "person_token": "p4"},
    ]
    features = _features(persons, [], "2016")
    assert list(features) == ["p1"]
    assert (features["p1"]["snapshot_month"], features["p1"]["presidential"]) == ("2021-07", 1)


@pytest.mark.parametrize(
    ("cohort", "age"), [(1980, 40), (2000, 20), (2004, 18), (2005, None), (1890, 130), (1885, None), (None, None)]
)
def test_age_is_that_of_the_cohorts_middle_but_at_least_the_voting_age(cohort: int | None, age: int | None) -> None:
    assert _features([{"birth_cohort": cohort}], [])["p1"]["age"] == age


_BALLOTS = [("2020", "p1"), ("2018", "p2"), ("2016", "p1")]
_PERSONS = [
    {"person_token": name, "county": county, "month": month}
    for name, county in (("p1", "ALAMANCE"), ("p2", "WAKE"))
    for month in ("2021-07", "2022-11")
]


@functools.cache
def _then(election: str) -> dict[str, dict[str, Any]]:
    return _features(_PERSONS, _BALLOTS, election)


_person = st.fixed_dictionaries(
    {
        "person_token": st.sampled_from(["p1", "p2", "p3"]),
        "month": st.sampled_from(["2022-12", "2023-01", "2024-11"]),
        "county": st.sampled_from(["ALAMANCE", "WAKE"]),
        "district": st.sampled_from(["01", "02"]),
        "gender": st.sampled_from(["FEMALE", "MALE"]),
        "registered_year": st.sampled_from([None, 2001, 2019, 2022]),
    }
)
_ballot = st.tuples(
    st.sampled_from(["2022", "2024"]),
    st.sampled_from(["p1", "p2", "p3", "p9"]),
    st.sampled_from(["REPUBLICAN", "GREEN"]),
)


@given(
    later_persons=st.lists(_person, max_size=4, unique_by=lambda row: (row["person_token"], row["month"])),
    later_ballots=st.lists(_ballot, max_size=6, unique_by=lambda ballot: ballot[:2]),
    election=st.sampled_from(["2020", "2022"]),
)
@settings(max_examples=15)
def test_nothing_that_happens_after_the_day_changes_a_feature(
    later_persons: list[dict[str, Any]], later_ballots: list[tuple[str, str, str]], election: str
) -> None:
    # Snapshots from 2021-08 on are after the day of the election of 2020.
    later = [*later_persons, {"person_token": "p3", "month": "2021-08"}] if election == "2020" else later_persons
    then, now = _then(election), _features([*_PERSONS, *later], [*_BALLOTS, *later_ballots], election)
    held = election == "2022" and any(ballot[0] == "2022" for ballot in later_ballots)
    voted = {ballot[1] for ballot in later_ballots if ballot[0] == "2022"}
    for token, row in then.items():
        label = int(token in voted) if held else row["voted"]
        assert now[token] == {**row, "voted": label}
    assert set(now) == set(then)


def test_mappings_name_no_snapshot_after_the_day_and_no_history_after_the_election() -> None:
    for key in ELECTION_BY_STATE.get_partition_keys():
        election, state = key.split("|")
        own = ELECTION_BY_STATE.subset_with_partition_keys([key])
        snapshots = SNAPSHOTS_TO_ELECTIONS.get_upstream_mapped_partitions_result_for_partitions(
            own, ELECTION_BY_STATE, MONTH_BY_STATE
        ).partitions_subset.get_partition_keys()
        ballots = HISTORY_TO_ELECTIONS.get_upstream_mapped_partitions_result_for_partitions(
            own, ELECTION_BY_STATE, ELECTION_BY_STATE
        ).partitions_subset.get_partition_keys()
        in_time = snapshots_in_time(election) or ("2021-07",)
        assert {k.split("|")[0] for k in snapshots} <= set(in_time)
        assert {k.split("|")[1] for k in [*snapshots, *ballots]} <= {state}
        assert {int(election) - int(k.split("|")[0]) for k in ballots} <= {0, 2, 4, 6}
        assert bool(list(snapshots)) == (election >= "2010")


def test_of_the_mapped_snapshots_only_the_latest_is_read() -> None:
    assert latest_snapshot("2022|NC", ["2022-09|NC", "2022-10|NC"]) == ["2022-10|NC"]
    assert latest_snapshot("2022|NC", []) == []
