"""Reports on the lake: pages on one comparison of voter files and on the whole history, written beside the exports.

Put here how rows of the variance tables become what a page tells, and where pages lie. Keep out the pages themselves.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mlops_assets.platform.durable_files import replace_durably
from mlops_assets.variance.linked.snapshots import ALL
from mlops_assets.variance.report.charts import Track
from mlops_assets.variance.report.file_reports import split_of
from mlops_assets.variance.report.pages import thumbnail
from mlops_assets.variance.report.reports import Comparison, Happening, History

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_assets.platform.settings import Settings

HISTORY: Final = "history.html"
_YEAR_DAYS: Final = 365.25

Row = Mapping[str, Any]


def happening_of(event: Row) -> Happening:
    """A row of ``variance/events`` as a page tells it."""
    return Happening(
        group=event["state"],
        time=event["time"],
        position=_position(event["until"]),
        cause=event["cause"],
        name=event["name"],
        units=event["units"],
        evidence=event["evidence"],
        probability=event["probability"],
        size=event["size"],
        unit_of_size=event["size_unit"],
        source=event["source"],
        judgement=event["judgement"],
        key=event["event_id"],
        same_as=event["same_as"],
    )


def history_of_lake(events: Sequence[Row], totals: Sequence[Row], segments: Sequence[Row] = ()) -> History:
    """Every event, and the registered voters of every district over time.

    Args:
        events: rows of ``variance/events``.
        totals: rows of ``features/district_demographics`` of the attribute ``all``.
        segments: rows of ``variance/segmentation`` that were chosen.
    """
    happenings = [happening_of(event) for event in events]
    cuts: dict[str, list[float]] = {}
    for event in events:
        if event["cuts"]:
            for unit in event["units"].split(","):
                cuts.setdefault(f"{event['state']} {unit}", []).append(_position(event["until"]))
    series: dict[str, list[Row]] = {}
    for row in totals:
        if row["voters"] is not None:
            series.setdefault(f"{row['state']} {row['district']}", []).append(row)
    tracks = []
    for name, rows in sorted(series.items()):
        ordered = sorted(rows, key=lambda row: row["month"])
        positions = [_position(f"{row['month']}-01") for row in ordered]
        own = cuts.get(name, []) + cuts.get(f"{ordered[0]['state']} {ALL}", [])
        inside = [cut for cut in own if positions[0] < cut <= positions[-1]]
        tracks.append(
            Track(name=name, positions=positions, values=[float(row["voters"]) for row in ordered], cuts=inside)
        )
    places = [happening.position for happening in happenings] + [p for track in tracks for p in track.positions]
    years = range(int(min(places)), int(max(places)) + 2) if places else range(0)
    return History(
        title="What changed the data",
        happenings=happenings,
        ticks=[(float(year), str(year)) for year in years],
        tracks=tracks,
        measure="Registered voters by district",
        notes=[
            (
                "Events of voter files come from linked persons and are certain; those of results, profiles and "
                "registrations are detected in aggregates, with the probability beside them."
            ),
            *(
                f"Segments for {row['election']}: {row['candidate']} {row['series']}".strip()
                + f", because {row['reason']} (error {row['error']:.3f}, {row['cells']} cells)."
                for row in segments
            ),
        ],
    )


def comparison_of_lake(
    *, state: str, month: str, previous_month: str, changes: Sequence[Row], events: Sequence[Row], flows: Sequence[Row]
) -> Comparison:
    """One month of one state against the month before.

    Args:
        state: postal code.
        month: of the later snapshot.
        previous_month: of the earlier one.
        changes: rows of ``variance/voter_changes``.
        events: rows of ``variance/events`` of that partition.
        flows: rows of ``variance/voter_flows``.
    """
    return Comparison(
        title=f"{state}, {month}: what changed in the voter file",
        before=previous_month,
        after=month,
        splits=[split_of(row, unit="district") for row in changes],
        happenings=[happening_of(event) for event in events],
        flows=[(row["district_before"], row["district_after"], row["entities"]) for row in flows],
    )


def written(settings: Settings, name: str, page: str) -> Path:
    """Write a page into the folder of reports, whole or not at all; gives its path."""
    path = settings.reports / name
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_durably(path, page.encode())
    return path


def linked_from(settings: Settings, path: Path, picture: bytes, *, alt: str) -> dict[str, dg.MetadataValue[Any]]:
    """What the asset's page in the Dagster UI shows of a report: a thumbnail, the file and its address."""
    address = f"{settings.reports_address}/{path.name}" if settings.reports_address else path.as_uri()
    return {
        "report": dg.MetadataValue.path(str(path)),
        "address": dg.MetadataValue.url(address),
        "preview": dg.MetadataValue.md(thumbnail(picture, alt=alt)),
    }


def _position(day: str) -> float:
    date = dt.date.fromisoformat(day if len(day) > len("2022-03") else f"{day}-01")
    return date.year + (date.timetuple().tm_yday - 1) / _YEAR_DAYS
