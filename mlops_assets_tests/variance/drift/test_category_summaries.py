"""Summaries of categories: exact counts of the values kept, none lost, exact merging."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.variance.drift.category_summaries import (
    BUCKETS,
    MOST_VALUES,
    Categories,
    categories_of,
    hashes_of,
    merge_categories,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FEW_VALUES = 5
_VALUES = st.lists(st.one_of(st.none(), st.text(max_size=3), st.sampled_from(["a", "b", "UNA", "NPA"])), max_size=60)


def _of(values: Sequence[str | None]) -> Categories:
    return categories_of(pa.array(values, type=pa.string()))


def _same(one: Categories, other: Categories) -> bool:
    same_counts = list(one.counts.items()) == list(other.counts.items())
    return same_counts and np.array_equal(one.others, other.others) and one.null == other.null


@pytest.fixture(scope="class")
def crowded() -> Iterator[None]:
    """So few values kept that small examples have more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlops_assets.variance.drift.category_summaries.MOST_VALUES", _FEW_VALUES)
        yield


@pytest.mark.usefixtures("crowded")
class TestCrowded:
    @given(_VALUES, _VALUES)
    def test_merging_equals_summarising_at_once_in_any_order(
        self, one: list[str | None], other: list[str | None]
    ) -> None:
        whole = _of(one + other)
        assert _same(merge_categories(_of(one), _of(other)), whole)
        assert _same(merge_categories(_of(other), _of(one)), whole)

    @given(_VALUES, _VALUES, _VALUES)
    def test_merging_is_associative(self, a: list[str | None], b: list[str | None], c: list[str | None]) -> None:
        x, y, z = map(_of, (a, b, c))
        assert _same(merge_categories(merge_categories(x, y), z), merge_categories(x, merge_categories(y, z)))

    @given(_VALUES)
    def test_kept_values_have_exact_counts_and_no_row_is_lost(self, values: list[str | None]) -> None:
        found, truth = _of(values), Counter(values)
        assert all(truth[text] == rows for text, rows in found.counts.items())
        assert len(found.counts) == min(_FEW_VALUES, len(set(truth) - {None}))
        assert (found.rows, found.null) == (len(values), truth[None])
        assert found.complete == (len(set(truth) - {None}) <= _FEW_VALUES)


def test_codes_of_a_dictionary_are_counted_like_texts() -> None:
    values = pa.array(["b", None, "a", "b"])
    assert _same(categories_of(values.dictionary_encode()), categories_of(values))
    unused = pa.DictionaryArray.from_arrays(pa.array([0, 0, None]), pa.array(["used", "never"]))
    assert dict(categories_of(unused).counts) == {"used": 2}


def test_a_million_different_values_are_kept_to_the_bound() -> None:
    numbers = pa.array(np.arange(1_000_000)).cast(pa.string())
    found = categories_of(numbers)
    assert (len(found.counts), found.rows) == (MOST_VALUES, 1_000_000)
    assert found.others.min() > 0.9 * found.others.mean()


def test_a_frequent_value_that_is_not_kept_moves_its_bucket() -> None:
    many = [f"value {n}" for n in range(20 * MOST_VALUES)]
    base = _of(many)
    left = next(text for text in many if text not in base.counts)
    more = _of([*many, *[left] * 5000])
    assert np.flatnonzero(more.others - base.others).tolist() == [int(hashes_of(pa.array([left]))[0]) % BUCKETS]


def test_hashes_are_the_same_everywhere_and_of_the_text_alone() -> None:
    texts = ["", "a", "b", "ab", "ba", "é", "aa" * 500, "\x00", "\x00\x00"]
    hashes = hashes_of(pa.array(texts))
    assert len(set(hashes.tolist())) == len(texts)
    assert hashes[3:6].tolist() == hashes_of(pa.array(texts).slice(3, 3)).tolist()
    known = [0, 16977494371765316004, 225859087932873739]
    assert hashes_of(pa.array(["", "NPA", "Düsseldorf"])).tolist() == known
    assert len(hashes_of(pa.array([], type=pa.string()))) == 0
