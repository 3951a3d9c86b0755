"""Tests of the voters transform."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.contracts.wrangled import VOTERS
from mlops_assets.platform.errors import SourceError
from mlops_assets.wrangling import voters as transform
from mlops_assets_tests.wrangling.kept_contract import kept_rows
from mlops_assets_tests.wrangling.voter_files import KEY, PERSONAL, crowd, rows_of, voter_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def _voters(*rows: Mapping[str, str | None], **file: str) -> list[dict[str, Any]]:
    return kept_rows(transform.voters(ibis.memtable(voter_file(*rows, **file)), pseudonym_key=KEY), VOTERS)


def _voter(**values: str | None) -> dict[str, Any]:
    (row,) = _voters(values)
    return row


def _each(column: str, values: Sequence[str | None], result: str) -> dict[str | None, Any]:
    """What each value of a column becomes; values whose row is left out are absent."""
    persons = {_token(f"NC:AA{number}"): value for number, value in enumerate(values)}
    rows = _voters(*({"ncid": f"AA{number}", column: value} for number, value in enumerate(values)))
    return {persons[row["person_token"]]: row[result] for row in rows}


def _counts(*rows: Mapping[str, str | None]) -> dict[str, int]:
    return rows_of(transform.mended(ibis.memtable(voter_file(*rows))))[0]


def _token(text: str) -> str:
    return hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()[:32]


def test_a_plain_row_becomes_a_person_in_plain_classes() -> None:
    assert _voter() == {
        "state": "NC",
        "month": "2022-10",
        "person_token": _token(f"NC:{PERSONAL['ncid']}"),
        "address_token": _token("9075 XYLOPHONE ST UNIT 33|BURLINGTON|NC|90753"),
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


def test_a_file_loaded_twice_gives_the_same_persons_with_two_copies() -> None:
    rows = crowd(20)
    once, twice = _voters(*rows), _voters(*rows, *rows)
    assert [row["copies"] for row in twice] == [2] * 20
    assert [{**row, "copies": 1} for row in twice] == once


def test_active_row_beats_inactive_row_and_then_the_later_registration_wins() -> None:
    rows = [
        {"status_cd": "I", "registr_dt": "01/01/2020", "cong_dist_abbrv": "01"},
        {"status_cd": "A", "registr_dt": "12/31/2009", "cong_dist_abbrv": "02"},
        {"status_cd": "A", "registr_dt": "01/01/2010", "cong_dist_abbrv": "03"},
    ]
    (row,) = _voters(*rows)
    assert (row["district"], row["registered_year"], row["copies"]) == ("03", 2010, 3)


@given(st.data())
@settings(max_examples=12)
def test_order_of_rows_in_the_file_does_not_matter(data: st.DataObject) -> None:
    row = st.fixed_dictionaries(
        {
            "ncid": st.sampled_from(["AA1", "AA2"]),
            "status_cd": st.sampled_from(["A", "I", "S", "R", "Q"]),
            "registr_dt": st.sampled_from(["01/02/2003", "", "2004-05-06"]),
            "cong_dist_abbrv": st.sampled_from(["1", "02", ""]),
            "party_cd": st.sampled_from(["DEM", "NPA", "dem", None]),
            "res_street_address": st.sampled_from(["1 OAK ST", "1 Oak Street", "2 ELM"]),
        }
    )
    rows: list[dict[str, str | None]] = data.draw(st.lists(row, min_size=1, max_size=8))
    assert _voters(*rows) == _voters(*data.draw(st.permutations(rows)))


def test_only_registered_statuses_and_unexplained_ones_stay() -> None:
    rows = [{"ncid": f"AA{n}", "status_cd": status} for n, status in enumerate(["A", "I", "S", "D", "R", "ACT"])]
    assert sorted(row["status"] for row in _voters(*rows)) == ["ACTIVE", "INACTIVE", "TEMPORARY", "UNRECOGNISED"]


def test_a_removed_row_of_a_registered_person_is_no_copy() -> None:
    (row,) = _voters({"status_cd": "A"}, {"status_cd": "R", "cong_dist_abbrv": "09"})
    assert (row["copies"], row["district"]) == (1, "04")


def test_district_is_two_digits_and_a_row_without_readable_one_is_left_out() -> None:
    read = {"4": "04", "04": "04", "004": "04", " 13 ": "13", "0": "00"}
    unreadable = ["", "100", "CD4", None]
    assert _each("cong_dist_abbrv", [*read, *unreadable], "district") == read


def test_codes_map_by_official_code_then_synonym_else_unrecognised_and_stay_as_delivered() -> None:
    row = _voter(race_code="BL", ethnic_code="??", gender_code=" f ", party_cd="npa")
    assert (row["race"], row["ethnicity"], row["gender"], row["party"]) == (
        "BLACK",
        "UNRECOGNISED",
        "FEMALE",
        "UNAFFILIATED",
    )
    assert (row["race_code"], row["ethnic_code"], row["gender_code"], row["party_code"]) == ("BL", "??", " f ", "npa")


def test_a_name_shifted_into_a_code_column_is_withheld() -> None:
    assert _voter(race_code=PERSONAL["last_name"])["race_code"] == "(withheld)"


def test_birth_cohort_is_five_years_and_unknown_outside_reason() -> None:
    cohorts = {"1980": 1980, "1984": 1980, "1985": 1985, "1700": None, "": None, "2023": None}
    assert _each("birth_year", list(cohorts), "birth_cohort") == cohorts


def test_registered_year_is_read_from_both_ways_of_writing_a_day() -> None:
    years = {"05/06/2009": 2009, "2009-05-06 00:00:00.000": 2009, "01/01/1800": None, "soon": None, "": None}
    assert _each("registr_dt", list(years), "registered_year") == years


def test_one_place_written_differently_is_one_address() -> None:
    ways = [
        "9075 Xylophone  Street Apt 33",
        "9075 XYLOPHONE ST APT 33",
        "  9075 xylophone st. #33 ",
        "9075 Xylophone Street, Unit 33",
        "9075  XYLOPHONE STREET APARTMENT 33",
    ]
    assert len(set(_each("res_street_address", list(ways), "address_token").values())) == 1


def test_another_place_is_another_address() -> None:
    places: list[dict[str, str]] = [
        {},
        {"res_street_address": "9075 XYLOPHONE ST APT 34"},
        {"res_street_address": "9075 XYLÔPHONE ST APT 33"},
        {"res_city_desc": "ELON"},
        {"state_cd": "VA"},
        {"zip_code": "90754"},
    ]
    rows = _voters(*({"ncid": f"AA{n}", **place} for n, place in enumerate(places)))
    assert len({row["address_token"] for row in rows}) == len(places)


def test_persons_without_address_do_not_share_a_token_and_keep_theirs() -> None:
    rows: list[dict[str, str | None]] = [
        {"ncid": "AA1", "res_street_address": ""},
        {"ncid": "AA2", "res_street_address": None},
    ]
    before, after = _voters(*rows, month="2022-09"), _voters(*rows)
    tokens = [row["address_token"] for row in after]
    assert len(set(tokens)) == 2
    assert tokens == [row["address_token"] for row in before]


def test_same_number_in_another_state_is_another_person() -> None:
    assert _voters({}, state="GA")[0]["person_token"] != _voter()["person_token"]


@pytest.mark.parametrize("text", [None, "", " ", ". ,", "\t\v\f", "#", "#1", ".5 OAK", "\u00a0", "-"])
def test_an_address_without_street_is_counted_as_none(text: str | None) -> None:
    alone = _voter(ncid="AA1", res_street_address=text)
    elsewhere = _voter(ncid="AA1", res_street_address=text, res_city_desc="ELON")
    shared = alone["address_token"] == elsewhere["address_token"]
    assert _counts({"ncid": "AA1", "res_street_address": text})["without_address"] == shared


def test_metadata_counts_what_was_mended() -> None:
    counts = _counts(
        {"ncid": "AA1"},
        {"ncid": "AA1"},
        {"ncid": "AA2", "status_cd": "R"},
        {"ncid": "AA3", "cong_dist_abbrv": ""},
        {"ncid": "AA4", "party_cd": "ZZ", "birth_year": "", "registr_dt": "", "res_street_address": ""},
    )
    assert {name: count for name, count in counts.items() if count} == {
        "raw_rows": 5,
        "not_registered": 1,
        "without_district": 1,
        "repeated_rows": 1,
        "unrecognised_party": 1,
        "without_birth_year": 1,
        "without_registration_year": 1,
        "without_address": 1,
    }


def test_snapshot_with_too_many_rows_without_district_is_refused() -> None:
    few = _counts({"ncid": "AA0", "cong_dist_abbrv": ""}, *crowd(99))
    transform.require_districts(few, partition="2022-10|NC")
    many = _counts({"ncid": "AA0", "cong_dist_abbrv": ""}, *crowd(98))
    with pytest.raises(SourceError, match=r"2022-10\|NC: 1 of 99 registered rows have no readable district"):
        transform.require_districts(many, partition="2022-10|NC")


def test_no_personal_value_is_in_the_result() -> None:
    text = str(_voter(race_code=PERSONAL["first_name"], party_cd=PERSONAL["ncid"])).casefold()
    for name, value in PERSONAL.items():
        assert value.casefold() not in text, name


def test_an_empty_file_gives_no_persons() -> None:
    assert _voters() == []
