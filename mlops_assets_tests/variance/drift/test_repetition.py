"""Repetition: q-values are those of Benjamini and Yekutieli within a time, and are spent from time to time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]  # SciPy ships no types

from mlops_assets.variance.drift.repetition import adjusted


def test_one_time_is_judged_by_benjamini_and_yekutieli() -> None:
    chance = np.array([1e-6, 0.003, 0.2, np.nan, 0.9])
    found = adjusted(chance, ["t"] * 5, level=0.01)
    by = stats.false_discovery_control(chance[[0, 1, 2, 4]], method="by")
    assert found[[0, 1, 2, 4]] == pytest.approx(np.minimum(2 * by, 1))
    assert np.isnan(found[3])


def test_a_time_costs_more_the_longer_nothing_was_found_and_a_discovery_begins_anew() -> None:
    chance = np.array([1e-4, 1e-4, 1e-4, 1e-9, 1e-4, np.nan, 1e-4])
    found = adjusted(chance, list("abcdefg"), level=1e-4)
    assert found == pytest.approx(
        [2e-4, 6e-4, 12e-4, 20e-9, 2e-4, np.nan, 6e-4], nan_ok=True
    )  # a time without a test is none


@pytest.mark.parametrize("hang_together", [False, True])
def test_of_a_thousand_null_worlds_of_sixty_months_hardly_any_tells_of_anything(*, hang_together: bool) -> None:
    generator = np.random.default_rng(3)
    told = 0
    for _ in range(1000):
        draws = generator.normal(size=(60, 1 if hang_together else 20)) + 1e-3 * generator.normal(size=(60, 20))
        chance = 2 * stats.norm.sf(np.abs(draws) / draws.std())
        found = adjusted(chance.ravel(), [str(month) for month in range(60) for _ in range(20)], level=0.01)
        told += bool((found <= 0.01).any())
    assert told <= 20  # ten are put up with


def test_drift_that_goes_on_is_told_every_time() -> None:
    generator = np.random.default_rng(4)
    chance = np.column_stack([np.full(60, 1e-6), generator.random((60, 9))])
    found = adjusted(chance.ravel(), [str(month) for month in range(60) for _ in range(10)], level=0.01)
    assert (found.reshape(60, 10)[:, 0] <= 0.01).all()
    assert (found.reshape(60, 10)[:, 1:] > 0.01).all()
