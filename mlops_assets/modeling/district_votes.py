"""The model of a district's total House vote: its change since the last election of the same kind.

Put here its features and its forms. Keep out training, tests and predictions (``district_model``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.modeling.district_model import YEAR, Target
from mlops_assets.modeling.encoders import anchors
from mlops_assets.modeling.encoding import Encoding
from mlops_assets.modeling.fitting import Fitted, fit_value, no_change
from mlops_assets.modeling.forms import BASELINE, BOOSTED
from mlops_assets.modeling.metrics import count_metrics
from mlops_assets.modeling.terms import Anchor, Cycle, LogRatio, Missing, Number, Product, Term

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.float64]

_ANCHOR: Final = (
    "votes_second_last",
    "state_votes_second_last",
    "votes_last",
    "state_votes_last",
    "votes_third_last",
)
_LARGEST_CHANGE: Final = 1.0
"""Changes beyond a factor of e teach as if they were of that size: they are seats without a contest, not turnout."""
_PENALTY: Final = 30.0

_PLAIN: Final[tuple[Term, ...]] = (
    LogRatio(name="last", over=("votes_last", "state_votes_last"), under=_ANCHOR),
    LogRatio(name="third_last", over=("votes_third_last", "votes_last", "state_votes_last"), under=_ANCHOR),
    LogRatio(name="state_last", over=("state_votes_last",), under=_ANCHOR),
    LogRatio(name="state_second_last", over=("state_votes_second_last",), under=_ANCHOR),
    *(Missing(column=column) for column in ("votes_last", "votes_second_last", "votes_third_last")),
    Number(column="uncontested_last", fill=0.0),
    Number(column="presidential", fill=0.0),
    # New maps come into force with the elections of years ending in 2 (2 U.S.C. 2a): districts keep their numbers only.
    Cycle(column=YEAR, period=10, place=2),
    Cycle(column=YEAR, period=10, place=4),
)
_PRODUCTS: Final[tuple[Term, ...]] = (
    *(
        Product(factors=(flag, ratio))
        for flag in ("presidential", "year_mod_10_is_2", "year_mod_10_is_4")
        for ratio in ("last", "third_last", "state_last", "state_second_last")
    ),
    Product(factors=("presidential", "year_mod_10_is_2")),
    Product(factors=("presidential", "year_mod_10_is_4")),
    Product(factors=("uncontested_last", "last")),
    Product(factors=("uncontested_last", "state_second_last")),
)


def fit(rows: pa.Table, form: str) -> Fitted:
    """Fit a form to labelled rows: the logarithm of votes over those at the last election of the same kind.

    The baseline says that they are the same.
    """
    votes = rows.column("total_votes").to_numpy().astype(np.float64)
    anchor = Anchor(columns=_ANCHOR, fill=round(float(np.mean(votes)), 3))
    if form == BASELINE:
        return no_change(Encoding(terms=(Number(column="presidential", fill=0.0),), anchor=anchor))
    encoding = Encoding(terms=_PLAIN if form == BOOSTED else (*_PLAIN, *_PRODUCTS), anchor=anchor)
    read = rows.select(encoding.columns)
    change = np.clip(np.log(votes / anchors(encoding, read)), -_LARGEST_CHANGE, _LARGEST_CHANGE)
    return fit_value(encoding, read, change, boosted=form == BOOSTED, penalty=_PENALTY)


def _error(observed: Numbers, predicted: Numbers) -> Numbers:
    errors: Numbers = np.log(observed / predicted)
    return errors


def _ends(predicted: Numbers, half_width: float) -> tuple[Numbers, Numbers]:
    return predicted * np.exp(-half_width), predicted * np.exp(half_width)


VOTES: Final = Target(
    name="district_votes",
    measure="total_votes",
    label="total_votes",
    past=_ANCHOR,
    naive={"same_as_last_time": "votes_last", "same_kind_last_time": "votes_second_last"},
    metric="root_mean_squared_log_error",
    basis="votes_last",
    fit=fit,
    error=_error,
    metrics=count_metrics,
    ends=_ends,
)
"""Votes for the House in a district. Errors and intervals are natural logarithms of outcome over prediction."""
