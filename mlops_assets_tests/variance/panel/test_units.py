"""Units that came and went: openings, closings, attrition, mergers and splits, alone and among other events."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.variance.panel.detection import detect
from mlops_assets.variance.panel.panels import Columns, read_panel
from mlops_assets_tests.variance.panel.panel_world import MEASURES, UNITS, World, simulate

if TYPE_CHECKING:
    from numpy.typing import NDArray

BRANCHES, YEARS, BANKS = 6, 7, 12


def _banks() -> NDArray[np.float64]:
    """Accounts and savings of branches, ordinary change of 2 %; a place for a branch that does not exist yet."""
    random = np.random.default_rng(4)
    size = random.lognormal(9, 0.5, (BANKS, 1, BRANCHES, 2))
    values = np.rint(size * np.exp(np.cumsum(random.normal(0, 0.02, (BANKS, YEARS, BRANCHES, 2)), axis=1)))
    return np.concatenate([values, np.full((BANKS, YEARS, 1, 2), np.nan)], axis=2)


def _events(values: NDArray[np.float64]) -> dict[tuple[str, str], dict[str, Any]]:
    bank, year, branch = np.indices(values.shape[:3])
    there = np.isfinite(values[..., 0]).ravel()
    names = np.array([f"bank{number:02d}" for number in range(BANKS)], dtype=object)
    columns = {
        "group": names[bank],
        "unit": branch,
        "time": year,
        "accounts": values[..., 0],
        "savings": values[..., 1],
    }
    table = pa.table({name: column.ravel()[there] for name, column in columns.items()})
    asked = Columns(unit="unit", group="group", time="time", measures=("accounts", "savings"))
    rows = detect(read_panel(duckdb.from_arrow(table), asked)).to_pylist()
    return {(row["group"], row["time"]): row for row in rows if row["cause"] != "none"}


def test_a_branch_that_took_another_one_over_is_named_with_it() -> None:
    values = _banks()
    values[3, 4:, 1] += values[3, 4:, 5]
    values[3, 4:, 5] = np.nan
    found = _events(values)
    assert list(found) == [("bank03", "4")]
    assert found["bank03", "4"]["cause"] == "units"
    assert found["bank03", "4"]["units"] == "1,5"
    assert "5 became part of 1" in found["bank03", "4"]["evidence"]


def test_a_branch_that_was_divided_is_named_with_what_came_of_it() -> None:
    values = _banks()
    values[3, 4:, 6] = np.rint(0.4 * values[3, 4:, 2])
    values[3, 4:, 2] -= values[3, 4:, 6]
    found = _events(values)
    assert list(found) == [("bank03", "4")]
    assert found["bank03", "4"]["cause"] == "units"
    assert "2 was divided, 6 came of it" in found["bank03", "4"]["evidence"]


def test_two_branches_taken_over_by_one_are_one_merger() -> None:
    values = _banks()
    values[3, 4:, 1] += values[3, 4:, 4] + values[3, 4:, 5]
    values[3, 4:, 4:6] = np.nan
    assert _events(values)["bank03", "4"]["units"] == "1,4,5"


def test_a_branch_that_opened_and_one_that_closed_are_units_and_their_group_is_told_to_have_moved() -> None:
    values = _banks()
    values[2, 3:, 6] = 9000
    values[7, 5:, 0] = np.nan
    found = _events(values)
    assert {key: row["cause"] for key, row in found.items()} == {("bank02", "3"): "units", ("bank07", "5"): "units"}
    assert "1 of 7 units are new" in found["bank02", "3"]["evidence"]
    assert "1 of 6 units left" in found["bank07", "5"]["evidence"]


def test_half_of_the_branches_that_stay_away_left_and_were_not_partly_loaded() -> None:
    values = _banks()
    values[5, 3:, 3:] = np.nan
    found = _events(values)
    assert {key: row["cause"] for key, row in found.items()} == {("bank05", "3"): "units"}


@pytest.mark.parametrize("seed", [201, 202])
def test_every_way_to_come_and_go_is_named_among_other_events(seed: int) -> None:
    table, truth = simulate(World(groups=80, named=False, events=0.1, causes=("units", "boundary", "entry")), seed)
    columns = Columns(unit="unit", group="group", time="time", measures=MEASURES)
    named = {
        (row["group"], row["time"]): row["cause"]
        for row in detect(read_panel(duckdb.from_arrow(table), columns)).to_pylist()
    }
    ways = Counter(cause for cause in truth.values() if cause.startswith("units"))
    right = Counter(cause for key, cause in truth.items() if cause.startswith("units") and named[key] == "units")
    assert {way.partition(":")[2] for way in ways} == set(UNITS)
    assert right.total() >= 0.85 * ways.total()
    assert all(key in truth for key, cause in named.items() if cause == "units")


def test_where_units_come_and_go_all_the_time_hardly_any_group_is_named() -> None:
    table, truth = simulate(World(named=False, events=0.0, turnover=0.03), 203)
    assert not truth
    columns = Columns(unit="unit", group="group", time="time", measures=MEASURES)
    causes = Counter(detect(read_panel(duckdb.from_arrow(table), columns))["cause"].to_pylist())
    assert 1 - causes["none"] / causes.total() <= 0.01
