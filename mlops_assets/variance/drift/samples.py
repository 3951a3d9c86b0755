"""Samples of rows that can be merged: what is needed to compare all columns of two partitions together.

Put here how rows are chosen and samples merged. Keep out what is concluded from them.

Every row draws a number and those with the lowest are kept, so that the sample of two partitions together is made of
their samples, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlops_assets.variance.drift.arrow_columns import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Some rows of a table.

    Attributes:
        columns: of each column the values of these rows, as Arrow arrays of floating-point numbers or texts.
        order: the number that each row drew, ascending, 0 to 1.
    """

    columns: Mapping[str, pa.Array]
    order: Floats

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def empty(cls, names: Sequence[str]) -> Sample:
        """No rows of those columns."""
        return cls(columns={name: pa.nulls(0) for name in names}, order=np.zeros(0))


def sample_of(columns: Mapping[str, pa.Array], drawn: Floats, *, most: int) -> Sample:
    """Choose rows of a table.

    Args:
        columns: the values of each column.
        drawn: a random number for each row.
        most: rows to keep at most.
    """
    order = np.argsort(drawn, kind="stable")[:most]
    rows = pa.array(order)
    return Sample(
        columns={name: _decoded(plain(values.take(rows))) for name, values in columns.items()}, order=drawn[order]
    )


def merge_samples(one: Sample, other: Sample, *, most: int) -> Sample:
    """The sample of both tables' rows together.

    Args:
        one: rows of a table.
        other: rows of another one, with the same columns.
        most: rows to keep at most; neither may have kept fewer unless it had no more.
    """
    drawn = np.concatenate([one.order, other.order])
    joined = {name: _joined(one.columns[name], other.columns[name]) for name in one.columns}
    return sample_of(joined, drawn, most=most)


def _joined(one: pa.Array, other: pa.Array) -> pa.Array:
    kind = one.type if len(one) else other.type
    return pa.concat_arrays([one.cast(kind), other.cast(kind)])


def _decoded(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
