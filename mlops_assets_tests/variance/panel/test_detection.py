"""What happened to groups of units: one scene per cause, odd panels, and what holds for every panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.panel.detection import detect
from mlops_assets.variance.panel.panels import Columns, read_panel
from mlops_assets.variance.panel.verdicts import CAUSES
from mlops_assets_tests.variance.panel.panel_world import MEASURES, World, simulate

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOPS, TIMES, CHAINS = 8, 6, 12


def _events(table: pa.Table, *measures: str, **optional: Any) -> dict[tuple[str, str], dict[str, Any]]:  # noqa: ANN401  of Columns
    columns = Columns(unit="unit", group="group", time="time", measures=measures, **optional)
    rows = detect(read_panel(duckdb.from_arrow(table), columns)).to_pylist()
    return {(row["group"], row["time"]): row for row in rows}


def _causes(table: pa.Table, *measures: str, **optional: str) -> dict[tuple[str, str], str]:
    found = _events(table, *measures, **optional)
    return {key: row["cause"] for key, row in found.items() if row["cause"] != "none"}


def _chains(seed: int = 7) -> NDArray[np.float64]:
    """Customers and sales of shops: chains by times by shops by measures, ordinary change of 2 %."""
    random = np.random.default_rng(seed)
    size = random.lognormal(8, 0.5, (CHAINS, 1, SHOPS, 2))
    walk = np.cumsum(random.normal(0, 0.02, (CHAINS, TIMES, SHOPS, 2)), axis=1)
    swing = random.normal(0, 0.1, (1, TIMES, 1, 2))
    return np.rint(size * np.exp(walk + swing))


def _table(values: NDArray[np.float64], **more: NDArray[Any]) -> pa.Table:
    chain, time, shop = np.indices(values.shape[:3])
    return pa.table(
        {
            "group": [f"chain{number}" for number in chain.ravel()],
            "unit": shop.ravel(),
            "time": time.ravel(),
            "customers": values[..., 0].ravel(),
            "sales": values[..., 1].ravel(),
            **{name: column.ravel() for name, column in more.items()},
        }
    )


def test_ordinary_change_under_a_common_swing_is_nothing() -> None:
    assert _causes(_table(_chains()), "customers", "sales") == {}


def test_customers_exchanged_between_the_shops_of_a_chain_are_a_boundary() -> None:
    values = _chains()
    moved = 0.3 * values[3, 4:]
    values[3, 4:] += np.roll(moved, 1, axis=1) - moved
    found = _events(_table(values), "customers", "sales")
    assert {key for key, row in found.items() if row["cause"] != "none"} == {("chain3", "4")}
    assert found["chain3", "4"]["cause"] == "boundary"
    assert found["chain3", "4"]["units"]


def test_a_boundary_says_who_gained_and_who_lost_and_that_the_total_was_conserved() -> None:
    values = _chains()
    moved = 0.4 * values[3, 4:, 0]
    values[3, 4:, 0] -= moved
    values[3, 4:, 1] += moved
    words = _events(_table(values), "customers", "sales")["chain3", "4"]["evidence"]
    assert "1 gained" in words
    assert "0 lost" in words
    assert "conserved" in words


def test_shops_that_got_each_others_numbers_are_renumbered_and_named() -> None:
    values = _chains()
    values[5, 2:] = np.roll(values[5, 2:], 1, axis=1)
    found = _events(_table(values), "customers", "sales")["chain5", "2"]
    assert found["cause"] == "renumbering"
    assert found["magnitude"] == 1.0
    assert "0>1" in found["evidence"]


@pytest.mark.parametrize("factor", [2.0, 100.0, 0.001])
def test_an_exact_factor_in_one_chain_is_entry_once_and_its_end_is_nothing(factor: float) -> None:
    values = _chains() * 1000
    values[2, 3] *= factor
    found = _events(_table(values), "customers", "sales")
    assert {key: row["cause"] for key, row in found.items() if row["cause"] != "none"} == {("chain2", "3"): "entry"}
    assert found["chain2", "3"]["magnitude"] == pytest.approx(np.log(factor), abs=0.05)
    assert "back to what it was" in found["chain2", "4"]["evidence"]


def test_two_measures_that_changed_places_are_entry() -> None:
    values = _chains()
    values[..., 1] *= 3
    values[6, 5] = values[6, 5, :, ::-1]
    assert _causes(_table(values), "customers", "sales") == {("chain6", "5"): "entry"}


def test_a_measure_that_a_chain_no_longer_reports_is_entry() -> None:
    values = _chains()
    values[1, 3:, :, 1] = np.nan
    assert _causes(_table(values), "customers", "sales") == {("chain1", "3"): "entry"}


def test_rows_that_came_twice_are_entry() -> None:
    table = _table(_chains())
    again = duckdb.from_arrow(table).filter("\"group\" = 'chain4' AND time = 2").to_arrow_table()
    assert _causes(pa.concat_tables([table, again]), "customers", "sales") == {("chain4", "2"): "entry"}


@pytest.mark.parametrize("part", [0.3, 1.0])
def test_a_category_put_into_another_one_is_entry_and_no_boundary(part: float) -> None:
    values = _chains()
    moved = np.rint(part * values[6, 5, :, 1])
    values[6, 5, :, 1] -= moved
    values[6, 5, :, 0] += moved
    assert _causes(_table(values), "customers", "sales") == {("chain6", "5"): "entry"}


def test_a_chain_of_which_a_part_was_loaded_once_is_entry_and_no_population() -> None:
    values = _chains()
    values[5, 3] = np.rint(values[5, 3] * np.linspace(0.4, 0.7, SHOPS)[:, None])
    found = _events(_table(values), "customers", "sales")
    assert {key: row["cause"] for key, row in found.items() if row["cause"] != "none"} == {("chain5", "3"): "entry"}
    assert "partly loaded" in found["chain5", "3"]["evidence"]


def test_half_of_the_shops_missing_at_one_time_is_a_partial_load() -> None:
    rows = duckdb.from_arrow(_table(_chains())).filter("NOT (\"group\" = 'chain1' AND unit < 4 AND time = 3)")
    assert _causes(rows.to_arrow_table(), "customers", "sales") == {("chain1", "3"): "entry"}


def test_a_chain_that_grew_unevenly_is_population_as_its_total_was_not_conserved() -> None:
    values = _chains()
    values[0, 3:] *= np.linspace(1.2, 1.55, SHOPS)[:, None]
    assert _causes(_table(values), "customers", "sales") == {("chain0", "3"): "population"}


def test_rows_missing_here_and_there_are_no_boundary() -> None:
    rows = duckdb.from_arrow(_table(_chains())).filter('hash("group", unit, time) % 5 > 0')
    assert "boundary" not in _causes(rows.to_arrow_table(), "customers", "sales").values()


def test_chains_that_swing_with_the_season_in_their_own_way_are_no_event() -> None:
    values = np.concatenate([_chains(), _chains(8)], axis=1)
    own = np.random.default_rng(3).normal(0, 0.2, (CHAINS, 1, 1, 1))
    values = np.rint(values * np.exp(own * (np.arange(values.shape[1]) % 2)[None, :, None, None]))
    values[:, TIMES:] = values[:, :TIMES] * np.random.default_rng(4).lognormal(0, 0.02, values[:, :TIMES].shape)
    assert _causes(_table(values), "customers", "sales") == {}


def test_a_longer_gap_between_times_allows_for_more_change() -> None:
    values = _chains()
    values[:, 3:] *= np.random.default_rng(9).lognormal(0, 0.1, (CHAINS, 1, SHOPS, 2))
    months = np.array(["2001-01", "2001-02", "2001-03", "2003-03", "2003-04", "2003-05"])
    table = _table(values)
    gap = table.set_column(2, "time", pa.array(months[table["time"].to_numpy()]))
    assert _causes(gap, "customers", "sales") == {}


def test_a_chain_that_grew_in_all_shops_and_measures_by_no_exact_factor_is_population() -> None:
    values = _chains()
    values[0, 3:] *= 1.35
    assert _causes(_table(values), "customers", "sales") == {("chain0", "3"): "population"}


def test_a_measure_that_jumped_everywhere_while_its_peers_did_not_is_entry_in_all_groups() -> None:
    values = np.repeat(_chains(), 2, axis=3)
    values[:, 4:, :, 3] *= 1.6
    table = _table(values[..., 2:], third=values[..., 0], fourth=values[..., 1])
    found = _causes(table, "customers", "sales", "third", "fourth")
    assert found == {(f"chain{number}", "4"): "entry" for number in range(CHAINS)}


def test_another_edition_of_the_same_record_differs_by_entry() -> None:
    values = _chains()[:, :2]
    values[:, 1] = values[:, 0]
    values[7, 1, 2] += 500
    assert _causes(_table(values), "customers", "sales") == {("chain7", "1"): "entry"}


def test_an_additional_shop_is_units_that_came_and_managers_in_other_shops_are_a_boundary() -> None:
    values = _chains()
    names = np.array([[[f"{chain}-{shop}" for shop in range(SHOPS)] for _ in range(TIMES)] for chain in range(CHAINS)])
    names[2, 3:, :2] = names[2, 3:, 1::-1]
    table = _table(values, manager=names)
    opened = pa.table({name: table[name].slice(0, 1) for name in table.column_names})
    for time in (4, 5):
        row = {**opened.to_pylist()[0], "group": "chain8", "unit": SHOPS, "time": time, "manager": "new"}
        table = pa.concat_tables([table, pa.Table.from_pylist([row], schema=table.schema)])
    found = _causes(table, "customers", "sales", entity="manager")
    assert found == {("chain2", "3"): "boundary", ("chain8", "4"): "units"}


def test_a_shop_missing_at_one_time_is_not_a_new_shop() -> None:
    table = duckdb.from_arrow(_table(_chains())).filter("NOT (\"group\" = 'chain1' AND unit = 3 AND time = 2)")
    assert _causes(table.to_arrow_table(), "customers", "sales") == {}


def test_values_that_stand_for_something_not_counted_are_left_out() -> None:
    values = _chains()
    values[4, 2, 0, 1], values[4, 3, 1, 1] = 0, 1
    assert _causes(_table(values), "customers", "sales") == {}


@pytest.mark.parametrize("seed", [101, 102])
def test_all_causes_mixed_are_named_with_hardly_a_false_alarm(seed: int) -> None:
    table, truth = simulate(World(), seed)
    found = _events(table, *MEASURES, entity="name")
    right = sum(found[key]["cause"] == cause.partition(":")[0] for key, cause in truth.items())
    assert right >= 0.9 * len(truth)
    quiet = [row["cause"] != "none" for key, row in found.items() if key not in truth]
    assert np.mean(quiet) <= 0.01


def _small(rows: list[tuple[str, str, Any, float | None]]) -> pa.Table:
    return pa.table({name: [row[at] for row in rows] for at, name in enumerate(("group", "unit", "time", "x"))})


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("a", "1", 1, 5.0), ("a", "1", 2, 5.5)], "no change beyond the ordinary"),
        ([("a", "1", 1, 5.0), ("b", "1", 2, 5.5)], "no rows at an earlier time"),
        ([("a", str(unit + 9 * time), time, 5.0) for unit in range(9) for time in (1, 2)], "nothing can be compared"),
        ([("a", str(unit), time, 3.0) for unit in range(4) for time in (1, 2)], "no change beyond the ordinary"),
        ([("a", "1", 1, 5.0), ("a", "1", 2, float("nan")), ("b", "1", 1, 4.0)], "missing"),
    ],
)
def test_odd_panels_are_answered_with_the_reason(rows: list[tuple[str, str, Any, float | None]], reason: str) -> None:
    assert any(reason in row["evidence"] for row in _events(_small(rows), "x").values())


def test_a_single_period_gives_no_row() -> None:
    assert _events(_small([("a", "1", 1, 5.0), ("a", "2", 1, 6.0)]), "x") == {}


@pytest.mark.parametrize(
    ("table", "measures", "words"),
    [
        (_small([("a", "1", 1, 5.0)]), ("y",), "no column y"),
        (_small([("a", "1", 1, None)]), ("x",), "holds no number"),
        (_small([("a", "1", None, 5.0)]), ("x",), "nothing to compare"),
        (_small([("a", "1", 1, 5.0)]), (), "No measure"),
        (_small([("a", "1", 1, 5.0)]), ("x", "x"), "Name each once"),
    ],
)
def test_a_panel_that_cannot_be_compared_is_refused_with_the_reason(
    table: pa.Table, measures: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ComparisonError, match=words):
        _events(table, *measures)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from("123"),
            st.integers(0, 4),
            st.none() | st.floats(allow_nan=True, allow_infinity=True),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_every_panel_is_refused_or_answered_for_each_group_and_time(
    rows: list[tuple[str, str, Any, float | None]],
) -> None:
    try:
        found = _events(_small(rows), "x")
    except ComparisonError:
        return
    times = {row[2] for row in rows}
    assert len(found) == len({row[0] for row in rows}) * (len(times) - 1)
    assert all(row["cause"] in CAUSES and 0 <= row["probability"] <= 1 and row["evidence"] for row in found.values())
