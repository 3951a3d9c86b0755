"""Tests of SQL sources over a real PostgreSQL server."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import os
import signal
import socket
import threading
import time
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

import dagster as dg
import duckdb
import ibis.expr.datatypes as types
import pandera.ibis as pa
import pytest
from psycopg2 import sql

from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.errors import SettingsError, SourceError, SourceUnavailableError
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.delivered import Request
from mlops_assets.plumbing.sources.layout import Layout, conformed
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets.plumbing.sources.sql.databases import Postgres
from mlops_assets.plumbing.sources.sql.postgres import Parts
from mlops_assets.plumbing.sources.sql.source import SqlSource
from mlops_assets_tests.plumbing.sources.shop import rows, run
from mlops_assets_tests.plumbing.sources.sql_orders import INT, MONTHLY, ORDERS, asked, orders, published
from mlops_assets_tests.postgres import PostgresDatabase, running_server

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.postgres import PostgresServer

pytestmark = pytest.mark.postgres
WRONG = "not-to-be-seen"
WIDE = "12345678901234567890.1234567890123456789"
ID = "123e4567-e89b-12d3-a456-426655440000"
MOMENT = "2024-02-29 12:00:00.123456"


@pytest.fixture
def shop(postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> PostgresDatabase:
    monkeypatch.setenv("SHOP_PASSWORD", postgres_database.password)
    postgres_database.run(
        "CREATE TABLE orders (order_id bigint, amount numeric(10, 2), month text);"
        "INSERT INTO orders VALUES (1, 9.5, '2024-01'), (2, 3, '2024-01'), (3, 0.3, '2024-02')"
    )
    return postgres_database


def source(shop: PostgresDatabase, **given: object) -> SqlSource:
    database = Postgres(dsn=shop.dsn, password=Secret(env="SHOP_PASSWORD"))
    return SqlSource.model_validate({"contract": ORDERS, "database": database, "retries": 0, **given})


def refused(one: SqlSource, key: str | None = None) -> str:
    with pytest.raises(SourceError) as error:
        asked(one, key)
    assert not isinstance(error.value, SourceUnavailableError)
    return str(error.value)


def away(one: SqlSource) -> str:
    with pytest.raises(SourceUnavailableError) as error:
        asked(one)
    return str(error.value)


def test_a_month_is_published(shop: PostgresDatabase) -> None:
    january = source(shop, contract=MONTHLY, table="public.orders", where="month = :month")
    assert published(january, "2024-01") == [
        {"order_id": 1, "amount": Decimal("9.50"), "month": "2024-01"},
        {"order_id": 2, "amount": Decimal("3.00"), "month": "2024-01"},
    ]


def test_a_declaration_in_yaml_is_published(shop: PostgresDatabase) -> None:
    declared = SqlSource.resolve_from_yaml(
        "contract: mlops_assets_tests.plumbing.sources.sql_orders.MONTHLY\n"  # noqa: S608
        f'database: {{type: postgres, dsn: "{shop.dsn}", password: {{env: SHOP_PASSWORD}}}}\n'
        "query: SELECT order_id, amount FROM orders WHERE month = :partition;\n"
        "retries: 0\n"
    )
    assert [row["order_id"] for row in published(declared, "2024-02")] == [3]


def test_values_keep_the_types_of_the_database(shop: PostgresDatabase) -> None:
    columns = {
        "b": ("true", "BOOLEAN", True),
        "i2": ("'-32768'::int2", "SMALLINT", -32768),
        "i8": ("9223372036854775807", "BIGINT", 9223372036854775807),
        "f4": ("'0.1'::float4", "FLOAT", None),
        "f8": ("0.1::float8 + 0.2", "DOUBLE", 0.1 + 0.2),
        "inf": ("'-Infinity'::float8", "DOUBLE", float("-inf")),
        "n": ("1.10::numeric(10, 2)", "DECIMAL(10,2)", Decimal("1.10")),
        "wide": (f"{WIDE}::numeric", "VARCHAR", WIDE),
        "day": ("date '2024-02-29'", "DATE", dt.date(2024, 2, 29)),
        "moment": (f"timestamp '{MOMENT}'", "TIMESTAMP", dt.datetime.fromisoformat(MOMENT)),
        "ides": ("date '0044-03-15 BC'", "DATE", "0044-03-15 (BC)"),
        "clock": ("time '12:00'", "TIME", dt.time(12)),
        "id": (f"'{ID}'::uuid", "UUID", uuid.UUID(ID)),
        "j": ("""'{"a": 1}'::json""", "VARCHAR", '{"a": 1}'),
        "xs": ("array['a,b', NULL]", "VARCHAR", '{"a,b",NULL}'),
        "span": ("interval '1 day 2 hours'", "VARCHAR", "P1DT2H"),
        "empty": ("''", "VARCHAR", ""),
        "null": ("NULL::text", "VARCHAR", None),
        "mark": (r"'\N'", "VARCHAR", r"\N"),
        "lines": (r"""E'a,"b"\r\n\\.\n'""", "VARCHAR", 'a,"b"\r\n\\.\n'),
        "photo": ("'x'::bytea", "VARCHAR", r"\x78"),
    }  # fmt: skip
    query = "SELECT " + ", ".join(f'{text} AS "{name}"' for name, (text, _, _) in columns.items())
    values, types, _ = asked(source(shop, query=query))
    assert types == {name: kind for name, (_, kind, _) in columns.items()}
    assert values.pop("f4")[0] == pytest.approx(0.1)
    assert values == {name: [value] for name, (_, _, value) in columns.items() if name != "f4"}


def test_a_moment_with_a_zone_is_the_same_moment(shop: PostgresDatabase) -> None:
    shop.run("ALTER ROLE CURRENT_USER SET TimeZone = 'Asia/Tokyo'; ALTER ROLE CURRENT_USER SET DateStyle = 'SQL, DMY'")
    values, types, _ = asked(
        source(shop, query="SELECT timestamptz '2024-03-02 12:00:00+01' AS t, date '2024-03-02' AS d")
    )
    assert types == {"t": "TIMESTAMP WITH TIME ZONE", "d": "DATE"}
    assert [values["t"][0].astimezone(dt.UTC), values["d"][0]] == [
        dt.datetime(2024, 3, 2, 11, tzinfo=dt.UTC),
        dt.date(2024, 3, 2),
    ]


def test_a_long_text_arrives_whole(shop: PostgresDatabase) -> None:
    values, _, _ = asked(
        source(shop, query="""SELECT repeat(E'é"\n,', 5000000) AS s, 1 AS i FROM generate_series(1, 2)""")
    )
    assert values["s"] == ['é"\n,' * 5_000_000] * 2


def test_many_rows_arrive_in_their_order_whatever_their_text_holds(shop: PostgresDatabase) -> None:
    query = """SELECT i, repeat(E'"\\n,', 1 + i % 100) AS s FROM generate_series(0, 199999) i ORDER BY i"""
    values, _, _ = asked(source(shop, query=query))
    assert values["i"] == list(range(200_000))
    assert all(text == '"\n,' * (1 + number % 100) for number, text in enumerate(values["s"]))


def test_a_buffer_hands_on_whole_rows(tmp_path: Path) -> None:
    """What Python's buffer does and does not promise: without it a file would begin within a row."""
    lengths = [3, 60, 4000, 300_000, 3, 2_500_000, 1_048_574, 1_048_573, 60]
    rows = [b"<" + bytes(length + number) + b">" for number in range(12) for length in lengths]
    parts = Parts(tmp_path / "sql")
    with io.BufferedWriter(parts, 1 << 20) as buffer:
        for row in rows:
            buffer.write(row)
    found = [file.read_bytes() for file in parts.files]
    assert len(found) > 4
    assert all(part.startswith(b"<") and part.endswith(b">") for part in found)
    assert b"".join(found) == b"".join(rows)
    assert max(map(len, rows)) <= parts.longest <= max(map(len, rows)) + (1 << 20)


