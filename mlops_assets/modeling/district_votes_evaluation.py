"""Errors of the vote model on elections it had not seen, beside what anybody could have guessed.

Put here the comparison with naive baselines. Keep out training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.modeling.district_votes import Test, tests_for, votes
from mlops_assets.modeling.metrics import count_metrics
from mlops_assets.modeling.trained import Measured

if TYPE_CHECKING:
    import ibis.expr.types as ir

BASELINES: Final = {"same_as_last_time": "votes_last", "same_kind_last_time": "votes_second_last"}
"""Naive estimators: the votes two and four years before."""


def evaluate(features: ir.Table, results: ir.Table, election: str) -> list[Measured]:
    """Test the model and the naive baselines on elections before that one, each predicted from those before it.

    All are measured on the districts that have every baseline, so on equal terms; ``model_all_districts`` is the model
    on every district with a known past, also those that the baselines cannot predict. A baseline that the forecast
    could not use, because the results are not there yet, is left out.

    Args:
        features: rows of ``features/district_election``.
        results: rows of ``wrangled/house_results``.
        election: the election to be forecast.

    Raises:
        TrainingError: too few districts have a known outcome and a known past.
    """
    return measure(tests_for(features, results, election))


def measure(tests: list[Test]) -> list[Measured]:
    """The errors in those tests; ``interval_coverage`` is the share of districts that the interval held."""
    measured: list[Measured] = []
    for test in tests:
        observed = votes(test.rows)
        baselines = {e: c for e, c in BASELINES.items() if test.rows.column(c).null_count < test.rows.num_rows}
        used = np.ones(test.rows.num_rows, dtype=bool)
        for column in baselines.values():
            used &= pc.greater(pc.fill_null(test.rows.column(column), 0), 0).to_numpy()
        if used.any():
            measured.append(_of(test, "model", test.predicted[used], observed[used]))
            for estimator, column in baselines.items():
                guess = test.rows.filter(pa.chunked_array([used])).column(column).to_numpy()
                measured.append(_of(test, estimator, guess, observed[used]))
        measured.append(_of(test, "model_all_districts", test.predicted, observed))
    return measured


def _of(
    test: Test,
    estimator: str,
    predicted: np.ndarray[tuple[int], np.dtype[np.float64]],
    observed: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> Measured:
    metrics = count_metrics(predicted, observed)
    if test.interval is not None and estimator.startswith("model"):
        held = np.abs(np.log(observed / predicted)) <= test.interval.half_width
        metrics["interval_coverage"] = float(np.mean(held))
    return Measured(tested_on=test.election, estimator=estimator, level="district", metrics=metrics, rows=len(observed))
