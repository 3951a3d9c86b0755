"""Whether probabilities mean what they say.

Put here reliability. Keep out how causes are scored.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np
from event_panels import HOUSE, SIMULATED, real_tables, unnamed, where
from public_panels import DATA, house, redistricting

from mlops_assets.variance.panel.detection import detect
from mlops_assets.variance.panel.panels import Columns, read_panel
from mlops_assets_tests.variance.panel import county_world
from mlops_assets_tests.variance.panel.county_world import Happenings
from mlops_assets_tests.variance.panel.panel_world import World, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

EDGES: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)

Judged = tuple[str, str, float]
"""True cause, named cause, probability."""


def reliability(judged: Iterable[Judged]) -> dict[str, Any]:
    """Expected calibration error over ten bins of equal width, of all answers and of events named, and a table.

    Args:
        judged: true and named causes with the probability given; ``unknown`` is left out.
    """
    rows = [row for row in judged if row[1] != "unknown"]
    named = [row for row in rows if row[1] != "none"]
    table = {}
    given, right = _given(named)
    for low, high in pairwise(EDGES):
        within = (given > low) & (given <= high)
        if within.any():
            table[f"{low:.2f} to {high:.2f}"] = {
                "events": int(within.sum()),
                "said": round(float(given[within].mean()), 3),
                "right": round(float(right[within].mean()), 3),
            }
    return {"all": _error(rows), "named": _error(named), "interval": _interval(named), "table": table}


def _given(rows: list[Judged]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return np.array([row[2] for row in rows]), np.array([row[0] == row[1] for row in rows])


def _error(rows: list[Judged]) -> float:
    """The mean distance of what was said from how often it was right, over bins."""
    if not rows:
        return 0.0
    given, right = _given(rows)
    bins = np.minimum((given * 10).astype(int), 9)
    parts = [(bins == own).sum() * abs(given[bins == own].mean() - right[bins == own].mean()) for own in set(bins)]
    return round(float(sum(parts)) / len(rows), 4)


def _interval(rows: list[Judged], draws: int = 500) -> tuple[float, float]:
    """Of the error, 95 % by drawing the events again."""
    random = np.random.default_rng(0)
    if not rows:
        return 0.0, 0.0
    errors = [_error([rows[at] for at in random.integers(0, len(rows), len(rows))]) for _ in range(draws)]
    low, high = np.quantile(errors, [0.025, 0.975])
    return round(float(low), 3), round(float(high), 3)


def judged(method: Callable[[int], Iterable[Judged]], seeds: Iterable[int]) -> list[Judged]:
    """What a source of panels gives for all seeds."""
    return [row for seed in seeds for row in method(seed)]


def _judged(table: pa.Table, columns: Columns, truth: Mapping[tuple[str, str], str]) -> Iterator[Judged]:
    for row in detect(read_panel(duckdb.from_arrow(table), columns)).to_pylist():
        yield truth.get((row["group"], row["time"]), "none").partition(":")[0], row["cause"], row["probability"]


def calibration(seeds: Sequence[int]) -> dict[str, Any]:
    """Reliability of probabilities on simulated panels, on real tables to which things happened, and on the House."""

    def worlds(seed: int) -> Iterator[Judged]:
        world = World(named=seed % 2 == 0, wave=seed % 3 == 0, people=(3_000, 10_000, 50_000)[seed % 3])
        table, truth = simulate(world, seed)
        yield from _judged(table, SIMULATED if world.named else unnamed(SIMULATED), truth)

    result = {"simulated": reliability(judged(worlds, seeds))}
    if DATA.exists():
        atoms = real_tables()

        def happenings(seed: int) -> Iterator[Judged]:
            for one in atoms:
                table, truth = county_world.happen(one, Happenings(wave=seed % 2 == 0), seed)
                columns = Columns(unit="unit", group="group", time="time", measures=one.measures)
                yield from _judged(table, columns, truth)

        result["real tables"] = reliability(judged(happenings, seeds))
        labels = {key: label for key, label in redistricting().items() if label in {"event", "no-event"}}
        truth = {key: "boundary" for key, label in labels.items() if label == "event"}
        rows = detect(read_panel(duckdb.from_arrow(where(house(), "year <= 2000")), HOUSE)).to_pylist()
        result["House"] = reliability(
            (truth.get((row["group"], row["time"]), "none"), row["cause"], row["probability"])
            for row in rows
            if (row["group"], row["time"]) in labels
        )
    return result
