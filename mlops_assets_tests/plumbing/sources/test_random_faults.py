"""A few rounds of the campaigns ``make chaos NAME=sources`` and ``NAME=arrivals``, and their second reading itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis.backends.sql.datatypes import DuckDBType

from mlops_assets.plumbing.sources import text_rules
from mlops_assets_tests.docker_engine import ROOT
from mlops_assets_tests.plumbing.sources.faults import mutations, reference
from mlops_assets_tests.plumbing.sources.faults.campaign import KINDS, NEEDED, play
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench
from mlops_assets_tests.plumbing.sources.faults.visits import KINDS as COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

_SLOW = {"PostgreSQL", "MariaDB", "commands"}
_LETTERS = st.text(st.sampled_from("0123456789+-.:/ TZeEnaiftrulsyx,_\u0665\u00a0"), max_size=26)
_CLOCKS = st.from_regex(
    r"[0-9]{4}-[0-1][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{0,9})?)?)?"
    r"( ?(Z|[+-][01][0-9](:?[0-6][0-9])?))?",
    fullmatch=True,
)
_NUMBERS = st.from_regex(r"[+-]?[0-9]{0,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in _SLOW and NEEDED.get(kind, "there")])
def test_what_is_broken_at_random_is_whole_or_one_error_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "bench" / "home"))
    rounds = max(4, KINDS[kind][0] // 100)
    (tmp_path / "bench").mkdir()
    with Bench(tmp_path / "bench") as bench:
        played = [play(20261, number, bench, (kind,)) for number in range(rounds)]
    assert [one for one in played if one.wrong] == []


@settings(max_examples=300, deadline=None)
@given(text=_LETTERS | _CLOCKS | _NUMBERS | st.sampled_from(mutations.VALUES))
def test_text_becomes_the_value_that_it_says_or_none(text: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, kind in COLUMNS.items():
            if name == "who" or not text:
                continue
            sql_type = DuckDBType.to_string(kind)
            value = text_rules.parsed("t", kind, sql_type=sql_type, form=None, non_finite=False)
            shown = (
                f"epoch_us({value})"
                if kind.is_timestamp()
                else f"CAST({value} AS VARCHAR)"
                if kind.is_date()
                else value
            )
            [(found,)] = connection.execute(f"SELECT {shown} FROM (SELECT ? AS t)", [text]).fetchall()  # noqa: S608  ours
            try:
                wanted = reference.value(name, text)
            except reference.RefusedError:
                wanted = None
            # What is written oddly may be refused all the same.
            assert found is None or found == reference.as_shown(wanted), (name, text)


@pytest.mark.postgres
def test_while_processes_are_killed_every_partition_ends_with_the_last_whole_delivery() -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "chaos" / "arrivals.py")],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "KILLS": "3", "SEED": "5", "TABLES": "filed fetched", "PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(ended.stdout)
    assert sum(told["kills"].values()) == 3
    assert told["publishes"] > 0
    assert told["reads"] > 0
