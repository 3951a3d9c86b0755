"""Tests of the entry findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis

from mlops_assets.contracts.wrangled import ENTRY_FINDINGS
from mlops_assets.wrangling.entry_findings import entry_findings
from mlops_assets_tests.wrangling.kept_contract import kept_rows
from mlops_assets_tests.wrangling.voter_files import PERSONAL, crowd, voter_file

if TYPE_CHECKING:
    from collections.abc import Mapping


def _rows(*rows: Mapping[str, str | None], **file: str) -> list[dict[str, Any]]:
    return kept_rows(entry_findings(ibis.memtable(voter_file(*rows, **file))), ENTRY_FINDINGS)


def _findings(*rows: Mapping[str, str | None], **file: str) -> set[tuple[str, str, str, str, int]]:
    names = ("finding", "column", "found", "mended_to", "rows")
    return {tuple(row[name] for name in names) for row in _rows(*rows, **file)} - {
        ("layout", "layout", "from-2022-02-12", "from-2022-02-12", len(rows))
    }


def test_clean_file_has_only_its_layout() -> None:
    (row,) = _rows(*crowd(3), month="2021-07", layout="until-2022-02-05")
    assert row == {
        "state": "NC",
        "month": "2021-07",
        "finding": "layout",
        "column": "layout",
        "found": "until-2022-02-05",
        "mended_to": "from-2022-02-12",
        "rows": 3,
    }


def test_file_loaded_twice_is_found_as_repeated_rows() -> None:
    assert _findings(*crowd(3), *crowd(3)) == {("repeated_rows", "row", "2", "1", 6)}


def test_rows_of_one_person_that_differ_are_told_from_equal_ones() -> None:
    differing = [{"ncid": "AA1"}, {"ncid": "AA1", "mail_city": "ELON"}, {"ncid": "aa1 "}]
    assert _findings(*differing, *crowd(1), *crowd(1)) == {
        ("repeated_rows", "ncid", "3", "1", 3),
        ("repeated_rows", "row", "2", "1", 2),
    }


def test_synonyms_are_mended_to_the_official_code_and_unknown_codes_to_unrecognised() -> None:
    rows = [
        *crowd(2, first=1, party_cd="NPA"),
        *crowd(1, first=3, party_cd="npa"),
        *crowd(4, first=4, race_code="XX"),
        *crowd(1, first=8, ethnic_code=""),
        *crowd(1, first=9, status_cd="ACT"),
    ]
    assert _findings(*rows) == {
        ("synonym_code", "party_cd", "NPA", "UNA", 3),
        ("unknown_code", "race_code", "XX", "UNRECOGNISED", 4),
        ("unknown_code", "ethnic_code", "", "UNRECOGNISED", 1),
        ("unknown_code", "status_cd", "ACT", "UNRECOGNISED", 1),
    }


def test_registered_rows_without_readable_district_are_found_as_left_out() -> None:
    removed = {"ncid": "AA2", "cong_dist_abbrv": "", "status_cd": "R"}
    assert _findings({"ncid": "AA1", "cong_dist_abbrv": None}, removed) == {
        ("unknown_code", "cong_dist_abbrv", "", "LEFT_OUT", 1)
    }


def test_text_too_long_for_a_code_is_withheld_and_counted_once() -> None:
    names = [PERSONAL["last_name"], PERSONAL["first_name"], PERSONAL["res_street_address"]]
    rows = [
        {"ncid": f"AA{n}", "race_code": name, "gender_code": name, "cong_dist_abbrv": name}
        for n, name in enumerate(names)
    ]
    assert _findings(*rows) == {
        ("unknown_code", "race_code", "(withheld)", "UNRECOGNISED", 3),
        ("unknown_code", "gender_code", "(withheld)", "UNRECOGNISED", 3),
        ("unknown_code", "cong_dist_abbrv", "(withheld)", "LEFT_OUT", 3),
    }
