"""Identifiers are compared in the form that the engine gives those in rows."""

from __future__ import annotations

import duckdb
import pytest

from mlops_assets.platform.contracts import subjects


@pytest.mark.parametrize("text", ["ann@straße.example", "ŉemo", "İlk", "ﬁnn", "é", "O'Neil", " nc:aa1 "])
def test_a_given_identifier_has_the_form_of_the_same_one_in_a_row(text: str) -> None:
    identity = subjects.identity_sql(['"token"'])
    [(of_row,)] = duckdb.sql("SELECT ? AS token", params=[text]).project(identity).fetchall()
    assert subjects.parsed([f"picker={text}"], {"picker"}) == {"picker": {of_row}}
