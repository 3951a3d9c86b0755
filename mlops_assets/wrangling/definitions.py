"""Definitions of the wrangling code location.

Put here the list of its assets. Keep out anything that the platform's location already adds (sensors, stubs).
"""

from __future__ import annotations

import dagster as dg

from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets.wrangling import compared
from mlops_assets.wrangling.assets.county_registrations import county_registrations
from mlops_assets.wrangling.assets.district_demographics import district_demographics
from mlops_assets.wrangling.assets.district_election import district_election
from mlops_assets.wrangling.assets.district_profiles import district_profiles
from mlops_assets.wrangling.assets.entry_findings import entry_findings
from mlops_assets.wrangling.assets.events import events
from mlops_assets.wrangling.assets.house_results import house_results
from mlops_assets.wrangling.assets.person_turnout import person_turnout
from mlops_assets.wrangling.assets.reports import history_report
from mlops_assets.wrangling.assets.segmentation import segment_turnout, segmentation
from mlops_assets.wrangling.assets.voters import voters
from mlops_assets.wrangling.assets.voting_history import voting_history


def definitions() -> dg.Definitions:
    """The assets of wrangling, from the first pseudonymous table to features and variance."""
    return build_defs(
        name="wrangling",
        assets=[
            voters,
            entry_findings,
            voting_history,
            district_demographics,
            person_turnout,
            house_results,
            district_profiles,
            county_registrations,
            district_election,
            compared.VOTERS,
            compared.RESULTS,
            compared.PROFILES,
            compared.REGISTRATIONS,
            events,
            segmentation,
            segment_turnout,
            history_report,
        ],
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The same, built when Dagster loads the location."""
    return definitions()
