"""The super-pipeline: the three code locations as one set of definitions, for ``dg`` and for loading in one process.

Put here nothing but the union. Keep out definitions of its own: production runs the three locations apart.
"""

from __future__ import annotations

import dagster as dg

from mlops_assets.modeling.definitions import definitions as modeling
from mlops_assets.plumbing.definitions import definitions as plumbing
from mlops_assets.wrangling.definitions import definitions as wrangling


def definitions() -> dg.Definitions:
    """Every asset, sensor and schedule of the three locations; the stubs by which they know each other fall away."""
    parts = [plumbing(), wrangling(), modeling()]
    assets = [asset for part in parts for asset in part.assets or ()]
    made = [asset for asset in assets if isinstance(asset, dg.AssetsDefinition)]
    keys = {key for asset in made for key in asset.keys}
    by_hand = {spec.key: spec for spec in assets if isinstance(spec, dg.AssetSpec) and spec.key not in keys}
    return dg.Definitions(
        assets=[*made, *by_hand.values()],
        schedules=[schedule for part in parts for schedule in part.schedules or ()],
        sensors=[sensor for part in parts for sensor in part.sensors or ()],
        executor=dg.in_process_executor,
        resources={key: resource for part in parts for key, resource in (part.resources or {}).items()},
        jobs=[job for part in parts for job in part.jobs or ()],
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The same, built when Dagster loads the module."""
    return definitions()
