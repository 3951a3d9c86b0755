"""The asset ``variance/result_changes``.

Put here its wiring. Keep out the comparison, which is `mlops_assets.wrangling.result_changes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.contracts import partitions, variance, wrangled
from mlops_assets.platform.automation import on_new_data
from mlops_assets.platform.published import WithMetadata, published
from mlops_assets.platform.reads import Read
from mlops_assets.wrangling import result_changes as transform

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

    from mlops_assets.platform.published import Partition


@published(
    contract=variance.RESULT_CHANGES,
    reads={"house_results": Read(wrangled.HOUSE_RESULTS, partitions=partitions.RESULTS_TO_CHANGES, optional=True)},
    code_version="1",
    automation_condition=on_new_data(),
)
def result_changes(
    house_results: ir.Table, partition: Partition, versions: Mapping[str, Mapping[str, str]]
) -> WithMetadata:
    """How each district changed since four years before; no rows where one of the two elections is not there."""
    rows = transform.result_changes(house_results, election=partition.values["election"])
    return WithMetadata(rows, {"elections": ", ".join(sorted(versions["house_results"])) or "none"})
