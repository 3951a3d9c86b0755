"""The model of a district's two-party share: the Democratic part of the votes for the two large parties.

Put here its features and its forms. Keep out training, tests and predictions (``district_model``).

It says what the share will be if both parties run; seats with one of them teach nothing of it and are not judged. That
the president's party tends to lose at midterms is in the features, because it is known before the election.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.modeling.district_model import YEAR, Target
from mlops_assets.modeling.encoders import anchors
from mlops_assets.modeling.encoding import Encoding
from mlops_assets.modeling.fitting import Fitted, fit_value, no_change
from mlops_assets.modeling.forms import BASELINE, BOOSTED
from mlops_assets.modeling.metrics import share_metrics
from mlops_assets.modeling.terms import Anchor, Cycle, FirstKnown, Missing, Number, Product, Term

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.float64]

_EVEN: Final = 0.5
_PAST: Final = ("share_last", "share_second_last", "share_third_last", "state_share_last", "nation_share_last")
_LIMITS: Final = (0.0, 1.0)
_PENALTY: Final = 300.0

_PLAIN: Final[tuple[Term, ...]] = (
    FirstKnown(name="last", of=_PAST, fill=_EVEN),
    FirstKnown(name="second_last", of=("share_second_last", *_PAST), fill=_EVEN),
    FirstKnown(name="third_last", of=("share_third_last", "share_second_last", *_PAST), fill=_EVEN),
    FirstKnown(name="state_last", of=("state_share_last", "nation_share_last"), fill=_EVEN),
    Number(column="nation_share_last", fill=_EVEN),
    Missing(column="share_last"),
    Number(column="unopposed_last", fill=0.0),
    Number(column="president_democratic", fill=0.0),
    Number(column="presidential", fill=0.0),
    # As in the vote model: new maps.
    Cycle(column=YEAR, period=10, place=2),
)
_PRODUCTS: Final[tuple[Term, ...]] = (
    Product(factors=("president_democratic", "presidential")),
    Product(factors=("president_democratic", "last")),
    Product(factors=("year_mod_10_is_2", "last")),
    Product(factors=("share_last_missing", "unopposed_last")),
)


def fit(rows: pa.Table, form: str) -> Fitted:
    """Fit a form to labelled rows: the difference of the share from the last one known.

    The baseline says that it is the same.
    """
    anchor = Anchor(columns=_PAST, fill=_EVEN, scale="difference")
    if form == BASELINE:
        return no_change(Encoding(terms=(Number(column="presidential", fill=0.0),), anchor=anchor, limits=_LIMITS))
    terms = _PLAIN if form == BOOSTED else (*_PLAIN, *_PRODUCTS)
    encoding = Encoding(terms=terms, anchor=anchor, limits=_LIMITS)
    read = rows.select(encoding.columns)
    change = rows.column("democratic_share").to_numpy() - anchors(encoding, read)
    return fit_value(encoding, read, change, boosted=form == BOOSTED, penalty=_PENALTY)


def _error(observed: Numbers, predicted: Numbers) -> Numbers:
    return observed - predicted


def _ends(predicted: Numbers, half_width: float) -> tuple[Numbers, Numbers]:
    return np.clip(predicted - half_width, *_LIMITS), np.clip(predicted + half_width, *_LIMITS)


SHARE: Final = Target(
    name="district_share",
    measure="democratic_share",
    label="democratic_share",
    past=_PAST,
    naive={"same_as_last_time": "share_last", "same_kind_last_time": "share_second_last"},
    metric="mean_absolute_error",
    basis="share_last",
    fit=fit,
    error=_error,
    metrics=share_metrics,
    ends=_ends,
)
"""Democratic share of the two-party vote, 0 to 1. Errors and intervals are differences of shares."""
