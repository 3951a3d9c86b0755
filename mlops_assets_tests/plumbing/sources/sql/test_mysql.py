"""Tests of SQL sources over a real MariaDB server."""

from __future__ import annotations

import dataclasses
import datetime as dt
import socket
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import dagster as dg
import ibis.expr.datatypes as types
import pandera.ibis as pa
import pytest

from mlops_assets.deployment.certificates import Authority
from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets.plumbing.sources.sql.databases import MySql
from mlops_assets.plumbing.sources.sql.source import SqlSource
from mlops_assets_tests.mariadb import MariaServer, running_server
from mlops_assets_tests.plumbing.sources.shop import rows, run
from mlops_assets_tests.plumbing.sources.sql_orders import INT, MONTHLY, ORDERS, asked, orders, published

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets_tests.mariadb import MariaDatabase

pytestmark = pytest.mark.mariadb
WRONG = "not-to-be-seen"
ID = "123e4567-e89b-12d3-a456-426655440000"
MOMENT = "2024-02-29 12:00:00.123456"


@pytest.fixture(scope="module")
def mariadb_server() -> Iterator[MariaServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def shop(mariadb_server: MariaServer, monkeypatch: pytest.MonkeyPatch) -> MariaDatabase:
    database = mariadb_server.create_database()
    monkeypatch.setenv("SHOP_PASSWORD", database.password)
    database.run(
        "CREATE TABLE orders (order_id bigint, amount decimal(10, 2), month varchar(7))",
        "INSERT INTO orders VALUES (1, 9.5, '2024-01'), (2, 3, '2024-01'), (3, 0.3, '2024-02')",
    )
    return database


def place(shop: MariaDatabase, **given: object) -> MySql:
    said = {"host": shop.host, "port": shop.port, "database": shop.name, "user": shop.name}
    return MySql.model_validate({**said, "password": Secret(env="SHOP_PASSWORD"), **given})


def source(shop: MariaDatabase, **given: object) -> SqlSource:
    return SqlSource.model_validate({"contract": ORDERS, "database": place(shop), "retries": 0, **given})


def refused(one: SqlSource, key: str | None = None) -> str:
    with pytest.raises(SourceError) as error:
        asked(one, key)
    assert not isinstance(error.value, SourceUnavailableError)
    return str(error.value)


def away(one: SqlSource) -> str:
    with pytest.raises(SourceUnavailableError) as error:
        asked(one)
    return str(error.value)


def test_a_month_is_published(shop: MariaDatabase) -> None:
    january = source(shop, contract=MONTHLY, table="orders", where="month = :month")
    assert published(january, "2024-01") == [
        {"order_id": 1, "amount": Decimal("9.50"), "month": "2024-01"},
        {"order_id": 2, "amount": Decimal("3.00"), "month": "2024-01"},
    ]


def test_a_declaration_in_yaml_is_published(shop: MariaDatabase) -> None:
    declared = SqlSource.resolve_from_yaml(
        "contract: mlops_assets_tests.plumbing.sources.sql_orders.MONTHLY\n"  # noqa: S608
        f"database: {{type: mysql, host: {shop.host}, port: {shop.port}, database: {shop.name}, user: {shop.name}, "
        "password: {env: SHOP_PASSWORD}}\n"
        "query: SELECT order_id, amount FROM orders WHERE month = :partition;\n"
        "retries: 0\n"
    )
    assert [row["order_id"] for row in published(declared, "2024-02")] == [3]


def test_values_keep_the_types_of_the_database(shop: MariaDatabase) -> None:
    columns = {
        "ok": ("tinyint(1)", "1", "BIGINT", 1),
        "small": ("smallint unsigned", "65535", "BIGINT", 65535),
        "big": ("bigint unsigned", "18446744073709551615", "DECIMAL(20,0)", 18446744073709551615),
        "neg": ("bigint", "-9223372036854775808", "DECIMAL(20,0)", -9223372036854775808),
        "f4": ("float", "0.123456789", "DOUBLE", 0.12345679104328156),
        "f8": ("double", "0.1 + 0.2e0", "DOUBLE", 0.1 + 0.2),
        "n": ("decimal(10, 2)", "1.1", "DECIMAL(11,2)", Decimal("1.10")),
        "wide": ("decimal(65, 30)", "1.5", "VARCHAR", "1.500000000000000000000000000000"),
        "day": ("date", "'2024-02-29'", "DATE", dt.date(2024, 2, 29)),
        "moment": ("datetime(6)", f"'{MOMENT}'", "TIMESTAMP",
                   dt.datetime.fromisoformat(MOMENT)),
        "clock": ("time", "'-30:00:00'", "VARCHAR", "-30:00:00"),
        "y": ("year", "2024", "BIGINT", 2024),
        "e": ("enum('a', 'b')", "'b'", "VARCHAR", "b"),
        "j": ("json", """'{"a": 1}'""", "VARCHAR", '{"a": 1}'),
        "id": ("uuid", f"'{ID}'", "VARCHAR", ID),
        "s": ("varchar(20) CHARACTER SET latin1", "'é'", "VARCHAR", "é"),
        "smile": ("text CHARACTER SET utf8mb4", "'😀'", "VARCHAR", "😀"),
        "empty": ("text", "''", "VARCHAR", ""),
        "missing": ("text", "NULL", "VARCHAR", None),
        "photo": ("blob", "x'ff'", "VARCHAR", "ff"),
    }  # fmt: skip
    shop.run(
        f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, (kind, *_) in columns.items())})",
        f"INSERT INTO t VALUES ({', '.join(value for _, value, *_ in columns.values())})",  # noqa: S608
    )
    values, types, _ = asked(source(shop, table="t"))
    assert types == {name: kind for name, (_, _, kind, _) in columns.items()}
    assert values == {name: [value] for name, (*_, value) in columns.items()}


