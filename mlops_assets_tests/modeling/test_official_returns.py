"""The district models on the official returns of 1976 to 2020: the numbers that ``docs/model.md`` claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets.modeling.district_share import SHARE
from mlops_assets.modeling.district_votes import VOTES
from mlops_assets.modeling.trained import MODEL
from mlops_assets_tests.modeling.official_returns import NEXT, mean, measured, values

if TYPE_CHECKING:
    from mlops_assets.modeling.district_model import Target

METRIC = "mean_absolute_percentage_error"
SQUARED = "root_mean_squared_log_error"
SHARE_METRIC = "mean_absolute_error"


@pytest.mark.real_data
def test_on_official_returns_the_vote_model_beats_both_naive_guesses_on_average() -> None:
    errors = measured(VOTES, NEXT)
    assert len(values(errors, MODEL, METRIC)) == 16
    assert mean(errors, MODEL, METRIC) < 0.92 * mean(errors, "same_kind_last_time", METRIC)
    assert mean(errors, MODEL, METRIC) < 0.5 * mean(errors, "same_as_last_time", METRIC)
    assert mean(errors, MODEL, SQUARED) < 0.85 * mean(errors, "same_kind_last_time", SQUARED)


@pytest.mark.real_data
def test_on_official_returns_the_share_model_beats_both_naive_guesses_on_average() -> None:
    errors = measured(SHARE, NEXT)
    assert mean(errors, MODEL, SHARE_METRIC) < 0.97 * mean(errors, "same_as_last_time", SHARE_METRIC)
    assert mean(errors, MODEL, SHARE_METRIC) < 0.72 * mean(errors, "same_kind_last_time", SHARE_METRIC)


@pytest.mark.real_data
@pytest.mark.parametrize("target", [VOTES, SHARE], ids=["votes", "share"])
def test_intervals_hold_what_they_promise_on_average_and_most_districts_also_in_a_wave(target: Target) -> None:
    held = values(measured(target, NEXT), MODEL, "interval_coverage")
    assert 0.9 < sum(held.values()) / len(held) < 0.97
    assert min(held.values()) > 0.75
