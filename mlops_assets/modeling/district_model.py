"""Models of districts from aggregates: what the vote model and the share model have in common.

Put here training, tests on past elections and predictions, for whatever is predicted of a district. Keep out what that
is and how its forms are made (``district_votes``, ``district_share``), and tables of errors (``district_evaluation``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.contracts.models import FORMS
from mlops_assets.modeling.conformal import Interval, half_width, interval
from mlops_assets.modeling.errors import TrainingError
from mlops_assets.modeling.explanation import importance
from mlops_assets.modeling.fitting import Fitted, model_record
from mlops_assets.modeling.forms import BASELINE
from mlops_assets.modeling.predicted import expected_error, predictions_table, recorded_interval
from mlops_assets.modeling.trained import Trained
from mlops_assets.scoring.scorer import load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import ibis.expr.types as ir
    import numpy.typing as npt
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from mlops_assets.modeling.evidence import Evidence
    from mlops_assets.scoring.records import ModelRecord

    Numbers = npt.NDArray[np.float64]

FEWEST_ROWS: Final = 10
"""The fewest districts with known outcome and known past that a model is trained on."""
MOST_TESTS: Final = 24
"""How many past elections a model is tested on, newest first."""
RIPE: Final = 4
"""A test on fewer elections than two of each kind (presidential or not) says little of a model that has more."""
FEWEST_RIPE: Final = 3
"""With fewer tests that are ripe, the others are counted too."""
KEYS: Final = ("election", "state", "district")
YEAR: Final = "year"
"""Column of the election's year, which is text among the keys."""

