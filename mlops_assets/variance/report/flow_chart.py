"""The flow chart: which units' entities are in which units now, as bands between two columns.

Put here the layout of the bands. Keep out how flows are counted (``crosswalk``), and other charts (``charts``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from mlops_assets.variance.report.charts import COLOURS, FAINT, INK, figure_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STAYED: Final = "#c9ced4"
_GAP: Final = 0.25
"""Share of the height that lies between units."""

_BLOCK: Final = 0.025
_LEFT, _RIGHT = 0.14, 0.86


def flow_chart(flows: Sequence[tuple[str, str, int]], *, renumbered: Sequence[tuple[str, str]] = ()) -> Figure:
    """Bands from old to new units, as wide as there are entities; those that kept their unit are grey.

    Args:
        flows: old unit, new unit and entities.
        renumbered: old and new label of units that only changed their label; their bands have a colour of their own.

    Returns:
        The chart: old units on the left, new ones on the right, in the order of their labels.
    """
    old = sorted({before for before, _, _ in flows})
    new = sorted({after for _, after, _ in flows})
    figure = figure_of(8.6, max(3.0, 0.42 * max(len(old), len(new)) + 0.8))
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.04, 1.06)
    total = sum(entities for _, _, entities in flows) or 1
    left = _stacked(old, {unit: sum(n for before, _, n in flows if before == unit) / total for unit in old})
    right = _stacked(new, {unit: sum(n for _, after, n in flows if after == unit) / total for unit in new})
    _columns(axes, left, right)
    renamed = set(renumbered)
    start = {unit: top for unit, (top, _) in left.items()}
    stop = {unit: top for unit, (top, _) in right.items()}
    # In the order of both sides, so that bands of one unit do not cross each other; what stayed lies below.
    bands = []
    for before, after, entities in sorted(flows):
        height = entities / total * (1 - _GAP)
        bands.append((before, after, start[before], stop[after], height))
        start[before] -= height
        stop[after] -= height
    for before, after, top_left, top_right, height in sorted(bands, key=lambda band: band[0] != band[1]):
        colour = COLOURS["renumbering"] if (before, after) in renamed else COLOURS["boundary"]
        stayed = before == after
        axes.add_patch(
            PathPatch(
                _band(top_left, top_right, height),
                facecolor=_STAYED if stayed else colour,
                alpha=0.55 if stayed else 0.72,
                linewidth=0,
            )
        )
    return figure


def _stacked(units: Sequence[str], share: dict[str, float]) -> dict[str, tuple[float, float]]:
    """Top and height of each unit's block, from the top of the chart down."""
    gap = _GAP / max(len(units) - 1, 1)
    places = {}
    top = 1.0
    for unit in units:
        height = share[unit] * (1 - _GAP)
        places[unit] = (top, height)
        top -= height + gap
    return places


def _columns(axes: Axes, left: dict[str, tuple[float, float]], right: dict[str, tuple[float, float]]) -> None:
    for places, x, at, align in ((left, _LEFT - _BLOCK, _LEFT - 0.04, "right"), (right, _RIGHT, _RIGHT + 0.04, "left")):
        for unit, (top, height) in places.items():
            axes.add_patch(Rectangle((x, top - height), _BLOCK, height, color=FAINT, linewidth=0))
            axes.text(at, top - height / 2, unit, ha=align, va="center", fontsize=9, color=INK)
    axes.text(_LEFT, 1.03, "before", ha="right", fontsize=9, color=FAINT)
    axes.text(_RIGHT, 1.03, "after", ha="left", fontsize=9, color=FAINT)


def _band(top_left: float, top_right: float, height: float) -> Path:
    middle = (_LEFT + _RIGHT) / 2
    points = [
        (_LEFT, top_left), (middle, top_left), (middle, top_right), (_RIGHT, top_right),
        (_RIGHT, top_right - height), (middle, top_right - height), (middle, top_left - height),
        (_LEFT, top_left - height), (_LEFT, top_left),
    ]  # fmt: skip
    codes = [
        Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4,
        Path.CLOSEPOLY,
    ]  # fmt: skip
    return Path(points, codes)
