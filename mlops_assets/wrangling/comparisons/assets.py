"""The assets of a comparison: their inputs, what wakes them, and what they publish.

Put here how a declaration becomes steps. Keep out the declaration, and how rows are made (``linked``, ``panels``,
``drift``, ``named``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling.comparisons import drift as drifts
from mlops_assets.wrangling.comparisons import health
from mlops_assets.wrangling.comparisons.named import detected_event, events_table, is_named, linked_event
from mlops_assets.wrangling.comparisons.tables import CAUSES, DRIFT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.settings import Settings
    from mlops_assets.wrangling.comparisons.declaration import Compare
    from mlops_assets.wrangling.comparisons.linked import Pair

    Versions = Mapping[str, Mapping[str, str]]

_HOURLY: Final = "0 * * * *"
_NOTHING: Final = "nothing: no time before is there"


def drift_assets(compare: Compare) -> list[dg.AssetsDefinition]:
    """The assets that summarise each partition, and compare each with the one before it."""
    columns, timeline, prepared = compare.drifting, compare.timeline, compare.prepared

    @asset(contract=compare.summaries(), ins={"rows": In(compare.contract)}, automation_condition=on_new_data())
    def summaries(rows: ir.Table, partition: Partition) -> pa.Table:
        return drifts.summary(prepared(rows), columns, partition.values)

    @asset(
        contract=compare.drifts(),
        ins={
            "summaries": In(compare.summaries(), partition_mapping=dg.AllPartitionMapping(), optional=True),
        },
        # Partitions of one time arrive within minutes of one another, and are judged together.
        automation_condition=on_new_data(at_most=_HOURLY),
    )
    def drift(summaries: ir.Table, versions: Versions) -> dg.MaterializeResult[pa.Table]:
        rows = drifts.drift(summaries, timeline)
        told = rows["drift"].to_pylist()
        counts = {verdict: told.count(verdict) for verdict in DRIFT}
        return dg.MaterializeResult(value=rows, metadata={"partitions": len(versions["summaries"]), **counts})

    return [summaries, drift]


def linked_assets(compare: Compare) -> list[dg.AssetsDefinition]:
    """Changes, events and flows of linked entities."""
    timeline, smallest, words, of = compare.timeline, compare.smallest, compare.words, compare.begins
    rows_of_both = In(compare.contract, also=timeline.back(compare.back), choose=timeline.own_and_before)
    ins = {"rows": rows_of_both, "before": _news_before(compare, compare.back)}
    follow = on_new_data(needs=[compare.contract.key])

    def pair(rows: ir.Table, partition: Partition, versions: Versions) -> Pair:
        before = timeline.before(str(partition.key), versions["rows"])
        return compare.pair(rows, partition.values, None if before is None else timeline.time(before))

    def told(
        value: ir.Table | pa.Table, found: Pair, settings: Settings, **metadata: int
    ) -> dg.MaterializeResult[ir.Table | pa.Table]:
        return dg.MaterializeResult(
            value=value,
            metadata={"compared_with": found.before or _NOTHING, **metadata},
            check_results=health.judged(found.findings(words), settings.entry_policy),
        )

    @asset(contract=compare.changes(), ins=ins, automation_condition=follow)
    def changes(
        rows: ir.Table,
        before: ir.Table,  # noqa: ARG001  its news wakes this step, its rows are not needed
        partition: Partition,
        versions: Versions,
        settings: Settings,
    ) -> dg.MaterializeResult[ir.Table | pa.Table]:
        found = pair(rows, partition, versions)
        return told(found.changes(smallest), found, settings)

    @asset(
        contract=compare.events(),
        ins={
            "rows": rows_of_both,
            # What comes late changes what the next is compared with, and so its changes.
            "changed": In(compare.changes(), optional=True),
            "verdicts": In(compare.verdicts(), optional=True),
        },
        automation_condition=on_new_data(),
    )
    def events(
        rows: ir.Table,
        changed: ir.Table,  # noqa: ARG001  as above
        verdicts: ir.Table,
        partition: Partition,
        versions: Versions,
        settings: Settings,
    ) -> dg.MaterializeResult[ir.Table | pa.Table]:
        found = pair(rows, partition, versions)
        named = [linked_event(row, before=found.before, entities=words.entities) for row in found.events()]
        value = _judged(named, verdicts, partition, of, None)
        return told(value, found, settings, **_causes(value))

    @asset(contract=compare.flows(), ins=ins, automation_condition=follow)
    def flows(
        rows: ir.Table,
        before: ir.Table,  # noqa: ARG001  as above
        partition: Partition,
        versions: Versions,
        settings: Settings,
    ) -> dg.MaterializeResult[ir.Table | pa.Table]:
        found = pair(rows, partition, versions)
        return told(found.flows(smallest), found, settings)

    return [changes, events, flows]


def panel_assets(compare: Compare) -> list[dg.AssetsDefinition]:
    """Changes and events of a panel."""
    timeline, group, of, probable = compare.timeline, compare.group_column, compare.begins, compare.probable

    @asset(
        contract=compare.changes(),
        ins={
            "rows": In(compare.contract, also=timeline.back(compare.history)),
            "before": _news_before(compare, 1),
        },
        automation_condition=on_new_data(needs=[compare.contract.key]),
    )
    def changes(
        rows: ir.Table,
        before: ir.Table,  # noqa: ARG001  its news wakes this step, its rows are not needed
        partition: Partition,
        versions: Versions,
    ) -> dg.MaterializeResult[pa.Table]:
        times = timeline.sorted([timeline.time(key) for key in versions["rows"]])
        found = compare.panel_changes(rows, partition.values, times)
        return dg.MaterializeResult(value=found, metadata={"compared": ", ".join(times) or "none"})

    @asset(
        contract=compare.events(),
        ins={"changed": In(compare.changes()), "verdicts": In(compare.verdicts(), optional=True)},
        automation_condition=on_new_data(),
    )
    def events(changed: ir.Table, verdicts: ir.Table, partition: Partition) -> dg.MaterializeResult[pa.Table]:
        rows = changed.filter(changed.cause.isin(CAUSES)).to_pyarrow().to_pylist()
        found = [row for row in rows if is_named(row, probable)]
        named = [detected_event(row, group=group, units=compare.words.units, of=of) for row in found]
        value = _judged(named, verdicts, partition, of, group)
        return dg.MaterializeResult(value=value, metadata=_causes(value))

    return [changes, events]


def _news_before(compare: Compare, count: int) -> In:
    """What wakes a comparison when one of the partitions that it is made with comes late, or is mended."""
    return In(compare.summaries(), partition_mapping=compare.timeline.back(count, own=False), optional=True)


def _judged(
    found: Sequence[dict[str, Any]], verdicts: ir.Table, partition: Partition, of: str, group: str | None
) -> pa.Table:
    """Rows of events with what people said of them."""
    said = verdicts.to_pyarrow().to_pylist() if found else []
    return events_table(found, said, partition.values, of=of, group=group)


def _causes(events: pa.Table) -> dict[str, int]:
    """How many events there are of each cause."""
    found = events["cause"].to_pylist()
    return {cause: found.count(cause) for cause in CAUSES if cause in found}