_KNOWN_FROM: Final = {
    "votes_last": 2,
    "state_votes_last": 2,
    "uncontested_last": 2,
    "share_last": 2,
    "state_share_last": 2,
    "nation_share_last": 2,
    "unopposed_last": 2,
    "votes_second_last": 4,
    "state_votes_second_last": 4,
    "share_second_last": 4,
    "votes_third_last": 6,
    "share_third_last": 6,
}
"""For each feature how many years before the election the results lie that it tells of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """What is predicted of a district.

    Attributes:
        name: name of the model.
        measure: measure of its predictions.
        label: column of the training set with the outcome, null where there is none.
        past: columns of which a row to learn from knows at least one above 0.
        naive: for each naive guess the column that says it.
        metric: the error by which forms are compared.
        basis: column of the features that the value is compared with.
        fit: fits a form to labelled rows.
        error: outcome and prediction to errors in the unit of the interval.
        metrics: prediction and outcome to errors by name.
        ends: prediction and half width to the lower and upper end of the interval.
    """

    name: str
    measure: str
    label: str
    past: tuple[str, ...]
    naive: Mapping[str, str]
    metric: str
    basis: str
    fit: Callable[[pa.Table, str], Fitted]
    error: Callable[[Numbers, Numbers], Numbers]
    metrics: Callable[[Numbers, Numbers], Mapping[str, float]]
    ends: Callable[[Numbers, float], tuple[Numbers, Numbers]]


@dataclass(frozen=True, kw_only=True)
class Test:
    """Every form tested on an election after those it was trained on.

    Attributes:
        election: the election tested on.
        rows: its districts with known outcome and known past.
        predicted: for each form and district the predicted value.
        widths: for each form the half width of the interval that the tests before this one give; none for the first.
    """

    __test__ = False

    election: str
    rows: pa.Table
    predicted: Mapping[str, Numbers]
    widths: Mapping[str, float]


def labelled_rows(target: Target, training_set: ir.Table, election: str) -> pa.Table:
    """Districts whose outcome and some of whose past are known, sorted by election, state and district.

    Where results of the last elections before the forecast are not there yet, the forecast's own features do not know
    them. Then they are hidden in the training rows too: a model that leans on them would err (on the official returns
    by 22 % instead of 16 % of the votes where the last election is unknown).

    Args:
        target: what is predicted.
        training_set: rows of ``training/district_elections`` of that forecast.
        election: the election to be forecast.

    Raises:
        TrainingError: there are fewer than :data:`FEWEST_ROWS`.
    """
    rows = _with_year(training_set.filter(training_set[target.label].notnull()).drop("forecast").to_pyarrow())
    rows = _hidden(rows, years=years_ahead(rows, election))
    known = np.zeros(rows.num_rows, dtype=bool)
    for column in target.past:
        known |= pc.fill_null(pc.greater(rows.column(column), 0), fill_value=False).to_numpy()
    rows = rows.filter(pa.array(known)).sort_by([(key, "ascending") for key in KEYS])
    if rows.num_rows < FEWEST_ROWS:
        raise TrainingError(
            source=f"Districts before the election of {election}",
            culprit=f"{rows.num_rows} have {target.measure} then and before; training needs {FEWEST_ROWS}.",
            remedy="Publish features/district_election and wrangled/house_results of more earlier elections.",
        )
    return rows


def train(target: Target, rows: pa.Table, election: str, found: Evidence, *, training_set: str) -> Trained:
    """Train the form that erred least on earlier elections.

    Args:
        target: what is predicted.
        rows: labelled rows.
        election: the election to be forecast.
        found: what the evaluation of the same rows found.
        training_set: content hash of the training set.
    """
    fitted = target.fit(rows, found.form)
    reach = found.interval or _interval_of_change(target, rows)
    newest = rows.filter(pc.equal(rows.column("election"), elections_of(rows)[-1]))

    def loss(predicted: Numbers, outcomes: Numbers) -> float:
        return float(np.mean(np.abs(target.error(outcomes, predicted))))

    record = model_record(
        target.name,
        fitted,
        rows.select(fitted.encoding.columns),
        {
            "interval": reach.as_parameters(),
            "importance": importance(fitted, newest, outcomes_of(target, newest), loss),
            **found.as_parameters(),
        },
    )
    return Trained(
        election=election,
        record=record,
        form=found.form,
        training_set=training_set,
        trained_on=elections_of(rows),
        rows=rows.num_rows,
    )


def past_tests(target: Target, rows: pa.Table, *, ahead: int = 2, most: int = MOST_TESTS) -> list[Test]:
    """Test every form on the newest elections of the rows, each time trained on the ones before (rolling origin).

    Args:
        target: what is predicted.
        rows: labelled rows.
        ahead: how many years lie between the last election trained on and the one tested on.
        most: how many elections to test on at most.

    Returns:
        Tests, oldest first; an election with fewer than :data:`FEWEST_ROWS` rows before it is left out, and so are
        tests on fewer than :data:`RIPE` elections if there are enough others.
    """
    tests: list[Test] = []
    for election in _tested(elections_of(rows), ahead)[-most:]:
        earlier = rows.filter(pc.less_equal(rows.column("election"), str(int(election) - ahead)))
        if earlier.num_rows < FEWEST_ROWS:
            continue
        tested = rows.filter(pc.equal(rows.column("election"), election))
        predicted = {}
        for form in FORMS:
            fitted = target.fit(earlier, form)
            predicted[form] = fitted.scores(tested.select(fitted.encoding.columns))
        widths = {form: half_width([errors_of(target, test, form) for test in tests]) for form in FORMS if tests}
        tests.append(Test(election=election, rows=tested, predicted=predicted, widths=widths))
    return tests


def predict(
    target: Target,
    features: ir.Table,
    record: ModelRecord,
    *,
    trusted: Mapping[str, Ed25519PublicKey],
    election: str,
    features_version: str,
) -> pa.Table:
    """Predict the value of each district, with an interval as wide as past errors ask for.

    Args:
        target: what is predicted.
        features: rows of ``features/district_election`` of one election.
        record: the model of that election.
        trusted: the keys whose models may be loaded.
        election: the election.
        features_version: content hash of the features.

    Returns:
        One row per district (contract ``PredictionsModel``), sorted by state and district.

    Raises:
        SignatureError: no trusted key has signed the model.
        ArtifactError: the model is not what its record says.
    """
    scorer = load(record, trusted)
    reach = recorded_interval(record)
    rows = _with_year(features.to_pyarrow()).sort_by([(key, "ascending") for key in KEYS])
    predicted = scorer.score(rows.select(scorer.input_columns))
    lower, upper = target.ends(predicted, reach.half_width)
    return predictions_table(
        record,
        election=election,
        measure=target.measure,
        keys=list(zip(rows.column("state").to_pylist(), rows.column("district").to_pylist(), strict=True)),
        value=predicted,
        lower=lower,
        upper=upper,
        coverage=reach.coverage,
        basis=rows.column(target.basis).cast(pa.float64()),
        features_version=features_version,
        expected_error=expected_error(lower, upper, reach.coverage),
        expected_brier=None,
    )


def errors_of(target: Target, test: Test, form: str) -> Numbers:
    """Outcome less prediction of that form in a test, in the unit of the interval."""
    return target.error(outcomes_of(target, test.rows), test.predicted[form])


def outcomes_of(target: Target, rows: pa.Table) -> Numbers:
    """What happened in labelled rows."""
    return rows.column(target.label).to_numpy().astype(np.float64)  # type: ignore[no-any-return]  # pyarrow: no types


def elections_of(rows: pa.Table) -> tuple[str, ...]:
    """The elections in the rows, oldest first."""
    return tuple(sorted(pc.unique(rows.column("election")).to_pylist()))


def years_ahead(rows: pa.Table, election: str) -> int:
    """The years from the last election with known outcome to that one; 2 where there is none."""
    return int(election) - int(max(elections_of(rows), default=str(int(election) - 2)))


def _tested(elections: tuple[str, ...], ahead: int) -> list[str]:
    """The elections that can be tested on, of those with enough before them if they are enough."""
    before = {each: sum(int(other) <= int(each) - ahead for other in elections) for each in elections}
    ripe = [each for each in elections if before[each] >= RIPE]
    return ripe if len(ripe) >= FEWEST_RIPE else [each for each in elections if before[each]]


def _with_year(rows: pa.Table) -> pa.Table:
    """The rows with their election as the whole number that models read."""
    return rows.append_column(YEAR, rows.column("election").cast(pa.int64()))


def _hidden(rows: pa.Table, *, years: int) -> pa.Table:
    """The rows without what results nearer than that many years would tell."""
    for column, known_from in _KNOWN_FROM.items():
        if known_from < years:
            kind = rows.schema.field(column).type
            # Whole numbers are flags that are never unknown: 0 is what they are without news.
            unknown = (
                pa.array([0] * rows.num_rows, kind) if pa.types.is_integer(kind) else pa.nulls(rows.num_rows, kind)
            )
            rows = rows.set_column(rows.column_names.index(column), column, unknown)
    return rows


def _interval_of_change(target: Target, rows: pa.Table) -> Interval:
    """Where nothing can be tested yet: how far outcomes lay from what the baseline says."""
    unchanged = target.fit(rows, BASELINE)
    errors = target.error(outcomes_of(target, rows), unchanged.scores(rows.select(unchanged.encoding.columns)))
    by_election = {e: errors[pc.equal(rows.column("election"), e).to_numpy()] for e in elections_of(rows)}
    return interval(by_election, "change since the election that the baseline repeats")
