"""Identifiers are compared in the form that the engine gives those in rows."""

from __future__ import annotations

import itertools

import duckdb
import pyarrow as pa
import pytest

from mlops_assets.platform.contracts import subjects


@pytest.mark.parametrize("text", ["ann@straße.example", "ŉemo", "İlk", "ﬁnn", "é", "O'Neil", " nc:aa1 "])
def test_a_given_identifier_has_the_form_of_the_same_one_in_a_row(text: str) -> None:
    identity = subjects.identity_sql(['"token"'])
    [(of_row,)] = duckdb.sql("SELECT ? AS token", params=[text]).project(identity).fetchall()
    assert subjects.parsed([f"picker={text}"], {"picker"}) == {"picker": {of_row}}


def test_no_two_persons_have_one_identifier() -> None:
    people = [*itertools.product(("A", "A:B", "A\\", "A\\:B", "B"), ("B", "B:C", "C", ":B", "\\"), ("C", ":C", "C\\"))]
    identity = subjects.identity_sql(["x", "y", "z"])
    table = pa.table({name: [person[at] for person in people] for at, name in enumerate("xyz")})
    with duckdb.connect() as engine:
        engine.register("people", table)
        [(persons, identifiers)] = engine.execute(
            f"SELECT count(*), count(DISTINCT {identity}) FROM people"  # noqa: S608  ours
        ).fetchall()
    assert persons == identifiers == len(people)


@pytest.mark.parametrize("around", [" ", "\t", "\r\n", "\u00a0", "\v"])
def test_blanks_around_an_identifier_do_not_count_in_rows_and_keys_alike(around: str) -> None:
    with duckdb.connect() as engine:
        [(found,)] = engine.execute(
            f"SELECT {subjects.identity_sql(['x'])} FROM (SELECT ? AS x)",  # noqa: S608  ours
            [f"{around}ab 1{around}"],
        ).fetchall()
    assert found == subjects.normalised(f"{around}AB 1{around}") == "AB 1"
