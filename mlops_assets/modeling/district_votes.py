"""The model of a district's total House vote: ridge regression of its change since the last election of the same kind.

Put here its features, its training, its tests on past elections and its predictions. Keep out the tables of its errors
(``district_votes_evaluation``).

Ridge was chosen by rolling-origin error on the official returns of 1976 to 2020; ``docs/model.md`` has the numbers,
also of gradient boosting, which was worse on average and far slower.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.modeling.conformal import Interval, interval
from mlops_assets.modeling.errors import TrainingError
from mlops_assets.modeling.fitting import Fitted, fit_value, model_record
from mlops_assets.modeling.predicted import predictions_table, recorded_interval
from mlops_assets.modeling.trained import Trained
from mlops_assets.scoring.encoding import Anchor, Cycle, Encoding, LogRatio, Missing, Number, Product, Term
from mlops_assets.scoring.scorer import load

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import numpy.typing as npt

    from mlops_assets.scoring.records import ModelRecord

    Numbers = npt.NDArray[np.float64]

MODEL_NAME: Final = "district_votes"
MEASURE: Final = "total_votes"
MOST_TESTS: Final = 8
"""How many past elections the model is tested on, newest first."""
FEWEST_ROWS: Final = 10
"""The fewest districts with known outcome and known past that a model is trained on."""

KEYS: Final = ("election", "state", "district")
_KNOWN_FROM: Final = {
    "votes_last": 2,
    "state_votes_last": 2,
    "uncontested_last": 2,
    "votes_second_last": 4,
    "state_votes_second_last": 4,
    "votes_third_last": 6,
}
"""For each feature how many years before the election the results lie that it tells of."""
_ANCHOR: Final = (
    "votes_second_last",
    "state_votes_second_last",
    "votes_last",
    "state_votes_last",
    "votes_third_last",
)
_LARGEST_CHANGE: Final = 1.0
"""Changes beyond a factor of e teach as if they were of that size: they are seats without a contest, not turnout."""

_TERMS: Final[tuple[Term, ...]] = (
    LogRatio(name="last", over=("votes_last", "state_votes_last"), under=_ANCHOR),
    LogRatio(name="third_last", over=("votes_third_last", "votes_last", "state_votes_last"), under=_ANCHOR),
    LogRatio(name="state_last", over=("state_votes_last",), under=_ANCHOR),
    LogRatio(name="state_second_last", over=("state_votes_second_last",), under=_ANCHOR),
    *(Missing(column=column) for column in ("votes_last", "votes_second_last", "votes_third_last")),
    Number(column="uncontested_last", fill=0.0),
    Number(column="presidential", fill=0.0),
    # New maps come into force with the elections of years ending in 2 (2 U.S.C. 2a): districts keep their numbers only.
    Cycle(column="election", period=10, place=2),
    Cycle(column="election", period=10, place=4),
    *(
        Product(factors=(flag, ratio))
        for flag in ("presidential", "election_mod_10_is_2", "election_mod_10_is_4")
        for ratio in ("last", "third_last", "state_last", "state_second_last")
    ),
    Product(factors=("presidential", "election_mod_10_is_2")),
    Product(factors=("presidential", "election_mod_10_is_4")),
    Product(factors=("uncontested_last", "last")),
    Product(factors=("uncontested_last", "state_second_last")),
)


@dataclass(frozen=True, kw_only=True)
class Test:
    """The model tested on an election after those it was trained on.

    Attributes:
        election: the election tested on.
        rows: its districts with known outcome and known past.
        predicted: for each of them the predicted votes.
        interval: the interval that the tests before this one give, or ``None`` for the first.
    """

    __test__ = False

    election: str
    rows: pa.Table
    predicted: Numbers
    interval: Interval | None


def labelled_rows(features: ir.Table, results: ir.Table, election: str) -> pa.Table:
    """Districts of the elections before that one whose outcome and some of whose past are known.

    Where results of the last elections before the forecast are not there yet, the forecast's own features do not know
    them. Then they are hidden in the training rows too: a model that leans on them would err (on the official returns
    by 22 % instead of 16 % where the last election is unknown).

    Args:
        features: rows of ``features/district_election``.
        results: rows of ``wrangled/house_results``; neither table's rows of the election itself or later are looked at.
        election: the election to be forecast.

    Returns:
        The columns of the features and ``total_votes`` (votes, at least 2), sorted by election, state and district.

    Raises:
        TrainingError: there are fewer than :data:`FEWEST_ROWS`.
    """
    outcomes = results.filter((results.election < election) & results.total_votes.notnull())
    outcomes = outcomes.select(*KEYS, "total_votes")
    rows = features.filter(features.election < election).inner_join(outcomes, KEYS).to_pyarrow()
    rows = _hidden(rows, years=_years_ahead(rows, election))
    known = np.zeros(rows.num_rows, dtype=bool)
    for column in _ANCHOR:
        known |= pc.fill_null(pc.greater(rows.column(column), 0), fill_value=False).to_numpy()
    rows = rows.filter(pa.array(known)).sort_by([(key, "ascending") for key in KEYS])
    if rows.num_rows < FEWEST_ROWS:
        raise TrainingError(
            source=f"Districts before the election of {election}",
            culprit=f"{rows.num_rows} have votes then and before; training needs {FEWEST_ROWS}.",
            remedy="Publish features/district_election and wrangled/house_results of more earlier elections.",
        )
    return rows


def train(features: ir.Table, results: ir.Table, election: str) -> Trained:
    """Train the model for one election on the elections before it; arguments and errors as :func:`labelled_rows`."""
    rows = labelled_rows(features, results, election)
    fitted = fit(rows)
    found = _interval(past_tests(rows, years_ahead=_years_ahead(rows, election))) or _interval_of_change(rows)
    return Trained(
        election=election,
        record=model_record(
            MODEL_NAME, fitted, rows.select(fitted.encoding.columns), {"interval": found.as_parameters()}
        ),
        trained_on=elections_of(rows),
        rows=rows.num_rows,
    )


def fit(rows: pa.Table) -> Fitted:
    """Fit the model to labelled rows: the logarithm of votes over those at the last election of the same kind."""
    encoding = _encoding(rows)
    change = np.clip(_change(rows, encoding), -_LARGEST_CHANGE, _LARGEST_CHANGE)
    return fit_value(encoding, rows.select(encoding.columns), change)


def past_tests(rows: pa.Table, *, years_ahead: int = 2, most: int = MOST_TESTS) -> list[Test]:
    """Test the model on the newest elections of the rows, each time trained on the ones before (rolling origin).

    Args:
        rows: labelled rows.
        years_ahead: how many years lie between the last election trained on and the one tested on.
        most: how many elections to test on at most.

    Returns:
        Tests, oldest first; an election with fewer than :data:`FEWEST_ROWS` rows before it is left out.
    """
    tests: list[Test] = []
    for election in elections_of(rows)[1:][-most:]:
        earlier = rows.filter(pc.less_equal(rows.column("election"), str(int(election) - years_ahead)))
        if earlier.num_rows < FEWEST_ROWS:
            continue
        tested = rows.filter(pc.equal(rows.column("election"), election))
        fitted = fit(earlier)
        tests.append(
            Test(
                election=election,
                rows=tested,
                predicted=fitted.scores(tested.select(fitted.encoding.columns)),
                interval=_interval(tests[-MOST_TESTS:]),
            )
        )
    return tests


def predict(features: ir.Table, record: ModelRecord, *, election: str, features_version: str) -> pa.Table:
    """Predict the votes of each district, with an interval as wide, in logarithms, as past errors.

    Args:
        features: rows of ``features/district_election`` of one election.
        record: the vote model of that election.
        election: the election.
        features_version: content hash of the features.

    Returns:
        One row per district (contract ``PredictionsModel``), sorted by state and district; value, lower and upper are
        votes, basis is the votes two years before.

    Raises:
        ArtifactError: the model is not what its record says.
    """
    scorer = load(record)
    found = recorded_interval(record)
    rows = features.to_pyarrow().sort_by([(key, "ascending") for key in KEYS])
    predicted = scorer.score(rows.select(scorer.input_columns))
    return predictions_table(
        record,
        election=election,
        measure=MEASURE,
        keys=list(zip(rows.column("state").to_pylist(), rows.column("district").to_pylist(), strict=True)),
        value=predicted,
        lower=predicted * math.exp(-found.half_width),
        upper=predicted * math.exp(found.half_width),
        coverage=found.coverage,
        basis=rows.column("votes_last").cast(pa.float64()),
        features_version=features_version,
    )


def tests_for(features: ir.Table, results: ir.Table, election: str) -> list[Test]:
    """The tests on which the interval of that election's forecast rests; arguments and errors as `labelled_rows`."""
    rows = labelled_rows(features, results, election)
    return past_tests(rows, years_ahead=_years_ahead(rows, election))


