"""Tests of SQL sources over SQLite files; whoever writes to one beside us is another process."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources.sql.databases import Sqlite
from mlops_assets.plumbing.sources.sql.source import SqlSource
from mlops_assets_tests.plumbing.sources.sql_orders import INT, MONTHLY, ORDERS, asked, orders, published

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    run(
        path,
        "CREATE TABLE orders (order_id INTEGER, amount NUMERIC, month TEXT);"
        "INSERT INTO orders VALUES (1, 9.5, '2024-01'), (2, 3, '2024-01'), (3, 0.3, '2024-02');",
    )
    return path


_RUN = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.text_factory = bytes
connection.executescript(sys.argv[2])
print("done", flush=True)
sys.stdin.readline()
"""


def run(path: Path, script: str) -> None:
    subprocess.run([sys.executable, "-c", _RUN, str(path), script], check=True, input=b"\n", stdout=subprocess.DEVNULL)


def source(file: Path, **given: object) -> SqlSource:
    return SqlSource.model_validate({"contract": ORDERS, "database": Sqlite(path=str(file)), "retries": 0, **given})


def test_a_month_is_published(file: Path) -> None:
    january = source(file, contract=MONTHLY, table="orders", where="month = :month")
    assert published(january, "2024-01") == [
        {"order_id": 1, "amount": Decimal("9.50"), "month": "2024-01"},
        {"order_id": 2, "amount": Decimal("3.00"), "month": "2024-01"},
    ]


def test_a_declaration_in_yaml_is_published(file: Path) -> None:
    declared = SqlSource.resolve_from_yaml(
        "contract: mlops_assets_tests.plumbing.sources.sql_orders.MONTHLY\n"  # noqa: S608
        f"database: {{type: sqlite, path: {file}}}\n"
        "query: SELECT order_id, amount FROM orders WHERE month = :partition\n"
        "retries: 0\n"
    )
    assert [row["order_id"] for row in published(declared, "2024-02")] == [3]


def test_values_keep_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "types.db"
    run(
        path,
        "CREATE TABLE t (i INTEGER, r REAL, tiny REAL, s TEXT, empty TEXT, missing TEXT, day DATE, paid BOOLEAN, n);"
        "INSERT INTO t VALUES (9223372036854775807, 0.1 + 0.2, 5e-324, 'it''s é', '', NULL, '2024-01-31', 1, 'x');",
    )
    values, types, facts = asked(source(path, table="t"))
    assert values == {
        "i": ["9223372036854775807"], "r": ["0.30000000000000004"], "tiny": ["4.94065645841247e-324"],
        "s": ["it's é"], "empty": [""], "missing": [None], "day": ["2024-01-31"], "paid": ["1"], "n": ["x"],
    }  # fmt: skip
    assert set(types.values()) == {"VARCHAR"}
    assert {name: facts[name] for name in ("database", "rows")} == {"database": "SQLite database types.db", "rows": 1}


def test_a_value_with_a_quote_is_bound(file: Path) -> None:
    shops = dg.StaticPartitionsDefinition(["it's; DROP TABLE orders --"])
    contract = orders({"n": INT}, partitions=shops, column="shop")
    values, _, _ = asked(
        source(
            file, contract=contract, query="SELECT count(*) AS n, :shop AS shop FROM orders WHERE :partition = :shop"
        ),
        "it's; DROP TABLE orders --",
    )
    assert values == {"n": ["3"], "shop": ["it's; DROP TABLE orders --"]}


def test_moments_are_compared_as_days(file: Path) -> None:
    query = "SELECT order_id, amount FROM orders WHERE date(month || '-01') >= date(:start) AND month < :end"
    values, _, _ = asked(source(file, contract=MONTHLY, query=query), "2024-02")
    assert values["order_id"] == ["3"]


