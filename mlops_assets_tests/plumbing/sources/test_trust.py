"""No server of another machine is taken at its word."""

from __future__ import annotations

import pytest

from mlops_assets.plumbing.sources.sql.databases import MySql, Postgres
from mlops_assets.plumbing.sources.sql.source import SqlSource
from mlops_assets.plumbing.sources.trust import is_on_this_machine
from mlops_assets_tests.plumbing.sources.shop import SALES, run


@pytest.mark.parametrize("host", [None, "", "/var/run/postgresql", "localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_these_are_on_this_machine(host: str | None) -> None:
    assert is_on_this_machine(host)


@pytest.mark.parametrize("host", ["db", "192.0.2.1", "localhost.example.org", "10.0.0.1"])
def test_these_are_not(host: str) -> None:
    assert not is_on_this_machine(host)


@pytest.mark.parametrize(
    ("database", "told"),
    [
        (Postgres(dsn="host=192.0.2.1 dbname=shop user=me"), "Add sslmode=verify-full"),
        (Postgres(dsn="hostaddr=192.0.2.1 dbname=shop user=me"), "Add sslmode=verify-full"),
        (MySql(host="192.0.2.1", database="shop", user="me"), "Name ca"),
    ],
)
def test_a_database_of_another_machine_must_prove_who_it_is(database: Postgres | MySql, told: str) -> None:
    done = run(SqlSource(contract=SALES, database=database, table="sales", snapshot=True, retries=0))
    assert told in done.told
