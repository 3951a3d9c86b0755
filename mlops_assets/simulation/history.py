"""Voting history: who voted in which general election, and the SQL databases that hold it.

Put here turnout and the table ``voting_history``. Keep out what they voted for (those are the returns).

Whether a person votes depends on age, a lasting inclination, whether they voted in the elections before (habit), party,
county and precinct, and on whether the election is presidential or a midterm. Whoever registered after the deadline has
not voted. The rolls of the first snapshot stand for all earlier years: who left before it is in no record.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import psycopg2

from mlops_assets.simulation.configuration import MONTHS, SimulationConfig, SimulationError
from mlops_assets.simulation.margins import PARTIES
from mlops_assets.simulation.people import INACTIVE
from mlops_assets.simulation.voter_files import id_prefixes, party_codes
from mlops_assets.simulation.world import Flags, Snapshot, World, day_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mlops_assets.simulation.geography import Codes, Numbers

ELECTIONS: Final = tuple(range(2002, 2024, 2))
"""Years of the general elections whose returns are known."""
FIRST_RECORDED: Final = 2010
"""The first of them of which the databases tell who voted."""
DEADLINE: Final = dt.timedelta(days=25)
"""How long before an election day registration closes (N.C. General Statutes 163-82.6)."""
METHODS: Final = ("IN-PERSON", "ABSENTEE ONESTOP", "ABSENTEE BY MAIL")

_CREATE: Final = """
    CREATE TABLE voting_history (
        state text NOT NULL, ncid text NOT NULL, county_id text NOT NULL, county_desc text NOT NULL,
        election_lbl text NOT NULL, voting_method text NOT NULL, voted_party_cd text NOT NULL
    )
"""
_INDEX: Final = "CREATE INDEX voting_history_by_election ON voting_history (state, election_lbl)"
_SELECT: Final = """
    SELECT state, ncid, county_id, county_desc, election_lbl, voting_method, voted_party_cd
    FROM voting_history ORDER BY rowid
