"""Measures of error, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlops_assets.modeling.metrics import count_metrics, probability_metrics, share_metrics


def test_probability_metrics_of_two_cells() -> None:
    metrics = probability_metrics(np.array([0.2, 0.8]), np.array([1.0, 3.0]), np.array([4.0, 4.0]))
    assert metrics["brier"] == pytest.approx((0.64 + 3 * 0.04 + 3 * 0.04 + 0.64) / 8)
    assert metrics["log_loss"] == pytest.approx(-(2 * math.log(0.2) + 6 * math.log(0.8)) / 8)
    assert metrics["calibration_error"] == pytest.approx(0.05)
    assert metrics["auc"] == pytest.approx(0.75)


def test_cells_count_like_the_persons_in_them() -> None:
    draw = np.random.default_rng(2)
    probabilities, happened = draw.random(50), draw.integers(0, 2, 50).astype(np.float64)
    apart = probability_metrics(np.repeat(probabilities, 3), np.repeat(happened, 3), np.ones(150))
    together = probability_metrics(probabilities, happened * 3, np.full(50, 3.0))
    assert together == pytest.approx(apart)


def test_certain_guesses_have_a_finite_log_loss() -> None:
    metrics = probability_metrics(np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    assert metrics["log_loss"] == pytest.approx(-(math.log(0.01) + math.log(0.99)) / 2)
    assert "auc" not in metrics


def test_errors_of_shares_and_counts() -> None:
    shares = share_metrics(np.array([0.5, 0.7]), np.array([0.4, 0.7]))
    assert shares["mean_absolute_error"] == pytest.approx(0.05)
    assert shares["root_mean_squared_error"] == pytest.approx(math.sqrt(0.005))
    counts = count_metrics(np.array([110.0, 100.0, 400.0]), np.array([100.0, 100.0, 200.0]))
    assert counts["mean_absolute_percentage_error"] == pytest.approx(110 / 3)
    assert counts["median_absolute_percentage_error"] == pytest.approx(10)
    assert counts["root_mean_squared_log_error"] == pytest.approx(
        math.sqrt((math.log(1.1) ** 2 + math.log(2) ** 2) / 3)
    )
