"""What each piece of evidence is worth: detection with one of them left out.

Put here what is left out, and how. Keep out how causes are scored.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import numpy as np
from event_panels import HOUSE, by_cause, found, happened, real_tables, scores, simulated, where
from public_panels import DATA, foreign, house, redistricting

from mlops_assets.variance.panel import boundaries, detection, evidence
from mlops_assets.variance.panel.boundaries import redrawn_of
from mlops_assets.variance.panel.turnover import turnover_of
from mlops_assets_tests.variance.panel.county_world import Happenings
from mlops_assets_tests.variance.panel.panel_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_assets.variance.arrays import Flags, Floats
    from mlops_assets.variance.panel.boundaries import Ratios, Redrawn
    from mlops_assets.variance.panel.evidence import Evidence
    from mlops_assets.variance.panel.panels import Panel
    from mlops_assets.variance.panel.steps import Steps
    from mlops_assets.variance.panel.turnover import Turnover


def _alone(panel: Panel, own: Evidence, turnover: Turnover, ratios: Ratios) -> Redrawn:
    """Every group by its own evidence."""
    whole = redrawn_of(panel, own, turnover, ratios)
    return replace(whole, probability=whole.alone)


def _unweighed(panel: Panel, steps: Steps, own: Evidence) -> Turnover:
    """Units that come and go weigh the same whatever became of totals."""
    whole = turnover_of(panel, steps, own)
    return replace(whole, odds=np.zeros_like(whole.odds))


def _nothing(*_: object) -> Iterator[tuple[int, int]]:
    return iter(())


def _none(*_: object) -> None:
    return None


def _never(own: Evidence) -> Flags:
    return np.zeros_like(own.fell)


def _not_whole(case: detection._Case, _: float) -> Flags:
    return np.zeros_like(case._evidence.fell)  # noqa: SLF001


def _no_habit(excess: Floats, known: Flags, cells: tuple[int, int]) -> tuple[Floats, Floats]:
    return np.zeros(known.size), np.zeros(cells[0] * cells[1]) * np.nan_to_num(excess)


ABLATIONS: Final[dict[str, tuple[Any, str, Any]]] = {
    "what other groups suggest": (detection, "redrawn_of", _alone),
    "totals of units that came or went": (detection, "turnover_of", _unweighed),
    "contradiction by units that stood still": (boundaries, "contradicted", _never),
    "habits of groups": (evidence, "_own_unrest", _no_habit),
    "labels": (detection, "renumbering", _none),
    "mergers and splits": (detection, "joins", _nothing),
    "exact exchanges": (detection, "exchanges", _nothing),
    "conserved totals of groups": (detection._Case, "_whole", _not_whole),  # noqa: SLF001
}


def without(name: str) -> ExitStack:
    """Detection with one piece of evidence left out, as long as the context lasts."""
    stack = ExitStack()
    if name:
        owner, attribute, replacement = ABLATIONS[name]
        stack.enter_context(patch.object(owner, attribute, replacement))
    return stack


def foreign_boundaries() -> dict[str, dict[str, int]]:
    """The causes named in panels of other fields, none of which has a new map but Italy's cases of June 2020."""
    counts: dict[str, dict[str, int]] = {}
    for name, (table, columns) in foreign().items():
        causes = list(found(table, columns).values())
        counts[name] = {cause: causes.count(cause) for cause in dict.fromkeys(causes)}
    return counts


def ablations(seeds: Sequence[int]) -> dict[str, dict[str, float]]:
    """What is left when one piece of evidence is not used: F1 of the House, macro F1 and false alarms elsewhere."""
    result = {}
    worlds = [World(named=False, wave=seed % 3 == 0) for seed in seeds]
    atoms = real_tables() if DATA.exists() else []
    for name in ("", *ABLATIONS):
        with without(name):
            own = by_cause(simulated(worlds, seeds)[1])
            row = {"simulated": own["macro_f1"], "simulated, false alarms": own["false_alarms"]}
            if atoms:
                parts = [happened(one, Happenings(wave=seed % 2 == 0), seed)[0] for one in atoms for seed in seeds]
                real = by_cause(np.sum(parts, axis=0))
                row |= {"real tables": real["macro_f1"], "real tables, false alarms": real["false_alarms"]}
                row["House"] = _house()
                row["other fields, boundaries"] = sum(
                    own.get("boundary", 0) for name, own in foreign_boundaries().items() if name != "italy"
                )
            result[f"without {name}" if name else "everything"] = row
    return result


def _house() -> float:
    """F1 of redrawn maps 1976-2000."""
    truth = redistricting()
    causes = found(where(house(), "year <= 2000"), HOUSE)
    judged = [key for key in causes if truth.get(key) in {"event", "no-event"}]
    return scores((truth[key] == "event", causes[key] == "boundary") for key in judged)["f1"]
