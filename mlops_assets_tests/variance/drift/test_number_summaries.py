"""Summaries of numbers: exact counts at edges, exact merging, few bins whatever the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.variance.drift.number_summaries import (
    MOST_BINS,
    Numbers,
    edges_of,
    merge_numbers,
    numbers_of,
    order_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_FEW_BINS = 16
_ANY = st.floats(allow_nan=True, allow_infinity=True)
_CLOSE = st.integers(-50, 50).map(lambda n: 1e6 + n / 7)
_VALUES = st.lists(st.one_of(_ANY, _CLOSE, st.integers(-3, 3).map(float)), max_size=120).map(
    lambda values: np.array(values, dtype=np.float64)
)


@pytest.fixture(scope="class")
def crowded() -> Iterator[None]:
    """So few bins that small examples overflow them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlops_assets.variance.drift.number_summaries.MOST_BINS", _FEW_BINS)
        yield


def _same(one: Numbers, other: Numbers) -> bool:
    return (
        one.level == other.level
        and np.array_equal(one.bins, other.bins)
        and np.array_equal(one.counts, other.counts)
        and np.array_equal([one.least, one.greatest], [other.least, other.greatest], equal_nan=True)
        and (one.below, one.above, one.nan, one.null) == (other.below, other.above, other.nan, other.null)
    )


@pytest.mark.usefixtures("crowded")
class TestCrowded:
    @given(_VALUES, _VALUES)
    def test_merging_equals_summarising_at_once_in_any_order(
        self, one: NDArray[np.float64], other: NDArray[np.float64]
    ) -> None:
        whole = numbers_of(np.concatenate([one, other]), nulls=5)
        parts = numbers_of(one, nulls=2), numbers_of(other, nulls=3)
        assert _same(merge_numbers(*parts), whole)
        assert _same(merge_numbers(*reversed(parts)), whole)

    @given(_VALUES, _VALUES, _VALUES)
    def test_merging_is_associative(
        self, a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]
    ) -> None:
        x, y, z = map(numbers_of, (a, b, c))
        assert _same(merge_numbers(merge_numbers(x, y), z), merge_numbers(x, merge_numbers(y, z)))

    @given(_VALUES)
    def test_counts_are_those_of_the_numbers_between_the_edges(self, values: NDArray[np.float64]) -> None:
        found = numbers_of(values)
        low, high = edges_of(found.bins, found.level)
        assert len(found.bins) <= _FEW_BINS
        assert (low[1:] > high[:-1]).all()
        counts = [int(((values >= a) & (values <= b)).sum()) for a, b in zip(low, high, strict=True)]
        assert counts == found.counts.tolist()
        assert found.rows == len(values)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2))
def test_places_are_ordered_as_the_numbers_are(values: list[float]) -> None:
    ordered = np.array(sorted(values))
    places = order_of(ordered)
    assert np.array_equal(places[1:] > places[:-1], ordered[1:] > ordered[:-1])


def test_few_different_numbers_have_a_bin_each() -> None:
    values = np.repeat(np.array([-1e300, -2.5, 0.0, 0.1, 0.1 + 1e-16, 7.0, 5e-324]), [1, 2, 3, 4, 5, 6, 7])
    found = numbers_of(values)
    low, high = edges_of(found.bins, found.level)
    assert found.level == 0
    assert low.tolist() == high.tolist() == sorted(set(values.tolist()))
    assert (found.least, found.greatest) == (-1e300, 7.0)


def test_zeros_of_both_signs_share_a_bin() -> None:
    assert numbers_of(np.array([0.0, -0.0])).counts.tolist() == [2]


def test_what_is_no_finite_number_is_counted_apart() -> None:
    found = numbers_of(np.array([np.inf, -np.inf, -np.inf, np.nan, 1.0]), nulls=4)
    assert (found.below, found.above, found.nan, found.null, found.finite, found.rows) == (2, 1, 1, 4, 1, 9)


def test_no_numbers_are_a_summary_too() -> None:
    found = numbers_of(np.zeros(0))
    assert found.rows == 0
    assert np.isnan(found.least)
    assert _same(merge_numbers(found, numbers_of(np.array([1.0]))), numbers_of(np.array([1.0])))


@pytest.mark.parametrize("offset", [0.0, 1e6, 1.7e9])
def test_bins_are_as_fine_as_their_number_allows_wherever_the_numbers_lie(offset: float) -> None:
    values = offset + np.random.default_rng(3).normal(size=200_000)
    found = numbers_of(values)
    assert MOST_BINS / 4 < len(found.bins) <= MOST_BINS
    assert found.counts.max() / found.rows < 0.01


def test_a_level_taken_over_from_earlier_rows_changes_nothing() -> None:
    generator = np.random.default_rng(4)
    one, other = generator.lognormal(size=50_000), generator.lognormal(size=50_000)
    first = numbers_of(one)
    hinted = merge_numbers(first, numbers_of(other, level=first.level))
    assert _same(hinted, numbers_of(np.concatenate([one, other])))
