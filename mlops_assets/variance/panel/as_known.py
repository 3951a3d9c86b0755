"""As known then: verdicts that do not change when later data come.

Put here how a panel is judged time by time. Keep out the judgement itself.

``detect`` learns from all times of a panel what is ordinary, and sees at the next time what was undone: what it says of
the past may change when a time is added. Whoever keeps verdicts wants those that nobody has to take back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.variance.panel.detection import detect
from mlops_assets.variance.panel.verdicts import SCHEMA

if TYPE_CHECKING:
    from mlops_assets.variance.panel.panels import Panel


def detect_as_known(panel: Panel) -> pa.Table:
    """Name what happened to each group at each time by what was known at that time.

    Args:
        panel: as for ``detect``.

    Returns:
        As ``detect``; the rows of each time are those that it gives for the panel up to that time, so that they stay
        as they are whatever comes later. Groups that appear later have no row before.
    """
    parts = []
    for time in range(1, len(panel.times)):
        known = detect(until(panel, time))
        parts.append(known.filter(pc.equal(known["time"], panel.times[time])))
    return pa.concat_tables(parts) if parts else SCHEMA.empty_table()


def until(panel: Panel, time: int) -> Panel:
    """The panel as it was when nothing later than a time was known.

    Args:
        panel: the panel.
        time: code of the last time that is kept.
    """
    rows = np.flatnonzero(panel.time <= time)
    groups, group = np.unique(panel.group[rows], return_inverse=True)
    units, unit = np.unique(panel.unit[rows], return_inverse=True)
    times, own_time = np.unique(panel.time[rows], return_inverse=True)
    return replace(
        panel,
        groups=[panel.groups[code] for code in groups],
        times=[panel.times[code] for code in times],
        elapsed=panel.elapsed[times],
        units=[panel.units[code] for code in units],
        group=group,
        unit=unit,
        time=own_time,
        copies=panel.copies[rows],
        values=panel.values[:, rows],
        weight=None if panel.weight is None else panel.weight[rows],
        entity=None if panel.entity is None else panel.entity[rows],
    )
