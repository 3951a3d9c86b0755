"""Errors of a district model on elections it had not seen, by group, beside what anybody could have guessed.

Put here the comparison of the forms with each other and with naive guesses. Keep out training.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.contracts import codes
from mlops_assets.contracts.models import FORMS
from mlops_assets.modeling.conformal import COVERAGE
from mlops_assets.modeling.district_model import (
    Target,
    Test,
    errors_of,
    labelled_rows,
    outcomes_of,
    past_tests,
    years_ahead,
)
from mlops_assets.modeling.evidence import excess, summary
from mlops_assets.modeling.forms import chosen_before
from mlops_assets.modeling.trained import ALL, MODEL, Measured

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

LEVEL: Final = "district"
EVERY_DISTRICT: Final = "model_all_districts"
"""The model on every district with a known past, also those of which the naive guesses know nothing."""

SMALLEST_GROUP: Final = 5
"""Groups of fewer districts are not judged."""
FEWEST_INTERVALS: Final = 3
"""Before so many tests had an interval, its coverage is not judged."""


def evaluate(target: Target, training_set: ir.Table, election: str) -> list[Measured]:
    """Test every form and the naive guesses on elections before that one, each predicted from those before it.

    All are measured on the districts that have every naive guess, so on equal terms. ``model`` is the form that the
    elections before would have chosen. A guess that the forecast could not use, because the results are not there yet,
    is left out.

    Args:
        target: what is predicted.
        training_set: rows of ``training/district_elections`` of that forecast.
        election: the election to be forecast.

    Raises:
        TrainingError: too few districts have a known outcome and a known past.
    """
    rows = labelled_rows(target, training_set, election)
    return measure(target, past_tests(target, rows, ahead=years_ahead(rows, election)))


def measure(target: Target, tests: list[Test]) -> list[Measured]:
    """The errors in those tests, and what all of them together say of each form."""
    measured: list[Measured] = []
    errors: dict[str, dict[str, float]] = {form: {} for form in FORMS}
    excesses: dict[str, list[Mapping[str, float]]] = {form: [] for form in FORMS}
    for test in tests:
        # As evidence of a promoted model is read: from the districts that have every naive guess.
        then = chosen_before(errors, test.election, sorted(errors[FORMS[0]]))
        found = _compared(target, test)
        for one in found:
            if one.estimator in FORMS:
                errors[one.estimator][test.election] = one.metrics[target.metric]
        measured += [*found, *(dataclasses.replace(one, estimator=MODEL) for one in found if one.estimator == then)]
        everybody = np.ones(test.rows.num_rows, dtype=bool)
        measured.append(dataclasses.replace(_of(target, test, then, everybody), estimator=EVERY_DISTRICT))
        for form in FORMS:
            apart = excess(errors_of(target, test, form), _groups(test.rows))
            excesses[form].append(apart)
            measured += _by_group(target, test, form, apart)
    for form in FORMS:
        measured += summary(
            form,
            errors={test.election: errors_of(target, test, form) for test in tests},
            miscalibration=_shortfall(target, tests, form),
            excesses=excesses[form],
        )
    return measured


def _compared(target: Target, test: Test) -> list[Measured]:
    """Forms and naive guesses on the districts that all of them can predict."""
    naive = {name: c for name, c in target.naive.items() if test.rows.column(c).null_count < test.rows.num_rows}
    used = np.ones(test.rows.num_rows, dtype=bool)
    for column in naive.values():
        used &= pc.greater(pc.fill_null(test.rows.column(column), 0), 0).to_numpy()
    if not used.any():
        return []
    observed = outcomes_of(target, test.rows)[used]
    guesses = {
        name: test.rows.filter(pa.chunked_array([used])).column(column).to_numpy() for name, column in naive.items()
    }
    return [
        *(_of(target, test, form, used) for form in FORMS),
        *(_row(test, name, target.metrics(guess, observed), len(observed)) for name, guess in guesses.items()),
    ]


def _of(target: Target, test: Test, form: str, used: npt.NDArray[np.bool_]) -> Measured:
    """A form in those districts; ``interval_coverage`` is the share of them that its interval held."""
    metrics = dict(target.metrics(test.predicted[form][used], outcomes_of(target, test.rows)[used]))
    if form in test.widths:
        metrics["interval_coverage"] = float(np.mean(_held(target, test, form)[used]))
        metrics["interval_half_width_then"] = test.widths[form]
    return _row(test, form, metrics, int(used.sum()))


def _by_group(target: Target, test: Test, form: str, excesses: Mapping[str, float]) -> list[Measured]:
    groups = _groups(test.rows)
    observed = outcomes_of(target, test.rows)
    return [
        _row(
            test,
            form,
            {**target.metrics(test.predicted[form][groups[group]], observed[groups[group]]), "excess": value},
            int(groups[group].sum()),
            segment=group,
        )
        for group, value in excesses.items()
    ]


def _groups(rows: pa.Table) -> dict[str, npt.NDArray[np.bool_]]:
    """Where the districts of each group are that is large enough to be judged: regions, and seats without a contest."""
    regions = np.array([codes.REGION_BY_STATE[state] for state in rows.column("state").to_pylist()])
    groups = {f"region={region}": regions == region for region in sorted(set(regions.tolist()))}
    groups["uncontested_last=1"] = rows.column("uncontested_last").to_numpy() == 1
    return {group: here for group, here in groups.items() if here.sum() >= SMALLEST_GROUP}


def _shortfall(target: Target, tests: list[Test], form: str) -> float | None:
    """How far the mean coverage of a form's intervals stays behind what they promise; ``None`` with too few of them."""
    shares = [float(np.mean(_held(target, test, form))) for test in tests if form in test.widths]
    return max(0.0, COVERAGE - sum(shares) / len(shares)) if len(shares) >= FEWEST_INTERVALS else None


def _held(target: Target, test: Test, form: str) -> npt.NDArray[np.bool_]:
    held: npt.NDArray[np.bool_] = np.abs(errors_of(target, test, form)) <= test.widths[form]
    return held


def _row(test: Test, estimator: str, metrics: Mapping[str, float], rows: int, segment: str = ALL) -> Measured:
    return Measured(
        tested_on=test.election, estimator=estimator, level=LEVEL, segment=segment, metrics=metrics, rows=rows
    )
