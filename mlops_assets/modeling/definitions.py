"""Definitions of the modeling code location.

Put here the list of its assets. Keep out anything that the platform's location already adds (sensors, stubs).
"""

from __future__ import annotations

import dagster as dg

from mlops_assets.modeling.assets.district_votes import (
    district_votes,
    district_votes_evaluation,
    district_votes_model,
)
from mlops_assets.modeling.assets.export import export
from mlops_assets.modeling.assets.person_turnout import (
    district_turnout,
    person_turnout,
    person_turnout_evaluation,
)
from mlops_assets.platform.location import location


def definitions() -> dg.Definitions:
    """The assets of modeling, from models to the service's export."""
    return location(
        name="modeling",
        assets=[
            person_turnout,
            person_turnout_evaluation,
            district_turnout,
            district_votes_model,
            district_votes_evaluation,
            district_votes,
            export,
        ],
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The same, built when Dagster loads the location."""
    return definitions()
