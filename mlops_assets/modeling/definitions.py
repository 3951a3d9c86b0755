"""Definitions of the modeling code location.

Put here the list of its assets. Keep out anything that the platform's location already adds (sensors, stubs).
"""

from __future__ import annotations

import dagster as dg

from mlops_assets.modeling.assets.district_models import DISTRICT_SHARE, DISTRICT_VOTES, district_model_assets
from mlops_assets.modeling.assets.monitoring import monitoring
from mlops_assets.modeling.assets.person_turnout import (
    district_turnout,
    person_turnout,
    person_turnout_evaluation,
)
from mlops_assets.modeling.assets.served import SERVED
from mlops_assets.modeling.assets.training_sets import district_elections_set, person_turnout_set
from mlops_assets.platform.assets.definitions import build_defs


def definitions() -> dg.Definitions:
    """The assets of modeling, from training sets to what the service offers."""
    return build_defs(
        name="modeling",
        assets=[
            person_turnout_set,
            person_turnout_evaluation,
            person_turnout,
            district_turnout,
            district_elections_set,
            *district_model_assets(DISTRICT_VOTES),
            *district_model_assets(DISTRICT_SHARE),
            monitoring,
            *SERVED,
        ],
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The same, built when Dagster loads the location."""
    return definitions()
