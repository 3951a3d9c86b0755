"""The report on everything that changed the data: events of every source, and districts over time.

Put here how rows become what the page tells. Keep out the page itself, and reports on a single comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.variance.linked.snapshots import ALL
from mlops_assets.variance.report.findings import Happening, History, Track
from mlops_assets.variance.report.words import Words
from mlops_assets.wrangling.comparisons.reports import size_of

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        size=size_of(event["size"], event["size_unit"], WORDS),
        key=event["event_id"],
        **{
            name: event[name]
            for name in ("time", "cause", "name", "units", "evidence", "probability", "judgement", "same_as")
        },
    )


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
