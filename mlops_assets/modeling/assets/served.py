"""What the service offers of modeling: predictions of districts, the models behind them, features of persons.

Put here the declarations. Keep out how they are exported and served (that is the platform's and the service's).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlops_assets.contracts import features, models, predictions
from mlops_assets.contracts.models import MODELERS
from mlops_assets.platform.assets.served import Served
from mlops_assets.platform.assets.served_model import ServedModel
from mlops_assets.platform.exports.manifest import Mode

if TYPE_CHECKING:
    from mlops_assets.platform.assets.exported import Exported

PREDICTIONS: Final = Served(
    table=[predictions.DISTRICT_TURNOUT, predictions.DISTRICT_VOTES, predictions.DISTRICT_SHARE],
    name="predictions",
    key=["election", "state", "district", "measure"],
    limit_by=["state"],
    latest="election",
)
PERSON_FEATURES: Final = Served(
    table=features.PERSON_TURNOUT,
    name="person_features",
    key=["election", "state", "person_token"],
    limit_by=["state"],
    scope="features:read",
    mode=Mode.LOOKUP,
    latest="election",
    newest=1,
    # Neither whether the person voted nor where: a client needs no more to score.
    columns=[
        "election",
        "state",
        "person_token",
        "age",
        "years_registered",
        "presidential",
        "voted_last",
        "voted_second_last",
        "voted_third_last",
        "party_last",
        "gender",
        "place_turnout",
    ],
    # Pseudonyms are personal data still: nothing is exported unless somebody asks for it.
    automate=False,
    owners=list(MODELERS),
)
SERVED: Final[tuple[Exported, ...]] = (
    PREDICTIONS,
    PERSON_FEATURES,
    ServedModel(table=models.PERSON_TURNOUT, order_by="election"),
    ServedModel(table=models.DISTRICT_VOTES, order_by="election"),
    ServedModel(table=models.DISTRICT_SHARE, order_by="election"),
)
