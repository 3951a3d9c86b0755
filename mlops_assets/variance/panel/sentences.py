"""Sentences: the evidence for a cause in words and figures.

Put here what is said of one group at one time. Keep out how it is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from mlops_assets.variance.panel.boundaries import Redrawn
    from mlops_assets.variance.panel.evidence import Evidence
    from mlops_assets.variance.panel.joins import Join
    from mlops_assets.variance.panel.panels import Panel
    from mlops_assets.variance.panel.renumbering import Renumbering
    from mlops_assets.variance.panel.steps import Steps
    from mlops_assets.variance.panel.totals import Totals
    from mlops_assets.variance.panel.turnover import Turnover
    from mlops_assets.variance.panel.verdicts import Verdicts

_FAR: Final = 2.0
_NOT_CONSERVED: Final = 4.0
_MOST_LISTED: Final = 60


def relabelled(panel: Panel, verdicts: Verdicts, found: Renumbering) -> str:
    """Which unit is which, and which ones are none."""
    ways = [f"{panel.units[old]}>{panel.units[new]}" for old, new in zip(found.old, found.new, strict=True)]
    words = (
        f"{len(ways)} of {found.units} units are in all measures what another was before: "
        + ", ".join(ways[:_MOST_LISTED])
        + (", ..." if len(ways) > _MOST_LISTED else "")
    )
    if found.misfits.size:
        words += f"; no unit before was like {verdicts.listed(found.misfits)}"
    if found.lost.size:
        words += f"; no unit is like {verdicts.listed(found.lost)} any more"
    return words


def redrawn(panel: Panel, evidence: Evidence, map_: Redrawn, cell: int) -> str:
    """What the group itself says of a new map, and apart from it what others suggest."""
    parts = [
        (
            f"units moved against each other by {evidence.spread[cell]:.3g} in the middle, "
            f"{evidence.dispersion[cell]:+.1f} standard deviations of ordinary times"
        )
    ]
    if evidence.appeared[cell] + evidence.disappeared[cell]:
        parts.append(
            f"{evidence.units[cell]} units after {evidence.before[cell]} ({evidence.appeared[cell]} new, "
            f"{evidence.disappeared[cell]} gone)"
        )
    if panel.entity is not None:
        parts.append(f"{evidence.moved[cell]} entities turned up in another unit, {evidence.stayed[cell]} stayed")
    parts.append(
        f"by its own evidence {map_.alone[cell]:.0%} probable, {map_.probability[cell]:.0%} as "
        f"{map_.share[cell]:.0%} of groups seem redrawn at this time"
    )
    return "; ".join(parts)


def exchange(panel: Panel, steps: Steps, totals: Totals, verdicts: Verdicts, cell: int) -> str:
    """Which units gained what others of the group lost, if the group's total was conserved; empty otherwise."""
    if not np.isfinite(totals.after[:, cell]).any():
        return ""
    measure = int(np.nanargmax(totals.after[:, cell]))
    name, net, score = panel.measures[measure], totals.net[measure, cell], totals.score[measure, cell]
    rows = steps.rows(cell)
    rows = rows[~steps.first[rows]]
    swing = np.exp(np.nan_to_num(steps.swing[measure, cell % len(panel.times)]))
    gained = np.nan_to_num(panel.values[measure, rows] - panel.values[measure, rows - 1] * swing)
    scale = steps.scale[measure, rows] * np.abs(panel.values[measure, rows])
    up, down = gained > _FAR * scale, gained < -_FAR * scale
    if not np.isfinite(net) or abs(score) > _NOT_CONSERVED or not (up.any() and down.any()):
        return ""
    return (
        f"; {verdicts.listed(panel.unit[rows[up]])} gained {gained[up].sum():,.0f} {name} and "
        f"{verdicts.listed(panel.unit[rows[down]])} lost {-gained[down].sum():,.0f}, while the group's total was "
        f"conserved: {net:+.2%} against the common swing, {abs(score):.1f} standard deviations"
    )


def joined(panel: Panel, verdicts: Verdicts, join: Join) -> str:
    """Who became part of whom, or came of it."""
    parts, whole = verdicts.listed(join.parts), panel.units[join.whole]
    if join.merged:
        return f"{parts} became part of {whole}: together they are what they were"
    return f"{whole} was divided, {parts} came of it: together they are what it was"


def came_and_went(evidence: Evidence, turnover: Turnover, cell: int) -> str:
    """How many units came and went, and what it did to the group's total."""
    ways = [
        f"{count} of {of} units {what}"
        for count, of, what in (
            (evidence.disappeared[cell], evidence.before[cell], "left"),
            (evidence.appeared[cell], evidence.units[cell], "are new"),
        )
        if count
    ]
    return (
        f"{', '.join(ways)}, while the others went on as before and the group's total moved by "
        f"{np.expm1(turnover.moved[cell]):+.0%}: no redrawing, which would have kept it"
    )
