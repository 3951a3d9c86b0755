"""The flow chart: which units' entities are in which units now, as bands between two columns.

Put here the layout of the bands. Keep out how flows are counted (``crosswalk``), and other charts (``charts``).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from mlops_assets.variance.report.charts import COLOURS, FAINT, empty
from mlops_assets.variance.report.words import fitted, natural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

_STAYED: Final = "#c9ced4"
_GAP: Final = 0.3
"""Share of the height that lies between units."""

_BLOCK: Final = 0.025
_LEFT, _RIGHT = 0.2, 0.8
_LETTERS: Final = 24


def flow_chart(flows: Sequence[tuple[str, str, int]], *, renumbered: Sequence[tuple[str, str]] = ()) -> Figure:
    """Bands from old to new units, as wide as there are entities; those that kept their unit are grey.

    Args:
        flows: old unit, new unit and entities.
        renumbered: old and new label of units that only changed their label; their bands have a colour of their own.

    Returns:
        The chart: old units on the left, new ones on the right, in the order of their labels.
    """
    old, new = Counter[str](), Counter[str]()
    for before, after, entities in flows:
        old[before] += entities
        new[after] += entities
    figure = empty(8.6, 0.5 * max(len(old), len(new), 4) + 0.8)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.04, 1.06)
    scale = (1 - _GAP) / (old.total() or 1)
    tops = []
    for units, x, at, align, title in (
        (old, _LEFT - _BLOCK, _LEFT - 0.04, "right", "before"),
        (new, _RIGHT, _RIGHT + 0.04, "left", "after"),
    ):
        tops.append(_stacked(units, scale))
        for unit, top in tops[-1].items():
            height = units[unit] * scale
            axes.add_patch(Rectangle((x, top - height), _BLOCK, height, color=FAINT, linewidth=0))
            axes.text(at, top - height / 2, fitted(unit, _LETTERS), ha=align, va="center", fontsize=9)
        axes.text(at, 1.03, title, ha=align, fontsize=9, color=FAINT)
    bands = []
    # In the order of both sides, so that bands of one unit do not cross each other; what stayed lies below.
    for before, after, entities in sorted(flows, key=lambda flow: (natural(flow[0]), natural(flow[1]))):
        height = entities * scale
        bands.append((before, after, _band(tops[0][before], tops[1][after], height)))
        tops[0][before] -= height
        tops[1][after] -= height
    for before, after, band in sorted(bands, key=lambda band: band[0] != band[1]):
        colour = COLOURS["renumbering" if (before, after) in renumbered else "boundary"]
        stayed = before == after
        axes.add_patch(PathPatch(band, facecolor=_STAYED if stayed else colour, alpha=0.72, linewidth=0))
    return figure


def _stacked(units: Mapping[str, int], scale: float) -> dict[str, float]:
    """Top of each unit's block, from the top of the chart down."""
    places, top = {}, 1.0
    for unit in sorted(units, key=natural):
        places[unit] = top
        top -= units[unit] * scale + _GAP / max(len(units) - 1, 1)
    return places


def _band(top_left: float, top_right: float, height: float) -> Path:
    middle = (_LEFT + _RIGHT) / 2
    upper = [(_LEFT, top_left), (middle, top_left), (middle, top_right), (_RIGHT, top_right)]
    lower = [(x, y - height) for x, y in reversed(upper)]
    curve = [Path.CURVE4] * 3
    return Path([*upper, *lower, upper[0]], [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY])
