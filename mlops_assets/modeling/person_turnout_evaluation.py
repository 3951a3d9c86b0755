"""Errors of the turnout model on elections it had not seen, beside what anybody could have guessed.

Put here the comparison with naive baselines. Keep out training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from mlops_assets.modeling.metrics import probability_metrics, share_metrics
from mlops_assets.modeling.person_turnout import Districts, Test, by_district, past_tests
from mlops_assets.modeling.trained import Measured
from mlops_assets.modeling.turnout_cells import of_elections, training_cells, weights

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.float64]

BASELINES: Final = {"same_as_last_time": (2, "voted_last"), "same_kind_last_time": (4, "voted_second_last")}
"""Naive estimators: as many years before, and the person's column that says the same."""


def evaluate(features: ir.Table, election: str) -> list[Measured]:
    """Test the model and the naive baselines on elections before that one, each predicted from those before it.

    A person's baseline is a 0/1 guess: votes if and only if the person voted two (or four) years before. A district's
    is its turnout then; its state's where the district did not exist.

    Args:
        features: rows of ``features/person_turnout``; rows of the election itself or later change nothing.
        election: the election to be forecast.

    Raises:
        TrainingError: no earlier election has both a known outcome and some voting history.
    """
    cells = training_cells(features, election)
    measured: list[Measured] = []
    for test in past_tests(cells):
        measured += _persons(test)
        measured += _districts(test, cells)
    return measured


def _persons(test: Test) -> list[Measured]:
    happened, trials = weights(test.cells, "voted"), weights(test.cells, "labelled")
    guesses = {"model": test.probabilities}
    for estimator, (_, column) in BASELINES.items():
        if not test.cells.column(column).null_count:
            guesses[estimator] = weights(test.cells, column)
    return [
        Measured(
            tested_on=test.election,
            estimator=estimator,
            level="person",
            metrics=probability_metrics(guess, happened, trials),
            rows=int(trials.sum()),
        )
        for estimator, guess in guesses.items()
    ]


def _districts(test: Test, cells: pa.Table) -> list[Measured]:
    districts = by_district(test.cells, test.probabilities)
    guesses = {"model": districts.predicted}
    for estimator, (years, _) in BASELINES.items():
        before = of_elections(cells, (str(int(test.election) - years),))
        if set(pc.unique(test.cells.column("state")).to_pylist()) <= set(pc.unique(before.column("state")).to_pylist()):
            guesses[estimator] = _turnout_then(districts, before)
    return [
        Measured(
            tested_on=test.election,
            estimator=estimator,
            level="district",
            metrics=share_metrics(guess, districts.observed),
            rows=len(districts.keys),
        )
        for estimator, guess in guesses.items()
    ]


def _turnout_then(districts: Districts, before: pa.Table) -> Numbers:
    """The turnout of each district in an earlier election, its state's where it did not exist."""
    then = by_district(before, np.zeros(before.num_rows))
    observed = dict(zip(then.keys, then.observed, strict=True))
    sums: dict[str, tuple[float, float]] = {}
    for (state, _), voters, share in zip(then.keys, then.voters, then.observed, strict=True):
        persons, voted = sums.get(state, (0.0, 0.0))
        sums[state] = (persons + voters, voted + voters * share)
    return np.array([observed.get(key, sums[key[0]][1] / sums[key[0]][0]) for key in districts.keys])
