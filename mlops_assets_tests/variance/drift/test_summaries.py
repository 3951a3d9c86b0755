"""Summaries of whole tables: one scan, any batches, kept as a table, refused in words."""

from __future__ import annotations

import datetime as dt
import decimal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from mlops_assets.variance.drift.category_summaries import Categories
from mlops_assets.variance.drift.number_summaries import Numbers
from mlops_assets.variance.drift.summaries import Summary, merge, summarise
from mlops_assets.variance.drift.summary_files import summarise_files
from mlops_assets.variance.drift.summary_tables import SCHEMA, from_table, to_table
from mlops_assets.variance.errors import ComparisonError

if TYPE_CHECKING:
    from pathlib import Path


def _people(rows: int, seed: int) -> pa.Table:
    """Rows with all that is awkward: NULL, NaN, infinities, more values than are kept, a constant."""
    generator = np.random.default_rng(seed)
    score = generator.lognormal(size=rows)
    score[generator.random(rows) < 0.05] = np.nan
    score[:2] = [np.inf, -np.inf]
    age = pa.array(generator.integers(18, 99, rows), mask=generator.random(rows) < 0.1)
    identity = pa.array(generator.integers(0, 10**6, rows)).cast(pa.string())
    party = pa.array(generator.choice(["DEM", "REP", "UNA"], rows), mask=generator.random(rows) < 0.2)
    return pa.table({"score": score, "age": age, "id": identity, "party": party, "one": np.ones(rows)})


def _in_order(summary: Summary) -> list[tuple[str, ...]]:
    return sorted(tuple(str(value) for value in row.values()) for row in to_table(summary).to_pylist())


def test_batches_of_any_size_give_the_same_summary() -> None:
    table = _people(20_000, 1)
    whole = summarise(table.to_reader(), sampled=100)
    for rows in (999, 7_000):
        assert _in_order(summarise(table.to_reader(max_chunksize=rows), sampled=100)) == _in_order(whole)


def test_the_summary_of_parts_is_that_of_the_whole_in_any_order() -> None:
    table = _people(20_000, 2)
    whole = summarise(table.to_reader())
    parts = [summarise(table.slice(start, 5_000).to_reader()) for start in range(0, 20_000, 5_000)]
    assert _in_order(merge(parts)) == _in_order(merge(parts[::-1])) == _in_order(whole)


def test_samples_of_parts_make_the_sample_of_the_whole_in_any_order() -> None:
    parts = [summarise(_people(300, seed).to_reader(), sampled=50, seed=seed) for seed in range(3)]
    one, other = merge(parts), merge(parts[::-1])
    assert one.sample is not None
    assert len(one.sample) == 50
    assert _in_order(one) == _in_order(other)


def test_a_summary_survives_being_kept_as_a_table_in_any_order_of_rows() -> None:
    summary = summarise(_people(20_000, 3).to_reader(), sampled=100)
    table = to_table(summary)
    assert table.schema == SCHEMA
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    assert _in_order(from_table(shuffled)) == _in_order(summary)


def test_the_table_of_a_summary_is_small_whatever_the_rows() -> None:
    table = to_table(summarise(_people(100_000, 4).to_reader()))
    rows = {name: table["column"].to_pylist().count(name) for name in ("score", "age", "id", "party", "one")}
    assert rows["score"] <= 2048 + 4
    assert rows["id"] <= 1024 + 256 + 1
    assert (rows["age"], rows["party"], rows["one"]) == (81 + 2, 3 + 2, 1 + 1)