def test_rows_in_the_columns_and_types_of_the_contract_are_not_written_anew(
    shop: PostgresDatabase, tmp_path: Path
) -> None:
    raw, rows = conformed_of(source(shop, query="SELECT order_id, amount FROM orders"), tmp_path)
    assert rows.read_bytes() == raw.read_bytes()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT amount, order_id FROM orders",
        "SELECT order_id::int, amount FROM orders",
        "SELECT order_id, amount::numeric(12, 3) FROM orders",
        "SELECT order_id, amount::text FROM orders",
    ],
)
def test_other_rows_are_written_in_the_columns_and_types_of_the_contract(
    shop: PostgresDatabase, tmp_path: Path, query: str
) -> None:
    _, rows = conformed_of(source(shop, query=query), tmp_path)
    found = duckdb.read_parquet(str(rows))
    assert dict(zip(found.columns, map(str, found.types), strict=True)) == {
        "order_id": "BIGINT",
        "amount": "DECIMAL(10,2)",
    }
    assert found.fetchall() == [(1, Decimal("9.50")), (2, Decimal("3.00")), (3, Decimal("0.30"))]


def conformed_of(one: SqlSource, folder: Path) -> tuple[Path, Path]:
    """What was delivered, and the rows that were made of it."""
    layout = Layout(source=one.name, columns={}, formats={}, evolve=False)
    with LakeSession(Settings.load()) as session:
        request = Request(
            contract=one.contract,
            partition=Partition(None, {}),
            connection=session.connection,
            scratch=session.scratch,
            raw=folder / "raw",
            settings=session.settings,
        )
        return request.raw, conformed(one.read(request), request, layout, folder / "rows.parquet").file


