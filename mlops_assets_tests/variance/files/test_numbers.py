"""Numbers: what is one in a whole column, and what is refused with its row and a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files.opening import Reading
from mlops_assets_tests.variance.files.reading_files import numbers_of, written

if TYPE_CHECKING:
    from pathlib import Path


def _column(folder: Path, *values: str, reading: Reading | None = None) -> list[float | None]:
    path = written(folder / "a.csv", "x\tv\n" + "".join(f"a\t{value}\n" for value in values))
    (found,) = numbers_of([path], "v", reading or Reading())
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["5", "5.00", "-.5", "+7", " 8 ", "1.00E+03", "1e-2"], [5, 5, -0.5, 7, 8, 1000, 0.01]),
        (["\u22125", "3"], [-5, 3]),
        (["1,234.50", "1,291", "12"], [1234.5, 1291, 12]),
        (["1,234,567", "1,291"], [1234567, 1291]),
        (["1.234,5", "1.291", "12"], [1234.5, 1291, 12]),
        (["1.234.567", "1.291"], [1234567, 1291]),
        (["1,5", "0,125", "12"], [1.5, 0.125, 12]),
        (["1 234", "1\u00a0234\u00a0567", "5"], [1234, 1234567, 5]),
        (["1'234.5"], [1234.5]),
        (["12%", "12.5 %"], [0.12, 0.125]),
        (["$1,200.50", "-$5", "$-7"], [1200.5, -5, -7]),
        (["1.200,50 €", "5 €"], [1200.5, 5]),
        (["3", "", "NA", "n/a", "NaN", "null", "None", ".", "-"], [3, *[None] * 8]),
        (["1.5", "NA", "2,000.5"], [1.5, None, 2000.5]),
    ],
)
def test_what_has_one_reading_is_a_number(tmp_path: Path, values: list[str], expected: list[float | None]) -> None:
    assert _column(tmp_path, *values) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["5", "many", "6", "few"], "column v: 'many' in row 2 is no number .2 such values"),
        (["5", "0x10"], "'0x10' in row 2 is no number"),
        (["5", "1_000"], "'1_000' in row 2 is no number"),
        (["5", "inf"], "'inf' in row 2 is no number"),
        (["5", "yes"], "'yes' in row 2 is no number"),
        (["5", "1e999"], "'1e999' in row 2 is no number"),
        (["12,34,567.5"], "'12,34,567.5' in row 1 is no number"),
        (["1.234,5", "1,234.5"], "is no number"),
        (["5", "(7)"], "is no number"),
        (["$5", "€5"], "in row . bears"),
        (["12%", "13%", "5"], "'5' in row 3 bears no percent sign or currency, unlike others"),
        (["12", "13", "5%"], "'5%' in row 3 bears %, unlike others"),
        (["1,291", "950"], "'1,291' in row 1 can be read in two ways"),
        (["1,291", "1.234"], "can be read in two ways"),
    ],
)
def test_what_has_none_or_two_is_refused_with_its_row_and_count(tmp_path: Path, values: list[str], words: str) -> None:
    with pytest.raises(ComparisonError, match=rf"a.csv: .*{words}"):
        _column(tmp_path, *values)


def test_what_stands_before_decimals_may_be_said(tmp_path: Path) -> None:
    assert _column(tmp_path, "1,291", "950", reading=Reading(decimal="point")) == [1291, 950]
    assert _column(tmp_path, "1,291", "950", reading=Reading(decimal="comma")) == [1.291, 950]
    assert _column(tmp_path, "1.291", "950", reading=Reading(decimal="comma")) == [1291, 950]


def test_a_long_column_is_refused_for_the_one_value_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match=r"'x1' in row 200,001 is no number. Mend"):
        _column(tmp_path, *["5"] * 200_000, "x1", "6")


def test_both_sides_are_read_in_one_way(tmp_path: Path) -> None:
    before = written(tmp_path / "before.csv", "x;v\na;1.291\n")
    after = written(tmp_path / "after.csv", "x;v\na;1,5\n")
    typed = written(tmp_path / "after.parquet", {"v": [1.5]})
    assert numbers_of([before, after], "v") == [[1291], [1.5]]
    assert numbers_of([before, typed], "v") == [[1.291], [1.5]]


def test_infinite_numbers_of_parquet_are_refused_and_nan_is_missing(tmp_path: Path) -> None:
    assert numbers_of([written(tmp_path / "a.parquet", {"v": [1.5, float("nan")]})], "v") == [[1.5, None]]
    with pytest.raises(ComparisonError, match="column v is infinite in 1 row"):
        numbers_of([written(tmp_path / "a.parquet", {"v": [1.5, float("inf")]})], "v")


def test_a_date_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match="'2020-01-31' in row 1 is no number"):
        _column(tmp_path, "2020-01-31")
