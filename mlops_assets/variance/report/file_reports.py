"""Reports on anyone's files: a panel becomes a history, two snapshots a comparison.

Put here how files become what a page tells. Keep out the pages, and the methods of detecting and splitting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.variance.linked.explanation import explain
from mlops_assets.variance.linked.ways import PARTS
from mlops_assets.variance.panel.detection import CAUSES, detect
from mlops_assets.variance.panel.panels import read_panel
from mlops_assets.variance.report.charts import Track
from mlops_assets.variance.report.reports import Comparison, Happening, History, Split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops_assets.variance.panel.panels import Columns, Panel

_CUTTING = ("boundary", "renumbering")


def history_of(panel_file: Path, columns: Columns, *, title: str) -> History:
    """Detect what happened in a panel.

    Args:
        panel_file: CSV or Parquet file, one row per unit and time.
        columns: what its columns mean; the first measure is drawn.
        title: of the page.

    Raises:
        ComparisonError: the file cannot be read, or lacks a column.
    """
    panel = read_panel(panel_file, columns)
    place = {time: number for number, time in enumerate(panel.times)}
    happenings = [
        Happening(
            group=row["group"],
            time=row["time"],
            position=place[row["time"]],
            cause=row["cause"],
            name=f"{row['cause']} of {row['units'] or 'all'}",
            units=row["units"],
            evidence=row["evidence"],
            probability=row["probability"],
            size=row["magnitude"],
            unit_of_size="in logarithms or shares",
        )
        for row in detect(panel).to_pylist()
        if row["cause"] != CAUSES[0]
    ]
    ordered = sorted(happenings, key=lambda each: (each.position, each.group))
    return History(
        title=title,
        happenings=ordered,
        ticks=[(number, time) for time, number in place.items()],
        tracks=_tracks(panel, ordered),
        measure=columns.measures[0],
    )


def comparison_of(
    before: Path,
    after: Path,
    *,
    entity: str,
    unit: str,
    attributes: Sequence[str],
    address: Sequence[str],
    title: str,
) -> Comparison:
    """Split what changed between two snapshots; arguments as `explanation.explain`, with the title of the page.

    Raises:
        ComparisonError: a file cannot be read, or lacks a column.
        ComparisonError: an attribute has a reserved name.
    """
    found = explain(before, after, entity=entity, unit=unit, attributes=attributes, address=address)
    happenings = [
        Happening(
            group=after.stem,
            time=after.stem,
            position=1.0,
            cause=row["cause"],
            name=row["name"],
            units=row["units"],
            evidence=row["evidence"],
            size=row["persons"],
            unit_of_size="entities",
        )
        for row in found.events.to_pylist()
    ]
    redrawn = any(happening.cause in _CUTTING for happening in happenings)
    flows = [(row["unit_before"], row["unit_after"], row["entities"]) for row in found.flows.to_pylist()]
    return Comparison(
        title=title,
        before=before.stem,
        after=after.stem,
        splits=[split_of(row) for row in found.split.to_pylist()],
        happenings=happenings,
        flows=flows if redrawn else [],
    )


def split_of(row: Mapping[str, Any], *, unit: str = "unit") -> Split:
    """A row of a split as a page tells it.

    Args:
        row: with ``attribute``, ``category``, ``before``, the parts and ``after``.
        unit: the column of the unit.
    """
    return Split(
        unit=row[unit],
        attribute=row["attribute"],
        category=row["category"],
        before=row["before"],
        parts={part: row[part] for part in PARTS},
        after=row["after"],
    )


def _tracks(panel: Panel, happenings: Sequence[Happening]) -> list[Track]:
    """The first measure of the units of every group to which something happened."""
    cuts: dict[str, list[float]] = {}
    for happening in happenings:
        own = cuts.setdefault(happening.group, [])
        if happening.cause in _CUTTING:
            own.append(happening.position)
    concerned = [number for number, group in enumerate(panel.groups) if group in cuts]
    rows = np.flatnonzero(np.isin(panel.group, concerned))
    tracks = []
    for unit in np.unique(panel.unit[rows]).tolist():
        own_rows = rows[panel.unit[rows] == unit]
        group = panel.groups[int(panel.group[own_rows[0]])]
        tracks.append(
            Track(
                name=f"{group} {panel.units[unit]}",
                positions=panel.time[own_rows].tolist(),
                values=panel.values[0, own_rows].tolist(),
                cuts=cuts[group],
            )
        )
    return tracks
