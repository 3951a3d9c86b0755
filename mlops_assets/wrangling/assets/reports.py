"""The asset ``reports/history``: one page on everything that changed the data, for people.

Put here its wiring. Keep out how rows become pages, which is `mlops_assets.wrangling.event_reports`.

Drawing is imported where it is needed: half a second for every run that loads the location and draws nothing.
"""

from __future__ import annotations

from typing import Any, Final

import dagster as dg

from mlops_assets.contracts import events as contract
from mlops_assets.contracts import features
from mlops_assets.contracts.segmentation import SEGMENTATION
from mlops_assets.contracts.wrangled import WRANGLERS
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings
from mlops_assets.wrangling.comparisons.reports import linked_from, written

_HOURLY: Final = "0 * * * *"
"""Pages are for people, who do not wait for them; drawing them must not delay predictions."""


@dg.asset(
    key=["reports", "history"],
    deps=[
        dg.AssetDep(contract.EVENTS.key),
        dg.AssetDep(SEGMENTATION.key, partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep(features.DISTRICT_DEMOGRAPHICS.key, partition_mapping=dg.AllPartitionMapping()),
    ],
    automation_condition=on_new_data(at_most=_HOURLY),
    owners=list(WRANGLERS),
    group_name="variance",
    kinds={"html"},
    code_version="1",
)
@told_plainly("Asset reports/history", owners=WRANGLERS)
def history_report() -> dg.MaterializeResult[None]:
    """Every named event on one timeline, and the series that they cut, as a self-contained page."""
    from mlops_assets.variance.report import reports as pages  # noqa: PLC0415  see above
    from mlops_assets.wrangling import event_reports as transform  # noqa: PLC0415

    settings = Settings.load()
    with LakeSession(settings) as session:
        found: list[dict[str, Any]] = current_table(session, contract.EVENTS).to_pyarrow().to_pylist()
        cells = current_table(session, features.DISTRICT_DEMOGRAPHICS)
        compared = current_table(session, SEGMENTATION)
        segments: list[dict[str, Any]] = compared.filter(compared.chosen).to_pyarrow().to_pylist()
        totals: list[dict[str, Any]] = cells.filter(cells.attribute == "all").to_pyarrow().to_pylist()
    ordered = sorted(found, key=lambda row: (row["until"], row["state"], row["event_id"]))
    history = transform.history_of_lake(ordered, totals, sorted(segments, key=lambda row: row["election"]))
    path = written(settings, transform.HISTORY, pages.history_page(history))
    return dg.MaterializeResult(
        metadata={
            **linked_from(settings, path, pages.history_thumbnail(history), alt=history.title),
            "events": len(found),
        }
    )
