"""Charts of what changed: a timeline of events, waterfalls by cause, small multiples over time.

Put here drawing with Matplotlib's objects, without its globals. Keep out pages, words around a chart, and flows
between units (``flow_chart``).

Every colour stands out from white by 3 to 1 or more (WCAG 1.4.11), and none tells anything alone: causes differ by
their markers, or are named beside their bars.
"""

from __future__ import annotations

import io
import itertools
import math
import threading
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import PercentFormatter

from mlops_assets.variance.report.words import fitted, natural, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from mlops_assets.variance.report.findings import Happening, Split, Track
    from mlops_assets.variance.report.time_axis import TimeAxis
    from mlops_assets.variance.report.words import Words

COLOURS: Final = {
    "boundary": "#0072B2",
    "renumbering": "#4A90C4",
    "units": "#332288",
    "entry": "#D55E00",
    "population": "#9A6700",
    "unknown": "#6B7280",
    "movers": "#009E73",
    "joiners": "#117733",
    "leavers": "#882255",
    "attributes": "#B5508E",
}
MARKERS: Final = {"boundary": "s", "renumbering": "D", "units": "P", "entry": "X", "population": "o", "unknown": "*"}
INK: Final = "#1b1f24"
FAINT: Final = "#57606a"
_LINE: Final = "#d5dae0"
_WIDTH: Final = 10.5
_ACROSS: Final = 5
_MOST_TICKS: Final = 12
_LEVEL: Final = 0.62
_LETTER: Final = 0.0062
"""Width of a letter of a label, in widths of the time axis."""

_ROOMY: Final = 40
"""Groups up to which each has a wide lane of the timeline."""

_LONG: Final = 3
"""How many times as long as usual nothing was seen of a unit where its line breaks."""

_LANE_LETTERS: Final = 28
_ROW_LETTERS: Final = 130
"""Letters of titles that stand beside each other."""

