"""Which events are named: none in ordinary months, and exactly one of the right cause where one was put in."""

from __future__ import annotations

import ibis
import pytest

from mlops_assets.variance.linked.events import events
from mlops_assets.variance.linked.kinds import condense
from mlops_assets.variance.linked.snapshots import Layout, link
from mlops_assets_tests.variance.linked.crowd import Row, but, crowd, events_between, moved, ordinary_month, town

TOWN = town(7)


def _later() -> list[Row]:
    return ordinary_month(8, TOWN)


def _renumbered(rows: list[Row], numbers: dict[str, str]) -> list[Row]:
    return [{**row, "district": numbers.get(row["district"], row["district"])} for row in rows]


def _named(before: list[Row], after: list[Row]) -> list[tuple[str, str, str]]:
    return [(event["cause"], event["name"], event["units"]) for event in events_between(before, after)]


@pytest.mark.parametrize("seed", range(6))
def test_ordinary_months_have_no_event(seed: int) -> None:
    here = town(seed, districts=3 + seed, households=100 + 150 * seed)
    assert _named(here, ordinary_month(100 + seed, here)) == []


def test_empty_snapshots_have_no_event() -> None:
    assert _named([], []) == []


def test_a_redrawn_map_is_one_boundary_event_that_counts_the_units() -> None:
    new_district = {f"{house} 01 Street" for house in range(200)}
    redrawn = [{**row, "district": "05"} if row["address"] in new_district else row for row in _later()]
    (event,) = events_between(TOWN, redrawn)
    assert (event["cause"], event["name"], event["units"]) == ("boundary", "redrawn: 5 districts after 4", "01,05")
    assert 350 < event["persons"] < 450
    assert event["share"] == pytest.approx(event["persons"] / len(redrawn))
    assert "at an unchanged address are in another unit" in event["evidence"]


def test_a_map_redrawn_everywhere_concerns_all_units() -> None:
    turned = {"01": "02", "02": "03", "03": "04", "04": "01"}
    redrawn = [row if n % 3 else {**row, "district": turned[row["district"]]} for n, row in enumerate(_later())]
    assert _named(TOWN, redrawn) == [("boundary", "redrawn: 4 districts after 4", "all")]


def test_exchanged_numbers_are_one_renumbering_event_and_no_boundary_event() -> None:
    (event,) = events_between(TOWN, _renumbered(_later(), {"01": "03", "03": "01"}))
    assert (event["cause"], event["name"], event["units"]) == ("renumbering", "renumbered 01>03, 03>01", "01,03")
    assert event["evidence"].startswith("01>03: ")


def test_a_recoding_that_changes_a_class_is_one_entry_event() -> None:
    later = [{**row, "party": "UNKNOWN", "party_code": "NPA"} if row["party"] == "NONE" else row for row in _later()]
    (event,) = events_between(TOWN, later)
    assert (event["cause"], event["name"], event["units"]) == ("entry", "party_code N recoded to NPA", "all")
    assert event["evidence"].endswith("the class of party became UNKNOWN, was NONE")


def test_a_recoding_within_one_class_is_an_entry_event_all_the_same() -> None:
    later = [{**row, "party_code": "NPA"} if row["party"] == "NONE" else row for row in _later()]
    (event,) = events_between(TOWN, later)
    assert (event["cause"], event["name"]) == ("entry", "party_code N recoded to NPA")
    assert event["evidence"].endswith("the class of party stayed NONE")


def test_a_code_read_as_another_class_is_an_entry_event() -> None:
    later = [{**row, "party": "UNKNOWN"} if row["party"] == "NONE" else row for row in _later()]
    assert _named(TOWN, later) == [("entry", "party_code N reread as UNKNOWN instead of NONE", "all")]


def test_a_code_that_went_missing_is_an_entry_event() -> None:
    later = [{**row, "party_code": None} if row["party"] == "NONE" else row for row in _later()]
    assert _named(TOWN, later) == [("entry", "party_code N recoded to (blank)", "all")]


