"""The raw table of voting history, from real SQLite files and a real PostgreSQL server to the lake."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts.raw import VOTING_HISTORY
from mlops_assets.plumbing.assets.voting_history import voting_history
from mlops_assets_tests.plumbing.raw_layer import facts, failure, materialize, visible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_assets_tests.postgres import PostgresDatabase

pytestmark = pytest.mark.usefixtures("home")

SETTING = "MLOPS_ASSETS_SOURCES__VOTING_HISTORY"
WRONG = "not-to-be-seen"
CREATE = (
    "CREATE TABLE voting_history (state varchar(20), ncid text, county_id integer, county_desc text, "
    "election_lbl text, voting_method text, voted_party_cd text, note text)"
)
ROWS = [
    (state, f"AA{n}", n, "ALAMANCE", label, None, "DEM", "not for us")
    for state in ("NC", "GA", "TX")
    for label in ("11/08/2022", "11/03/2020", "05/17/2022")
    for n in range(1, 4)
]
PUBLISHED = [("NC", "2022", f"AA{n}", str(n), "11/08/2022", None) for n in (1, 2, 3)]


def shown() -> list[tuple[object, ...]]:
    return visible(VOTING_HISTORY, "state, election, ncid, county_id, election_lbl, voting_method")


def another(state: str | None = "NC", label: str | None = "11/08/2022") -> tuple[object, ...]:
    return state, "AA9", 9, "ALAMANCE", label, None, "DEM", ""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SQLite file with some rows, which the operator has set."""
    path = tmp_path / "history.sqlite"
    monkeypatch.setenv(SETTING, f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(CREATE)
    add(path, ROWS)
    return path


def add(path: Path, rows: Sequence[tuple[object, ...]]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO voting_history VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


@pytest.fixture
def server(postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> PostgresDatabase:
    """A PostgreSQL database with some rows, which the operator has set."""
    monkeypatch.setenv(SETTING, postgres_database.dsn)
    monkeypatch.setenv(f"{SETTING}_PASSWORD", postgres_database.password)
    postgres_database.run(CREATE)
    postgres_database.run("INSERT INTO voting_history VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", ROWS)
    return postgres_database


@pytest.mark.usefixtures("file")
def test_sqlite_gives_one_election_of_one_state() -> None:
    result = materialize(voting_history, "2022|NC")

    assert result.success
    assert shown() == PUBLISHED
    assert facts(result)["database"] == "SQLite database history.sqlite"


@pytest.mark.postgres
@pytest.mark.usefixtures("server")
def test_postgres_gives_one_election_of_one_state() -> None:
    assert materialize(voting_history, "2022|NC").success
    assert shown() == PUBLISHED


@pytest.mark.parametrize("state", ["NC ", "nc", " NC", "N.C.", "North Carolina", "", None])
def test_a_state_that_is_written_otherwise_is_counted_and_refused(file: Path, state: str | None) -> None:
    add(file, [another(state=state)])

    said = failure(materialize(voting_history, "2022|NC"))

    assert "state: 1 of 4 rows, the first is row 4; it should be 'NC', as all rows of this partition must be" in said


@pytest.mark.parametrize(
    "label",
    ["2022-11-08", "11/8/2022", "11/08/22", " 11/08/2022", "11/08/2022 ", "11/ 8/2022", "8 Nov 2022", "2022", "", None],
)
def test_a_day_that_is_written_otherwise_is_counted_and_refused(file: Path, label: str | None) -> None:
    add(file, [another(label=label)])

    said = failure(materialize(voting_history, "2022|NC"))

    assert "election: 1 of 4 rows, the first is row 4; it should be '2022', as all rows of this partition" in said


@pytest.mark.postgres
@pytest.mark.parametrize(("state", "label"), [("NC ", "11/08/2022"), ("NC", "2022-11-08"), (None, "11/08/2022")])
def test_postgres_refuses_them_as_well(server: PostgresDatabase, state: str | None, label: str) -> None:
    rows = [another(state=state, label=label)]
    server.run("INSERT INTO voting_history VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", rows)

    assert "1 of 4 rows, the first is row 4; it should be" in failure(materialize(voting_history, "2022|NC"))


def test_rows_that_are_evidently_of_others_are_left_out(file: Path) -> None:
    add(file, [another(state="SC"), another(label="11/07/2023")])

    assert materialize(voting_history, "2022|NC").success
    assert shown() == PUBLISHED


@pytest.mark.usefixtures("file")
def test_an_election_without_rows_is_not_published() -> None:
    assert not materialize(voting_history, "2024|NC").success


def test_a_database_that_is_away_is_told(file: Path) -> None:
    file.unlink()

    assert "there is no such file" in failure(materialize(voting_history, "2022|NC"))
    assert not file.exists()


def test_a_missing_column_is_refused(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("ALTER TABLE voting_history DROP COLUMN voting_method")

    assert "there is no such column" in failure(materialize(voting_history, "2022|NC"))


def test_an_address_that_is_not_set_is_told_by_its_variable() -> None:
    assert f"{SETTING}: the address of this source is not set" in failure(materialize(voting_history, "2022|NC"))


@pytest.mark.parametrize(
    ("address", "culprit"),
    [
        ("mysql://db/history", "this is no libpq connection string"),
        (f"host=db dbname=h user=me password={WRONG}", "it holds a password"),
        (f"postgresql://me:{WRONG}@db/h", "it holds a password"),
        ("host=db dbname=history user=me sslmode=disable", f"{SETTING}_PASSWORD: this secret is not set"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, address: str, culprit: str
) -> None:
    monkeypatch.setenv(SETTING, address)

    said = failure(materialize(voting_history, "2022|NC"))

    assert SETTING in said
    assert culprit in said
    assert WRONG not in said


@pytest.mark.postgres
@pytest.mark.usefixtures("server")
def test_a_wrong_password_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{SETTING}_PASSWORD", WRONG)

    said = failure(materialize(voting_history, "2022|NC"))

    assert "it refuses the account" in said
    assert WRONG not in said