def test_a_timestamp_is_the_same_moment_in_whatever_zone_the_server_is(shop: MariaDatabase) -> None:
    shop.run(
        "CREATE TABLE t (t timestamp NULL)", "SET time_zone = '+09:00'", "INSERT INTO t VALUES ('2024-03-02 12:00:00')"
    )
    values, types, _ = asked(source(shop, table="t"))
    assert types == {"t": "TIMESTAMP WITH TIME ZONE"}
    assert values["t"][0].astimezone(dt.UTC) == dt.datetime(2024, 3, 2, 3, tzinfo=dt.UTC)


@pytest.mark.parametrize("kind", ["blob", "varbinary(9)", "bit(3)"])
def test_bytes_are_refused_by_their_column(shop: MariaDatabase, kind: str) -> None:
    shop.run(f"CREATE TABLE t (order_id int, amount {kind})", "INSERT INTO t VALUES (1, NULL), (2, b'101')")
    said = refused(source(shop, table="t"))
    assert "its column amount holds bytes" in said
    assert "HEX(x)" in said


def test_a_day_0000_00_00_is_refused_by_its_column(shop: MariaDatabase) -> None:
    shop.run(
        "SET sql_mode = ''", "CREATE TABLE t (order_id int, amount date)", "INSERT INTO t VALUES (1, '0000-00-00')"
    )
    said = refused(source(shop, table="t"))
    assert "amount: 1 are no DATE" in said
    assert "NULLIF(x, '0000-00-00')" in said
    values, _, _ = asked(source(shop, query="SELECT order_id, NULLIF(amount, '0000-00-00') AS amount FROM t"))
    assert values["amount"] == [None]


def test_two_columns_of_one_name_are_refused(shop: MariaDatabase) -> None:
    assert "two columns" in refused(source(shop, query="SELECT 1 AS order_id, 2 AS Order_ID"))