def test_two_attributes_read_from_one_code_give_one_event() -> None:
    columns = {
        "id": "int64",
        "unit": "string",
        "address": "string",
        "kind": "string",
        "wide": "string",
        "code": "string",
    }
    before = ibis.memtable([(n, "1", str(n), "UNA", "OTHER", "U") for n in range(50)], schema=columns)
    after = ibis.memtable([(n, "1", str(n), "NPA", "OTHER", "V") for n in range(50)], schema=columns)
    layout = Layout(entity="id", unit="unit", address=("address",), attributes={"kind": "code", "wide": "code"})
    kinds = condense(link(before, after, layout), layout)
    found = ibis.duckdb.connect().to_pyarrow(events(kinds, layout)).to_pylist()
    assert [(event["name"], event["persons"]) for event in found] == [("code U recoded to V", 50)]


def test_a_month_loaded_twice_is_one_entry_event() -> None:
    (event,) = events_between(TOWN, but(_later(), copies=2))
    assert (event["cause"], event["name"], event["units"]) == ("entry", "every record loaded twice", "all")
    assert event["share"] == 1.0


def test_a_month_loaded_three_times_says_so() -> None:
    assert _named(TOWN, but(_later(), copies=3)) == [("entry", "every record loaded 3 times", "all")]


def test_one_district_loaded_twice_names_the_district() -> None:
    later = [{**row, "copies": 2} if row["district"] == "02" else row for row in _later()]
    assert _named(TOWN, later) == [("entry", "records loaded more than once", "02")]


def test_repeated_records_are_no_event_when_they_were_already_so_before() -> None:
    assert _named(but(TOWN, copies=2), but(_later(), copies=2)) == []


def test_the_month_after_a_double_load_has_no_event() -> None:
    assert _named(but(TOWN, copies=2), _later()) == []


def test_many_joiners_of_one_district_are_one_population_event() -> None:
    (event,) = events_between(TOWN, _later() + crowd("student", 120, district="04"))
    assert (event["cause"], event["name"], event["units"]) == ("population", "joiners in 04", "04")
    assert 120 <= event["persons"] < 150
    assert "the rate of the other districts" in event["evidence"]


def test_many_leavers_of_one_district_are_one_population_event() -> None:
    people = TOWN + crowd("tenant", 120, district="02")
    assert _named(people, _later()) == [("population", "leavers in 02", "02")]


def test_leavers_of_a_renumbered_district_are_named_by_its_new_number() -> None:
    people = TOWN + crowd("tenant", 120, district="02")
    named = _named(people, _renumbered(_later(), {"02": "09"}))
    assert named == [("population", "leavers in 09", "09"), ("renumbering", "renumbered 02>09", "02,09")]


def test_joiners_that_all_districts_have_alike_are_no_event() -> None:
    joiners = [row for n in range(4) for row in crowd(f"new {n} ", 100, district=f"0{n + 1}")]
    assert _named(TOWN, _later() + joiners) == []


def test_a_district_that_was_redrawn_away_has_no_exodus() -> None:
    # Whoever left or moved in that month left from the old district; its rate is taken over all who were in it.
    redrawn = [{**row, "district": "03"} if row["district"] == "01" else row for row in _later()]
    assert [event[0] for event in _named(TOWN, redrawn)] == ["boundary"]


def test_movers_alone_are_no_event() -> None:
    assert _named(TOWN, TOWN[200:] + moved(TOWN[:200], district="04")) == []


def test_several_events_of_one_month_are_told_apart() -> None:
    later = _renumbered(_later(), {"01": "02", "02": "01"}) + crowd("x", 150, district="03")
    later = [{**row, "party_code": "NPA"} if row["party"] == "NONE" else row for row in but(later, copies=2)]
    assert _named(TOWN, later) == [
        ("entry", "every record loaded twice", "all"),
        ("entry", "party_code N recoded to NPA", "all"),
        ("population", "joiners in 03", "03"),
        ("renumbering", "renumbered 01>02, 02>01", "01,02"),
    ]
