"""Widths of intervals from past errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.modeling.conformal import half_width
from mlops_assets.modeling.errors import TrainingError

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]


def _swinging(draw: np.random.Generator, elections: int, districts: int = 40, swing: float = 1.0) -> list[Numbers]:
    """Errors of districts that share their election's swing."""
    return [draw.normal(draw.normal(0.0, swing), 1.0, districts) for _ in range(elections)]


def test_with_many_elections_the_width_is_the_quantile_of_all_corrected_for_their_number() -> None:
    errors = [np.arange(1.0, 101.0)] * 30
    assert half_width(errors) == 93.0
    assert half_width(errors, coverage=0.5) == 52.0


def test_thirteen_elections_are_many() -> None:
    assert half_width([np.arange(1.0, 101.0)] * 13) == 97.0
    assert half_width([np.arange(1.0, 101.0)] * 12) > 100.0


def test_an_election_with_many_districts_counts_no_more_than_another() -> None:
    few = [np.full(10, 5.0)] * 20
    assert half_width([*few, np.full(10_000, 1.0)]) == half_width([*few, np.full(10, 1.0)]) == 5.0


def test_few_elections_give_a_wider_interval_than_their_largest_error() -> None:
    assert half_width([np.array([1.0, 1.0]), np.array([-1.0, -1.0])]) == pytest.approx(3.577, abs=0.001)


def test_elections_without_errors_and_errors_of_zero_need_no_width() -> None:
    assert half_width([np.zeros(5), np.array([])]) == 0.0


def test_no_errors_give_no_interval() -> None:
    with pytest.raises(TrainingError, match="no errors of the past"):
        half_width([np.array([])])


@given(
    errors=st.lists(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), min_size=1, max_size=20),
    factor=st.floats(1e-2, 1e2),
)
def test_the_width_has_the_unit_of_the_errors(errors: list[list[float]], factor: float) -> None:
    arrays = [np.array(each) for each in errors]
    scaled = half_width([each * factor for each in arrays])
    assert scaled == pytest.approx(half_width(arrays) * factor, rel=1e-4, abs=1e-3)


@settings(max_examples=50)
@given(errors=st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4), min_size=13, max_size=16))
def test_the_width_holds_the_promised_share_of_its_own_elections(errors: list[list[float]]) -> None:
    width = half_width([np.array(each) for each in errors])
    assert np.mean([np.mean(np.abs(each) <= width * (1.0 + 1e-9)) for each in errors]) >= 0.9


@pytest.mark.parametrize("elections", [3, 6, 12, 20])
def test_districts_of_an_unseen_election_are_held_as_promised_also_where_a_swing_moves_all(elections: int) -> None:
    draw = np.random.default_rng(5)
    held = []
    for _ in range(400):
        *past, coming = _swinging(draw, elections + 1)
        held.append(np.mean(np.abs(coming) <= half_width(past)))
    assert 0.87 < np.mean(held) < 0.97
