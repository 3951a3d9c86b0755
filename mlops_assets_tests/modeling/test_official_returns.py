"""The vote model on the official returns of 1976 to 2020: the numbers that ``docs/model.md`` claims."""

from __future__ import annotations

import pytest

from mlops_assets_tests.modeling.official_returns import NEXT, TOO_FAR, mean, measured

METRIC = "mean_absolute_percentage_error"
SQUARED = "root_mean_squared_log_error"


@pytest.mark.real_data
def test_on_official_returns_the_model_beats_both_baselines_on_average() -> None:
    errors = measured(NEXT)
    assert len({one.tested_on for one in errors}) == 16
    assert mean(errors, "model", METRIC) < 0.92 * mean(errors, "same_kind_last_time", METRIC)
    assert mean(errors, "model", METRIC) < 0.5 * mean(errors, "same_as_last_time", METRIC)
    assert mean(errors, "model", SQUARED) < 0.85 * mean(errors, "same_kind_last_time", SQUARED)


@pytest.mark.real_data
def test_intervals_hold_about_nine_districts_of_ten_on_average_but_not_in_every_election() -> None:
    errors = [one for one in measured(NEXT) if one.estimator == "model"]
    assert 0.85 < mean(errors, "model", "interval_coverage") < 0.95
    assert min(one.metrics["interval_coverage"] for one in errors) < 0.6


@pytest.mark.real_data
def test_two_elections_ahead_the_model_is_about_as_good_as_the_same_kind_last_time() -> None:
    errors = measured(TOO_FAR)
    assert mean(errors, "model", METRIC) < 1.15 * mean(errors, "same_kind_last_time", METRIC)
