"""The classifier test: by chance where nothing changed, above it where something did, with an honest error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats  # type: ignore[import-untyped]  # SciPy ships no types

from mlops_assets.variance.drift.multivariate import Separability, auc_and_variance, separability
from mlops_assets.variance.drift.samples import Sample, sample_of


def _sample(rows: int, seed: int, *, shift: float = 0.0, extra: str = "x") -> Sample:
    generator = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "age": pa.array(generator.normal(shift, size=rows), mask=generator.random(rows) < 0.1),
        "party": pa.array(generator.choice(["a", "b", extra], rows), mask=generator.random(rows) < 0.1),
        "id": pa.array(generator.integers(0, 10**9, rows)).cast(pa.string()),
        "none": pa.nulls(rows, pa.string()),
        "odd": pa.array(generator.choice([np.inf, -np.inf, np.nan, 0.0], rows)),
    }
    return sample_of(columns, generator.random(rows), most=rows)


def test_partitions_that_are_alike_cannot_be_told_apart() -> None:
    found = separability(_sample(800, 1), _sample(700, 2))
    assert isinstance(found, Separability)
    assert abs(found.auc - 0.5) < 4 * found.error
    assert found.p_value > 0.001
    assert found.rows == 1_500


@pytest.mark.parametrize("change", [{"shift": 0.5}, {"extra": "new"}])
def test_partitions_that_differ_are_told_apart(change: dict[str, Any]) -> None:
    found = separability(_sample(800, 1), _sample(800, 2, **change))
    assert isinstance(found, Separability)
    assert found.auc > 0.6
    assert found.p_value < 1e-6


def test_the_same_samples_give_the_same_answer() -> None:
    assert separability(_sample(200, 1), _sample(200, 2)) == separability(_sample(200, 1), _sample(200, 2))


def test_samples_that_say_nothing_say_so() -> None:
    assert "too small" in str(separability(_sample(40, 1), _sample(500, 2)))
    texts = sample_of({"age": pa.array(["a"] * 60)}, np.linspace(0, 1, 60), most=60)
    assert "no column of the same kind" in str(separability(texts, _sample(60, 1)))


def test_area_and_error_are_those_of_the_mann_whitney_statistic() -> None:
    generator = np.random.default_rng(3)
    areas, errors = [], []
    for _ in range(300):
        higher, lower = generator.normal(0.5, size=120), generator.normal(size=80)
        area, variance = auc_and_variance(higher, lower)
        assert area == pytest.approx(stats.mannwhitneyu(higher, lower).statistic / (120 * 80))
        areas.append(area)
        errors.append(np.sqrt(variance))
    assert np.std(areas) == pytest.approx(np.mean(errors), rel=0.15)
