"""Drift between summaries: on bins equal to the direct computation, on raw values within bounds, judged together."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # SciPy ships no types
from scipy.spatial import distance  # type: ignore[import-untyped]  # SciPy ships no types

from mlops_assets.variance.drift.comparison import ALL_COLUMNS, SCHEMA, compared, drift, judged
from mlops_assets.variance.drift.divergences import Laid
from mlops_assets.variance.drift.grids import GROUPS, group_starts
from mlops_assets.variance.drift.number_summaries import Numbers, edges_of
from mlops_assets.variance.drift.summaries import Summary, summarise
from mlops_assets.variance.errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_NUMBER = st.one_of(
    st.integers(-5, 5).map(float),
    st.integers(-40, 40).map(lambda n: 1e6 + n / 7),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12),
    st.integers(-300, 300).map(lambda n: 10.0**n),
)
_NUMBERS = st.lists(_NUMBER, min_size=1, max_size=80).map(lambda values: np.array(values, dtype=np.float64))


def _summary(**columns: object) -> Summary:
    return summarise(pa.table(columns).to_reader())


def _drift(before: object, after: object) -> dict[str, Any]:
    rows = drift({"b": _summary(x=before), "a": _summary(x=after)}, [("b", "a")]).to_pylist()
    assert len(rows) == 1
    return dict(rows[0])


def _psi(p: Floats, q: Floats) -> float:
    return float(sum((b - a) * np.log(b / a) for a, b in zip(p, q, strict=True)))


@pytest.fixture(scope="class")
def crowded() -> Iterator[None]:
    """So few bins that small examples overflow them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlops_assets.variance.drift.number_summaries.MOST_BINS", 16)
        yield


