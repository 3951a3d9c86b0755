"""Verdicts of the past: those of each time as it was known then stay, whatever comes later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from mlops_assets.variance.panel.as_known import detect_as_known
from mlops_assets.variance.panel.detection import detect
from mlops_assets.variance.panel.panels import Columns, read_panel
from mlops_assets_tests.variance.panel.panel_world import MEASURES, World, simulate

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = Columns(unit="unit", group="group", time="time", measures=MEASURES, entity="name")
LAST = 2000 + 2 * 7


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Eight times of a world in which things happen, units come and go, and groups begin later than others."""
    table, _ = simulate(World(groups=20, times=8, events=0.1, turnover=0.01), 31)
    return duckdb.from_arrow(table).filter("\"group\" <> 'g0003' OR time > 2006").to_arrow_table()


def _until(table: pa.Table, time: int) -> pa.Table:
    return duckdb.from_arrow(table).filter(f"time <= {time}").to_arrow_table()


def _rows(found: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["group"], row["time"]): row for row in found.to_pylist()}


@pytest.mark.parametrize("time", [2004, 2008, 2012])
def test_what_was_said_at_a_time_is_said_when_later_times_are_known(table: pa.Table, time: int) -> None:
    then = _rows(detect_as_known(read_panel(duckdb.from_arrow(_until(table, time)), COLUMNS)))
    now = _rows(detect_as_known(read_panel(duckdb.from_arrow(table), COLUMNS)))
    assert len(then) > 15
    assert all(now[key] == row for key, row in then.items())


def test_the_last_time_is_judged_as_in_the_whole_panel(table: pa.Table) -> None:
    panel = read_panel(duckdb.from_arrow(table), COLUMNS)
    known, whole = _rows(detect_as_known(panel)), _rows(detect(panel))
    last = [key for key in whole if key[1] == str(LAST)]
    assert last
    assert all(known[key] == whole[key] for key in last)


def test_hardly_any_cause_in_the_whole_panel_differs_from_what_was_known_then(table: pa.Table) -> None:
    panel = read_panel(duckdb.from_arrow(table), COLUMNS)
    known, whole = _rows(detect_as_known(panel)), _rows(detect(panel))
    differing = [key for key in known if known[key]["cause"] != whole[key]["cause"]]
    assert len(differing) <= 0.15 * len(known)


def test_a_panel_of_one_time_has_no_verdict(table: pa.Table) -> None:
    assert detect_as_known(read_panel(duckdb.from_arrow(_until(table, 2000)), COLUMNS)).num_rows == 0
