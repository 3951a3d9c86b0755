"""Panels on which the naming of events is judged: how they are made, named and scored.

Put here what every part of the benchmark shares. Keep out the parts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
from public_panels import DATA, MEASURES, profiles

from mlops_assets.variance.panel.boundaries import DEFAULT, Ratios
from mlops_assets.variance.panel.detection import detect
from mlops_assets.variance.panel.panels import Columns, read_panel
from mlops_assets.variance.panel.verdicts import CAUSES
from mlops_assets_tests.variance.panel import county_world, panel_world
from mlops_assets_tests.variance.panel.panel_world import World, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa

    from mlops_assets.variance.panel.panels import Panel
    from mlops_assets_tests.variance.panel.county_world import Atoms, Happenings

    Named = dict[tuple[str, str], str]

HOUSE = Columns(unit="district", group="state", time="year", measures=("share", "dem", "rep", "total"), entity="winner")
EDITION = Columns(unit="district", group="state", time="edition", measures=("dem", "rep", "total"))
PROFILE = Columns(unit="district", group="state", time="time", measures=tuple(MEASURES))
SIMULATED = Columns(unit="unit", group="group", time="time", measures=panel_world.MEASURES, entity="name")


def ours(panel: Panel, ratios: Ratios = DEFAULT) -> Named:
    """The cause of every group and time, as ``detect`` names it."""
    rows = detect(panel, ratios)
    keys = zip(rows["group"].to_pylist(), rows["time"].to_pylist(), strict=True)
    return dict(zip(keys, rows["cause"].to_pylist(), strict=True))


def found(table: pa.Table, columns: Columns, method: Callable[[Panel], Named] = ours) -> Named:
    """The cause of every group and time, as a method names it."""
    return method(read_panel(duckdb.from_arrow(table), columns))


def where(table: pa.Table, condition: str) -> pa.Table:
    """The rows of a table that meet an SQL condition."""
    return duckdb.from_arrow(table).filter(condition).to_arrow_table()


def scores(pairs: Iterable[tuple[bool, bool]]) -> dict[str, float]:
    """F1, precision, recall and the share of false alarms, of (true, named)."""
    count = Counter(pairs)
    hit, missed, alarm, quiet = count[True, True], count[True, False], count[False, True], count[False, False]
    return {
        "events": hit + missed,
        "f1": round(2 * hit / max(2 * hit + missed + alarm, 1), 3),
        "precision": round(hit / max(hit + alarm, 1), 3),
        "recall": round(hit / max(hit + missed, 1), 3),
        "false_alarms": round(alarm / max(alarm + quiet, 1), 4),
    }


def simulated(
    worlds: Sequence[World], seeds: Sequence[int], method: Callable[[Panel], Named] = ours
) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """Panels with truth: F1 by cause, their mean, false alarms, and the confusion matrix (true by named)."""
    matrix = np.zeros((len(CAUSES), len(CAUSES)), dtype=int)
    ways: Counter[tuple[str, str]] = Counter()
    for world, seed in zip(worlds, seeds, strict=True):
        table, truth = simulate(world, seed)
        columns = SIMULATED if world.named else unnamed(SIMULATED)
        for key, cause in found(table, columns, method).items():
            true, _, way = truth.get(key, "none").partition(":")
            matrix[CAUSES.index(true), CAUSES.index(cause)] += 1
            ways[way, cause] += bool(way)
    return by_cause(matrix) | {"ways": by_way(ways)}, matrix


def by_cause(matrix: np.ndarray[Any, Any]) -> dict[str, Any]:
    """F1 by cause that occurs, their mean, and false alarms, of a confusion matrix (true by named)."""
    f1 = {
        cause: round(float(2 * matrix[at, at] / max(matrix[at].sum() + matrix[:, at].sum(), 1)), 3)
        for at, cause in enumerate(CAUSES)
        if cause != "none" and matrix[at].any()
    }
    alarms = 1 - matrix[0, 0] / max(matrix[0].sum(), 1)
    return {
        "f1": f1,
        "macro_f1": round(float(np.mean(list(f1.values()) or [0.0])), 3),
        "false_alarms": round(float(alarms), 4),
    }


def by_way(ways: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """The named causes of each way in which an event came about."""
    return {way: {cause: ways[way, cause] for cause in CAUSES if ways.get((way, cause))} for way, _ in sorted(ways)}


def real_tables() -> list[Atoms]:
    """Real tables whose places can be put together to units: counties, and districts in three quiet years."""
    quiet = ("2008", "2010", "2011")
    return [
        *county_world.tables(DATA),
        county_world.districts(profiles(*quiet), "profiles", quiet, tuple(MEASURES)),
    ]


def happened(
    atoms: Atoms, happenings: Happenings, seed: int, method: Callable[[Panel], Named] = ours
) -> tuple[np.ndarray[Any, Any], Counter[tuple[str, str]]]:
    """The confusion matrix of a real table to which things happened, and the named causes of each kind of event."""
    matrix = np.zeros((len(CAUSES), len(CAUSES)), dtype=int)
    kinds: Counter[tuple[str, str]] = Counter()
    table, truth = county_world.happen(atoms, happenings, seed)
    columns = Columns(unit="unit", group="group", time="time", measures=atoms.measures)
    for key, cause in found(table, columns, method).items():
        true, _, kind = truth.get(key, "none").partition(":")
        matrix[CAUSES.index(true), CAUSES.index(cause)] += 1
        if kind:
            kinds[kind.split(" ")[0] if ">" in kind else kind, cause] += 1
    return matrix, kinds


def unnamed(columns: Columns) -> Columns:
    """The same columns without the entity."""
    return replace(columns, entity=None)
