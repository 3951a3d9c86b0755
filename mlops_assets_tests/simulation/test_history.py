"""Voting history: the SQL table, and what makes a person vote."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import psycopg2
import pytest

from mlops_assets.simulation.configuration import SimulationError
from mlops_assets.simulation.history import election_day, load_postgres
from mlops_assets.simulation.margins import PARTIES

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.simulation.history import Election
    from mlops_assets.simulation.sources import SourceSystems
    from mlops_assets.simulation.world import World
    from mlops_assets_tests.postgres import PostgresDatabase
    from mlops_assets_tests.simulation.dropped_files import DroppedFiles


def _select(systems: SourceSystems, statement: str, *values: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(systems.history_database)) as database:
        return database.execute(statement, values).fetchall()


@pytest.mark.parametrize(("year", "day"), [(2010, 2), (2016, 8), (2020, 3), (2022, 8)])
def test_elections_are_on_the_tuesday_after_the_first_monday(year: int, day: int) -> None:
    assert election_day(year) == dt.date(year, 11, day)


def test_the_table_has_seven_elections_and_one_row_per_person_who_voted(systems: SourceSystems) -> None:
    labels = _select(systems, "SELECT DISTINCT election_lbl FROM voting_history")
    twice = _select(systems, "SELECT ncid FROM voting_history GROUP BY state, ncid, election_lbl HAVING count(*) > 1")

    assert sorted(label[-4:] for (label,) in labels) == [str(year) for year in range(2010, 2024, 2)]
    assert ("11/08/2022",) in labels
    assert twice == []


def test_voters_are_persons_of_the_voter_file_registered_in_time_at_their_county(
    systems: SourceSystems, dropped: DroppedFiles
) -> None:
    for label, month in (("11/02/2010", "2021-07"), ("11/03/2020", "2021-07"), ("11/08/2022", "2022-11")):
        people = dropped.by_person("NC", month)
        election = dt.datetime.strptime(label, "%m/%d/%Y").replace(tzinfo=dt.UTC)
        voters = _select(
            systems,
            "SELECT ncid, county_id, county_desc, voted_party_cd FROM voting_history "
            "WHERE state = 'NC' AND election_lbl = ?",
            label,
        )
        assert len(voters) > 100
        for ncid, county_id, county, party in voters:
            row = people[ncid]
            registered = dt.datetime.strptime(row["registr_dt"], "%m/%d/%Y").replace(tzinfo=dt.UTC)
            assert (election - registered).days >= 25
            assert (row["county_id"], row["county_desc"], row["party_cd"]) == (county_id, county, party)


def test_georgias_codes_of_2022_are_the_recoded_ones(systems: SourceSystems) -> None:
    rows = _select(
        systems,
        "SELECT substr(election_lbl, 7), voted_party_cd FROM voting_history "
        "WHERE state = 'GA' AND voted_party_cd IN ('UNA', 'NPA')",
    )

    assert {year for year, code in rows if code == "NPA"} == {"2022"}
    assert "2022" not in {year for year, code in rows if code == "UNA"}


def test_presidential_elections_draw_more_voters_than_midterms(large_elections: list[Election]) -> None:
    turnout = {each.year: each.voted.sum() / each.eligible.sum() for each in large_elections}

    assert (
        min(turnout[year] for year in (2012, 2016, 2020))
        > max(turnout[year] for year in (2010, 2014, 2018, 2022)) + 0.1
    )
    assert all(0.35 < share < 0.8 for share in turnout.values())


def test_turnout_rises_with_age_and_with_habit_and_differs_by_party(
    large_world: World, large_elections: list[Election]
) -> None:
    before, last = large_elections[-2:]
    age = 2022 - large_world.people.birth_year
    could = last.eligible & before.eligible

    def turnout(who: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
        return float(last.voted[could & who].mean())

    assert turnout((age >= 60) & (age < 75)) > turnout(age < 30) + 0.2
    assert turnout(before.voted) > turnout(~before.voted) + 0.3
    assert turnout(last.party == PARTIES.index("REP")) > turnout(last.party == PARTIES.index("UNA")) + 0.03


def test_turnout_differs_between_counties_beyond_chance(large_world: World, large_elections: list[Election]) -> None:
    last = large_elections[-1]
    county = large_world.geography.precinct_county[last.precinct]
    eligible = np.bincount(county[last.eligible], minlength=100)
    share = np.bincount(county[last.voted], minlength=100)[eligible > 200] / eligible[eligible > 200]
    by_chance = np.sqrt(0.25 / eligible[eligible > 200])

    assert share.std() > 2 * by_chance.mean()


def test_habit_and_age_predict_better_than_the_last_election(
    large_world: World, large_elections: list[Election]
) -> None:
    """A table of averages over cells (age group, the last three elections) learned on 2018, tried on 2022."""
    age = large_world.people.birth_year

    def cells(index: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        votes = sum(large_elections[index - back].voted.astype(np.int64) << (back - 1) for back in (1, 2, 3))
        group = np.clip((large_elections[index].year - age) // 8, 0, 11)
        return np.asarray(votes + 8 * group)

    learned, tried = large_elections[4], large_elections[6]
    cell = cells(4)[learned.eligible]
    voted = np.bincount(cell, weights=learned.voted[learned.eligible], minlength=96)
    average = voted / np.maximum(1, np.bincount(cell, minlength=96))
    outcome = tried.voted[tried.eligible]
    predicted = average[cells(6)[tried.eligible]] > 0.5

    same_as_last = np.mean(large_elections[5].voted[tried.eligible] == outcome)
    assert np.mean(predicted == outcome) > same_as_last + 0.03


def test_loading_postgres_before_generating_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="Generate the simulation first"):
        load_postgres(tmp_path / "absent.sqlite", "host=127.0.0.1")


@pytest.mark.postgres
def test_postgres_holds_the_same_rows_and_a_second_load_replaces_them(
    systems: SourceSystems, postgres_database: PostgresDatabase
) -> None:
    in_file = _select(systems, "SELECT * FROM voting_history ORDER BY state, election_lbl, ncid")

    counts = [
        systems.load_history_postgres(postgres_database.dsn, password=postgres_database.password) for _ in range(2)
    ]

    with (
        closing(psycopg2.connect(postgres_database.dsn, password=postgres_database.password)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT * FROM voting_history")
        found = sorted(cursor.fetchall(), key=lambda row: (row[0], row[4], row[1]))
    assert counts == [len(in_file)] * 2
    assert found == in_file