def test_text_of_a_server_that_knows_no_encoding_is_refused_unless_it_is_in_utf_8(
    shop: PostgresDatabase, postgres_server: PostgresServer
) -> None:
    owner = shop.dsn.rpartition("user=")[2]
    name = f"{owner}_ascii"
    postgres_server._administer(
        sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'SQL_ASCII' TEMPLATE template0").format(
            sql.Identifier(name), sql.Identifier(owner)
        )
    )
    database = Postgres(dsn=f"{shop.dsn} dbname={name}", password=Secret(env="SHOP_PASSWORD"))
    one = source(shop, database=database, query="SELECT 1 AS order_id, 'Mé' AS amount")
    assert asked(one)[0]["amount"] == ["Mé"]
    latin = source(shop, database=database, query="SELECT 1 AS order_id, chr(233) AS amount")
    assert "it holds text that has no form in UTF-8" in refused(latin)


def test_bytes_are_refused_by_their_column(shop: PostgresDatabase) -> None:
    said = refused(source(shop, query="SELECT 1 AS order_id, 'x'::bytea AS amount"))
    assert "its column amount holds bytes (bytea)" in said
    assert "encode(x, 'hex')" in said


@pytest.mark.parametrize(
    ("text", "kind"),
    [("timestamp '0044-03-15 12:00 BC'", "TIMESTAMP"), ("'NaN'::numeric(10, 2)", "DECIMAL(10, 2)")],
)
def test_a_value_that_only_postgres_knows_is_refused_by_its_column(
    shop: PostgresDatabase, text: str, kind: str
) -> None:
    said = refused(source(shop, query=f"SELECT {text} AS amount UNION ALL SELECT {text}"))
    assert f"amount: 2 are no {kind}" in said
    assert "0044" not in said


def test_two_columns_of_one_name_are_refused(shop: PostgresDatabase) -> None:
    assert "two columns Order_ID" in refused(source(shop, query='SELECT 1 AS order_id, 2 AS "Order_ID"'))


