"""Tests of the voting-history transform."""

from __future__ import annotations

import ibis

from mlops_assets.contracts.wrangled import VOTING_HISTORY
from mlops_assets.wrangling.voters import voters
from mlops_assets.wrangling.voting_history import voting_history
from mlops_assets_tests.wrangling.kept_contract import kept_rows
from mlops_assets_tests.wrangling.voter_files import KEY, history, ncid, rows_of, voter_file


def test_a_person_has_the_same_token_as_in_the_voters_table() -> None:
    (person,) = rows_of(voters(ibis.memtable(voter_file({"ncid": ncid(7)})), pseudonym_key=KEY))
    (ballot,) = rows_of(voting_history(ibis.memtable(history("2018", [7])), pseudonym_key=KEY))
    assert person["person_token"] == ballot["person_token"]


def test_county_and_party_are_normalised() -> None:
    table = voting_history(ibis.memtable(history("2018", [7], party="r")), pseudonym_key=KEY)
    (row,) = kept_rows(table, VOTING_HISTORY)
    del row["person_token"]
    assert row == {"state": "NC", "election": "2018", "county": "ALAMANCE", "party": "REPUBLICAN"}


def test_unknown_or_missing_party_is_unrecognised() -> None:
    for party in ("??", "", None):
        table = voting_history(ibis.memtable(history("2018", [7], party=party)), pseudonym_key=KEY)
        assert [row["party"] for row in kept_rows(table, VOTING_HISTORY)] == ["UNRECOGNISED"]
