"""The asset ``features/district_election``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.district_election`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.contracts import features, partitions, wrangled
from mlops_assets.platform.automation import on_new_data
from mlops_assets.platform.published import WithMetadata, published
from mlops_assets.platform.reads import Read
from mlops_assets.wrangling import district_election as transform

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

    from mlops_assets.platform.published import Partition


@published(
    contract=features.DISTRICT_ELECTION,
    reads={
        "house_results": Read(wrangled.HOUSE_RESULTS, partitions=partitions.RESULTS_TO_FEATURES, optional=True),
        "profiles": Read(wrangled.DISTRICT_PROFILES, partitions=partitions.PROFILES_TO_FEATURES, optional=True),
    },
    code_version="1",
    automation_condition=on_new_data(),
)
def district_election(
    house_results: ir.Table, profiles: ir.Table, partition: Partition, versions: Mapping[str, Mapping[str, str]]
) -> WithMetadata:
    """What was known of each district before the election; no rows where no earlier result is there."""
    rows = transform.district_election(house_results, profiles, election=partition.values["election"])
    used = {
        name: ", ".join(sorted(keys)) or "none"
        for name, keys in (("elections", versions["house_results"]), ("profile_years", versions["profiles"]))
    }
    return WithMetadata(rows, used)