@pytest.mark.parametrize("values", [3, 40, 1024])
def test_categories_are_compared_as_directly(values: int) -> None:
    generator = np.random.default_rng(values)
    names = np.array([f"value {n}" for n in range(values)])
    before = generator.choice(names, 300_000)
    after = generator.choice(names, 200_000, p=generator.dirichlet(np.full(values, 50.0)))
    counts = np.array([np.unique(np.append(side, names), return_counts=True)[1] - 1 for side in (before, after)])
    p, q = counts / counts.sum(axis=1, keepdims=True)
    found = _drift(before, after)
    chi_square, p_value, freedom, _ = stats.chi2_contingency(counts, correction=False)
    assert found["psi"] == pytest.approx(_psi(p, q), abs=1e-9)
    assert found["jensen_shannon"] == pytest.approx(distance.jensenshannon(p, q, base=2), abs=1e-9)
    assert found["chi_square"] == pytest.approx(chi_square, rel=1e-9)
    assert (found["degrees_of_freedom"], found["p_value"]) == (freedom, pytest.approx(p_value, rel=1e-6))
    assert found["cramers_v"] == pytest.approx(np.sqrt(chi_square / counts.sum()), rel=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_numbers_are_compared_on_the_bins_as_directly(offset: float) -> None:
    generator = np.random.default_rng(7)
    before, after = offset + generator.normal(size=100_000), offset + generator.normal(0.1, 1.1, size=80_000)
    sides = [_summary(x=before), _summary(x=after)]
    level = max(_numbers(side).level for side in sides)
    edges = np.unique(np.concatenate([_numbers(side).at_level(level).bins for side in sides]))
    low, high = edges_of(edges, level)
    middle = low / 2 + high / 2
    placed = [middle[np.searchsorted(low, values, side="right") - 1] for values in (before, after)]
    found = drift({"b": sides[0], "a": sides[1]}, [("b", "a")]).to_pylist()[0]
    assert found["ks"] == pytest.approx(stats.ks_2samp(*placed, method="asymp").statistic, abs=1e-9)
    assert found["wasserstein"] == pytest.approx(stats.wasserstein_distance(*placed), abs=1e-9)
    assert found["mean_before"] == pytest.approx(placed[0].mean(), rel=1e-9)
    counts = [np.histogram(values, np.append(low, np.inf))[0] for values in (before, after)]
    laid = Laid.on(np.array(counts), low, high)
    borders = low[group_starts(laid, np.array([0]), np.array([1]))[0][1:-1]]
    cells = [np.histogram(values, [-np.inf, *borders, np.inf])[0] for values in (before, after)]
    p, q = (own / own.sum() for own in cells)
    assert np.abs((p + q) / 2 - 1 / GROUPS).max() < 0.01
    assert found["psi"] == pytest.approx(_psi(p, q), abs=1e-9)
    assert found["jensen_shannon"] == pytest.approx(distance.jensenshannon(p, q, base=2), abs=1e-9)
    table = np.array([p * len(before), q * len(after)])
    assert found["chi_square"] == pytest.approx(stats.chi2_contingency(table, correction=False).statistic, rel=1e-9)


def _numbers(summary: Summary) -> Numbers:
    column = summary.columns["x"]
    assert isinstance(column, Numbers)
    return column


def _within_bounds(before: Floats, after: Floats) -> None:
    found = _drift(before, after)
    raw = stats.ks_2samp(before, after, method="asymp").statistic
    assert found["ks"] - 1e-9 <= raw <= found["ks"] + found["ks_bound"] + 1e-9
    raw = stats.wasserstein_distance(before, after)
    slack = 1e-9 * max(1.0, np.abs(before).max(), np.abs(after).max())
    assert abs(found["wasserstein"] - raw) <= found["wasserstein_bound"] + slack


@pytest.mark.usefixtures("crowded")
class TestCrowded:
    @given(_NUMBERS, _NUMBERS)
    def test_raw_distances_lie_within_their_bounds(self, before: Floats, after: Floats) -> None:
        _within_bounds(before, after)

    def test_values_that_alternate_within_one_bin_lie_within_their_bounds(self) -> None:
        step = np.arange(4_000)
        before, after = (np.asarray(1 + step[step % 2 == side] * 1e-9, dtype=np.float64) for side in (0, 1))
        _within_bounds(np.append(before, 1e9), np.append(after, -1e9))
        _within_bounds(before[:1_000], before[1_000:])


def test_few_different_numbers_are_compared_exactly_on_raw_values() -> None:
    generator = np.random.default_rng(8)
    before, after = generator.integers(18, 99, 5_000) * 1.0, generator.integers(20, 99, 4_000) * 1.0
    found = _drift(before, after)
    assert (found["ks_bound"], found["wasserstein_bound"]) == (0, 0)
    assert found["ks"] == pytest.approx(stats.ks_2samp(before, after).statistic, abs=1e-12)
    assert found["wasserstein"] == pytest.approx(stats.wasserstein_distance(before, after), abs=1e-9)


@pytest.mark.parametrize(
    ("draw", "most"),
    [
        (lambda g, n: g.normal(size=n), 0.006),
        (lambda g, n: g.normal(1e6, size=n), 0.004),
        (lambda g, n: g.lognormal(sigma=2, size=n), 0.006),
        (lambda g, n: np.where(g.random(n) < 0.01, 10 ** g.uniform(-300, 300, n), g.normal(50, size=n)), 1.0),
    ],
)
def test_bounds_at_a_hundred_thousand_rows_are_as_documented(
    draw: Callable[[np.random.Generator, int], Floats], most: float
) -> None:
    generator = np.random.default_rng(9)
    before, after = draw(generator, 100_000), draw(generator, 100_000)
    _within_bounds(before, after)
    assert _drift(before, after)["ks_bound"] <= most


def test_the_chance_of_ks_is_that_of_scipy() -> None:
    generator = np.random.default_rng(10)
    before, after = generator.integers(0, 1_000, 3_000) * 1.0, generator.integers(0, 1_020, 3_000) * 1.0
    grid = {name: _summary(x=values) for name, values in (("b", before), ("a", after))}
    found = compared(grid, [("b", "a")]).to_pylist()[0]
    chance = min(stats.ks_2samp(before, after, method="asymp").pvalue, stats.chi2.sf(found["chi_square"], 19))
    assert found["p_value"] == pytest.approx(2 * chance, rel=0.1)


def test_a_new_category_a_lost_one_and_missing_values_are_named() -> None:
    found = _drift(["UNA"] * 500 + ["DEM"] * 500, ["NPA"] * 500 + ["DEM"] * 480 + [None] * 20)
    assert found["drift"] == "strong"
    assert found["largest_change"] in {"UNA: 50.00% to 0.00%", "NPA: 0.00% to 50.00%"}
    assert (found["missing_before"], found["missing_after"]) == (0.0, 0.02)
    found = _drift([1.0] * 900 + [np.nan] * 100, [1.0] * 500 + [np.nan] * 500)
    assert found["ks"] == 0
    assert found["largest_change"].endswith(("1: 90.00% to 50.00%", "not a number: 10.00% to 50.00%"))
    assert found["drift"] == "strong"


def test_infinities_are_cells_of_their_own() -> None:
    found = _drift([1.0] * 500 + [np.inf] * 500, [1.0] * 500 + [-np.inf] * 500)
    assert (found["ks"], found["wasserstein"], found["drift"]) == (0, 0, "strong")


def test_a_constant_column_has_no_drift_until_its_value_changes() -> None:
    assert _drift([5.0] * 100, [5.0] * 200)["drift"] == "none"
    found = _drift([5.0] * 100, [6.0] * 200)
    assert (found["ks"], found["wasserstein"], found["drift"]) == (1.0, 1.0, "strong")
    assert found["wasserstein_scaled"] is None
    assert _drift(["a"] * 100, ["a"] * 50)["drift"] == "none"


def test_numbers_near_the_ends_of_floating_point_are_compared() -> None:
    found = _drift([1.7e308, -1.7e308] * 50, [5e-324, 0.0] * 50)
    assert found["ks"] == 0.5
    assert found["drift"] == "strong"


def test_what_cannot_be_compared_says_why() -> None:
    empty = pa.array([], type=pa.float64())
    assert (_drift(empty, [1.0])["note"], _drift(empty, [1.0])["drift"]) == ("There are no rows before.", "unknown")
    assert _drift([1.0], empty)["note"] == "There are no rows after."
    assert _drift([1.0], ["a"])["note"] == "The column holds numbers in b and texts in a."
    assert _drift(pa.nulls(50), [1.0] * 50)["drift"] == "strong"
    rows = drift({"b": _summary(x=[1]), "a": _summary(y=[1])}, [("b", "a")]).to_pylist()
    assert [row["note"] for row in rows] == ["The column is not in a.", "The column is not in b."]
    with pytest.raises(ComparisonError, match="no partition c"):
        drift({"b": _summary(x=[1])}, [("b", "c")])
    with pytest.raises(ComparisonError, match="no pair of partitions"):
        drift({"b": _summary(x=[1])}, [])


def test_more_values_than_are_kept_are_compared_on_those_that_both_know() -> None:
    generator = np.random.default_rng(11)
    before, after = (pa.array(generator.integers(0, 5_000, 100_000)).cast(pa.string()) for _ in range(2))
    same = _drift(before, after)
    assert same["drift"] == "none"
    assert same["degrees_of_freedom"] > 1_000
    moved = pa.concat_arrays([after.slice(40_000), pa.array(["4999"] * 40_000)])
    assert _drift(before, moved)["drift"] == "strong"


def test_identifiers_without_overlap_give_an_answer() -> None:
    before, after = (pa.array(np.arange(start, start + 200_000)).cast(pa.string()) for start in (0, 200_000))
    found = _drift(before, after)
    assert found["drift"] in {"none", "small", "moderate", "strong"}
    assert found["jensen_shannon"] < 1


def test_a_pair_gets_the_same_alone_as_among_others() -> None:
    generator = np.random.default_rng(12)
    scales = {"a": 1.0, "b": 1.0, "c": 1e-3, "d": 1e9}
    parts = {
        name: _summary(
            x=generator.lognormal(sigma=2, size=6_000) * scale,
            y=pa.array(generator.integers(0, 1_500, 6_000)).cast(pa.string()),
        )
        for name, scale in scales.items()
    }
    pairs = [(one, other) for one in parts for other in parts if one < other]
    together = compared(parts, pairs).to_pylist()
    alone = [row for pair in pairs for row in compared(parts, [pair]).to_pylist()]
    by_key = {(row["before"], row["after"], row["column"]): row for row in together}
    for row in alone:
        other = by_key[row["before"], row["after"], row["column"]]
        for name, value in row.items():
            assert other[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)


def test_a_table_compared_month_after_month_in_many_columns_and_units_tells_of_nothing_where_nothing_happens() -> None:
    generator = np.random.default_rng(13)
    labels = [f"{month:02d}|{unit}" for month in range(25) for unit in "abcd"]
    parts = {
        label: _summary(
            **{f"c{c}": generator.normal(size=400) for c in range(10)}, d=generator.choice(list("pqrstuvw"), 400)
        )
        for label in labels
    }
    pairs = list(zip(labels, labels[4:], strict=False))
    found = drift(parts, pairs, new_at=lambda label: label[:2])
    assert len(found) == 24 * 4 * 11
    assert found.schema == SCHEMA
    assert set(found["drift"].to_pylist()) == {"none"}
    assert set(found["gone"].to_pylist() + found["appeared"].to_pylist()) == {""}


def test_what_comes_later_changes_nothing_of_what_was_said_before() -> None:
    generator = np.random.default_rng(15)
    parts = {f"p{n}": _summary(x=generator.normal(n // 3, size=300), y=generator.normal(size=300)) for n in range(9)}
    pairs = list(pairwise(parts))
    whole = {(row["after"], row["column"]): row for row in drift(parts, pairs).to_pylist()}
    for known in range(1, len(pairs)):
        for row in drift(parts, pairs[:known]).to_pylist():
            later = whole[row["after"], row["column"]]
            assert (row["q_value"], row["drift"]) == (pytest.approx(later["q_value"], rel=1e-9), later["drift"])
    assert [whole[after, "x"]["drift"] for _, after in pairs] == ["none", "none", "strong"] * 2 + ["none", "none"]


def test_a_rare_value_that_falls_to_0_or_first_appears_is_told_by_name() -> None:
    many = ["DEM"] * 50_000 + ["REP"] * 50_000
    found = _drift([*many, *["GRE"] * 30], [*many, *["WFP"] * 25, None, None])
    assert (found["gone"], found["appeared"]) == ("GRE (30 rows)", "WFP (25 rows)")
    assert found["drift"] == "small"
    assert _drift([*many, *["GRE"] * 30], [*many, *["GRE"] * 9])["gone"] == ""
    chance = _drift([*many, *["GRE"] * 4], many)
    assert (chance["gone"], chance["drift"]) == ("", "none")
    missing = _drift(many, [*many, *[None] * 40])
    assert missing["appeared"] == "missing (40 rows)"
    codes = [f"code {n}" for n in range(8) for _ in range(50)]
    gone = str(_drift(codes, many)["gone"])
    assert gone.startswith("code 0 (50 rows), code 1 (50 rows), ")
    assert gone.endswith("code 4 (50 rows), and 3 more")


def test_tables_judged_together_are_one_family() -> None:
    parts = {"b": _summary(x=[1.0] * 100, y=[1.0] * 100), "a": _summary(x=[2.0] * 100, y=[1.0] * 100)}
    by_column = [
        compared({k: Summary(columns={c: s.columns[c]}) for k, s in parts.items()}, [("b", "a")]) for c in "xy"
    ]
    assert judged(pa.concat_tables(by_column)).equals(drift(parts, [("b", "a")]))


def test_columns_that_changed_in_their_relation_alone_are_found_together() -> None:
    generator = np.random.default_rng(14)
    first, second = generator.normal(size=3_000), generator.normal(size=3_000)
    tables = [pa.table({"x": first, "y": y}) for y in (second, np.sort(second)[np.argsort(np.argsort(first))])]
    parts = {
        name: summarise(t.to_reader(), sampled=1_000, seed=n)
        for n, (name, t) in enumerate(zip("ba", tables, strict=True))
    }
    rows = {row["column"]: row for row in drift(parts, [("b", "a")]).to_pylist()}
    assert rows["x"]["drift"] == rows["y"]["drift"] == "none"
    assert rows[ALL_COLUMNS]["drift"] == "strong"
