"""Tests of named parameters: what is one, and that the others are left alone."""

from __future__ import annotations

import dagster as dg
import pytest

from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.errors import ContractError
from mlops_assets.plumbing.sources.sql.databases import Postgres, Sqlite
from mlops_assets.plumbing.sources.sql.parameters import values_of, with_values, without_end
from mlops_assets.plumbing.sources.sql.source import SqlSource
from mlops_assets.plumbing.sources.templates import known_names
from mlops_assets_tests.plumbing.sources.sql_orders import MONTHLY, ORDERS, orders

FILE = Sqlite(path="shop.db")


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("postgres", "SELECT ':x'':y', \":x\", a::text, E'\\':x', $t$ :x $t$, $$ :x $$, b[1:2] FROM t WHERE a = {}"),
        ("postgres", "SELECT 1 /* :x /* :x */ :x */ -- :x\n, '\\', {}::date"),
        ("mysql", "SELECT '\\':x', `:x`, \":x\" # :x\n, 5--{} -- :x\n"),
        ("mysql", "SELECT /* /* :x */ {}"),
        ("sqlite", "SELECT [:x], `:x`, \":x\", '\\' || {} -- :x\n"),
        ("sqlite", "SELECT /* :x\n:x */ {}||{}"),
    ],
)
def test_a_colon_within_strings_names_comments_and_casts_is_no_parameter(dialect: str, text: str) -> None:
    given = text.replace("{}", ":month")
    assert with_values(given, dialect, {"month": "v"}, lambda name, value: f"<{name}={value}>") == text.replace(
        "{}", " <month=v> "
    )


def test_a_monthly_table_gives_its_key_its_column_and_two_moments() -> None:
    february = Partition("2024-02", {"month": "2024-02"})
    assert values_of(MONTHLY, february, zoned=True) == {
        "partition": "2024-02",
        "month": "2024-02",
        "start": "2024-02-01T00:00:00+00:00",
        "end": "2024-03-01T00:00:00+00:00",
    }
    assert values_of(MONTHLY, february, zoned=False)["start"] == "2024-02-01 00:00:00"


def test_partitions_that_are_not_of_time_have_no_moments() -> None:
    assert known_names(orders(partitions=dg.StaticPartitionsDefinition(["north"]), column="shop")) == [
        "partition",
        "shop",
    ]


def test_an_unknown_parameter_is_refused_with_what_there_is() -> None:
    with pytest.raises(ContractError, match=r"its query names :mont\. There is: :partition, :month, :start, :end\."):
        SqlSource(contract=MONTHLY, database=FILE, query="SELECT * FROM orders WHERE month = :mont")


def test_a_table_without_partitions_has_no_parameters() -> None:
    with pytest.raises(ContractError, match=r"its where names :partition\. There is: none"):
        SqlSource(contract=ORDERS, database=FILE, table="orders", where="month = :partition")


@pytest.mark.parametrize(
    "query", ["DELETE FROM orders", "/* SELECT */ DROP TABLE orders", "-- nothing", "CALL x()", "SELECT 1; SELECT 2"]
)
def test_a_query_that_is_not_one_reading_statement_is_refused(query: str) -> None:
    with pytest.raises(ContractError, match=r"does not read|semicolon"):
        SqlSource(contract=ORDERS, database=FILE, query=query)


def test_a_string_without_end_is_refused() -> None:
    with pytest.raises(ContractError, match="does not end"):
        SqlSource(contract=ORDERS, database=FILE, query="SELECT 'a FROM orders")


def test_a_semicolon_at_the_end_is_left_out() -> None:
    assert without_end("SELECT 1 -- one\n ; -- end", "postgres") == "SELECT 1 -- one\n "


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"table": "orders", "query": "SELECT 1"},
        {"query": "SELECT 1", "where": "true"},
        {"table": "a.b.c"},
        {"table": "a."},
    ],
)
def test_a_declaration_asks_for_one_thing(given: dict[str, str]) -> None:
    with pytest.raises(ContractError):
        SqlSource.model_validate({"contract": ORDERS, "database": FILE, **given})


def test_a_connection_string_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(ContractError, match="it holds a password") as refused:
        Postgres(dsn="host=db password=not-to-be-seen")
    assert "not-to-be-seen" not in str(refused.value)


def test_another_place_or_patience_is_no_other_code_version() -> None:
    one = SqlSource(contract=ORDERS, database=FILE, table="orders")
    other = SqlSource(contract=ORDERS, database=Sqlite(path="new.db"), table="orders", timeout_seconds=5)
    assert one.code_version() == other.code_version()
    assert one.code_version() != SqlSource(contract=ORDERS, database=FILE, table="sales").code_version()
