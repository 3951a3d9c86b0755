"""The content hash is a function of the rows alone."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.platform.contracts.content_hash import format_hash, hash_total

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

SCHEMA = pa.schema([("name", pa.string()), ("count", pa.int64()), ("share", pa.float64()), ("kept", pa.bool_())])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.none() | st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0")),
            "count": st.none() | st.integers(-(2**63), 2**63 - 1),
            "share": st.none() | st.floats(allow_nan=False),
            "kept": st.none() | st.booleans(),
        }
    ),
    max_size=12,
)


def content_hash(rows: list[dict[str, object]], backend: Backend | None = None) -> str:
    backend = backend or ibis.duckdb.connect()
    table = ibis.memtable(pa.Table.from_pylist(rows, schema=SCHEMA))
    found = backend.execute(table.aggregate(rows=table.count(), total=hash_total(table, table.columns)))
    return format_hash(int(found["rows"][0]), int(found["total"][0]))


@given(rows=ROWS, seed=st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_rows_does_not_matter(rows: list[dict[str, object]], seed: object) -> None:
    backend = ibis.duckdb.connect()
    shuffled = list(rows)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    assert content_hash(rows, backend) == content_hash(shuffled, backend)


@given(rows=ROWS.filter(len), other=ROWS)
@settings(max_examples=60)
def test_other_rows_give_another_hash(rows: list[dict[str, object]], other: list[dict[str, object]]) -> None:
    def plain(table: list[dict[str, object]]) -> list[str]:
        # Minus zero equals zero; everything else is told apart.
        rows = ([row[name] for name in SCHEMA.names] for row in table)
        return sorted(repr([v + 0.0 if isinstance(v, float) else v for v in row]) for row in rows)

    backend = ibis.duckdb.connect()
    assert (content_hash(rows, backend) == content_hash(other, backend)) == (plain(rows) == plain(other))


def test_a_doubled_table_differs_from_the_single_one_and_from_none() -> None:
    row: dict[str, object] = {"name": "a", "count": 1, "share": 0.5, "kept": True}
    assert len({content_hash([]), content_hash([row]), content_hash([row, row])}) == 3


def test_values_do_not_run_into_each_other() -> None:
    empty: dict[str, object] = {"name": None, "count": None, "share": None, "kept": None}
    assert content_hash([{**empty, "name": "~"}]) != content_hash([empty])
    assert content_hash([{**empty, "name": ""}]) != content_hash([empty])
    assert content_hash([{**empty, "name": "1:2"}]) != content_hash([{**empty, "name": "1", "count": 2}])


@pytest.mark.parametrize(
    ("one", "other"), [((None, "x"), ("\x1e", "x")), (("x", "y\x1fz"), ("x\x1fy", "z"))], ids=["null", "separator"]
)
def test_texts_that_hold_the_signs_do_not_run_into_each_other(
    one: tuple[str | None, str], other: tuple[str | None, str]
) -> None:
    backend = ibis.duckdb.connect()

    def total(row: tuple[str | None, str]) -> object:
        table = ibis.memtable(pa.table({"a": pa.array(row[:1], pa.string()), "b": pa.array(row[1:], pa.string())}))
        return backend.execute(hash_total(table, table.columns))

    assert total(one) != total(other)


def test_minus_zero_is_zero() -> None:
    row: dict[str, object] = {"name": None, "count": None, "share": -0.0, "kept": None}
    assert content_hash([row]) == content_hash([{**row, "share": 0.0}])


PROGRAM = """
import ibis, sys
from mlops_assets.platform.contracts.content_hash import format_hash, hash_total
backend = ibis.duckdb.connect(threads=int(sys.argv[1]))
table = backend.sql("SELECT i, i % 977 / 7 AS x, 'row ' || (i % 31) AS t FROM range(200000) r(i) ORDER BY hash(i + "
                    + sys.argv[2] + ")")
found = backend.execute(table.aggregate(n=table.count(), h=hash_total(table, table.columns)))
print(format_hash(int(found["n"][0]), int(found["h"][0])))
"""


def test_threads_row_orders_and_processes_agree() -> None:
    hashes = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM, threads, order], check=True, capture_output=True, text=True
        ).stdout
        for threads, order in (("1", "0"), ("2", "5"), ("4", "9"))
    }
    assert len(hashes) == 1
    assert hashes.pop().startswith("v1:200000:")


def test_the_rule_is_pinned() -> None:
    """A change of this number is a change of the rule, and needs a new version of it."""
    assert content_hash([{"name": "Ünïcode", "count": 7, "share": 0.1, "kept": False}]) == PINNED


PINNED = "v1:1:9c78d7c9f8f8c74d"