@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES"])
def test_a_value_with_a_quote_is_no_part_of_the_query(
    shop: MariaDatabase, mariadb_server: MariaServer, mode: str
) -> None:
    mariadb_server.administer(f"SET GLOBAL sql_mode = '{mode}'")
    key = "it's \\'; DROP TABLE orders -- é"
    contract = orders({"n": INT}, partitions=dg.StaticPartitionsDefinition([key]), column="shop")
    query = "SELECT count(*) AS n, :shop AS shop, ':shop' AS text FROM orders WHERE :partition = :shop"
    values, _, _ = asked(source(shop, contract=contract, query=query), key)
    assert values == {"n": [3], "shop": [key], "text": [":shop"]}


@pytest.mark.parametrize("kind", ["date", "datetime", "timestamp", "varchar(7)"])
def test_moments_take_the_type_of_what_they_are_compared_with(shop: MariaDatabase, kind: str) -> None:
    shop.run(
        f"CREATE TABLE days (order_id int, amount int, day {kind} NULL)",
        "SET time_zone = '+00:00'",
        "SET sql_mode = ''",
        "INSERT INTO days SELECT seq, 1, date '2024-01-31' + INTERVAL seq DAY FROM seq_0_to_30",
    )
    where = "day >= :start AND day < :end -- a month" if kind != "varchar(7)" else "day = :month"
    values, _, _ = asked(source(shop, contract=MONTHLY, table="days", where=where), "2024-02")
    assert values["order_id"] == list(range(1, 30))


def test_a_query_reads_one_state_while_another_session_writes(shop: MariaDatabase) -> None:
    shop.run("CREATE TABLE counted (n int)", "INSERT INTO counted SELECT 0 FROM seq_1_to_100000")
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            shop.run("UPDATE counted SET n = n + 1")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [set(asked(source(shop, table="counted"))[0]["n"]) for _ in range(3)]
    finally:
        over.set()
        writer.join()
    assert [len(each) for each in found] == [1, 1, 1]


def test_the_server_ends_a_statement_that_takes_too_long(shop: MariaDatabase) -> None:
    began = time.monotonic()
    query = "SELECT count(*) AS n FROM seq_1_to_1000000 a JOIN seq_1_to_1000000 b ON a.seq + b.seq > 0"
    assert "its time was over" in refused(source(shop, query=query, timeout_seconds=0.3))
    assert time.monotonic() - began < 30


def test_a_query_that_would_write_is_refused_by_the_transaction(shop: MariaDatabase) -> None:
    shop.run("CREATE FUNCTION emptied() RETURNS int BEGIN DELETE FROM orders; RETURN 1; END")
    assert "its query would write, and is refused" in refused(source(shop, query="SELECT emptied() AS n"))
    assert asked(source(shop, table="orders"))[2]["rows"] == 3


