"""The assets ``reports/comparison`` and ``reports/history``: pages on what changed, for people.

Put here their wiring. Keep out how rows become pages, which is `mlops_assets.wrangling.event_reports`.

Drawing is imported where it is needed: half a second for every run that loads the location and draws nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mlops_assets.contracts import events as contract
from mlops_assets.contracts import features, wrangled
from mlops_assets.contracts.segmentation import SEGMENTATION
from mlops_assets.contracts.wrangled import WRANGLERS
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table, published_table
from mlops_assets.platform.settings import Settings
from mlops_assets.wrangling import compared
from mlops_assets.wrangling.named_events import LINKED, Event

if TYPE_CHECKING:
    from mlops_assets.platform.contracts.contract import Contract

_HOURLY: Final = "0 * * * *"
"""Pages are for people, who do not wait for them; drawing them must not delay predictions."""

_COMPARED: Final = (
    compared.VOTERS.changes(),
    compared.VOTERS.events(),
    compared.VOTERS.flows(),
)


@dg.asset(
    key=["reports", "comparison"],
    deps=[dg.AssetDep(table.key) for table in _COMPARED],
    partitions_def=wrangled.VOTERS.partitions_def,
    automation_condition=on_new_data(at_most=_HOURLY),
    owners=list(WRANGLERS),
    group_name="variance",
    kinds={"html"},
    code_version="1",
)
@told_plainly("Asset reports/comparison", owners=WRANGLERS)
def comparison_report() -> dg.MaterializeResult[None]:
    """One month of one state against the month before, as a self-contained page with waterfalls and flows."""
    from mlops_assets.variance.report import reports as pages  # noqa: PLC0415  see above
    from mlops_assets.wrangling import event_reports as transform  # noqa: PLC0415

    key = dg.AssetExecutionContext.get().partition_key
    values = wrangled.VOTERS.partition_values(key)
    settings = Settings.load()
    with LakeSession(settings) as session:
        changes, found, flows = (_rows(session, table, key) for table in _COMPARED)
    told = [vars(Event.of(row, LINKED)) for row in found]
    comparison = transform.comparison_of_lake(
        state=values["state"],
        month=values["month"],
        previous_month=next((row["compared_with"] for row in changes), "no month before"),
        changes=changes,
        events=told,
        flows=flows,
    )
    name = f"{values['month']}-{values['state']}.html"
    path = transform.written(settings, name, pages.comparison_page(comparison))
    return dg.MaterializeResult(
        metadata={
            **transform.linked_from(settings, path, pages.comparison_thumbnail(comparison), alt=comparison.title),
            "events": len(told),
        }
    )


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
    path = transform.written(settings, transform.HISTORY, pages.history_page(history))
    return dg.MaterializeResult(
        metadata={
            **transform.linked_from(settings, path, pages.history_thumbnail(history), alt=history.title),
            "events": len(found),
        }
    )


def _rows(session: LakeSession, table: Contract, partition_key: str) -> list[dict[str, Any]]:
    entries = ledger.current(session, table, [partition_key])
    rows: list[dict[str, Any]] = published_table(session, table, entries, version=0).to_pyarrow().to_pylist()
    return rows
