"""Paired tests: those of McNemar, Stuart and Maxwell, and Pearson where these apply, and true in null worlds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from scipy import stats  # type: ignore[import-untyped]  # SciPy ships no types

from mlops_assets.variance.drift.comparison import compared, drift
from mlops_assets.variance.drift.paired import paired, shares_moved
from mlops_assets.variance.drift.paired_files import paired_files
from mlops_assets.variance.drift.summaries import summarise
from mlops_assets.variance.errors import ComparisonError

if TYPE_CHECKING:
    from pathlib import Path

    import ibis.expr.types as ir


def _table(**columns: object) -> ir.Table:
    return ibis.memtable(pa.table(columns))


def _moved(ways: dict[tuple[int, int], int]) -> float:
    before, after = (np.array([way[side] for way in ways]) for side in (0, 1))
    return shares_moved(before, after, np.array(list(ways.values())))


def test_two_values_are_tested_by_mcnemar() -> None:
    assert _moved({(0, 0): 500, (1, 1): 300, (0, 1): 12, (1, 0): 30}) == pytest.approx(stats.binomtest(12, 42).pvalue)


def test_more_values_are_tested_by_stuart_and_maxwell() -> None:
    counts = np.array([[400, 30, 12], [11, 300, 25], [20, 14, 200]])
    ways = {(row, column): int(counts[row, column]) for row in range(3) for column in range(3)}
    change = (counts.sum(axis=0) - counts.sum(axis=1))[:2]
    variance = (np.diag(counts.sum(axis=0) + counts.sum(axis=1)) - counts - counts.T)[:2, :2]
    statistic = change @ np.linalg.inv(variance) @ change
    assert _moved(ways) == pytest.approx(stats.chi2.sf(statistic, 2), rel=1e-9)


def test_without_anybody_in_both_it_is_pearsons_test_in_the_limit() -> None:
    counts = np.array([[5000, 3000, 2000], [5090, 3050, 1860]])
    ways = {(value, -1): int(counts[0, value]) for value in range(3)}
    ways |= {(-1, value): int(counts[1, value]) for value in range(3)}
    assert _moved(ways) == pytest.approx(stats.chi2_contingency(counts, correction=False).pvalue, rel=0.02)


@pytest.mark.parametrize(
    "ways", [{(0, 0): 9}, {(0, -1): 5}, {(0, 0): 50, (1, 1): 50}, {(0, 1): 4, (1, 0): 2, (2, 2): 9}]
)
def test_what_cannot_tell_tells_nothing(ways: dict[tuple[int, int], int]) -> None:
    assert _moved(ways) > 0.5


def _panel(generator: np.random.Generator, *, drift_of: float = 0.0) -> tuple[ir.Table, ir.Table]:
    """Two thousand entities of whom a twentieth leaves, joins and changes; values drift by that share of them."""
    size = 2000
    numbers, values = (
        generator.normal(size=2 * size),
        generator.choice(list("abcd"), 2 * size, p=[0.5, 0.3, 0.15, 0.05]),
    )
    there = generator.random(2 * size)
    was, now = there < 0.55, there > 0.05
    later_values, later_numbers = values.copy(), numbers.copy()
    change = generator.random(2 * size) < 0.05
    later_values[change] = generator.choice(list("abcd"), change.sum(), p=[0.5, 0.3, 0.15, 0.05])
    later_numbers[change] = generator.normal(size=change.sum())
    drifting = generator.random(2 * size) < drift_of
    later_values[drifting & (later_values == "a")] = "b"
    later_numbers[drifting] += 0.5
    keep = there < 0.6
    names = np.array([f"e{n}" for n in range(2 * size)])
    return (
        _table(id=names[was & keep], v=values[was & keep], x=numbers[was & keep]),
        _table(id=names[now & keep], v=later_values[now & keep], x=later_numbers[now & keep]),
    )


def test_in_null_worlds_p_values_are_not_too_small() -> None:
    generator = np.random.default_rng(5)
    found = [paired(*_panel(generator), entity="id", columns=["v", "x"]) for _ in range(60)]
    chance = np.array([test.p_value for world in found for test in world.values()])
    assert (chance < 0.05).mean() < 0.1
    assert chance.min() > 1e-4


def test_a_drift_is_found_that_tests_of_independent_rows_miss() -> None:
    before, after = _panel(np.random.default_rng(6), drift_of=0.04)
    found = paired(before, after, entity="id", columns=["v", "x"])
    sides = {name: summarise(side.to_pyarrow().to_reader(), ["v", "x"]) for name, side in (("b", before), ("a", after))}
    independent = {row["column"]: row["p_value"] for row in compared(sides, [("b", "a")]).to_pylist()}
    assert found["v"].p_value < 1e-3
    assert independent["v"] > 0.05
    assert found["x"].p_value < 1e-3
    assert independent["x"] > 0.05
    assert found["v"].both > 2000
    assert 50 < found["v"].changed < 200


def test_a_rare_value_that_all_gave_up_is_seen() -> None:
    values = np.array(["a"] * 1000 + ["b"] * 1000 + ["c"] * 20)
    later = np.where(values == "c", "a", values)
    (test,) = paired(
        _table(id=np.arange(2020), v=values), _table(id=np.arange(2020), v=later), entity="id", columns=["v"]
    ).values()
    assert test.p_value < 1e-4


def test_many_values_are_tested_in_bounded_memory() -> None:
    generator = np.random.default_rng(8)
    places = np.array([f"place {n}" for n in range(3000)])
    before = generator.choice(places, 100_000)
    still = np.where(generator.random(100_000) < 0.5, generator.choice(places, 100_000), before)
    gone = np.where(before < "place 12", "place 2", before)
    sides = [_table(id=np.arange(100_000), v=values) for values in (before, still, gone)]
    null, moved = (paired(sides[0], side, entity="id", columns=["v"])["v"] for side in sides[1:])
    assert null.p_value > 0.01
    assert moved.p_value < 1e-9


def test_numbers_that_rise_in_everyone_are_seen_and_missing_ones_are_a_value() -> None:
    ages = np.repeat(np.arange(20, 80), 10).astype(float)
    found = paired(
        _table(id=np.arange(600), age=ages, x=ages),
        _table(id=np.arange(600), age=ages + 1, x=pa.array(ages, mask=np.arange(600) % 10 == 0)),
        entity="id",
        columns=["age", "x"],
    )
    assert (found["age"].changed, found["x"].changed) == (600, 60)
    assert max(found["age"].p_value, found["x"].p_value) < 1e-9


def test_the_paired_chance_stands_in_the_table_of_drift_and_says_on_what_it_rests() -> None:
    before, after = _panel(np.random.default_rng(6), drift_of=0.04)
    sides = {name: summarise(side.to_pyarrow().to_reader(), ["v", "x"]) for name, side in (("b", before), ("a", after))}
    tests = paired(before, after, entity="id", columns=["v", "x"])
    rows: dict[str, dict[str, Any]] = {
        row["column"]: row for row in drift(sides, [("b", "a")], paired={("b", "a"): tests}).to_pylist()
    }
    assert rows["v"]["p_value"] == tests["v"].p_value
    assert rows["v"]["drift"] == rows["x"]["drift"] == "small"
    assert rows["v"]["note"] == f"Paired: {tests['v'].both:,} are in both, {tests['v'].changed:,} of them changed."


def test_files_are_paired_by_a_column_and_mistakes_are_named(tmp_path: Path) -> None:
    before, after, twice = (tmp_path / f"{name}.csv" for name in ("before", "after", "twice"))
    before.write_text("id,v\n1,a\n2,b\n,c\n", encoding="utf-8")
    after.write_text("id,v\n1,b\n3,b\n", encoding="utf-8")
    twice.write_text("id,v\n1,b\n1,b\n", encoding="utf-8")
    (test,) = paired_files(before, after, entity="id").values()
    assert (test.both, test.changed) == (1, 1)
    with pytest.raises(ComparisonError, match=r"later partition has identifiers in column id that repeat"):
        paired_files(before, twice, entity="id")
    with pytest.raises(ComparisonError, match=r"it has no column nobody; it has id, v"):
        paired_files(before, after, entity="nobody")
    with pytest.raises(ComparisonError, match=r"no column w"):
        paired_files(before, after, entity="id", columns=["w"])
