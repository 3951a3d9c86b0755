"""Tests of the House results."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.contracts.raw import HOUSE_RETURN_COLUMNS
from mlops_assets.contracts.wrangled import HOUSE_RESULTS
from mlops_assets.wrangling.house_results import house_results
from mlops_assets_tests.wrangling.kept_contract import kept_rows
from mlops_assets_tests.wrangling.public_files import house_returns


def _line(candidate: str, party: str, votes: str, total: str, **other: str | None) -> dict[str, str | None]:
    line: dict[str, str | None] = dict.fromkeys(HOUSE_RETURN_COLUMNS)
    return line | {
        "year": "2018",
        "state_po": "NC",
        "district": "001",
        "stage": "GEN",
        "runoff": "FALSE",
        "special": "FALSE",
        "candidate": candidate,
        "party": party,
        "writein": "FALSE",
        "candidatevotes": votes,
        "totalvotes": total,
    } | other  # fmt: skip


def _results(*lines: dict[str, str | None]) -> list[dict[str, Any]]:
    rows = [
        {"election": line["year"], "source_file": "returns.csv", "source_row": number, **line}
        for number, line in enumerate(lines, start=1)
    ]
    text = dict.fromkeys(("election", "source_file", *HOUSE_RETURN_COLUMNS), pa.string())
    schema = pa.schema({**text, "source_row": pa.int64()})
    return kept_rows(house_results(ibis.memtable(pa.Table.from_pylist(rows, schema=schema))), HOUSE_RESULTS)


def _result(*lines: dict[str, str | None]) -> dict[str, Any]:
    (row,) = _results(*lines)
    return row


def test_two_candidates_become_one_row() -> None:
    assert _result(_line("ANN ASH", "DEMOCRAT", "60", "100"), _line("BOB BEECH", "REPUBLICAN", "40", "100")) == {
        "election": "2018",
        "state": "NC",
        "district": "01",
        "total_votes": 100,
        "democratic_votes": 60,
        "republican_votes": 40,
        "winner_token": hashlib.sha256(b"ANN ASH").hexdigest()[:16],
        "candidates": 2,
        "uncontested": False,
        "stage": "GEN",
        "note": "",
    }


def test_districts_of_every_edition_get_two_digits() -> None:
    written = {"1": "01", "002": "02", "0": "00", "53": "53"}
    rows = _results(*(_line("ANN ASH", "DEMOCRAT", "60", "60", district=district) for district in written))
    assert [row["district"] for row in rows] == sorted(written.values())


def test_the_older_edition_in_lower_case_gives_the_same_row() -> None:
    newer = _result(
        _line("ANN ASH", "DEMOCRAT", "60", "100"), _line("WRITEIN", "", "40", "100", writein="TRUE", runoff="")
    )
    older = _result(
        _line("Ann Ash", "democrat", "60", "100", stage="gen", runoff="NA", district="1"),
        _line("NA", "NA", "40", "100", stage="gen", runoff="NA", writein="TRUE", district="1"),
    )
    assert older == newer


def test_affiliates_count_for_their_large_party_and_similar_names_do_not() -> None:
    parties = {
        "DEMOCRATIC-FARMER-LABOR": (60, 0),
        "democratic-farm-labor": (60, 0),
        "DFL": (60, 0),
        "DEMOCRATIC-NPL": (60, 0),
        "DEMOCRATIC-NONPARTISAN LEAGUE": (60, 0),
        "INDEPENDENT-REPUBLICAN": (0, 60),
        "WRITE-IN (REPUBLICAN)": (0, 60),
        "ALOHA DEMOCRATIC": (0, 0),
        "NATIONAL DEMOCRATIC PARTY OF ALABAMA": (0, 0),
        "FOGLIETTA (DEMOCRAT)": (0, 0),
    }
    rows = _results(*(_line("ANN ASH", party, "60", "60", district=str(n)) for n, party in enumerate(parties)))
    votes = [(row["democratic_votes"], row["republican_votes"]) for row in rows]
    assert dict(zip(parties, votes, strict=True)) == parties


def test_a_fusion_candidates_minor_lines_count_for_the_major_party() -> None:
    row = _result(
        _line("ANN ASH", "DEMOCRAT", "50", "120"),
        _line("ANN ASH", "WORKING FAMILIES", "10", "120"),
        _line("BOB BEECH", "REPUBLICAN", "40", "120"),
        _line("BOB BEECH", "CONSERVATIVE", "15", "120"),
        _line("CY CEDAR", "CONSERVATIVE", "5", "120"),
    )
    assert (row["democratic_votes"], row["republican_votes"], row["candidates"]) == (60, 55, 3)


def test_a_candidate_of_both_large_parties_keeps_each_partys_lines_apart() -> None:
    row = _result(
        _line("ANN ASH", "DEMOCRAT", "50", "100"),
        _line("ANN ASH", "REPUBLICAN", "30", "100"),
        _line("ANN ASH", "LIBERAL", "20", "100"),
    )
    assert (row["democratic_votes"], row["republican_votes"], row["uncontested"]) == (70, 30, True)


def test_votes_of_nobody_in_particular_are_no_candidate() -> None:
    lumps = ["WRITEIN", "", "NA", "SCATTER", "BLANK VOTE/SCATTERING", "BLANK VOTES", "OTHER", "OVER VOTE", "UNDERVOTES"]
    rows = _results(
        *(_line("ANN ASH", "DEMOCRAT", "90", "100", district=str(n)) for n in range(len(lumps))),
        *(_line(lump, "", "10", "100", district=str(n)) for n, lump in enumerate(lumps)),
    )
    found = [(row["candidates"], row["uncontested"], row["total_votes"]) for row in rows]
    assert found == [(1, True, 100)] * len(lumps)


def test_a_name_that_begins_like_a_lump_is_a_candidate() -> None:
    row = _result(_line("BLANKENSHIP, OTHERA", "DEMOCRAT", "90", "100"), _line("VOIDA SCATTERLY", "", "10", "100"))
    assert row["candidates"] == 2


def test_an_uncontested_seat_without_a_count_has_no_votes() -> None:
    coded = ["1", "0.5", "0", "-1"]
    rows = _results(*(_line("ANN ASH", "DEMOCRAT", code, code, district=str(n)) for n, code in enumerate(coded)))
    for row, code in zip(rows, coded, strict=True):
        assert (row["total_votes"], row["democratic_votes"], row["republican_votes"]) == (None, None, None)
        assert (row["uncontested"], row["note"]) == (True, f"no count: the stated total is {code}")


def test_an_uncontested_seat_with_a_count_keeps_it() -> None:
    row = _result(_line("ANN ASH", "DEMOCRAT", "70000", "70000"))
    assert (row["total_votes"], row["uncontested"], row["note"]) == (70000, True, "")


def test_thousands_separators_are_read() -> None:
    row = _result(_line("ANN ASH", "DEMOCRAT", "183,662", "183,662"))
    assert (row["total_votes"], row["democratic_votes"]) == (183662, 183662)


def test_a_total_that_is_not_the_sum_is_kept_and_noted() -> None:
    row = _result(_line("ANN ASH", "DEMOCRAT", "60", "200"), _line("BOB BEECH", "REPUBLICAN", "40", "200"))
    assert row["total_votes"] == 200
    assert row["note"] == "the stated total 200 is not the sum of the candidates, 100"


def test_the_largest_of_several_totals_is_used() -> None:
    row = _result(_line("ANN ASH", "DEMOCRAT", "60", "60"), _line("WRITEIN", "", "4", "64", writein="TRUE"))
    assert (row["total_votes"], row["note"]) == (64, "several totals are stated: the largest is used")


def test_a_runoff_is_not_counted_and_taken_out_of_the_total() -> None:
    row = _result(
        _line("ANN ASH", "DEMOCRAT", "60", "190"),
        _line("BOB BEECH", "REPUBLICAN", "40", "190"),
        _line("ANN ASH", "DEMOCRAT", "50", "90", runoff="TRUE"),
        _line("BOB BEECH", "REPUBLICAN", "40", "90", runoff="TRUE"),
    )
    assert (row["total_votes"], row["democratic_votes"], row["candidates"]) == (100, 60, 2)
    assert row["note"] == "the stated total 190 counts the runoff too: mended to 100; a later runoff is left out"


@pytest.mark.parametrize(("stage", "expected"), [("PRI", "PRI"), ("", "SPECIAL"), ("GEN", "SPECIAL")])
def test_a_november_special_stands_in_for_a_missing_general_election(stage: str, expected: str) -> None:
    row = _result(
        _line("ANN ASH", "DEMOCRAT", "60", "100", stage=stage, special="TRUE"),
        _line("BOB BEECH", "REPUBLICAN", "40", "100", stage=stage, special="TRUE"),
        _line("ANN ASH", "DEMOCRAT", "30", "30", runoff="TRUE"),
    )
    assert (row["total_votes"], row["stage"]) == (100, expected)
    assert row["note"] == "no regular general election: the November special is used; a later runoff is left out"


def test_a_special_for_the_rest_of_a_term_does_not_replace_the_general_election() -> None:
    row = _result(
        _line("ANN ASH", "DEMOCRAT", "60", "100"),
        _line("BOB BEECH", "REPUBLICAN", "40", "100"),
        _line("BOB BEECH", "REPUBLICAN", "50", "80", special="TRUE"),
        _line("CY CEDAR", "LIBERTARIAN", "30", "80", special="TRUE"),
    )
    assert (row["total_votes"], row["stage"], row["note"]) == (100, "GEN", "")


def test_a_runoff_marked_general_gives_way_to_its_special() -> None:
    row = _result(
        _line("ANN ASH", "DEMOCRAT", "38", "70"),
        _line("BOB BEECH", "REPUBLICAN", "32", "70"),
        _line("ANN ASH", "DEMOCRAT", "24", "120", special="TRUE"),
        _line("BOB BEECH", "REPUBLICAN", "60", "120", special="TRUE"),
        _line("CY CEDAR", "DEMOCRAT", "36", "120", special="TRUE"),
    )
    assert (row["total_votes"], row["stage"]) == (120, "SPECIAL")
    assert row["note"].endswith("the rows marked general are its later runoff")


def test_an_open_primary_stands_in_where_it_decided_the_seat() -> None:
    row = _result(_line("ANN ASH", "DEMOCRAT", "60", "60", state_po="LA", stage="PRI"))
    assert (row["stage"], row["note"]) == ("PRI", "no regular general election: the open primary is used")


def test_delegates_and_territories_are_left_out() -> None:
    lines = [_line("ANN ASH", "DEMOCRAT", "60", "60", state_po=state, district="0") for state in ("DC", "PR", "AK")]
    assert [row["state"] for row in _results(*lines)] == ["AK"]


@settings(max_examples=5)
@given(st.lists(st.lists(st.integers(2, 10**6), min_size=1, max_size=6), min_size=1, max_size=20))
def test_every_vote_counts_once(districts: list[list[int]]) -> None:
    parties = ["DEMOCRAT", "REPUBLICAN", "GREEN"]
    rows = _results(
        *(
            _line(f"CANDIDATE {n}", parties[n % 3], str(vote), str(sum(votes)), district=str(district))
            for district, votes in enumerate(districts)
            for n, vote in enumerate(votes)
        )
    )
    for row, votes in zip(rows, districts, strict=True):
        assert (row["total_votes"], row["candidates"], row["note"]) == (sum(votes), len(votes), "")
        assert (row["democratic_votes"], row["republican_votes"]) == (sum(votes[::3]), sum(votes[1::3]))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("edition", "encoding", "last", "without_count"),
    [
        ("1976-2018-house.csv.gz", "latin-1", 2018, 182),
        ("1976-2018-house_edition-notzane.csv.gz", "latin-1", 2018, 182),
        ("1976-2020-house.csv.gz", "utf-8", 2020, 183),
    ],
)
def test_every_edition_gives_435_districts_in_every_election(
    edition: str, encoding: str, last: int, without_count: int
) -> None:
    rows = kept_rows(house_results(house_returns(edition, encoding=encoding)), HOUSE_RESULTS)
    assert Counter(row["election"] for row in rows) == {str(year): 435 for year in range(1976, last + 2, 2)}
    assert sum(row["total_votes"] is None for row in rows) == without_count
    assert all(row["uncontested"] for row in rows if row["total_votes"] is None)


@pytest.mark.real_data
def test_texas_is_whole_in_the_years_of_its_court_drawn_maps() -> None:
    returns = house_returns("1976-2020-house.csv.gz", encoding="utf-8")
    texas = returns.filter(returns.state_po == "TX", returns.election.isin(["1996", "2006"]))
    rows = kept_rows(house_results(texas), HOUSE_RESULTS)
    stages = Counter((row["election"], row["stage"]) for row in rows)
    assert stages == {("1996", "GEN"): 17, ("1996", "PRI"): 13, ("2006", "GEN"): 27, ("2006", "SPECIAL"): 5}
    votes = {(row["election"], row["district"]): row["total_votes"] for row in rows}
    assert votes["1996", "08"] == 193_659
    assert votes["2006", "22"] == 148_239
    assert votes["2006", "23"] == 123_799


@pytest.mark.real_data
def test_the_total_of_louisiana_5_in_2002_is_the_same_in_every_edition() -> None:
    for edition, encoding in (("1976-2018-house.csv.gz", "latin-1"), ("1976-2020-house.csv.gz", "utf-8")):
        returns = house_returns(edition, encoding=encoding)
        rows = kept_rows(
            house_results(returns.filter(returns.state_po == "LA", returns.election == "2002")), HOUSE_RESULTS
        )
        assert {row["district"]: row["total_votes"] for row in rows}["05"] == 184_657
