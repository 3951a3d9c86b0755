"""The asset ``features/district_election``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.district_election`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts import features, partitions, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import compared
from mlops_assets.wrangling import district_election as transform

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.settings import Settings

_GATE: Final = compared.RESULTS.gate()


@asset(
    contract=features.DISTRICT_ELECTION,
    ins={
        "house_results": In(wrangled.HOUSE_RESULTS, partition_mapping=partitions.RESULTS_TO_FEATURES, optional=True),
        "events": In(_GATE.events, partition_mapping=partitions.RESULTS_TO_FEATURES, optional=True),
        "profiles": In(wrangled.DISTRICT_PROFILES, partition_mapping=partitions.PROFILES_TO_FEATURES, optional=True),
    },
    code_version="2",
    automation_condition=on_new_data(after=[_GATE.events.key]),
)
def district_election(
    house_results: ir.Table,
    events: ir.Table,
    profiles: ir.Table,
    partition: Partition,
    settings: Settings,
    versions: Mapping[str, Mapping[str, str]],
) -> dg.MaterializeResult[ir.Table]:
    """What was known of each district before the election; no rows where no earlier result is there."""
    rows = transform.district_election(house_results, profiles, election=partition.values["election"])
    used = {
        name: ", ".join(sorted(keys)) or "none"
        for name, keys in (("elections", versions["house_results"]), ("profile_years", versions["profiles"]))
    }
    unseen = versions["house_results"].keys() - versions["events"].keys()
    judged = _GATE.judged(events, settings.entry_policy, unseen=unseen)
    return dg.MaterializeResult(value=rows, metadata=used, check_results=judged)