def test_every_ordinary_type_is_a_number_or_a_category() -> None:
    moment = dt.datetime(2024, 11, 5, 7, 30, tzinfo=dt.UTC)
    table = pa.table(
        {
            "boolean": [True, False],
            "null": pa.nulls(2),
            "large": pa.array(["a", "b"], type=pa.large_string()),
            "coded": pa.array(["a", "b"]).dictionary_encode(),
            "day": [dt.date(2024, 11, 5), None],
            "moment": [moment, None],
            "money": [decimal.Decimal("1.50"), None],
            "wide": pa.array([2**63, 1], type=pa.uint64()),
            "coded_number": pa.array([5, 6]).dictionary_encode(),
            "length": [dt.timedelta(seconds=1), None],
            "clock": [dt.time(7, 30), None],
        }
    )
    summary = summarise(table.to_reader(), sampled=2)
    categories = [name for name, column in summary.columns.items() if isinstance(column, Categories)]
    assert categories == ["boolean", "null", "large", "coded"]
    assert _numbers(summary, "day").least == (dt.date(2024, 11, 5) - dt.date(1970, 1, 1)).days
    assert _numbers(summary, "moment").least == moment.timestamp() * 1e6
    assert _numbers(summary, "money").greatest == 1.5
    assert _numbers(summary, "wide").greatest == 2.0**63
    assert _in_order(from_table(to_table(summary))) == _in_order(summary)


def _numbers(summary: Summary, name: str) -> Numbers:
    column = summary.columns[name]
    assert isinstance(column, Numbers)
    return column


def test_an_empty_table_and_a_column_without_values_are_summarised_too() -> None:
    empty = summarise(pa.table({"x": pa.array([], type=pa.float64()), "y": pa.array([], type=pa.string())}).to_reader())
    assert empty.rows == 0
    assert _in_order(from_table(to_table(empty))) == _in_order(empty)
    nothing = summarise(pa.table({"x": pa.nulls(3), "y": pa.nulls(3)}).to_reader())
    some = summarise(pa.table({"x": [1.0], "y": ["a"]}).to_reader())
    together = merge([nothing, some])
    assert (_numbers(together, "x").null, together.columns["y"].rows) == (3, 4)


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        ({"x": [1]}, ["y"], "no column y; it has x"),
        ({"x": [1]}, ["x", "x"], "x comes twice"),
        ({"x": [1]}, [], "no column to summarise"),
        ({"x": [[1]]}, None, "x holds list<.*>, neither numbers nor texts"),
    ],
)
def test_a_table_that_cannot_be_summarised_is_refused(
    table: dict[str, Any], columns: list[str] | None, words: str
) -> None:
    with pytest.raises(ComparisonError, match=words):
        summarise(pa.table(table).to_reader(), columns)


def test_summaries_that_do_not_fit_are_not_merged() -> None:
    one, other = (summarise(pa.table({"x": values}).to_reader()) for values in ([1], ["a"]))
    with pytest.raises(ComparisonError, match=r"Column x cannot be merged. It holds numbers in one"):
        merge([one, other])
    with pytest.raises(ComparisonError, match="Column x, y is in one summary only"):
        merge([one, summarise(pa.table({"y": [1]}).to_reader())])
    with pytest.raises(ComparisonError, match="no summary to merge"):
        merge([])
    with pytest.raises(ComparisonError, match="no column kind, cell"):
        from_table(pa.table({"column": ["x"]}))


def test_files_of_both_formats_give_the_same_summary(tmp_path: Path) -> None:
    table = _people(3_000, 5).drop_columns(["score"])
    csv.write_csv(table, tmp_path / "people.csv", csv.WriteOptions(quoting_style="none"))
    parquet.write_table(table, tmp_path / "people.parquet")
    files = [tmp_path / f"people.{kind}" for kind in ("csv", "parquet")]
    of_csv, of_parquet = (file.summary for file in summarise_files(files, ["age", "party", "id"]))
    assert _in_order(of_csv) == _in_order(of_parquet)


def test_a_million_rows_take_seconds(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    parquet.write_table(_people(1_000_000, 6), path)
    # Processor time, of all threads: what else the machine does at the time does not count.
    began = time.process_time()
    (file,) = summarise_files([path], sampled=5_000)
    assert file.summary.rows == 1_000_000
    assert time.process_time() - began < 10