def test_a_wrong_password_is_refused_and_not_told(shop: MariaDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", WRONG)
    said = refused(source(shop, table="orders"))
    assert "it refuses the account (error 1045)" in said
    assert WRONG not in said


def test_a_missing_table_names_near_ones(shop: MariaDatabase) -> None:
    said = refused(source(shop, table="order"))
    assert "there is no such table" in said
    assert said.endswith("There is orders.")


@pytest.mark.parametrize(("personal", "said"), [(False, "column: nope."), (True, "column.")])
def test_a_missing_column_is_named_unless_the_table_holds_persons(
    shop: MariaDatabase,
    said: str,
    personal: bool,  # noqa: FBT001
) -> None:
    one = source(shop, contract=orders(personal=personal), table="orders", where="nope = 1")
    assert f"there is no such {said}" in refused(one)


def test_a_missing_right_is_told(shop: MariaDatabase) -> None:
    assert "has no right to read it" in refused(source(shop, table="mysql.global_priv"))


def test_a_missing_database_is_told(shop: MariaDatabase, mariadb_server: MariaServer) -> None:
    mariadb_server.administer(f"GRANT ALL ON nowhere.* TO {shop.name}@'%'")
    said = refused(source(shop, database=place(shop, database="nowhere"), table="orders"))
    assert said.startswith("MySQL database nowhere at 127.0.0.1:")
    assert "there is no such database" in said


def test_the_connection_is_encrypted_and_the_server_verified(shop: MariaDatabase, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(MariaServer.ca_pem)
    query = "SELECT variable_value AS s FROM information_schema.session_status WHERE variable_name = 'Ssl_version'"
    for ca in (str(tmp_path / "ca.pem"), None):
        values, _, _ = asked(source(shop, database=place(shop, ca=ca), query=query))
        assert values["s"][0].startswith("TLS")


@pytest.mark.parametrize("ca", [Authority.create("another").certificate_pem, b"", None])
def test_a_server_without_the_right_certificate_is_refused(
    shop: MariaDatabase, tmp_path: Path, ca: bytes | None
) -> None:
    if ca is not None:
        (tmp_path / "ca.pem").write_bytes(ca)
    one = source(shop, database=place(shop, ca=str(tmp_path / "ca.pem")), table="orders")
    assert "no encrypted connection comes about" in refused(one)


def test_a_server_that_says_nothing_may_answer_later(shop: MariaDatabase) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = place(shop, port=silent.getsockname()[1])
        assert "it does not answer" in away(source(shop, database=database, table="orders", connect_seconds=0.3))


def test_a_server_that_does_not_answer_may_answer_later(shop: MariaDatabase, unused_port: int) -> None:
    assert "it does not answer" in away(source(shop, database=place(shop, port=unused_port), table="orders"))


@pytest.mark.parametrize("how", ["killed server", "killed session", "killed query"])
def test_a_server_that_breaks_off_while_it_sends_may_answer_later(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server() as server:
        shop = server.create_database()
        monkeypatch.setenv("SHOP_PASSWORD", shop.password)

        def end() -> None:
            busy = f"SELECT id FROM information_schema.processlist WHERE user = '{shop.name}' AND command = 'Query'"  # noqa: S608
            while not (found := server.administer(busy)):
                time.sleep(0.05)
            time.sleep(0.3)
            if how == "killed server":
                server.stop()
            else:
                server.administer(f"KILL {'QUERY' if how == 'killed query' else ''} {found[0][0]}")

        killer = threading.Thread(target=end)
        killer.start()
        said = away(source(shop, query="SELECT seq AS order_id, seq AS amount FROM seq_1_to_100000000"))
        killer.join()
    assert "it broke off" in said
    assert shop.password not in said


class Stock(pa.DataFrameModel):
    article: types.Int64
    changed: types.Timestamp

    class Config:
        """No article twice."""

        unique = ("article",)


def test_changes_alone_are_asked_for(shop: MariaDatabase) -> None:
    stock = dataclasses.replace(ORDERS, table="stock", model=Stock, partitions_def=None, partition_columns={})
    shop.run(
        "CREATE TABLE stock (article bigint PRIMARY KEY, changed datetime(6))",
        "INSERT INTO stock VALUES (1, '2024-03-01 01:00'), (2, '2024-03-01 02:00:00.5')",
    )
    one = source(
        shop,
        contract=stock,
        table="stock",
        where="changed >= :since",
        since={"column": "changed", "start": "2020-01-01"},
    )
    assert run(one, None).metadata["rows"] == 2
    shop.run(
        "UPDATE stock SET changed = '2024-03-01 03:00' WHERE article = 1",
        "DELETE FROM stock WHERE article = 2",
        "INSERT INTO stock VALUES (3, '2024-03-01 04:00')",
    )
    again = run(one, None)
    assert (again.metadata["since"], again.metadata["rows"]) == ("2024-03-01 02:00:00.500000", 2)
    assert {row[0]: row[1].hour for row in rows(stock)} == {1: 3, 2: 2, 3: 4}
