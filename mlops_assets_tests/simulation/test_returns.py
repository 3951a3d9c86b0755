"""House returns: MEDSL's columns, districts of the day, and votes that fit the history."""

from __future__ import annotations

import csv
import sqlite3
from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts.raw import HOUSE_RETURN_COLUMNS
from mlops_assets.simulation.returns import UNCONTESTED

if TYPE_CHECKING:
    from mlops_assets.simulation.sources import SourceSystems


@pytest.fixture(scope="module")
def rows(systems: SourceSystems) -> list[dict[str, str]]:
    """All rows of the file."""
    with systems.house_returns.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_columns_are_those_of_medsls_2020_edition(rows: list[dict[str, str]]) -> None:
    assert tuple(rows[0]) == HOUSE_RETURN_COLUMNS
    assert {(row["state"], row["state_po"], row["state_fips"]) for row in rows} == {
        ("GEORGIA", "GA", "13"),
        ("NORTH CAROLINA", "NC", "37"),
    }


def test_each_election_has_the_districts_of_its_day(rows: list[dict[str, str]]) -> None:
    districts = defaultdict(set)
    for row in rows:
        districts[row["state_po"], row["year"]].add(row["district"])

    seats = {key: len(found) for key, found in districts.items()}
    assert {year: seats["NC", str(year)] for year in range(2010, 2024, 2)} == dict.fromkeys(
        range(2010, 2022, 2), 13
    ) | {2022: 14}
    assert [seats["GA", str(year)] for year in range(2010, 2024, 2)] == [13, 14, 14, 14, 14, 14, 14]
    assert districts["NC", "2010"] == {f"{number:03d}" for number in range(1, 14)}


def test_votes_add_up_and_stay_slightly_below_turnout(systems: SourceSystems, rows: list[dict[str, str]]) -> None:
    uncontested = (UNCONTESTED[0], str(UNCONTESTED[1]), f"{UNCONTESTED[2]:03d}")
    totals: dict[tuple[str, str, str], int] = {}
    candidates: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in rows:
        key = (row["state_po"], row["year"], row["district"])
        totals[key] = int(row["totalvotes"])
        candidates[key] += int(row["candidatevotes"])
    assert totals == candidates
    assert [key for key, total in totals.items() if total == 1] == [uncontested]

    with closing(sqlite3.connect(systems.history_database)) as database:
        voted = database.execute(
            "SELECT state, substr(election_lbl, 7), count(*) FROM voting_history GROUP BY 1, 2"
        ).fetchall()
    for state, year, turnout in voted:
        if (state, year) != uncontested[:2]:
            votes = sum(total for key, total in totals.items() if key[:2] == (state, year))
            assert 0.93 * turnout < votes < turnout
