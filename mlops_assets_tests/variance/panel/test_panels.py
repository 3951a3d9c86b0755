"""Panels from files: order of times, texts as delivered, and what is left out or put together is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files.opening import Reading
from mlops_assets.variance.panel.detection import detect
from mlops_assets.variance.panel.panels import Columns, Panel, read_panel
from mlops_assets_tests.variance.files.reading_files import written

_COLUMNS = Columns(unit="u", group="g", time="t", measures=("v",))


def _panel(folder: Path, *rows: str, columns: Columns = _COLUMNS) -> Panel:
    return read_panel(written(folder / "panel.csv", "u;g;t;v\n" + "\n".join(rows) + "\n"), columns)


def test_months_in_words_are_in_the_order_of_the_calendar() -> None:
    data = os.environ.get("MLOPS_ASSETS_TEST_DATA")
    if not data:
        pytest.skip("the small panels are not there (set MLOPS_ASSETS_TEST_DATA)")
    panel = read_panel(Path(data) / "variance-faults" / "mini_f_month_order.csv", _COLUMNS)
    assert panel.times == ["Jan 2020", "Feb 2020", "Mar 2020", "Apr 2020"]
    assert (panel.elapsed - panel.elapsed[0]).tolist() == [0, 31, 60, 91]
    assert [row["time"] for row in detect(panel).to_pylist() if row["cause"] != "none"] == ["Feb 2020"]


def test_units_that_differ_as_texts_are_different_units(tmp_path: Path) -> None:
    units = ["12345678901234567801", "12345678901234567802", "5", "5.00", "1E5", "100000", "T", "true", "007", "7"]
    panel = _panel(tmp_path, *(f"{unit};a;{time};1" for unit in units for time in (1, 2)))
    assert sorted(panel.units) == sorted(units)
    assert (panel.copies == 1).all()


def test_rows_of_one_unit_and_time_are_counted_and_told(tmp_path: Path) -> None:
    panel = _panel(tmp_path, "x;a;1;4", "x;a;1;6", "x;a;2;5", "y;a;2;5")
    assert panel.values[0].tolist() == [5, 5, 5]
    assert panel.notes == (
        "1 pair of u and t came in more than one row (2 rows); the mean of their measures was taken.",
    )


def test_rows_without_unit_group_or_time_and_missing_numbers_are_counted_and_told(tmp_path: Path) -> None:
    panel = _panel(tmp_path, "x;a;1;4", "x;a;2;", ";a;1;6", "x;;1;6", "x;a;;5", "y;a;2;NA")
    assert panel.notes == ("3 rows without u, g or t left out.", "v is missing in 2 rows of 3.")


def test_two_spellings_of_a_time_are_one_time_and_told(tmp_path: Path) -> None:
    panel = _panel(tmp_path, "x;a;2018;4", "y;a;2018.0;4", "x;a;2019;4", "y;a;2019;5")
    assert panel.times == ["2018", "2019"]
    assert panel.notes == ("t: 1 label said a time that another one says too.",)


def test_one_time_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match=r"panel.csv: all rows are of one time, t 2018: there is nothing to"):
        _panel(tmp_path, "x;a;2018;4", "y;a;2018;4")


def test_numbers_that_have_two_readings_are_refused_and_read_as_said(tmp_path: Path) -> None:
    rows = ("x;a;1;1,291", "x;a;2;950")
    with pytest.raises(ComparisonError, match=r"panel.csv: column v: '1,291' in row 1 can be read in two ways"):
        _panel(tmp_path, *rows)
    said = Columns(unit="u", group="g", time="t", measures=("v",), reading=Reading(decimal="point"))
    assert _panel(tmp_path, *rows, columns=said).values[0].tolist() == [1291, 950]


def test_a_file_of_parquet_and_a_delimited_one_are_the_same_panel(tmp_path: Path) -> None:
    rows = [(unit, time, 10.0 * time + unit) for unit in (1, 2) for time in (2018, 2019)]
    table = {
        "u": [unit for unit, _, _ in rows],
        "g": ["a"] * len(rows),
        "t": [time for _, time, _ in rows],
        "v": [value for _, _, value in rows],
    }
    typed = read_panel(written(tmp_path / "panel.parquet", table), _COLUMNS)
    text = _panel(tmp_path, *(f"{unit};a;{time};{value}" for unit, time, value in rows))
    assert (typed.units, typed.times) == (text.units, text.times)
    assert typed.values.tolist() == text.values.tolist()
