"""Where series changed: steps, trends and scatter, gaps, several series, and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.panel.changepoints import Series, changepoints, read_series

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.variance.arrays import Floats

_RANDOM = np.random.default_rng(11)


def _positions(*values: Floats) -> list[int]:
    table = np.array(values)
    names = tuple(f"v{number}" for number in range(len(table)))
    found: list[int] = changepoints(Series(times=[str(at) for at in range(table.shape[1])], names=names, values=table))[
        "position"
    ].to_pylist()
    return found


def test_noise_around_one_level_has_no_change_point() -> None:
    assert _positions(_RANDOM.normal(5, 1, 300)) == []


def test_a_straight_trend_has_no_change_point() -> None:
    assert _positions(np.arange(200) * 0.3 + _RANDOM.normal(0, 1, 200)) == []


def test_a_step_is_found_at_its_first_value() -> None:
    values = np.concatenate([_RANDOM.normal(0, 1, 80), _RANDOM.normal(6, 1, 60)])
    assert _positions(values) == [80]


def test_a_turn_of_the_trend_and_more_scatter_are_found() -> None:
    turned = np.concatenate([np.arange(100), 100 - np.arange(100)]) + _RANDOM.normal(0, 2, 200)
    assert _positions(turned) == pytest.approx([100], abs=4)
    wilder = np.concatenate([_RANDOM.normal(0, 1, 150), _RANDOM.normal(0, 5, 150)])
    assert _positions(wilder) == pytest.approx([150], abs=8)


def test_missing_values_are_bridged() -> None:
    values = np.concatenate([_RANDOM.normal(0, 1, 80), _RANDOM.normal(9, 1, 60)])
    values[[0, 10, 11, 12, 100, 139]] = np.nan
    assert _positions(values) == [80]


def test_several_series_are_split_together() -> None:
    step = np.concatenate([_RANDOM.normal(0, 1, 60), _RANDOM.normal(5, 1, 60)])
    assert _positions(step, -step, np.full(120, 3.0)) == [60]


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0], [4.0] * 50, [np.nan, 1.0, np.nan, 1.0]])
def test_short_and_constant_series_have_no_change_point(values: list[float]) -> None:
    assert _positions(np.array(values)) == []


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(0.001, 1000), st.floats(-1e3, 1e3))
def test_another_unit_of_measure_moves_no_change_point(values: list[float], factor: float, offset: float) -> None:
    plain = np.round(np.array(values), 1)
    if plain.std() > 1:
        assert _positions(plain * factor + offset) == _positions(plain)


def test_a_file_is_read_in_the_order_of_its_times(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    path.write_text("day,x\n10,3\n2,1\n1,\n3,2\n10,5\n,7\n", encoding="utf-8")
    series = read_series(path, time="day", values=["x"])
    assert series.times == ["1", "2", "3", "10"]
    assert series.values[0, 1:].tolist() == [1.0, 2.0, 4.0]
    assert series.notes == ("1 row without day left out.", "1 row of a time that came before; the mean was taken.")


@pytest.mark.parametrize(
    ("value", "words"),
    [("y", "no column y"), ("name", "'a' in row 1 is no number"), ("x", "it has 1 time: a change has 2 before")],
)
def test_series_that_cannot_be_read_are_refused(tmp_path: Path, value: str, words: str) -> None:
    path = tmp_path / "series.csv"
    path.write_text("day,x,name\n1,2,a\n", encoding="utf-8")
    with pytest.raises(ComparisonError, match=words):
        read_series(path, time="day", values=[value])