def test_a_value_with_a_quote_is_no_part_of_the_query(shop: PostgresDatabase) -> None:
    key = r"it's \'; DROP TABLE orders --"
    contract = orders({"n": INT}, partitions=dg.StaticPartitionsDefinition([key]), column="shop")
    query = "SELECT count(*) AS n, :shop AS shop, ':shop' AS text FROM orders WHERE :partition = :shop"
    values, _, _ = asked(source(shop, contract=contract, query=query), key)
    assert values == {"n": [3], "shop": [key], "text": [":shop"]}


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
def test_moments_take_the_type_of_what_they_are_compared_with(shop: PostgresDatabase, kind: str) -> None:
    shop.run(
        f"CREATE TABLE days AS SELECT i AS order_id, 1 AS amount, "  # noqa: S608
        f"(timestamp '2024-01-31' + i * interval '1 day')::{kind} AS day FROM generate_series(0, 30) i"
    )
    one = source(shop, contract=MONTHLY, table="days", where="day >= :start AND day < :end -- a month")
    values, _, _ = asked(one, "2024-02")
    assert values["order_id"] == list(range(1, 30))


def test_a_query_reads_one_state_while_another_session_writes(shop: PostgresDatabase) -> None:
    shop.run("CREATE TABLE counted AS SELECT 0 AS n FROM generate_series(1, 200000)")
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            shop.run("UPDATE counted SET n = n + 1 WHERE true")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [set(asked(source(shop, table="counted"))[0]["n"]) for _ in range(3)]
    finally:
        over.set()
        writer.join()
    assert [len(each) for each in found] == [1, 1, 1]


def test_the_server_ends_a_statement_that_takes_too_long(shop: PostgresDatabase) -> None:
    began = time.monotonic()
    assert "its time was over" in refused(source(shop, query="SELECT pg_sleep(60)", timeout_seconds=0.3))
    assert time.monotonic() - began < 30
    assert shop.sessions() == set()


def test_a_query_that_would_write_is_refused_by_the_transaction(shop: PostgresDatabase) -> None:
    shop.run("CREATE SEQUENCE numbers")
    assert "its query would write, and is refused" in refused(source(shop, query="SELECT nextval('numbers') AS n"))
    said = refused(source(shop, query="WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone"))
    assert "must only read" in said
    assert asked(source(shop, table="orders"))[2]["rows"] == 3


