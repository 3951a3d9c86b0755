"""Tests of the comparison between published predictions and outputs of online scoring."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.serving.http.drift import Reference, bin_of, population_stability_index, reference_of


def index(reference: Reference, values: list[float]) -> float | None:
    return population_stability_index(reference, Counter(bin_of(reference, value) for value in values))


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.0, 0.02), (0.5, 0.1, 0.6), (2.0, 2.0, 9.0)])
def test_the_index_grows_with_the_shift(shift: float, low: float, high: float) -> None:
    chance = np.random.default_rng(1)
    reference = reference_of("m", "v", chance.normal(size=5000).tolist())
    assert reference is not None
    found = index(reference, chance.normal(loc=shift, size=5000).tolist())
    assert found is not None
    assert low <= found <= high


@given(values=st.lists(st.floats(-1e9, 1e9), min_size=100, max_size=300))
def test_the_same_values_do_not_drift_whatever_they_are(values: list[float]) -> None:
    reference = reference_of("m", "v", values)
    assert reference is not None
    assert index(reference, values) == pytest.approx(0.0, abs=1e-9)


def test_too_few_values_say_nothing() -> None:
    assert reference_of("m", "v", [0.5] * 99) is None
    reference = reference_of("m", "v", [float(number) for number in range(100)])
    assert reference is not None
    assert index(reference, [1.0] * 99) is None
