"""Tests of the comparison of aggregates that cannot be linked."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.variance.aggregates import (
    AggregateError,
    factor_fits,
    reshuffles,
    robust_scores,
    set_changes,
    unit_changes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

_KEYS = ("chain", "shop")
_SCHEMA = pa.schema({"chain": pa.string(), "shop": pa.string(), "sales": pa.int64()})


@functools.cache
def _engine() -> ibis.BaseBackend:
    return ibis.duckdb.connect()


def _side(**sales: Sequence[int | None]) -> ir.Table:
    rows = [
        {"chain": chain, "shop": f"{chain}{n}", "sales": value}
        for chain, values in sales.items()
        for n, value in enumerate(values)
    ]
    return ibis.memtable(pa.Table.from_pylist(rows, schema=_SCHEMA))


def _units(before: ir.Table, after: ir.Table) -> ir.Table:
    return robust_scores(unit_changes(before, after, keys=_KEYS, value="sales"))


def _rows(table: ir.Table, *keys: str) -> dict[Any, dict[str, Any]]:
    rows = _engine().to_pyarrow(table).to_pylist()
    return {tuple(row[key] for key in keys) if len(keys) > 1 else row[keys[0]]: row for row in rows}


def test_every_unit_of_either_side_has_one_row() -> None:
    changes = _rows(unit_changes(_side(a=[100, None, 5]), _side(a=[200, 7]), keys=_KEYS, value="sales"), "shop")
    assert changes["a0"] == {
        "chain": "a", "shop": "a0", "before": 100.0, "after": 200.0,
        "in_before": True, "in_after": True, "log_change": pytest.approx(math.log(2)),
    }  # fmt: skip
    assert (changes["a1"]["before"], changes["a1"]["in_before"], changes["a1"]["log_change"]) == (None, True, None)
    assert (changes["a2"]["after"], changes["a2"]["in_after"], changes["a2"]["log_change"]) == (None, False, None)


def test_a_count_of_zero_has_no_logarithm() -> None:
    changes = _rows(unit_changes(_side(a=[0, 3]), _side(a=[5, 0]), keys=_KEYS, value="sales"), "shop")
    assert [changes[shop]["log_change"] for shop in ("a0", "a1")] == [None, None]


def test_the_score_counts_robust_standard_deviations_from_the_median() -> None:
    grown = [int(1_000_000 * math.exp(step / 10)) for step in (-2, -1, 0, 1, 2)]
    scores = _rows(_units(_side(a=[1_000_000] * 5), _side(a=grown)), "shop")
    assert scores["a2"]["center"] == pytest.approx(0, abs=1e-5)
    assert scores["a2"]["spread"] == pytest.approx(0.1 * 1.4826, abs=1e-5)
    assert scores["a4"]["score"] == pytest.approx(2 / 1.4826, abs=1e-3)


def test_no_spread_gives_no_score() -> None:
    scores = _rows(_units(_side(a=[10, 10]), _side(a=[20, 20])), "shop")
    assert scores["a0"]["score"] is None
    assert scores["a0"]["deviation"] == pytest.approx(0)


def test_nothing_to_compare_keeps_the_units_without_numbers() -> None:
    scores = _rows(_units(_side(a=[]), _side(a=[20, 20])), "shop")
    assert (scores["a0"]["center"], scores["a0"]["spread"], scores["a0"]["score"]) == (None, None, None)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1_000, 10**6), st.floats(0.5, 2.0)), min_size=3, max_size=30),
    st.sampled_from([2, 4, 8]),
)
def test_a_common_factor_changes_no_score(shops: list[tuple[int, float]], factor: int) -> None:
    before = _side(a=[sales for sales, _ in shops])
    once = [int(sales * growth) for sales, growth in shops]
    scores = _rows(_units(before, _side(a=once)), "shop")
    scaled = _rows(_units(before, _side(a=[sales * factor for sales in once])), "shop")
    for shop, row in scores.items():
        assert scaled[shop]["deviation"] == pytest.approx(row["deviation"], abs=1e-9)


def test_a_group_loaded_twice_comes_nearest_to_the_factor_two() -> None:
    before = _side(a=[100, 110, 120], b=[100, 110, 120, 130], c=[100, 130, 90, 80])
    after = _side(a=[203, 219, 246], b=[100, 112, 118, 131], c=[101, 129, 93, 78])
    fits = _rows(factor_fits(_units(before, after), group="chain"), "chain")
    assert (fits["a"]["factor"], fits["a"]["agreement"], fits["a"]["units"]) == (2.0, 1.0, 3)
    assert fits["a"]["residual"] == pytest.approx(0, abs=0.05)
    assert abs(fits["b"]["residual"]) > 0.6
    assert fits["b"]["agreement"] == 0


@pytest.mark.parametrize("factor", [2.0, 0.5, 10.0, 0.1, 100.0, 1000.0])
def test_every_factor_of_entry_is_found(factor: float) -> None:
    before = _side(a=[10_000, 20_000], b=[30_000, 40_000, 50_000, 60_000])
    after = _side(a=[int(10_000 * factor), int(20_000 * factor)], b=[30_000, 40_000, 50_000, 60_000])
    fits = _rows(factor_fits(_units(before, after), group="chain"), "chain")
    assert (fits["a"]["factor"], fits["a"]["agreement"]) == (factor, 1.0)


def test_one_outlier_does_not_make_a_group_agree() -> None:
    fits = _rows(factor_fits(_units(_side(a=[100] * 4), _side(a=[100, 100, 101, 300])), group="chain"), "chain")
    assert fits["a"]["agreement"] <= 0.25


def test_sets_that_grew_and_shrank_are_counted() -> None:
    units = unit_changes(_side(a=[1, 2], b=[1, 2]), _side(a=[1, 2, 3], b=[1]), keys=_KEYS, value="sales")
    changes = _rows(set_changes(units, group="chain"), "chain")
    assert changes["a"] == {"chain": "a", "units_before": 2, "units_after": 3, "appeared": 1, "disappeared": 0}
    assert changes["b"] == {"chain": "b", "units_before": 2, "units_after": 1, "appeared": 0, "disappeared": 1}


def test_units_that_trade_within_their_group_are_a_reshuffle() -> None:
    before = _side(a=[100, 100, 100, 100], b=[100, 100, 100, 100, 100, 100])
    after = _side(a=[150, 50, 140, 60], b=[100, 101, 99, 100, 102, 98])
    found = _rows(reshuffles(_units(before, after), group="chain"), "chain")
    assert (found["a"]["moved"], found["a"]["measured"]) == (1.0, 4)
    assert found["a"]["total_deviation"] == pytest.approx(0, abs=0.01)
    assert found["b"]["moved"] == 0


def test_a_missing_column_is_named() -> None:
    with pytest.raises(AggregateError, match="Table 'after' lacks takings: it has chain, shop, sales"):
        unit_changes(_side(a=[1]).rename(takings="sales"), _side(a=[1]), keys=_KEYS, value="takings")


@pytest.mark.parametrize("factors", [(), (1.0,), (2.0, -1.0), (0.0,)])
def test_a_factor_that_is_none_is_refused(factors: tuple[float, ...]) -> None:
    with pytest.raises(AggregateError, match="each must be positive and other than 1"):
        factor_fits(_units(_side(a=[1]), _side(a=[1])), group="chain", factors=factors)
