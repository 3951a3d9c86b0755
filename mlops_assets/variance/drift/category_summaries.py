"""Summaries of a column of categories: how many rows hold each value, for a bounded number of values.

Put here how summaries are made and merged. Keep out what is concluded from two of them.

Up to `MOST_VALUES` values are all kept. Of more, those whose hashes come first are kept, with exact counts, and all
other rows are counted in `BUCKETS` buckets by their hash. Which values those are depends on the set of values alone, so
that merging is exact, associative and commutative (compare bottom-k sketches: Cohen and Kaplan, 2007), and a frequent
value beyond the kept ones still moves the count of its bucket.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Codes = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

MOST_VALUES: Final = 1024
"""Values that a summary keeps at most."""

BUCKETS: Final = 256
"""Buckets in which rows of all other values are counted."""

# An odd multiplier has an inverse modulo 2^64; any with well-mixed bits will do.
_MULTIPLIER: Final = 0x9E37_79B9_7F4A_7C15
_INVERSE: Final = pow(_MULTIPLIER, -1, 1 << 64)
_TOGETHER: Final = 1 << 13


@dataclass(frozen=True, kw_only=True, eq=False)
class Categories:
    """A column of categories in one partition.

    Attributes:
        counts: rows of each value kept, in the order of their texts.
        others: rows of all other values, by bucket; all 0 where every value is kept.
        null: rows without a value.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    others: Codes = field(default_factory=lambda: np.zeros(BUCKETS, dtype=np.int64))
    null: int = 0

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return self.null

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.counts.values()) + int(self.others.sum()) + self.null

    @property
    def complete(self) -> bool:
        """Whether every value is kept."""
        return not self.others.any()

    @property
    def last(self) -> tuple[int, str] | None:
        """Hash and text of the last value kept; every value before it in this order is kept. ``None`` if complete."""
        return None if self.complete else max(ranked(self.counts))

    def up_to(self, last: tuple[int, str] | None) -> Categories:
        """The same with only the values up to that one kept, the rest in buckets."""
        if last is None:
            return self
        others, counts = self.others.copy(), {}
        for place in ranked(self.counts):
            if place <= last:
                counts[place[1]] = self.counts[place[1]]
            else:
                others[place[0] % BUCKETS] += self.counts[place[1]]
        return Categories(counts=counts, others=others, null=self.null)


def categories_of(values: pa.Array) -> Categories:
    """Summarise texts; dictionary-encoded ones are counted by their codes.

    Args:
        values: Arrow array of text, or of dictionary-encoded text.
    """
    if pa.types.is_dictionary(values.type):
        codes = values.indices.drop_null().to_numpy(zero_copy_only=False)
        counts = np.bincount(codes, minlength=len(values.dictionary))
        found = values.dictionary.filter(pa.array(counts > 0))
        return _fitted(found, counts[counts > 0].astype(np.int64), values.null_count)
    counted = pc.value_counts(values.drop_null())
    return _fitted(counted.field("values"), counted.field("counts").to_numpy(), values.null_count)


def merge_categories(one: Categories, other: Categories) -> Categories:
    """The summary of both columns' rows together, exactly as if they had been summarised at once."""
    counts = dict(one.counts)
    for text, rows in other.counts.items():
        counts[text] = counts.get(text, 0) + rows
    others, null = one.others + other.others, one.null + other.null
    if len(counts) <= MOST_VALUES and not others.any():
        return Categories(counts=dict(sorted(counts.items())), null=null)
    texts = pa.array(list(counts), type=pa.large_string())
    return _fitted(texts, np.fromiter(counts.values(), dtype=np.int64, count=len(counts)), null, others)


def ranked(texts: Mapping[str, int]) -> list[tuple[int, str]]:
    """Each value's hash and text: the order in which values are kept."""
    names = list(texts)
    return list(zip(hashes_of(pa.array(names, type=pa.large_string())).tolist(), names, strict=True))


def hashes_of(texts: pa.Array) -> Hashes:
    """A 64-bit hash of each text, the same everywhere: a polynomial over its bytes, mixed as in SplitMix64.

    Not for security: values that collide can be constructed. Two values with one hash are still told apart.
    """
    return np.concatenate(
        [_hashes(texts.slice(start, _TOGETHER)) for start in range(0, len(texts), _TOGETHER)] or [_NONE]
    )


_NONE: Final = np.zeros(0, dtype=np.uint64)


def _hashes(texts: pa.Array) -> Hashes:
    texts = pa.concat_arrays([texts.cast(pa.large_string())])
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64, count=len(texts) + texts.offset + 1)[texts.offset :]
    first, size = int(ends[0]), int(ends[-1] - ends[0])
    found = np.frombuffer(data, dtype=np.uint8, count=first + size)[first:] if size else np.zeros(0, dtype=np.uint8)
    places = ends - first
    reach = 1 << max(size, 1).bit_length()
    sums = np.concatenate(
        [_NONE, [np.uint64(0)], np.cumsum((found + np.uint64(1)) * _powers(_MULTIPLIER, reach)[:size])]
    )
    hashes = (sums[places[1:]] - sums[places[:-1]]) * _powers(_INVERSE, reach)[places[:-1]]
    hashes += np.diff(places).astype(np.uint64) * np.uint64(_MULTIPLIER)
    for shift, multiplier in ((30, 0xBF58_476D_1CE4_E5B9), (27, 0x94D0_49BB_1331_11EB)):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(multiplier)
    return np.asarray(hashes ^ (hashes >> np.uint64(31)), dtype=np.uint64)


@lru_cache(maxsize=8)
def _powers(base: int, count: int) -> Hashes:
    powers = np.full(count, base, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _fitted(texts: pa.Array, counts: Codes, null: int, others: Codes | None = None) -> Categories:
    others = np.zeros(BUCKETS, dtype=np.int64) if others is None else others.copy()
    if len(texts) <= MOST_VALUES:
        return Categories(counts=_mapping(texts, counts), others=others, null=null)
    hashes = hashes_of(texts)
    last = np.partition(hashes, MOST_VALUES - 1)[MOST_VALUES - 1]
    kept = np.flatnonzero(hashes <= last)
    if len(kept) > MOST_VALUES:
        # Two values of one hash at the border: their texts decide.
        names = texts.take(pa.array(kept)).to_pylist()
        order = sorted(range(len(kept)), key=lambda n: (hashes[kept[n]], names[n]))
        kept = np.sort(kept[order[:MOST_VALUES]])
    left = np.ones(len(texts), dtype=bool)
    left[kept] = False
    np.add.at(others, (hashes[left] % np.uint64(BUCKETS)).astype(np.int64), counts[left])
    return Categories(counts=_mapping(texts.take(pa.array(kept)), counts[kept]), others=others, null=null)


def _mapping(texts: pa.Array, counts: Any) -> dict[str, int]:  # noqa: ANN401  Arrow's counts are not typed
    return dict(sorted(zip(texts.to_pylist(), (int(count) for count in counts), strict=True)))
