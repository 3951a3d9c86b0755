"""Widths of intervals from past errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.modeling.conformal import half_width
from mlops_assets.modeling.errors import TrainingError


def test_the_width_is_the_quantile_corrected_for_the_number_of_errors() -> None:
    errors = np.arange(1, 20, dtype=np.float64)
    assert half_width(errors) == 18.0
    assert half_width(errors, coverage=0.5) == 10.0


def test_few_errors_give_a_wider_interval_than_their_largest() -> None:
    assert half_width(np.array([1.0, -1.0])) == pytest.approx(2.92, abs=0.01)


def test_no_errors_give_no_interval() -> None:
    with pytest.raises(TrainingError, match="no errors of the past"):
        half_width(np.array([]))


@given(errors=st.lists(st.floats(-1e6, 1e6), min_size=9, max_size=200))
def test_the_width_holds_the_promised_share_of_its_own_errors(errors: list[float]) -> None:
    width = half_width(np.array(errors))
    assert np.mean(np.abs(errors) <= width + 1e-8) >= 0.9


@given(
    errors=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=50),
    factor=st.floats(1e-2, 1e2),
)
def test_the_width_has_the_unit_of_the_errors(errors: list[float], factor: float) -> None:
    scaled = half_width(np.array(errors) * factor)
    assert scaled == pytest.approx(half_width(np.array(errors)) * factor, rel=1e-5, abs=1e-6)


def test_errors_of_the_same_law_are_held_as_promised() -> None:
    draw = np.random.default_rng(5)
    held = [abs(draw.normal()) <= half_width(draw.normal(size=39)) for _ in range(2000)]
    assert 0.87 < np.mean(held) < 0.93