def test_text_in_latin_1_is_refused_by_its_column(file: Path) -> None:
    run(file, "CREATE TABLE t (order_id INTEGER, amount TEXT); INSERT INTO t VALUES (1, CAST(x'4de9' AS TEXT));")
    with pytest.raises(SourceError, match=r"its column amount holds text that is not in UTF-8.*hex\(x\)"):
        asked(source(file, table="t"))


def test_bytes_are_refused_by_their_column_and_left_alone_where_nobody_wants_them(file: Path) -> None:
    run(file, "CREATE TABLE t (order_id INTEGER, amount, photo); INSERT INTO t VALUES (1, x'41', x'41ff');")
    with pytest.raises(SourceError, match=r"its column amount holds bytes \(blob\), in 1 rows\."):
        asked(source(file, table="t"))
    assert asked(source(file, query="SELECT order_id, CAST(amount AS TEXT) AS amount, photo FROM t"))[0]["photo"] == [
        "41FF"
    ]


def test_a_missing_table_names_near_ones(file: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no such table: order\. There is orders\."):
        asked(source(file, table="order"))


@pytest.mark.parametrize(("personal", "said"), [(False, "no such column: nope"), (True, r"no such column\.")])
def test_a_missing_column_is_named_unless_the_table_holds_persons(file: Path, said: str, personal: bool) -> None:  # noqa: FBT001
    with pytest.raises(SourceError, match=said):
        asked(source(file, contract=orders(personal=personal), table="orders", where="nope = 1"))


def test_a_missing_file_may_be_there_later_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match=r"SQLite database none\.db: there is no such file"):
        asked(source(tmp_path / "none.db", table="orders"))
    assert not (tmp_path / "none.db").exists()


def test_another_file_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("order_id,amount\n" * 100, encoding="utf-8")
    with pytest.raises(SourceError, match="it is no SQLite database"):
        asked(source(tmp_path / "text.db", table="orders"))


def test_a_locked_file_may_be_free_later(file: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(file), "BEGIN EXCLUSIVE; DELETE FROM orders;"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"done\n"
        with pytest.raises(SourceUnavailableError, match="it is locked"):
            asked(source(file, table="orders", connect_seconds=0.2))
        writer.communicate(b"\n")
    assert asked(source(file, table="orders"))[2]["rows"] == 3


_UPDATES = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
print("begun", flush=True)
for _ in range(3000):
    connection.execute("UPDATE pairs SET a = a + 1")
"""


def test_a_query_reads_one_state_while_another_process_writes(file: Path) -> None:
    run(file, "PRAGMA journal_mode = WAL; CREATE TABLE pairs (a INTEGER); INSERT INTO pairs VALUES (0);")
    query = (
        "WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 300000) "
        "SELECT (SELECT a FROM pairs WHERE i > 0) AS a FROM n"
    )
    one = source(file, contract=orders({"a": INT}), query=query)
    writer = subprocess.Popen([sys.executable, "-c", _UPDATES, str(file)], stdout=subprocess.PIPE)
    with writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        found = [set(asked(one)[0]["a"]) for _ in range(3)]
    assert [len(each) for each in found] == [1, 1, 1]
    assert asked(one)[0]["a"][0] == "3000"


def test_a_query_that_takes_too_long_is_ended(file: Path) -> None:
    endless = "WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT i AS order_id, i AS amount FROM n"
    with pytest.raises(SourceError, match=r"it took more than 0\.3 s\."):
        asked(source(file, query=endless, timeout_seconds=0.3))


def test_a_file_is_read_by_several_threads_at_a_time(file: Path) -> None:
    one = source(file, table="orders")
    with ThreadPoolExecutor(4) as pool:
        assert [facts["rows"] for _, _, facts in pool.map(lambda _: asked(one), range(12))] == [3] * 12


def test_two_columns_of_one_name_are_refused(file: Path) -> None:
    with pytest.raises(SourceError, match="two columns"):
        asked(source(file, query="SELECT order_id, amount, 1 AS Amount FROM orders"))