def test_a_wrong_password_is_refused_and_not_told(shop: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", WRONG)
    said = refused(source(shop, table="orders"))
    assert "it refuses the account" in said
    assert WRONG not in said


def test_a_connection_string_by_a_variable_may_hold_no_password(
    shop: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DSN", f"{shop.dsn} password={WRONG}")
    with pytest.raises(SettingsError, match="SHOP_DSN: it holds a password") as error:
        asked(source(shop, database=Postgres(dsn=dg.EnvVar("SHOP_DSN")), table="orders"))
    assert WRONG not in str(error.value)


def test_variables_may_be_parts_of_a_connection_string(shop: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    host, rest = shop.dsn.split(" ", 1)
    monkeypatch.setenv("SHOP_HOST", host.partition("=")[2])
    dsn = f"{host.partition('=')[0]}={{{{ env.SHOP_HOST }}}} {rest}"
    assert asked(source(shop, database=Postgres(dsn=dsn, password=Secret(env="SHOP_PASSWORD")), table="orders"))


def test_a_missing_database_is_named(shop: PostgresDatabase) -> None:
    database = Postgres(dsn=f"{shop.dsn} dbname=nowhere", password=Secret(env="SHOP_PASSWORD"))
    said = refused(source(shop, database=database, table="orders"))
    assert said.startswith("PostgreSQL database nowhere at 127.0.0.1:")
    assert "there is no such database" in said


def test_a_missing_table_names_near_ones(shop: PostgresDatabase) -> None:
    assert 'there is no such table: "Orders". There is orders' in refused(source(shop, table="Orders"))


def test_a_missing_table_of_a_schema_names_near_ones_with_theirs(shop: PostgresDatabase) -> None:
    assert "There is public.orders." in refused(source(shop, table="publik.orders"))


@pytest.mark.parametrize(("personal", "said"), [(False, "column: nope."), (True, "column.")])
def test_a_missing_column_is_named_unless_the_table_holds_persons(
    shop: PostgresDatabase,
    said: str,
    personal: bool,  # noqa: FBT001
) -> None:
    one = source(shop, contract=orders(personal=personal), table="orders", where="nope = 1")
    assert f"there is no such {said}" in refused(one)


def test_a_missing_right_is_told(shop: PostgresDatabase) -> None:
    assert "has no right to read it" in refused(source(shop, table="pg_catalog.pg_authid"))


def test_what_a_driver_quotes_of_a_row_is_not_told(shop: PostgresDatabase) -> None:
    said = refused(source(shop, query="SELECT month::int AS order_id FROM orders"))
    assert "(SQLSTATE 22P02)" in said
    assert "2024-01" not in said


def test_a_server_that_does_not_answer_may_answer_later(shop: PostgresDatabase, unused_port: int) -> None:
    database = Postgres(dsn=f"{shop.dsn} port={unused_port}", password=Secret(env="SHOP_PASSWORD"))
    assert "it does not answer" in away(source(shop, database=database, table="orders"))


def test_a_server_that_says_nothing_may_answer_later(shop: PostgresDatabase) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = Postgres(dsn=f"{shop.dsn} port={silent.getsockname()[1]}")
        assert "it does not answer" in away(source(shop, database=database, table="orders", connect_seconds=0.3))


def test_a_server_without_encryption_is_refused_where_it_is_asked_for(shop: PostgresDatabase) -> None:
    database = Postgres(dsn=f"{shop.dsn} sslmode=require", password=Secret(env="SHOP_PASSWORD"))
    assert "no encrypted connection comes about" in refused(source(shop, database=database, table="orders"))


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_dies_while_it_sends_may_answer_later(
    sign: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server() as server:
        shop = server.create_database()
        monkeypatch.setenv("SHOP_PASSWORD", shop.password)
        killed: list[int] = []

        def kill() -> None:
            while not killed:
                killed.extend(shop.sessions())
                time.sleep(0.05)
            time.sleep(0.5)
            os.kill(killed[0], sign)

        killer = threading.Thread(target=kill)
        killer.start()
        said = away(source(shop, query="SELECT i AS order_id, i AS amount FROM generate_series(1, 100000000) i"))
        killer.join()
    assert "it broke off" in said
    assert shop.password not in said


class Stock(pa.DataFrameModel):
    article: types.Int64
    changed: types.Timestamp

    class Config:
        """No article twice."""

        unique = ("article",)


def test_changes_alone_are_asked_for(shop: PostgresDatabase) -> None:
    stock = dataclasses.replace(ORDERS, table="stock", model=Stock, partitions_def=None, partition_columns={})
    shop.run(
        "CREATE TABLE stock (article bigint PRIMARY KEY, changed timestamp);"
        "INSERT INTO stock VALUES (1, '2024-03-01 01:00'), (2, '2024-03-01 02:00:00.5')"
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
        "UPDATE stock SET changed = '2024-03-01 03:00' WHERE article = 1; DELETE FROM stock WHERE article = 2;"
        "INSERT INTO stock VALUES (3, '2024-03-01 04:00')"
    )
    again = run(one, None)
    assert (again.metadata["since"], again.metadata["rows"]) == ("2024-03-01 02:00:00.500000", 2)
    assert {row[0]: row[1].hour for row in rows(stock)} == {1: 3, 2: 2, 3: 4}
