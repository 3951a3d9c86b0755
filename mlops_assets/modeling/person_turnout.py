"""The model of a person's turnout, from age, registration, voting history, party, gender and place.

Put here its features, its training and its tests on past elections. Keep out counting (``turnout_cells``), the tables
of its errors (``person_turnout_evaluation``) and predictions (``district_turnout``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from mlops_assets.contracts.models import FORMS
from mlops_assets.modeling.conformal import Interval, interval
from mlops_assets.modeling.encoding import Encoding
from mlops_assets.modeling.explanation import importance
from mlops_assets.modeling.fitting import Fitted, fit_probability, model_record
from mlops_assets.modeling.forms import BASELINE, BOOSTED, LINEAR
from mlops_assets.modeling.metrics import probability_metrics
from mlops_assets.modeling.terms import Missing, Number, OneOf, Product
from mlops_assets.modeling.trained import Trained
from mlops_assets.modeling.turnout_cells import (
    HISTORY,
    elections_of,
    is_presidential,
    kinds_of,
    most_telling,
    of_elections,
    weights,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    import pyarrow as pa

    from mlops_assets.modeling.evidence import Evidence

    Numbers = npt.NDArray[np.float64]

MODEL_NAME: Final = "person_turnout"
MOST_TESTS: Final = 3
"""How many past elections the model is tested on, newest first."""

_KNOTS: Final = {"age": (25.0, 35.0, 50.0, 65.0, 80.0), "years_registered": (2.0, 4.0, 6.0, 12.0)}
_PRODUCTS: Final = (
    ("presidential", "voted_last"),
    ("presidential", "voted_second_last"),
    ("presidential", "voted_third_last"),
    ("presidential", "age"),
    ("presidential", "age_above_35"),
    ("presidential", "age_above_65"),
    ("presidential", "place_turnout"),
    ("voted_last", "voted_second_last"),
    ("voted_last", "voted_third_last"),
    ("voted_second_last", "voted_third_last"),
    ("voted_last", "voted_second_last", "voted_third_last"),
    ("voted_last", "age"),
    ("voted_last", "years_registered_above_2"),
)


@dataclass(frozen=True, kw_only=True)
class Test:
    """The model tested on an election after those it was trained on.

    Attributes:
        election: the election tested on.
        kind_was_seen: whether training had an election of the same kind (presidential or not).
        history: columns of voting history that the training knew.
        cells: the cells of that election.
        probabilities: for each form and cell the predicted probability to vote.
    """

    __test__ = False

    election: str
    kind_was_seen: bool
    history: tuple[str, ...]
    cells: pa.Table
    probabilities: Mapping[str, Numbers]


@dataclass(frozen=True, kw_only=True)
class Districts:
    """Turnout by district, sorted by state and district.

    Attributes:
        keys: state and district.
        voters: registered persons.
        predicted: mean of their probabilities to vote.
        observed: the share that voted; of those whose vote is known, NaN where none is.
    """

    keys: tuple[tuple[str, str], ...]
    voters: Numbers
    predicted: Numbers
    observed: Numbers


def train(cells: pa.Table, election: str, found: Evidence, *, training_set: str) -> Trained:
    """Train the form that erred least on earlier elections.

    Args:
        cells: labelled cells of earlier elections (see :func:`mlops_assets.modeling.turnout_cells.training_cells`).
        election: the election to be forecast.
        found: what the evaluation of the same cells found.
        training_set: content hash of the cells.

    Raises:
        TrainingError: everybody voted, or nobody.
    """
    used, history = most_telling(cells)
    fitted = fit(used, history, found.form)
    reach = found.interval or _interval_of_change(cells)
    record = model_record(
        MODEL_NAME,
        fitted,
        used.select(fitted.encoding.columns),
        {
            "interval": reach.as_parameters(),
            "history": list(history),
            "kind_was_seen": is_presidential(election) in kinds_of(elections_of(used)),
            "importance": importance(fitted, *_newest(used), _log_loss),
            "segmentation": cells.column("segmentation")[0].as_py(),
            **found.as_parameters(),
        },
        weights=weights(used, "labelled"),
    )
    return Trained(
        election=election,
        record=record,
        form=found.form,
        training_set=training_set,
        trained_on=elections_of(used),
        rows=int(weights(used, "labelled").sum()),
    )


def fit(cells: pa.Table, history: tuple[str, ...], form: str) -> Fitted:
    """Fit a form of the model to labelled cells, with those columns of voting history.

    The baseline knows the last vote and the kind of election only, the trees every column as it is, and the linear form
    splines and products of them.
    """
    trials = weights(cells, "labelled")
    encoding = _encoding(cells, trials, history, form)
    return fit_probability(
        encoding, cells.select(encoding.columns), weights(cells, "voted"), trials, boosted=form == BOOSTED
    )


def past_tests(cells: pa.Table) -> list[Test]:
    """Test every form on the newest elections of the cells, each time trained on the ones before (rolling origin).

    Args:
        cells: labelled cells.

    Returns:
        At most :data:`MOST_TESTS` tests, newest election first; none where the cells hold one election only.
    """
    elections = elections_of(cells)
    tests: list[Test] = []
    for place in range(len(elections) - 1, max(len(elections) - 1 - MOST_TESTS, 0), -1):
        earlier, history = most_telling(of_elections(cells, elections[:place]))
        tested = of_elections(cells, (elections[place],))
        probabilities = {}
        for form in FORMS:
            fitted = fit(earlier, history, form)
            probabilities[form] = fitted.scores(tested.select(fitted.encoding.columns))
        tests.append(
            Test(
                election=elections[place],
                kind_was_seen=is_presidential(elections[place]) in kinds_of(elections_of(earlier)),
                history=history,
                cells=tested,
                probabilities=probabilities,
            )
        )
    return tests


def by_district(cells: pa.Table, probabilities: Numbers) -> Districts:
    """Average cells over districts."""
    names = pc.binary_join_element_wise(cells.column("state"), cells.column("district"), "|")
    keys, places = np.unique(names.to_numpy(), return_inverse=True)
    voters = weights(cells, "voters")
    counted = np.bincount(places, weights=voters).astype(np.float64)
    labelled = np.bincount(places, weights=weights(cells, "labelled"))
    voted = np.bincount(places, weights=weights(cells, "voted"))
    return Districts(
        keys=tuple((key.split("|")[0], key.split("|")[1]) for key in keys),
        voters=counted,
        predicted=np.bincount(places, weights=voters * probabilities) / counted,
        observed=np.divide(voted, labelled, out=np.full(len(keys), np.nan), where=labelled > 0),
    )


def tests_like(tests: Sequence[Test], cells: pa.Table, election: str) -> list[Test]:
    """The tests that are like the forecast itself, or all where none is.

    The oldest tests know little history, and some have never seen an election of their kind: they err more.
    """
    used, history = most_telling(cells)
    seen = is_presidential(election) in kinds_of(elections_of(used))
    alike = [test for test in tests if test.kind_was_seen == seen and len(test.history) >= len(history) - 1]
    return alike or list(tests)


def district_errors(test: Test, form: str) -> Numbers:
    """Turnout of each district less what that form predicted, in shares."""
    districts = by_district(test.cells, test.probabilities[form])
    return districts.observed - districts.predicted


def _interval_of_change(cells: pa.Table) -> Interval:
    """Where nothing can be tested yet: how far turnout lay from that at the election before."""
    last = pc.fill_null(cells.column(HISTORY[0]), 0).to_numpy().astype(np.float64)
    errors = {}
    for election in elections_of(cells):
        here = pc.equal(cells.column("election"), election)
        change = by_district(cells.filter(here), last[here.to_numpy()])
        errors[election] = change.observed - change.predicted
    return interval(errors, "change since the election before")


def _newest(cells: pa.Table) -> tuple[pa.Table, Numbers]:
    """The cells of the newest election, and how many of each voted and are known, as :func:`_log_loss` reads them."""
    newest = of_elections(cells, elections_of(cells)[-1:])
    return newest, np.column_stack([weights(newest, "voted"), weights(newest, "labelled")])


def _log_loss(probabilities: Numbers, outcomes: Numbers) -> float:
    return probability_metrics(probabilities, outcomes[:, 0], outcomes[:, 1], with_auc=False)["log_loss"]


def _encoding(cells: pa.Table, trials: Numbers, history: tuple[str, ...], form: str) -> Encoding:
    """The features of a form, with the training rows' means for unknown values and their classes."""
    if form == BASELINE:
        last = [Number(column=name, fill=_mean(cells, name, trials)) for name in (HISTORY[0], "presidential")]
        return Encoding(terms=(*last, Product(factors=("presidential", HISTORY[0]))))
    numbers = [
        Number(column=name, fill=_mean(cells, name, trials), knots=_KNOTS.get(name, ()) if form == LINEAR else ())
        for name in ("age", "years_registered", "presidential", *history, "place_turnout")
    ]
    missing = [Missing(column=name) for name in ("age", "years_registered")]
    classes = [OneOf(column=name, classes=_classes(cells, name)) for name in ("party_last", "gender")]
    if form == BOOSTED:
        return Encoding(terms=(*numbers, *missing, *classes))
    unknown = set(HISTORY) - set(history)
    products = [Product(factors=factors) for factors in _PRODUCTS if not unknown.intersection(factors)]
    return Encoding(terms=(*numbers, *missing, *classes, *products))


def _mean(cells: pa.Table, name: str, trials: Numbers) -> float:
    values = cells.column(name)
    known = pc.is_valid(values).to_numpy()
    if not (trials * known).sum():
        return 0.0
    numbers = pc.fill_null(values, 0).to_numpy().astype(np.float64)
    return round(float((numbers * trials * known).sum() / (trials * known).sum()), 6)


def _classes(cells: pa.Table, name: str) -> tuple[str, ...]:
    return tuple(sorted(pc.unique(cells.column(name)).to_pylist()))
