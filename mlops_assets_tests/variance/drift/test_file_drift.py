"""Drift between files: one rule of types for both, and no names or identifiers in what is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from mlops_assets.variance.drift.file_drift import file_drift
from mlops_assets.variance.errors import ComparisonError
from mlops_assets_tests.variance.files.reading_files import written

if TYPE_CHECKING:
    from pathlib import Path


def _row(folder: Path, before: object, after: object, **options: Any) -> dict[str, Any]:  # noqa: ANN401  of file_drift
    """The row of column x; texts become delimited files, lists and arrays Parquet."""
    paths = []
    for name, values in (("before", before), ("after", after)):
        if isinstance(values, str):
            lines = "".join(f"{value};\n" for value in values.split(" "))
            paths.append(written(folder / f"{name}.csv", f"x;y\n{lines}"))
        else:
            paths.append(written(folder / f"{name}.parquet", {"x": values}))
    found: dict[str, Any] = file_drift(paths[0], paths[1], ["x"], **options).to_pylist()[0]
    return found


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("1 2 3 " * 30 + "1", "1 2 4 " * 30 + "1", "number"),
        ("T F " * 30 + "T", "T F " * 30 + "yes", "category"),
        ("yes no " * 30 + "no", "no yes " * 30 + "no", "category"),
        ("1 2 " * 30 + "2", "1 x " * 30 + "2", "category"),
        ("007 8 " * 30 + "8", "7 8 " * 30 + "8", "category"),
        ("12345678901234567801 " * 30 + "1", "12345678901234567802 " * 30 + "1", "category"),
        ("2020-01-31 " * 30 + "2020-02-01", "2020-01-30 " * 30 + "2020-02-01", "number"),
        ("1 2 " * 30 + "2", [1, 2] * 30, "number"),
        ("1 2 " * 30 + "2", ["1", "2"] * 30, "category"),
        ([1, 2] * 30, ["1", "2"] * 30, "category"),
        ("5 5.00 " * 30 + "5", [5.0] * 61, "number"),
        ("true false " * 30 + "true", [True, False] * 30, "category"),
    ],
)
def test_both_files_decide_together_what_a_column_is(tmp_path: Path, before: Any, after: Any, kind: str) -> None:  # noqa: ANN401  see _row
    assert _row(tmp_path, before, after)["kind"] == kind


def test_the_same_values_in_either_format_show_no_drift(tmp_path: Path) -> None:
    days = pa.array([18_000 + day % 40 for day in range(200)], pa.date32())
    text = " ".join(str(day) for day in days.to_pylist())
    for before, after in ((text, days), (days, text), (text, days.cast(pa.timestamp("us")))):
        row = _row(tmp_path, before, after)
        assert (row["kind"], row["drift"], row["psi"]) == ("number", "none", 0)


def test_one_unknown_value_does_not_make_numbers_texts_and_is_told(tmp_path: Path) -> None:
    ages = " ".join(str(18 + row % 60) for row in range(300))
    row = _row(tmp_path, ages, f"{ages} unknown")
    assert (row["kind"], row["drift"]) == ("number", "none")
    assert row["note"] == "1 value after unlike all others counted as missing."


def test_words_for_missing_are_missing(tmp_path: Path) -> None:
    row = _row(tmp_path, "1 2 NA " * 40 + "1", "1 2 NA " * 40 + "1")
    assert (row["kind"], row["note"]) == ("number", "")
    assert row["missing_before"] == pytest.approx(1 / 3, abs=0.01)


def test_names_and_identifiers_of_persons_are_not_written(tmp_path: Path) -> None:
    people = [f"{first}_{last}" for first in ("Ann", "Bob", "Cid") for last in ("Roe", "Poe", "Lee", "Fox")]
    for count in (1, 40):
        before = " ".join(f"{name}{number}" for name in people for number in range(count))
        row = _row(tmp_path, before, before.replace("Ann", "Dan"))
        assert row["largest_change"] == ""
        assert "withheld" in row["note"]
        assert not any(name in str(row) for name in ("Ann", "Dan", "Roe"))


def test_names_are_written_when_they_are_asked_for(tmp_path: Path) -> None:
    row = _row(tmp_path, "Ann Bob Cid", "Ann Dan Eve", show_values=True)
    assert row["largest_change"].split(":")[0] in {"Bob", "Cid", "Dan", "Eve"}


def test_classes_are_written(tmp_path: Path) -> None:
    assert _row(tmp_path, "UNA REP " * 20 + "REP", "UNA DEM " * 20 + "DEM")["largest_change"][:3] in {"REP", "DEM"}


@pytest.mark.parametrize("empty", ["x;y\n", "", {"x": pa.array([], pa.int64())}])
def test_an_empty_file_is_refused_by_name(tmp_path: Path, empty: Any) -> None:  # noqa: ANN401  see _row
    before = written(tmp_path / "before.csv", "x;y\n1;2\n")
    after = written(tmp_path / f"after.{'parquet' if isinstance(empty, dict) else 'csv'}", empty)
    with pytest.raises(ComparisonError, match=r"after.*: it (is empty|has columns and no rows)"):
        file_drift(before, after)


def test_a_fault_of_the_later_file_is_told_of_it(tmp_path: Path) -> None:
    before = written(tmp_path / "before.csv", "x;y\n" + "1;2\n" * 100)
    after = written(tmp_path / "after.csv", "x;y\n" + "1;2\n" * 100 + "1;2;3\n")
    for one, other in ((before, after), (after, before)):
        with pytest.raises(ComparisonError, match=r"after.csv: line 102 has 3 fields"):
            file_drift(one, other)