"""
_INSERT: Final = "INSERT INTO voting_history VALUES (?, ?, ?, ?, ?, ?, ?)"

_UNRECORDED: Final = (1998, 2000)
"""Elections simulated only so that habits exist when the returns begin."""
_PRESIDENTIAL_EVERY: Final = 4
_LAST_BEFORE_2022: Final = MONTHS.index("2022-11")
_SETTLED: Final = 68
_FRAIL: Final = 80
_PARTY_PULL: Final = {"DEM": 0.15, "REP": 0.3, "UNA": -0.3, "LIB": -0.4, "GRE": -0.4}
_METHOD_SHARES: Final = {2020: (0.17, 0.65, 0.18)}
_USUAL_METHODS: Final = (0.45, 0.50, 0.05)


def election_day(year: int) -> dt.date:
    """The Tuesday after the first Monday of November (2 U.S.C. 7)."""
    first = dt.date(year, 11, 1)
    return first + dt.timedelta(days=-first.weekday() % 7 + 1)


@dataclass(frozen=True, kw_only=True)
class Election:
    """One general election in one state; arrays have one element per person of the world.

    Attributes:
        year: calendar year.
        day: election day.
        eligible: who was registered in time.
        voted: who voted.
        party: index in ``PARTIES`` on that day, as far as records go back.
        precinct: precinct on that day, likewise.
        party_codes: how the office wrote the parties then.
    """

    year: int
    day: dt.date
    eligible: Flags
    voted: Flags
    party: Codes
    precinct: Codes
    party_codes: Sequence[str]


def hold_elections(config: SimulationConfig, world: World) -> list[Election]:
    """All general elections of ``ELECTIONS``, oldest first."""
    first, last = world.snapshot(0), world.snapshot(_LAST_BEFORE_2022)
    never = np.zeros(len(world.people), dtype=np.bool_)
    voted, voted_before = never, never
    held: list[Election] = []
    for year in (*_UNRECORDED, *ELECTIONS):
        random = config.stream(world.geography.state, "election", str(year))
        rolls = last if year == ELECTIONS[-1] else first
        day = election_day(year)
        eligible = rolls.present & (world.people.registered <= day_number(day - DEADLINE))
        odds = _log_odds(world, rolls, year) + 0.9 * voted + 0.7 * voted_before
        voted_before, voted = voted, eligible & (random.random(len(never)) < 1 / (1 + np.exp(-odds)))
        month = rolls.month if rolls is last else 0
        held.append(
            Election(
                year=year,
                day=day,
                eligible=eligible,
                voted=voted,
                party=rolls.party,
                precinct=rolls.precinct,
                party_codes=party_codes(world.geography.state, month),
            )
        )
    return held[len(_UNRECORDED) :]


def _log_odds(world: World, rolls: Snapshot, year: int) -> Numbers:
    """Log odds that each person votes in that year, leaving out habit."""
    people, geography = world.people, world.geography
    age = year - people.birth_year
    presidential = year % _PRESIDENTIAL_EVERY == 0
    pull = np.array([_PARTY_PULL[code] for code in PARTIES])
    odds: Numbers = (
        (0.95 if presidential else -0.75)
        + (0.03 if presidential else 0.06) * (np.minimum(age, _SETTLED) - 48)
        - 0.1 * np.maximum(age - _FRAIL, 0)
        + 1.4 * people.propensity
        + pull[rolls.party]
        + 0.4 * geography.county_effects["turnout"][geography.precinct_county[rolls.precinct]]
        + geography.precinct_turnout[rolls.precinct]
        - 1.5 * (people.status == INACTIVE)
    )
    return odds


def write_sqlite(
    config: SimulationConfig, worlds: Mapping[str, World], elections: Mapping[str, Sequence[Election]], target: Path
) -> int:
    """Write the table ``voting_history`` as a SQLite file, replacing any; return its number of rows.

    One row per person who voted; all columns are text: state, ncid, county_id, county_desc, election_lbl (the election
    day as MM/DD/YYYY), voting_method, voted_party_cd.
    """
    target.unlink(missing_ok=True)
    count = 0
    # Without a journal: a file that is not finished is thrown away, never repaired.
    with closing(sqlite3.connect(target, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN")
        database.execute(_CREATE)
        for state, world in worlds.items():
            for election in elections[state]:
                if election.year < FIRST_RECORDED:
                    continue
                count += database.executemany(_INSERT, _rows(config, world, election)).rowcount
        database.execute(_INDEX)
        database.execute("COMMIT")
    return count


def load_postgres(source: Path, dsn: str, *, password: str | None = None, rows_per_chunk: int = 50_000) -> int:
    """Copy the table of a SQLite file into the PostgreSQL database that the libpq string names; return the rows.

    An existing table ``voting_history`` is replaced, in one transaction.

    Raises:
        SimulationError: the SQLite file is not there.
    """
    if not source.is_file():
        raise SimulationError(f"{source} is not there. Generate the simulation first.")
    count = 0
    with (
        closing(sqlite3.connect(source)) as history,
        closing(psycopg2.connect(dsn, password=password)) as database,
        database,
        database.cursor() as cursor,
    ):
        cursor.execute("DROP TABLE IF EXISTS voting_history")
        cursor.execute(_CREATE)
        rows = history.execute(_SELECT)
        while chunk := rows.fetchmany(rows_per_chunk):
            text = io.StringIO()
            csv.writer(text).writerows(chunk)
            text.seek(0)
            cursor.copy_expert("COPY voting_history FROM STDIN (FORMAT csv)", text)
            count += len(chunk)
        cursor.execute(_INDEX)
    return count


def _rows(config: SimulationConfig, world: World, election: Election) -> Iterator[tuple[str, ...]]:
    geography = world.geography
    random = config.stream(geography.state, "methods", str(election.year))
    voters = np.flatnonzero(election.voted)
    county = geography.precinct_county[election.precinct[voters]].tolist()
    method = random.choice(len(METHODS), len(voters), p=_METHOD_SHARES.get(election.year, _USUAL_METHODS)).tolist()
    party = election.party[voters].tolist()
    prefixes, label = id_prefixes(world), election.day.strftime("%m/%d/%Y")
    registered_in = world.people.county[voters].tolist()
    for person, home, here, how, voted_for in zip(voters.tolist(), registered_in, county, method, party, strict=True):
        yield (
            geography.state,
            f"{prefixes[home]}{person + 1:06d}",
            str(here + 1),
            geography.counties[here],
            label,
            METHODS[how],
            election.party_codes[voted_for],
        )
