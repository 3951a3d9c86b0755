"""Reports on anyone's files: a panel becomes a history, two snapshots a comparison.

Put here how files become what a page tells. Keep out the pages, and the methods of detecting and splitting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.variance.files.opening import AS_DELIVERED, Reading
from mlops_assets.variance.linked.explanation import explain
from mlops_assets.variance.panel.detection import detect
from mlops_assets.variance.panel.panels import read_panel
from mlops_assets.variance.panel.verdicts import CAUSES
from mlops_assets.variance.report.findings import Comparison, Happening, History, Split, Track
from mlops_assets.variance.report.words import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from mlops_assets.variance.panel.panels import Columns, Panel
    from mlops_assets.variance.report.words import Words

_CUTTING = ("boundary", "renumbering")


def history_of(panel_file: Path, columns: Columns, *, title: str, words: Words) -> History:
    """Detect what happened in a panel.

    Args:
        panel_file: CSV or Parquet file, one row per unit and time.
        columns: what its columns mean; the first measure is drawn.
        title: of the page.
        words: what things are called.

    Raises:
        ComparisonError: the file cannot be read, or lacks a column.
    """
    panel = read_panel(panel_file, columns)
    happenings = [
        Happening(**{name: row[name] for name in ("group", "time", "cause", "units", "evidence", "probability")})
        for row in detect(panel).to_pylist()
        if row["cause"] != CAUSES[0]
    ]
    drawn = panel.values[0][np.isfinite(panel.values[0])]
    return History(
        title=title,
        happenings=happenings,
        times=panel.times,
        tracks=_tracks(panel, happenings),
        measure=columns.measures[0],
        # As in detection: what lies between 0 and 1 is a share, unless it is nothing else than 0 and 1.
        share=bool(drawn.size and drawn.min() >= 0 and drawn.max() <= 1 and (drawn % 1).any()),
        notes=panel.notes,
        words=words,
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
    words: Words,
    reading: Reading = AS_DELIVERED,
    despite: Collection[str] = (),
) -> Comparison:
    """Split what changed between two snapshots; arguments as `explanation.explain`, with title and words of the page.

    Raises:
        ComparisonError: a file cannot be read, or lacks a column.
        ComparisonError: an attribute has a reserved name, or the two cannot be compared.
    """
    found = explain(
        before,
        after,
        entity=entity,
        unit=unit,
        attributes=attributes,
        address=address,
        reading=reading,
        despite=despite,
    )
    happenings = [
        Happening(
            group="",
            time=after.stem,
            size=counted(row["persons"], words.entity, words.entities),
            **{name: row[name] for name in ("cause", "name", "units", "evidence")},
        )
        for row in found.events.to_pylist()
    ]
    redrawn = any(happening.cause in _CUTTING for happening in happenings)
    flows = [(row["unit_before"], row["unit_after"], row["entities"]) for row in found.flows.to_pylist()]
    return Comparison(
        title=title,
        before=before.stem,
        after=after.stem,
        splits=[Split.of(row) for row in found.split.to_pylist()],
        happenings=happenings,
        flows=flows if redrawn else [],
        notes=[*(finding.text for finding in found.findings), *found.notes],
        words=words,
    )


def _tracks(panel: Panel, happenings: Sequence[Happening]) -> list[Track]:
    """The first measure of the units of every group to which something happened."""
    cuts: dict[str, list[str]] = {}
    for happening in happenings:
        own = cuts.setdefault(happening.group, [])
        if happening.cause in _CUTTING:
            own.append(happening.time)
    concerned = [number for number, group in enumerate(panel.groups) if group in cuts]
    rows = np.flatnonzero(np.isin(panel.group, concerned))
    tracks = []
    # Rows are in the order of unit and time.
    for own_rows in np.split(rows, np.flatnonzero(np.diff(panel.unit[rows])) + 1):
        if own_rows.size:
            group = panel.groups[int(panel.group[own_rows[0]])]
            tracks.append(
                Track(
                    group=group,
                    unit=panel.units[int(panel.unit[own_rows[0]])],
                    times=[panel.times[time] for time in panel.time[own_rows].tolist()],
                    values=panel.values[0, own_rows].tolist(),
                    cuts=cuts[group],
                )
            )
    return tracks
