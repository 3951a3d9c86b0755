"""Errors of the turnout model on elections it had not seen, by group, beside what anybody could have guessed.

Put here the comparison of the forms with each other and with naive guesses. Keep out training.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from mlops_assets.contracts.models import FORMS
from mlops_assets.modeling.conformal import half_width
from mlops_assets.modeling.evidence import summary
from mlops_assets.modeling.forms import chosen_before
from mlops_assets.modeling.metrics import probability_metrics, reliability, share_metrics
from mlops_assets.modeling.person_turnout import Districts, Test, by_district, district_errors, past_tests, tests_like
from mlops_assets.modeling.segments import EXPECTED, SEGMENT, UNKNOWN
from mlops_assets.modeling.trained import ALL, MODEL, Measured
from mlops_assets.modeling.turnout_cells import of_elections, weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.float64]

LEVEL: Final = "person"
METRIC: Final = "log_loss"
"""The error by which forms are compared: a proper score of probabilities."""

BASELINES: Final = {"same_as_last_time": (2, "voted_last"), "same_kind_last_time": (4, "voted_second_last")}
"""Naive estimators: as many years before, and the person's column that says the same."""
SAME_AS_SEGMENT: Final = "same_as_segment"
"""Not so naive: the state's turnout at the last election of the same kind, and how the segment differed before."""

SMALLEST_GROUP: Final = 1_000
"""Groups of fewer persons are not judged: chance alone moves their mean error by more than one and a half points."""

_AGES: Final = {"18-29": (18, 30), "30-44": (30, 45), "45-64": (45, 65), "65+": (65, 200)}


def evaluate(cells: pa.Table, election: str) -> list[Measured]:
    """Test every form and the naive guesses on elections before that one, each predicted from those before it.

    A person's naive guess is 0 or 1: votes if and only if the person voted two (or four) years before. A district's
    is its turnout then; its state's where the district did not exist. ``model`` is the form that the elections before
    would have chosen. What the turnout of segments lets expect (``same_as_segment``) is a probability; the classes of
    segments were chosen with sight of the tested elections, their turnout comes from those before each.

    Args:
        cells: labelled cells of earlier elections.
        election: the election to be forecast.

    Returns:
        Errors by test, estimator, level and group, and what all tests together say of each form; nothing where no
        election can be tested.
    """
    tests = past_tests(cells)
    measured: list[Measured] = []
    errors: dict[str, dict[str, float]] = {form: {} for form in FORMS}
    for test in reversed(tests):
        persons = _persons(test)
        for one in persons:
            if one.estimator in FORMS and one.segment == ALL:
                errors[one.estimator][test.election] = one.metrics[METRIC]
        earlier = [each for each in tests if each.election < test.election]
        then = chosen_before(errors, test.election, [each.election for each in earlier])
        found = [*persons, *_districts(test, cells, earlier)]
        measured += [*found, *_by_segment(test, then)]
        measured += [
            dataclasses.replace(one, estimator=MODEL) for one in found if one.estimator == then and one.segment == ALL
        ]
    return [*measured, *_summaries(tests, measured, cells, election)]


def _persons(test: Test) -> list[Measured]:
    happened, trials = weights(test.cells, "voted"), weights(test.cells, "labelled")
    guesses = dict(test.probabilities)
    for estimator, (_, column) in BASELINES.items():
        if not test.cells.column(column).null_count:
            guesses[estimator] = weights(test.cells, column)
    guesses |= _of_segments(test)
    measured = [_of_persons(test, estimator, guess, happened, trials) for estimator, guess in guesses.items()]
    for form, guess in test.probabilities.items():
        everybody = float((happened - guess * trials).sum() / trials.sum())
        for segment, here in _groups(test.cells).items():
            group = float((happened - guess * trials)[here].sum() / trials[here].sum())
            metrics = {
                "predicted": float((guess * trials)[here].sum() / trials[here].sum()),
                "observed": float(happened[here].sum() / trials[here].sum()),
                "excess": group - everybody,
                "brier": probability_metrics(guess[here], happened[here], trials[here], with_auc=False)["brier"],
            }
            measured.append(_row(test, form, metrics, int(trials[here].sum()), segment))
        for lower, (predicted, observed, count) in reliability(guess, happened, trials).items():
            metrics = {"predicted": predicted, "observed": observed}
            measured.append(_row(test, form, metrics, count, f"predicted={lower:.1f}"))
    return measured


def _of_segments(test: Test) -> dict[str, Numbers]:
    """The guess that each person votes like the segment; none where the turnout of some segment is not known."""
    known = test.cells.column(EXPECTED)
    return {} if known.null_count else {SAME_AS_SEGMENT: known.to_numpy().astype(np.float64)}


