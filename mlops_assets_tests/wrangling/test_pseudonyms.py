"""Tests of the keyed tokens."""

from __future__ import annotations

import hashlib
import hmac
import logging
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.wrangling.pseudonyms import pads, token

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pytest

KEY = "0123456789abcdefghijklmnopqrstuvwxyz"


def _tokens(texts: list[str | None], key: str) -> ir.Table:
    rows = ibis.memtable(pa.table({"text": pa.array(texts, pa.string())})).cross_join(pads(key))
    return rows.select("text", token=token(rows.text, rows))


def _run(expression: ir.Table) -> dict[str | None, str | None]:
    rows = ibis.duckdb.connect().to_pyarrow(expression).to_pylist()
    return {row["text"]: row["token"] for row in rows}


@given(
    texts=st.lists(st.text(alphabet=st.characters(exclude_characters="\0", codec="utf-8")), min_size=1, unique=True),
    key=st.text(min_size=1, max_size=100, alphabet=st.characters(codec="utf-8")),
)
@settings(max_examples=40)
def test_tokens_equal_those_of_pythons_hmac_for_any_text_and_key(texts: list[str], key: str) -> None:
    expected = {text: hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:32] for text in texts}
    assert _run(_tokens(list(texts), key)) == expected


def test_different_keys_give_tokens_with_nothing_in_common() -> None:
    texts: list[str | None] = [f"NC:AA{number}" for number in range(200)]
    one, other = _run(_tokens(texts, KEY)), _run(_tokens(texts, KEY[::-1]))
    assert not set(one.values()) & set(other.values())


def test_no_text_has_no_token() -> None:
    assert _run(_tokens([None], KEY)) == {None: None}


def test_key_shows_neither_in_sql_nor_in_plans_nor_in_printed_expressions(caplog: pytest.LogCaptureFixture) -> None:
    engine = ibis.duckdb.connect()
    expression = _tokens(["NC:AA1"], KEY)
    with caplog.at_level(logging.DEBUG):
        engine.to_pyarrow(expression)
        sql = str(engine.compile(expression))
        plan = str(engine.con.execute(f"EXPLAIN ANALYZE {sql}").fetchall())
    shown = "\n".join([sql, plan, repr(expression), repr(pads(KEY)), str(expression.op()), caplog.text])
    pad_rows = engine.to_pyarrow(pads(KEY)).to_pylist()[0]
    for secret in (KEY, *pad_rows.values()):
        assert secret not in shown
        assert secret[:16] not in shown


def test_two_keys_in_one_session_do_not_mix() -> None:
    engine = ibis.duckdb.connect()
    texts: list[str | None] = ["NC:AA1"]
    first, second = _tokens(texts, KEY), _tokens(texts, KEY[::-1])
    values = [engine.to_pyarrow(expression)["token"][0].as_py() for expression in (first, second, first)]
    assert values[0] == values[2] != values[1]


def test_same_construction_compiles_for_spark() -> None:
    sql = ibis.to_sql(_tokens(["NC:AA1"], KEY), dialect="pyspark")
    assert "SHA2" in sql
    assert KEY not in sql
