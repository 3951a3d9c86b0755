"""The definitions of code location 1.

Put here which assets, sensors and schedules the location has. Keep out what they do.
"""

from __future__ import annotations

import dagster as dg

from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets.plumbing.assets.county_registrations import county_registrations
from mlops_assets.plumbing.assets.district_profiles import district_profiles
from mlops_assets.plumbing.assets.house_returns import house_returns
from mlops_assets.plumbing.assets.voter_file import voter_file
from mlops_assets.plumbing.assets.voting_history import voting_history


def definitions() -> dg.Definitions:
    """The raw assets as their sources are declared, each with its schedule and sensor."""
    return build_defs(
        name="plumbing",
        assets=[voter_file, voting_history, house_returns, district_profiles, county_registrations],
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The same, built when Dagster loads the location."""
    return definitions()
