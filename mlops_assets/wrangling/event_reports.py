"""Reports on the lake: pages on one comparison of voter files and on the whole history, written beside the exports.

Put here how rows of the variance tables become what a page tells, and where pages lie. Keep out the pages themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mlops_assets.platform.durable_files import replace_durably
from mlops_assets.variance.linked.snapshots import ALL
from mlops_assets.variance.report.file_reports import split_of
from mlops_assets.variance.report.findings import Comparison, Happening, History, Track
from mlops_assets.variance.report.pages import thumbnail
from mlops_assets.variance.report.words import Words, counted, percent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_assets.platform.settings import Settings

HISTORY: Final = "history.html"
WORDS: Final = Words(
    entity="voter", entities="voters", unit="district", units="districts", group="state", groups="states"
)

Row = Mapping[str, Any]


def happening_of(event: Row) -> Happening:
    """A row of ``variance/events`` as a page tells it."""
    return Happening(
        group=event["state"],
        day=event["until"],
        size=_size(event["size"], event["size_unit"]),
        key=event["event_id"],
        **{
            name: event[name]
            for name in ("time", "cause", "name", "units", "evidence", "probability", "judgement", "same_as")
        },
    )


def _size(size: float, unit: str) -> str:
    if unit == "persons":
        return counted(round(size), "person", "persons")
    return f"{percent(math.expm1(size), signed=True)}" if unit == "log change" else f"{percent(size)} of districts"


def history_of_lake(events: Sequence[Row], totals: Sequence[Row], segments: Sequence[Row] = ()) -> History:
    """Every event, and the registered voters of every district over time.

    Args:
        events: rows of ``variance/events``.
        totals: rows of ``features/district_demographics`` of the attribute ``all``.
        segments: rows of ``variance/segmentation`` that were chosen.
    """
    cuts: dict[tuple[str, str], list[str]] = {}
    for event in events:
        if event["cuts"]:
            for unit in event["units"].split(","):
                cuts.setdefault((event["state"], unit), []).append(event["until"][: len("2022-03")])
    series: dict[tuple[str, str], dict[str, float]] = {}
    for row in sorted(totals, key=lambda row: row["month"]):
        if row["voters"] is not None:
            series.setdefault((row["state"], row["district"]), {})[row["month"]] = float(row["voters"])
    tracks = []
    for (state, district), values in sorted(series.items()):
        first, last = min(values), max(values)
        own = cuts.get((state, district), []) + cuts.get((state, ALL), [])
        inside = [cut for cut in own if first < cut <= last]
        tracks.append(Track(group=state, unit=district, times=list(values), values=list(values.values()), cuts=inside))
    return History(
        title="What changed the data",
        happenings=[happening_of(event) for event in events],
        tracks=tracks,
        measure="Registered voters",
        words=WORDS,
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
        words=WORDS,
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
