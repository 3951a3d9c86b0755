"""One mergeable summary per partition: all that a comparison of two partitions needs, so that no row is read twice.

Put here summaries of whole tables: made in one scan, and merged. Keep out the form of a column's summary and what is
concluded from two of them.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlops_assets.variance.drift.arrow_columns import kind_of, plain
from mlops_assets.variance.drift.category_summaries import Categories, categories_of, merge_categories
from mlops_assets.variance.drift.number_summaries import Numbers, merge_numbers, numbers_of
from mlops_assets.variance.drift.samples import Sample, merge_samples, sample_of
from mlops_assets.variance.errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Column = Numbers | Categories


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """What is kept of one partition.

    Attributes:
        columns: summary of each column, by name.
        sample: some of its rows, for comparing all columns together; ``None`` where none were kept.
    """

    columns: Mapping[str, Column]
    sample: Sample | None = None

    @property
    def rows(self) -> int:
        """All rows."""
        return max((column.rows for column in self.columns.values()), default=0)


def summarise(
    reader: pa.RecordBatchReader, columns: Sequence[str] | None = None, *, sampled: int = 0, seed: int = 0
) -> Summary:
    """Summarise a table in one scan, with memory for a few batches and the summary.

    Numbers, dates (days since 1970), times and durations (in the unit of their type) become numbers, rounded to
    floating point; texts and truth values become categories.

    Args:
        reader: batches, as ``Table.to_reader()`` of Arrow, ``to_pyarrow_batches()`` of Ibis or DuckDB give them.
        columns: names of columns; all when not given.
        sampled: rows to keep for comparing all columns together.
        seed: of the sample; partitions that are to be merged or compared should have different ones.

    Raises:
        ComparisonError: a column is missing or named twice, there is none, or it holds neither numbers nor texts.
    """
    names = list(reader.schema.names if columns is None else columns)
    _require(reader.schema, names)
    found: list[Column] = [_of(pa.array([], type=reader.schema.field(name).type), None) for name in names]
    sample = Sample.empty(names) if sampled else None
    generator = np.random.default_rng(seed)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        for batch in reader:
            parts = [batch.column(name) for name in names]
            found = list(threads.map(_added, found, parts))
            if sample is not None:
                given = dict(zip(names, parts, strict=True))
                sample = merge_samples(
                    sample, sample_of(given, generator.random(len(batch)), most=sampled), most=sampled
                )
    return Summary(columns=dict(zip(names, found, strict=True)), sample=sample)


def merge(summaries: Iterable[Summary]) -> Summary:
    """The summary of all their rows together, exactly as if they had been summarised at once.

    Samples are merged too where all have one, to the size of the largest.

    Raises:
        ComparisonError: they have other columns, one holds numbers here and texts there, or there is no summary.
    """
    given = list(summaries)
    if not given:
        raise ComparisonError("There is no summary to merge. Give at least one.")
    return reduce(_merged, given)


def _require(schema: pa.Schema, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise ComparisonError(
            f"The table has no column {', '.join(missing)}; it has {', '.join(schema.names)}. Name others."
        )
    twice = sorted({name for name in names if names.count(name) > 1 or schema.names.count(name) > 1})
    if twice:
        raise ComparisonError(f"Column {', '.join(twice)} comes twice. Name each column once.")
    if not names:
        raise ComparisonError("There is no column to summarise. Name at least one.")
    for name in names:
        if kind_of(schema.field(name).type) is None:
            raise ComparisonError(
                f"Column {name} holds {schema.field(name).type}, neither numbers nor texts. Leave it out, or cast it."
            )


def _added(known: Column, values: pa.Array) -> Column:
    return _together(known, _of(values, known))


def _of(values: pa.Array, known: Column | None) -> Column:
    if kind_of(values.type) == "category":
        return categories_of(plain(values))
    level = known.level if isinstance(known, Numbers) else 0
    known_values = plain(values.drop_null()).to_numpy(zero_copy_only=False)
    return numbers_of(known_values, nulls=values.null_count, level=level)


def _together(one: Column, other: Column) -> Column:
    if isinstance(one, Numbers) and isinstance(other, Numbers):
        return merge_numbers(one, other)
    if isinstance(one, Categories) and isinstance(other, Categories):
        return merge_categories(one, other)
    raise ComparisonError("It holds numbers in one partition and texts in another. Cast it to one of them.")


def _merged(one: Summary, other: Summary) -> Summary:
    differing = sorted(set(one.columns) ^ set(other.columns))
    if differing:
        raise ComparisonError(
            f"Column {', '.join(differing)} is in one summary only. Merge summaries of the same columns."
        )
    columns = {}
    for name in one.columns:
        try:
            columns[name] = _together(*alike(one.columns[name], other.columns[name]))
        except ComparisonError as error:
            raise ComparisonError(f"Column {name} cannot be merged. {error}") from error
    sample = None
    if one.sample is not None and other.sample is not None:
        sample = merge_samples(one.sample, other.sample, most=max(len(one.sample), len(other.sample)))
    return Summary(columns=columns, sample=sample)


def alike(one: Column, other: Column) -> tuple[Column, Column]:
    """Both, where one has no value at all in the kind of the other: a type was guessed for it from nothing."""
    if type(one) is not type(other):
        if one.rows == one.null:
            return _nothing_like(other, one.null), other
        if other.rows == other.null:
            return one, _nothing_like(one, other.null)
    return one, other


def _nothing_like(column: Column, null: int) -> Column:
    empty = numbers_of(np.zeros(0), nulls=null)
    return empty if isinstance(column, Numbers) else Categories(null=null)
