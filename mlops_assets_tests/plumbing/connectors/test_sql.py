"""Tests of the voting-history databases: real SQLite files and a real PostgreSQL server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from pydantic import SecretStr

from mlops_assets.contracts.raw import VOTING_HISTORY
from mlops_assets.platform.errors import ContractError, SettingsError, SourceError, SourceUnavailableError
from mlops_assets.platform.settings import Settings, SourceSettings
from mlops_assets.plumbing.connectors.extract import arrow_schema
from mlops_assets.plumbing.connectors.sql import COLUMNS, VotingHistoryDatabase
from mlops_assets_tests.postgres import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.postgres import PostgresDatabase

WRONG = "not-to-be-seen"
CREATE = (
    "CREATE TABLE voting_history (state text, ncid text, county_id integer, county_desc text, election_lbl text, "
    "voting_method text, voted_party_cd text, note text)"
)
ROWS = [
    (state, f"AA{n}", n, "ALAMANCE", label, None, "DEM", "not for us")
    for state in ("NC", "GA")
    for label in ("11/08/2022", "11/03/2020")
    for n in range(1, 4)
]


def settings(
    address: str | None, password: str | None = None, *, attempts: int = 1, timeout_seconds: float = 60.0
) -> Settings:
    return Settings(
        sources=SourceSettings(
            voting_history=address,
            voting_history_password=None if password is None else SecretStr(password),
            timeout_seconds=timeout_seconds,
            attempts=attempts,
        )
    )


def read(scratch: Path, given: Settings, *, state: str = "NC", election: str = "2022") -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        rows = VotingHistoryDatabase(given).read(connection, scratch, state=state, election=election)
        assert sorted(rows.columns) == sorted(arrow_schema(VOTING_HISTORY).names)
        assert {str(kind) for kind in rows.types} == {"VARCHAR"}
        return rows.select("state, election, ncid, county_id, election_lbl, voting_method").order("ncid").fetchall()


EXPECTED = [("NC", "2022", f"AA{n}", str(n), "11/08/2022", None) for n in (1, 2, 3)]


@pytest.fixture
def sqlite_address(tmp_path: Path) -> str:
    return make_sqlite(tmp_path / "history.sqlite")


def make_sqlite(path: Path, create: str = CREATE) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(create)
        if create == CREATE:
            connection.executemany("INSERT INTO voting_history VALUES (?, ?, ?, ?, ?, ?, ?, ?)", ROWS)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_history(postgres_database: PostgresDatabase) -> PostgresDatabase:
    postgres_database.run(CREATE)
    postgres_database.run("INSERT INTO voting_history VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", ROWS)
    return postgres_database


def test_sqlite_gives_one_election_of_one_state_as_text(tmp_path: Path, sqlite_address: str) -> None:
    assert read(tmp_path, settings(sqlite_address)) == EXPECTED


@pytest.mark.postgres
def test_postgres_gives_one_election_of_one_state_as_text(tmp_path: Path, postgres_history: PostgresDatabase) -> None:
    assert read(tmp_path, settings(postgres_history.dsn, postgres_history.password)) == EXPECTED


def test_more_rows_than_a_batch_arrive_all(tmp_path: Path) -> None:
    address = make_sqlite(tmp_path / "history.sqlite")
    with closing(sqlite3.connect(tmp_path / "history.sqlite")) as connection, connection:
        connection.executemany(
            "INSERT INTO voting_history (state, ncid, election_lbl) VALUES ('NC', ?, '11/06/2018')",
            ((f"AA{n}",) for n in range(120_001)),
        )
    assert len(read(tmp_path, settings(address), election="2018")) == 120_001


def test_an_election_without_rows_is_refused(tmp_path: Path, sqlite_address: str) -> None:
    with pytest.raises(SourceError, match="it holds no row of state NC and election day 11/05/2024") as caught:
        read(tmp_path, settings(sqlite_address), election="2024")
    assert not isinstance(caught.value, SourceUnavailableError)


@pytest.mark.parametrize(("state", "election"), [("TX", "2022"), ("NC", "2021"), ("NC' OR 1=1 --", "2022")])
def test_an_unknown_partition_is_refused(tmp_path: Path, sqlite_address: str, state: str, election: str) -> None:
    with pytest.raises(ContractError, match="it is not one of the contract's partitions"):
        read(tmp_path, settings(sqlite_address), state=state, election=election)


def test_a_missing_file_counts_as_away_and_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match="it cannot be opened: there is no such file"):
        read(tmp_path, settings(f"sqlite:///{tmp_path / 'gone.sqlite'}"))
    assert not (tmp_path / "gone.sqlite").exists()


def test_a_locked_file_counts_as_away(tmp_path: Path, sqlite_address: str) -> None:
    with closing(sqlite3.connect(tmp_path / "history.sqlite")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceUnavailableError, match="it is locked or cannot be read"):
            read(tmp_path, settings(sqlite_address, timeout_seconds=0.1))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(SourceError, match=r"SQLite cannot read it \(SQLITE_NOTADB\)"):
        read(tmp_path, settings(f"sqlite:///{tmp_path / 'history.sqlite'}"))


def test_a_missing_table_is_told(tmp_path: Path) -> None:
    address = make_sqlite(tmp_path / "history.sqlite", "CREATE TABLE other (ncid text)")
    with pytest.raises(SourceError, match="it has no table voting_history that this account can see"):
        read(tmp_path, settings(address))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    kept = ", ".join(column for column in COLUMNS if column not in {"ncid", "voting_method"})
    address = make_sqlite(tmp_path / "history.sqlite", f"CREATE TABLE voting_history ({kept})")
    with pytest.raises(SourceError, match="its table voting_history lacks ncid, voting_method"):
        read(tmp_path, settings(address))


def test_a_database_that_comes_back_is_read_after_growing_pauses(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'late.sqlite'}"
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            make_sqlite(tmp_path / "late.sqlite")

    with duckdb.connect() as connection:
        database = VotingHistoryDatabase(settings(address, attempts=4), pause=pause)
        assert database.read(connection, tmp_path, state="NC", election="2022").shape[0] == 3
    assert pauses == [0.5, 1.0]


def test_a_database_that_stays_away_is_asked_as_often_as_declared(tmp_path: Path) -> None:
    pauses: list[float] = []
    database = VotingHistoryDatabase(settings(f"sqlite:///{tmp_path / 'gone.sqlite'}", attempts=3), pause=pauses.append)
    with duckdb.connect() as connection, pytest.raises(SourceUnavailableError):
        database.read(connection, tmp_path, state="NC", election="2022")
    assert pauses == [0.5, 1.0]


def test_a_refused_account_is_not_tried_again(tmp_path: Path) -> None:
    pauses: list[float] = []
    address = make_sqlite(tmp_path / "history.sqlite", "CREATE TABLE other (ncid text)")
    database = VotingHistoryDatabase(settings(address, attempts=3), pause=pauses.append)
    with duckdb.connect() as connection, pytest.raises(SourceError):
        database.read(connection, tmp_path, state="NC", election="2022")
    assert pauses == []


def test_an_address_that_is_not_set_is_told_by_its_variable() -> None:
    with pytest.raises(SettingsError, match=r"MLOPS_ASSETS_SOURCES__VOTING_HISTORY: .*is not set"):
        VotingHistoryDatabase(settings(None))


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match="neither sqlite:///path nor a libpq connection string"):
        VotingHistoryDatabase(settings("mysql://db/history", WRONG))


def test_a_missing_secret_is_told_by_its_variable() -> None:
    with pytest.raises(SettingsError, match="MLOPS_ASSETS_SOURCES__VOTING_HISTORY_PASSWORD: this secret is not set"):
        VotingHistoryDatabase(settings("host=db dbname=history user=reader"))


@pytest.mark.parametrize("address", [f"host=db dbname=h user=me password={WRONG}", f"postgresql://me:{WRONG}@db/h"])
def test_a_password_in_the_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(SettingsError, match="it holds a password") as caught:
        VotingHistoryDatabase(settings(address, WRONG))
    assert WRONG not in str(caught.value)


def test_a_closed_port_counts_as_away(tmp_path: Path, unused_port: int) -> None:
    address = f"host=127.0.0.1 port={unused_port} dbname=history user=reader"
    with pytest.raises(SourceUnavailableError, match="it does not answer, or broke off") as caught:
        read(tmp_path, settings(address, WRONG))
    assert caught.value.source == f"Voting-history database history at 127.0.0.1:{unused_port}"
    assert WRONG not in str(caught.value)


@pytest.mark.postgres
def test_a_wrong_password_is_refused_and_not_shown(tmp_path: Path, postgres_history: PostgresDatabase) -> None:
    with pytest.raises(SourceError, match="it refuses the account") as caught:
        read(tmp_path, settings(postgres_history.dsn, WRONG))
    assert not isinstance(caught.value, SourceUnavailableError)
    assert WRONG not in str(caught.value)


@pytest.mark.postgres
def test_a_missing_table_in_postgres_is_told(tmp_path: Path, postgres_database: PostgresDatabase) -> None:
    with pytest.raises(SourceError, match="it has no table voting_history that this account can see"):
        read(tmp_path, settings(postgres_database.dsn, postgres_database.password))


@pytest.mark.postgres
def test_an_account_without_the_right_to_read_is_refused(tmp_path: Path, postgres_history: PostgresDatabase) -> None:
    postgres_history.run("REVOKE ALL ON voting_history FROM CURRENT_USER")
    with pytest.raises(SourceError, match="it refuses the account"):
        read(tmp_path, settings(postgres_history.dsn, postgres_history.password))


@pytest.mark.postgres
def test_a_server_that_goes_away_and_comes_back_is_read_at_a_later_attempt(tmp_path: Path) -> None:
    with running_server() as server, duckdb.connect() as connection:
        database = server.create_database()
        database.run(CREATE)
        database.run("INSERT INTO voting_history VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", ROWS)
        server.stop()

        def pause(_: float) -> None:
            server.start()

        history = VotingHistoryDatabase(settings(database.dsn, database.password, attempts=2), pause=pause)
        assert history.read(connection, tmp_path, state="NC", election="2022").shape[0] == 3
        assert database.password not in repr(history.__dict__)
