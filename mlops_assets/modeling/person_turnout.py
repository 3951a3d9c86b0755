"""The model of a person's turnout: logistic regression on age, registration, voting history, party, gender and place.

Put here its features, its training and its tests on past elections. Keep out counting (``turnout_cells``), the tables
of its errors (``person_turnout_evaluation``) and predictions (``district_turnout``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow.compute as pc

from mlops_assets.modeling.conformal import Interval, interval
from mlops_assets.modeling.fitting import Fitted, fit_probability, model_record
from mlops_assets.modeling.trained import Trained
from mlops_assets.modeling.turnout_cells import (
    HISTORY,
    elections_of,
    is_presidential,
    kinds_of,
    most_telling,
    of_elections,
    training_cells,
    weights,
)
from mlops_assets.scoring.encoding import Encoding, Missing, Number, OneOf, Product

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import numpy.typing as npt
    import pyarrow as pa

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
        probabilities: for each cell the predicted probability to vote.
    """

    __test__ = False

    election: str
    kind_was_seen: bool
    history: tuple[str, ...]
    cells: pa.Table
    probabilities: Numbers


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


def train(features: ir.Table, election: str) -> Trained:
    """Train the model for one election on the elections before it.

    Args:
        features: rows of ``features/person_turnout``; rows of the election itself or later change nothing.
        election: the election to be forecast.

    Raises:
        TrainingError: no earlier election has both a known outcome and some voting history, or everybody voted.
    """
    cells = training_cells(features, election)
    used, history = most_telling(cells)
    fitted = fit(used, history)
    found = _interval(cells, election)
    parameters: dict[str, Any] = {
        "interval": found.as_parameters(),
        "history": list(history),
        "kind_was_seen": is_presidential(election) in kinds_of(elections_of(used)),
    }
    return Trained(
        election=election,
        record=model_record(MODEL_NAME, fitted, used.select(fitted.encoding.columns), parameters),
        trained_on=elections_of(used),
        rows=int(weights(used, "labelled").sum()),
    )


def fit(cells: pa.Table, history: tuple[str, ...]) -> Fitted:
    """Fit the model to labelled cells, with those columns of voting history."""
    trials = weights(cells, "labelled")
    encoding = _encoding(cells, trials, history)
    return fit_probability(encoding, cells.select(encoding.columns), weights(cells, "voted"), trials)


def past_tests(cells: pa.Table) -> list[Test]:
    """Test the model on the newest elections of the cells, each time trained on the ones before (rolling origin).

    Args:
        cells: labelled cells.

    Returns:
        At most :data:`MOST_TESTS` tests, newest election first; none where the cells hold one election only.
    """
    elections = elections_of(cells)
    tests = []
    for place in range(len(elections) - 1, max(0, len(elections) - 1 - MOST_TESTS), -1):
        earlier, history = most_telling(of_elections(cells, elections[:place]))
        fitted = fit(earlier, history)
        tested = of_elections(cells, (elections[place],))
        tests.append(
            Test(
                election=elections[place],
                kind_was_seen=is_presidential(elections[place]) in kinds_of(elections_of(earlier)),
                history=history,
                cells=tested,
                probabilities=fitted.scores(tested.select(fitted.encoding.columns)),
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


def _interval(cells: pa.Table, election: str) -> Interval:
    """How far district turnout lay from the prediction, in tests like the forecast itself."""
    tests = past_tests(cells)
    used, history = most_telling(cells)
    seen = is_presidential(election) in kinds_of(elections_of(used))
    # The oldest tests know little history, and some have never seen an election of their kind: they err more.
    alike = [test for test in tests if test.kind_was_seen == seen and len(test.history) >= len(history) - 1] or tests
    if alike:
        districts = [by_district(test.cells, test.probabilities) for test in alike]
        errors = np.concatenate([one.observed - one.predicted for one in districts])
        return interval(errors, "districts of earlier elections, predicted before them", [t.election for t in alike])
    last = pc.fill_null(cells.column(HISTORY[0]), 0).to_numpy().astype(np.float64)
    change = by_district(cells, last)
    return interval(change.observed - change.predicted, "change since the election before", elections_of(cells))


def _encoding(cells: pa.Table, trials: Numbers, history: tuple[str, ...]) -> Encoding:
    """The features, with the training rows' means for unknown values and their classes."""
    numbers = [
        Number(column=name, fill=_mean(cells, name, trials), knots=_KNOTS.get(name, ()))
        for name in ("age", "years_registered", "presidential", *history, "place_turnout")
    ]
    missing = [Missing(column=name) for name in ("age", "years_registered")]
    classes = [OneOf(column=name, classes=_classes(cells, name)) for name in ("party_last", "gender")]
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
