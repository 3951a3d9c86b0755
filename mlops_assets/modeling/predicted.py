"""Predictions of districts as rows of their table, and the interval that a model recorded for them.

Put here the form in which modeling hands over predictions. Keep out how a value is made.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlops_assets.modeling.conformal import Interval
from mlops_assets.platform.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from mlops_assets.scoring.records import ModelRecord

    Numbers = npt.NDArray[np.float64]


def recorded_interval(record: ModelRecord) -> Interval:
    """The interval in a model's parameters.

    Raises:
        ArtifactError: there is none, or it lacks a part.
    """
    try:
        recorded: dict[str, Any] = dict(record.parameters["interval"])
        return Interval(**{**recorded, "tested_on": tuple(recorded["tested_on"])})
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            source=f"Model {record.name} {record.version[:12]}",
            culprit=f"its parameters hold no readable interval ({type(error).__name__}).",
            remedy="Train the model again with this version of the platform.",
        ) from None


def only_version(versions: Mapping[str, str]) -> str:
    """The content hash of the one partition that was read; of several their hashes, sorted and joined by ``+``."""
    return "+".join(sorted(versions.values()))


def expected_error(lower: Numbers, upper: Numbers, coverage: float) -> Numbers:
    """The mean absolute error that an interval lets expect, if errors are normally distributed.

    Intervals that were widened for the swings of whole elections promise more than most elections need; so this errs on
    the cautious side.

    Args:
        lower: lower ends.
        upper: upper ends.
        coverage: share of outcomes that the intervals should hold.

    Returns:
        For each interval its half width times the ratio of a normal distribution's mean absolute deviation to its
        quantile, in the unit of the ends.
    """
    deviation = (upper - lower) / (2.0 * NormalDist().inv_cdf((1.0 + coverage) / 2.0))
    return deviation * math.sqrt(2.0 / math.pi)


def predictions_table(
    record: ModelRecord,
    *,
    election: str,
    measure: str,
    keys: Sequence[tuple[str, str]],
    value: Numbers,
    lower: Numbers,
    upper: Numbers,
    coverage: float,
    basis: pa.Array,
    features_version: str,
    expected_error: Numbers,
    expected_brier: Numbers | None,
) -> pa.Table:
    """Predictions as a table (contract ``PredictionsModel``): one row per state and district of ``keys``."""
    count = len(keys)
    return pa.table(
        {
            "election": pa.array([election] * count, pa.string()),
            "state": pa.array([state for state, _ in keys], pa.string()),
            "district": pa.array([district for _, district in keys], pa.string()),
            "measure": pa.array([measure] * count, pa.string()),
            "value": pa.array(value, pa.float64()),
            "lower": pa.array(lower, pa.float64()),
            "upper": pa.array(upper, pa.float64()),
            "coverage": pa.array([coverage] * count, pa.float64()),
            "basis": basis,
            "model_name": pa.array([record.name] * count, pa.string()),
            "model_version": pa.array([record.version] * count, pa.string()),
            "features_version": pa.array([features_version] * count, pa.string()),
            "expected_error": pa.array(expected_error, pa.float64()),
            "expected_brier": pa.nulls(count, pa.float64()) if expected_brier is None else pa.array(expected_brier),
        }
    )