def _by_segment(test: Test, form: str) -> list[Measured]:
    """What the model and the segment's own past said of each segment, and what happened."""
    happened, trials = weights(test.cells, "voted"), weights(test.cells, "labelled")
    names, places = np.unique(test.cells.column(SEGMENT).to_numpy().astype(str), return_inverse=True)
    counts, voted = np.bincount(places, weights=trials), np.bincount(places, weights=happened)
    measured = []
    for estimator, guess in ({MODEL: test.probabilities[form]} | _of_segments(test)).items():
        means = np.bincount(places, weights=guess * trials)
        for place, name in enumerate(names.tolist()):
            if name == UNKNOWN or counts[place] < SMALLEST_GROUP:
                continue
            predicted, observed = float(means[place] / counts[place]), float(voted[place] / counts[place])
            metrics = {"predicted": predicted, "observed": observed, "error": observed - predicted}
            measured.append(_row(test, estimator, metrics, int(counts[place]), f"{SEGMENT}={name}"))
    return measured


def _of_persons(test: Test, estimator: str, guess: Numbers, happened: Numbers, trials: Numbers) -> Measured:
    return _row(test, estimator, probability_metrics(guess, happened, trials), int(trials.sum()), ALL)


def _row(test: Test, estimator: str, metrics: Mapping[str, float], rows: int, segment: str) -> Measured:
    return Measured(
        tested_on=test.election, estimator=estimator, level=LEVEL, segment=segment, metrics=metrics, rows=rows
    )


def _groups(cells: pa.Table) -> dict[str, npt.NDArray[np.bool_]]:
    """Where the persons of each group are that is large enough to be judged."""
    trials = weights(cells, "labelled")
    return {segment: here for segment, here in _every_group(cells) if trials[here].sum() >= SMALLEST_GROUP}


def _every_group(cells: pa.Table) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    for column in ("gender", "party_last", "state"):
        values = cells.column(column).to_numpy()
        for value in sorted(set(values)):
            yield f"{column}={value}", values == value
    ages = pc.fill_null(cells.column("age"), -1).to_numpy()
    for name, (first, after) in _AGES.items():
        yield f"age={name}", (ages >= first) & (ages < after)


def _districts(test: Test, cells: pa.Table, earlier: list[Test]) -> list[Measured]:
    districts = {form: by_district(test.cells, guess) for form, guess in test.probabilities.items()}
    guesses = {form: each.predicted for form, each in districts.items()}
    any_form = districts[FORMS[0]]
    for estimator, (years, _) in BASELINES.items():
        before = of_elections(cells, (str(int(test.election) - years),))
        if set(pc.unique(test.cells.column("state")).to_pylist()) <= set(pc.unique(before.column("state")).to_pylist()):
            guesses[estimator] = _turnout_then(any_form, before)
    guesses |= {name: by_district(test.cells, guess).predicted for name, guess in _of_segments(test).items()}
    measured = []
    for estimator, guess in guesses.items():
        metrics = share_metrics(guess, any_form.observed)
        if estimator in FORMS and earlier:
            width = half_width([district_errors(each, estimator) for each in earlier])
            metrics["interval_coverage"] = float(np.mean(np.abs(any_form.observed - guess) <= width))
        measured.append(
            Measured(
                tested_on=test.election,
                estimator=estimator,
                level="district",
                metrics=metrics,
                rows=len(any_form.keys),
            )
        )
    return measured


def _summaries(tests: list[Test], measured: list[Measured], cells: pa.Table, election: str) -> list[Measured]:
    """What the tests that are like the forecast say of each form."""
    rows: list[Measured] = []
    alike = tests_like(tests, cells, election)
    # A model that never saw an election of the tested kind says nothing of groups that vote in the other kind only.
    elections = [test.election for test in alike]
    for form in FORMS:
        own = [one for one in measured if one.estimator == form and one.level == LEVEL and one.tested_on in elections]
        misses = [one.metrics["calibration_error"] for one in own if one.segment == ALL]
        excesses = [
            {one.segment: one.metrics["excess"] for one in own if one.tested_on == tested and "excess" in one.metrics}
            for tested in elections
        ]
        rows += summary(
            form,
            errors={test.election: district_errors(test, form) for test in alike},
            miscalibration=float(np.mean(misses)) if misses else None,
            excesses=excesses,
        )
    return rows


def _turnout_then(districts: Districts, before: pa.Table) -> Numbers:
    """The turnout of each district in an earlier election, its state's where it did not exist."""
    then = by_district(before, np.zeros(before.num_rows))
    observed = dict(zip(then.keys, then.observed, strict=True))
    sums: dict[str, tuple[float, float]] = {}
    for (state, _), voters, share in zip(then.keys, then.voters, then.observed, strict=True):
        persons, voted = sums.get(state, (0.0, 0.0))
        sums[state] = (persons + voters, voted + voters * share)
    return np.array([observed.get(key, sums[key[0]][1] / sums[key[0]][0]) for key in districts.keys])