def elections_of(rows: pa.Table) -> tuple[str, ...]:
    """The elections in the rows, oldest first."""
    return tuple(sorted(pc.unique(rows.column("election")).to_pylist()))


def votes(rows: pa.Table) -> Numbers:
    """The votes that were cast in labelled rows."""
    return rows.column("total_votes").to_numpy().astype(np.float64)  # type: ignore[no-any-return]  # pyarrow has no types


def _years_ahead(rows: pa.Table, election: str) -> int:
    """The years from the last election with known outcome to that one; 2 where there is none."""
    return int(election) - int(max(elections_of(rows), default=str(int(election) - 2)))


def _hidden(rows: pa.Table, *, years: int) -> pa.Table:
    """The rows without what results nearer than that many years would tell."""
    for column, known_from in _KNOWN_FROM.items():
        if known_from < years:
            kind = rows.schema.field(column).type
            unknown = (
                pa.nulls(rows.num_rows, kind) if column != "uncontested_last" else pa.array([0] * rows.num_rows, kind)
            )
            rows = rows.set_column(rows.column_names.index(column), column, unknown)
    return rows


def _encoding(rows: pa.Table) -> Encoding:
    return Encoding(terms=_TERMS, anchor=Anchor(columns=_ANCHOR, fill=round(float(np.mean(votes(rows))), 3)))


def _change(rows: pa.Table, encoding: Encoding) -> Numbers:
    """The logarithm of votes over the encoding's anchor."""
    anchors = encoding.anchors(rows.select(encoding.columns))
    if anchors is None:
        return np.log(votes(rows))
    return np.log(votes(rows) / anchors)


def _interval(tests: list[Test]) -> Interval | None:
    """How far the logarithm of votes lay from the prediction in those tests; ``None`` without tests."""
    if not tests:
        return None
    errors = np.concatenate([np.log(votes(test.rows) / test.predicted) for test in tests])
    return interval(errors, "districts of earlier elections, predicted before them", [test.election for test in tests])


def _interval_of_change(rows: pa.Table) -> Interval:
    """Where nothing can be tested yet: how far votes lay from those at the last election of the same kind."""
    return interval(
        _change(rows, _encoding(rows)), "change since the last election of the same kind", elections_of(rows)
    )