_FONT: Final[dict[Any, Any]] = {
    "font.family": ["sans-serif"],
    "font.size": 9,
    "svg.fonttype": "none",
    # Without a salt equal charts would differ, and with them the pages.
    "svg.hashsalt": "variance",
    "axes.edgecolor": _LINE,
    "axes.labelcolor": INK,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_RENDERING: Final = threading.Lock()
"""Fonts are a global of Matplotlib's: they are set for one rendering at a time and then set back."""


def svg(figure: Figure) -> bytes:
    """The figure as SVG; equal figures give equal bytes."""
    return _rendered(figure, FigureCanvasSVG(figure).print_svg, {"Date": None, "Creator": None})


def png(figure: Figure, *, width: int) -> bytes:
    """The figure as a small PNG, so many pixels wide and laid out as in full size."""
    figure.set_dpi(width / figure.get_size_inches()[0])
    return _rendered(figure, FigureCanvasAgg(figure).print_png, {"Software": None})


def _rendered(figure: Figure, printing: Any, metadata: Mapping[str, None]) -> bytes:  # noqa: ANN401  not typed there
    # Names come from data, and Matplotlib would read formulas between two dollar signs.
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    target = io.BytesIO()
    with _RENDERING, mpl.rc_context(_FONT):
        printing(target, metadata=metadata)
    return target.getvalue()


def empty(width: float, height: float) -> Figure:
    """A figure of that size in inches, laid out by itself."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def timeline(happenings: Sequence[Happening], axis: TimeAxis, words: Words, *, labelled: bool) -> Figure:
    """Events by group (lanes) and time.

    Args:
        happenings: the events; those that do not stand are drawn hollow.
        axis: of their times.
        words: what causes are called.
        labelled: whether what happened stands beside each mark, above one another where labels would overlap.
    """
    lanes = sorted({each.group for each in happenings}, key=natural, reverse=True)
    roomy = len(lanes) <= _ROOMY
    ends = list(axis.places.values()) or [0.0]
    span = (ends[-1] - ends[0]) or 1.0
    figure = empty(_WIDTH, 1)
    axes = figure.add_subplot()
    lane_places, height = [], 0.0
    for lane in lanes:
        own = sorted((each for each in happenings if each.group == lane), key=lambda each: axis.places[each.place])
        axes.axhline(height, color=_LINE, linewidth=0.8, zorder=0)
        taken: list[float] = []
        for each in own:
            place, colour = axis.places[each.place], COLOURS.get(each.cause, FAINT)
            axes.scatter(
                [place],
                [height],
                s=56 if roomy else 22,
                marker=MARKERS.get(each.cause, "o"),
                facecolors=colour if each.stands else "white",
                edgecolors=colour,
                linewidths=1.2,
                zorder=3,
            )
            if labelled:
                label = fitted(f"{each.time} {each.name}".strip(), 44)
                top = height + 0.45 + _LEVEL * _level(taken, place, len(label) * _LETTER * span)
                axes.plot([place, place], [height, top], color=_LINE, linewidth=0.7, zorder=0)
                right = place > ends[0] + span / 2
                axes.text(place, top, label, ha="right" if right else "left", fontsize=7)
        lane_places.append(height)
        height += 1 + _LEVEL * len(taken)
    figure.set_size_inches(_WIDTH, 1.1 + (0.32 if roomy else 0.15) * max(height, 1))
    axes.set_yticks(lane_places, [fitted(lane, _LANE_LETTERS) for lane in lanes], fontsize=8 if roomy else 6.5)
    axes.set_ylim(-0.7, max(height, 1) - 0.1)
    axis.dress(axes, most=_MOST_TICKS)
    axes.tick_params(axis="x", length=2, labelsize=8)
    _bare(axes, "top", "right", "left")
    causes = [cause for cause in MARKERS if any(each.cause == cause for each in happenings)]
    for cause in causes:
        axes.scatter([], [], s=44, marker=MARKERS[cause], color=COLOURS[cause], label=words.cause(cause))
    if causes:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(causes), frameon=False, fontsize=8)
    return figure


def _level(taken: list[float], place: float, width: float) -> int:
    """The lowest level at which a label overlaps none to its left; it may stand on either side of its mark."""
    level = next((level for level, end in enumerate(taken) if end <= place - width), len(taken))
    taken[level : level + 1] = [place + width]
    return level


def waterfalls(splits: Sequence[tuple[str, Split]], words: Words) -> Figure:
    """How counts got from before to after, cause by cause; each chart has its own scale, and every bar its figure.

    The first bar begins at zero, each next one where the one above ended, and the last is the whole change. The counts
    themselves stand above: beside them the changes would be too small to see.

    Args:
        splits: titles and changes, all with the same parts; what no change has is left out.
        words: what causes are called.
    """
    parts = [part for part in splits[0][1].parts if any(split.parts[part] for _, split in splits)] if splits else []
    figure, cells = _grid(len(splits), across=4, height=0.75 + 0.17 * (len(parts) + 1), share=True)
    for (title, split), axes in zip(splits, cells, strict=False):
        sizes = [float(split.parts[part] or 0) for part in parts]
        starts = [0.0, *itertools.accumulate(sizes)]
        bars = [
            *zip(starts[:-1], sizes, [COLOURS.get(part, FAINT) for part in parts], strict=True),
            (0, starts[-1], INK),
        ]
        for row, (start, size, colour) in enumerate(bars):
            axes.barh(row, size, left=start, color=colour, height=0.72)
            end = (max(start, start + size), row)
            axes.annotate(
                number(size, signed=True), end, xytext=(3, 0), textcoords="offset points", va="center", fontsize=7
            )
        axes.axvline(0, color=INK, linewidth=0.8)
        reach = [0.0, *starts]
        room = (max(reach) - min(reach)) or 1.0
        axes.set_xlim(min(reach) - 0.05 * room, max(reach) + 0.35 * room)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_yticks(range(len(bars)), [*map(words.done, parts), "change"])
        axes.set_xticks([])
        axes.tick_params(length=0, labelsize=7.5)
        before, after = number(split.before or 0), number(split.after or 0)
        axes.set_title(
            f"{fitted(title, _ROW_LETTERS // min(len(splits), 4))}\n{before} to {after}", fontsize=8, loc="left"
        )
        _bare(axes, "top", "right", "bottom", "left")
    return figure


def multiples(tracks: Sequence[tuple[str, Track]], axis: TimeAxis, *, share: bool) -> Figure:
    """Series of many units beside each other, cut where the unit is not the same any more, or was not seen for long.

    Args:
        tracks: titles and values; all have the same time axis, each has its own scale.
        axis: of the times.
        share: whether values are shares of one.
    """
    across = min(_ACROSS, max(len(tracks), 1))
    figure, cells = _grid(len(tracks), across=_ACROSS, height=1.35 if across > 1 else 2.2)
    for (title, track), axes in zip(tracks, cells, strict=False):
        places, values = np.array([axis.places[time] for time in track.times]), np.array(track.values)
        cuts = sorted({axis.places[cut] for cut in track.cuts})
        gaps = np.diff(places)
        seen_again = places[1:][gaps > _LONG * np.median(gaps)] if gaps.size else places[:0]
        for start, stop in itertools.pairwise(sorted({-math.inf, *cuts, *seen_again.tolist(), math.inf})):
            piece = (start <= places) & (places < stop)
            # A line of one or two points is hard to see.
            axes.plot(places[piece], values[piece], color=INK, linewidth=1.1, marker="." if piece.sum() < 3 else None)  # noqa: PLR2004
        for cut in cuts:
            axes.axvline(cut, color=COLOURS["boundary"], linewidth=0.9, linestyle=(0, (3, 2)))
        axes.set_title(fitted(title, _ROW_LETTERS // across), fontsize=8, loc="left")
        axes.tick_params(length=2, labelsize=6.5)
        axes.locator_params(axis="y", nbins=3 if across > 1 else 5, integer=not (values % 1 > 0).any())
        if len(levels := np.unique(values[np.isfinite(values)])) == 1:
            axes.set_yticks(levels)
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %") if share else "{x:,.12g}")
        axis.dress(axes, most=2 if across > 1 else _MOST_TICKS)
        if across > 1 and len(labels := axes.get_xticklabels()) > 1:
            labels[0].set_horizontalalignment("left")
            labels[-1].set_horizontalalignment("right")
        _bare(axes, "top", "right")
    return figure


def _grid(charts: int, *, across: int, height: float, share: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with so many charts, in rows of that height; fewer than fill a row are as wide as in a full one."""
    across = min(across, max(charts, 1))
    rows = max(-(-charts // across), 1)
    figure = empty(_WIDTH if across > 1 else _WIDTH * 0.62, 0.2 + height * rows)
    cells = list(figure.subplots(rows, across, sharey=share, squeeze=False).flat)
    for unused in cells[charts:]:
        unused.set_visible(False)
    return figure, cells


def _bare(axes: Axes, *sides: str) -> None:
    for side in sides:
        axes.spines[side].set_visible(False)
