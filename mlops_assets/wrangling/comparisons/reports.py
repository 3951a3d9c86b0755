"""Reports on a comparison: a page on each partition of linked entities, and one on the whole history.

Put here how rows of the comparison's tables become what a page tells, and where pages lie. Keep out the pages
themselves (``variance.report``).

Drawing is imported where it is needed: half a second for every run that loads the location and draws nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.contracts.contract import PARTITION_SEPARATOR
from mlops_assets.platform.durable_files import replace_durably
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table, published_table
from mlops_assets.platform.settings import Settings
from mlops_assets.variance.linked.snapshots import ALL
from mlops_assets.variance.report.findings import Comparison, Happening, History, Split, Track
from mlops_assets.variance.report.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.variance.report.words import Words
    from mlops_assets.wrangling.comparisons.declaration import Compare

    Row = Mapping[str, Any]

LAYER: Final = "reports"
_HOURLY: Final = "0 * * * *"
"""Pages are for people, who do not wait for them; drawing them must not delay what is made from the tables."""


def partition_report(compare: Compare) -> dg.AssetsDefinition:
    """The asset ``reports/<name>``: each partition of linked entities beside the one before it."""
    key = dg.AssetKey([LAYER, compare.begins])
    changes, events, flows = compare.changes(), compare.events(), compare.flows()
    timeline, words, unit = compare.timeline, compare.words, compare.unit
    owners = list(changes.owners)

    @dg.asset(
        key=key,
        deps=[dg.AssetDep(table.key) for table in (changes, events, flows)],
        partitions_def=changes.partitions_def,
        automation_condition=on_new_data(at_most=_HOURLY),
        owners=owners,
        group_name=events.layer,
        kinds={"html"},
        code_version="1",
    )
    @told_plainly(f"Asset {key.to_user_string()}", owners=owners)
    def report() -> dg.MaterializeResult[None]:
        """One partition against the one before, as a self-contained page with waterfalls and flows."""
        from mlops_assets.variance.report import reports as pages  # noqa: PLC0415  see above

        partition = dg.AssetExecutionContext.get().partition_key
        settings = Settings.load()
        with LakeSession(settings) as session:
            split, found, ways = (_rows(session, table, partition) for table in (changes, events, flows))
        values = changes.partition_values(partition)
        where = " ".join(values[column] for column in timeline.others)
        comparison = Comparison(
            title=f"{compare.title}: {where} {timeline.time(partition)}".replace("  ", " "),
            before=next((str(row["compared_with"]) for row in split), "no time before"),
            after=timeline.time(partition),
            splits=[Split.of(row, unit=unit) for row in split],
            happenings=[happening_of(row, timeline.column, where, words) for row in found],
            flows=[(row[f"{unit}_before"], row[f"{unit}_after"], row["entities"]) for row in ways],
            words=words,
        )
        path = written(settings, f"{compare.begins}-{partition}.html", pages.comparison_page(comparison))
        picture = pages.comparison_thumbnail(comparison)
        return dg.MaterializeResult(
            metadata={**linked_from(settings, path, picture, alt=comparison.title), "events": len(found)}
        )

    return report


def history_report(compare: Compare) -> dg.AssetsDefinition:
    """The asset ``reports/<name>_history``: all events of a comparison on one timeline, and series that they cut."""
    key = dg.AssetKey([LAYER, f"{compare.begins}_history"])
    events = compare.events()
    series = compare.changes() if compare.entity is not None else compare.contract
    owners = list(events.owners)

    @dg.asset(
        key=key,
        deps=[dg.AssetDep(table.key, partition_mapping=dg.AllPartitionMapping()) for table in (events, series)],
        automation_condition=on_new_data(at_most=_HOURLY),
        owners=owners,
        group_name=events.layer,
        kinds={"html"},
        code_version="1",
    )
    @told_plainly(f"Asset {key.to_user_string()}", owners=owners)
    def report() -> dg.MaterializeResult[None]:
        """Every event of the comparison on one timeline, and the series that they cut, as a self-contained page."""
        from mlops_assets.variance.report import reports as pages  # noqa: PLC0415  see above

        settings = Settings.load()
        with LakeSession(settings) as session:
            found = current_table(session, events).to_pyarrow().to_pylist()
            values = compare.series(current_table(session, series)).to_pyarrow().to_pylist()
        history = history_of(compare, found, values)
        path = written(settings, f"{compare.begins}-history.html", pages.history_page(history))
        picture = pages.history_thumbnail(history)
        return dg.MaterializeResult(
            metadata={**linked_from(settings, path, picture, alt=history.title), "events": len(found)}
        )

    return report


def history_of(compare: Compare, events: Sequence[Row], series: Sequence[Row]) -> History:
    """All events of a comparison, and a value of every unit over time.

    Args:
        compare: the comparison.
        events: rows of its events.
        series: ``group``, ``unit``, ``time`` and ``value``.
    """
    timeline, words = compare.timeline, compare.words
    times = timeline.sorted({str(row["time"]) for row in series} | {str(row[timeline.column]) for row in events})
    place = {time: number for number, time in enumerate(times)}
    happenings: list[Happening] = []
    cuts: dict[tuple[str, str], list[str]] = {}
    for row in sorted(events, key=lambda one: (place[one[timeline.column]], one["event_id"])):
        group = compare.group_of(row)
        happenings.append(happening_of(row, timeline.column, group, words))
        for unit in row["units"].split(",") if row["cuts"] else ():
            cuts.setdefault((group, unit), []).append(row[timeline.column])
    tracks: dict[tuple[str, str], dict[str, float]] = {}
    for row in sorted(series, key=lambda one: place[one["time"]]):
        if row["value"] is not None:
            tracks.setdefault((row["group"], row["unit"]), {})[row["time"]] = float(row["value"])
    return History(
        title=compare.title,
        happenings=happenings,
        times=times,
        tracks=[
            Track(
                group=group,
                unit=unit,
                times=list(values),
                values=list(values.values()),
                cuts=[time for time in (*cuts.get((group, unit), ()), *cuts.get((group, ALL), ())) if time in values],
            )
            for (group, unit), values in sorted(tracks.items())
        ],
        measure=words.entities if compare.entity is not None else words.measure(compare.measures[0]),
        words=words,
    )


def happening_of(event: Row, time: str, group: str, words: Words) -> Happening:
    """A row of events as a page tells it.

    Args:
        event: the row.
        time: the column of time.
        group: whom it happened to.
        words: what things are called.
    """
    plain = ("cause", "name", "units", "evidence", "probability", "judgement")
    return Happening(
        group=group,
        time=event[time],
        size=size_of(event["size"], event["size_unit"], words),
        key=event["event_id"],
        **{name: event[name] for name in plain},
    )


def size_of(size: float, size_unit: str, words: Words) -> str:
    """The size of an event as people say it."""
    if size_unit == "log change":
        return percent(math.expm1(size), signed=True)
    if size_unit == "share of units":
        return f"{percent(size)} of {words.units}"
    return counted(round(size), words.entity, words.entities)


def written(settings: Settings, name: str, page: str) -> Path:
    """Write a page into the folder of reports, whole or not at all; gives its path."""
    path = settings.reports / name.replace(PARTITION_SEPARATOR, "-").replace("/", "-")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_durably(path, page.encode())
    return path


def linked_from(settings: Settings, path: Path, picture: bytes, *, alt: str) -> dict[str, dg.MetadataValue[Any]]:
    """What the asset's page in the Dagster UI shows of a report: a thumbnail, the file and its address."""
    from mlops_assets.variance.report.pages import thumbnail  # noqa: PLC0415  see above

    address = f"{settings.reports_address}/{path.name}" if settings.reports_address else path.as_uri()
    return {
        "report": dg.MetadataValue.path(str(path)),
        "address": dg.MetadataValue.url(address),
        "preview": dg.MetadataValue.md(thumbnail(picture, alt=alt)),
    }


def _rows(session: LakeSession, table: Contract, partition: str) -> list[dict[str, Any]]:
    entries = ledger.current(session, table, [partition])
    rows: list[dict[str, Any]] = published_table(session, table, entries, version=0).to_pyarrow().to_pylist()
    return rows
