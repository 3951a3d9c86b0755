"""Charts of what changed: a timeline of events, waterfalls by cause, small multiples over time.

Put here drawing with Matplotlib's objects, without its global state. Keep out pages, words around a chart, and flows
between units (``flow_chart``).

Colours are those of Okabe and Ito and of Tol, which people with any colour vision can tell apart; causes also differ by
their markers and places.
"""

from __future__ import annotations

import io
import itertools
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

COLOURS: Final = {
    "boundary": "#0072B2",
    "renumbering": "#56B4E9",
    "units": "#332288",
    "movers": "#009E73",
    "joiners": "#117733",
    "leavers": "#882255",
    "attributes": "#CC79A7",
    "entry": "#D55E00",
    "population": "#E69F00",
}
MARKERS: Final = {"boundary": "s", "renumbering": "D", "units": "P", "entry": "X", "population": "o"}
INK: Final = "#1b1f24"
FAINT: Final = "#8a939d"
_LINE: Final = "#d5dae0"
_UNKNOWN: Final = "#777777"
_WIDTH: Final = 10.5
_MOST_TICKS: Final = 14
_ACROSS: Final = 5
_LEVEL: Final = 0.62
_LETTER: Final = 0.0062
"""Width of a letter of a label, in widths of the time axis."""

_FONT: Final[dict[Any, Any]] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "svg.fonttype": "none",
    # Without a salt equal charts would differ, and with them the pages.
    "svg.hashsalt": "variance",
    "axes.edgecolor": _LINE,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_RENDERING: Final = threading.Lock()
"""Fonts are a global of Matplotlib's: they are set for one rendering at a time and then set back."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One event on a timeline.

    Attributes:
        lane: the group it happened to.
        position: place on the time axis.
        cause: decides colour and marker.
        label: what stands beside it, short.
        standing: whether it stands; a rejected or repeated one is drawn hollow.
    """

    lane: str
    position: float
    cause: str
    label: str = ""
    standing: bool = True


@dataclass(frozen=True, kw_only=True)
class Track:
    """Values of one unit over time.

    Attributes:
        name: the unit.
        positions: places on the time axis, in order.
        values: one for each; NaN where missing.
        cuts: places at which the unit's series ends and a new one begins.
    """

    name: str
    positions: Sequence[float]
    values: Sequence[float]
    cuts: Sequence[float] = ()


def svg(figure: Figure) -> bytes:
    """The figure as SVG; equal figures give equal bytes."""
    _take_literally(figure)
    target = io.BytesIO()
    with _RENDERING, mpl.rc_context(_FONT):
        FigureCanvasSVG(figure).print_svg(target, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]  # Matplotlib types it not
    return target.getvalue()


def png(figure: Figure, *, dots_per_inch: int = 60) -> bytes:
    """The figure as PNG."""
    _take_literally(figure)
    target = io.BytesIO()
    with _RENDERING, mpl.rc_context(_FONT):
        figure.set_dpi(dots_per_inch)
        FigureCanvasAgg(figure).print_png(target, metadata={"Software": None})  # type: ignore[no-untyped-call]  # nor this
    return target.getvalue()


def _take_literally(figure: Figure) -> None:
    """Show dollar signs as they are: names come from data, and Matplotlib would read formulas between two of them."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)


def timeline(marks: Sequence[Mark], ticks: Sequence[tuple[float, str]]) -> Figure:
    """Events by group (lanes) and time, with their labels above one another where they would overlap.

    Args:
        marks: the events.
        ticks: places on the time axis with their labels, in order.
    """
    span = (ticks[-1][0] - ticks[0][0]) * 1.06 if len(ticks) > 1 else 1.0
    levels = {lane: _levels([mark for mark in marks if mark.lane == lane], span) for lane in {m.lane for m in marks}}
    place, height = {}, 0.0
    for lane in sorted(levels, reverse=True):
        place[lane] = height
        height += 1 + _LEVEL * (max(levels[lane].values(), default=-1) + 1)
    figure = _figure(_WIDTH, 1.1 + 0.32 * max(height, 1))
    axes = figure.add_subplot()
    for number in place.values():
        axes.axhline(number, color=_LINE, linewidth=0.8, zorder=0)
    for mark in marks:
        colour = COLOURS.get(mark.cause, _UNKNOWN)
        at = place[mark.lane]
        axes.scatter(
            [mark.position],
            [at],
            s=56,
            marker=MARKERS.get(mark.cause, "o"),
            facecolors=colour if mark.standing else "white",
            edgecolors=colour,
            linewidths=1.2,
            zorder=3,
        )
        if mark.label:
            top = at + 0.45 + _LEVEL * levels[mark.lane][mark]
            axes.plot([mark.position, mark.position], [at, top], color=_LINE, linewidth=0.7, zorder=0)
            right = mark.position > ticks[0][0] + span / 2
            axes.text(mark.position, top, mark.label, ha="right" if right else "left", fontsize=7, color=INK)
    axes.set_yticks(list(place.values()), list(place))
    axes.set_ylim(-0.7, max(height, 1) - 0.1)
    _time_axis(axes, ticks)
    _legend(axes, [cause for cause in MARKERS if any(mark.cause == cause for mark in marks)])
    return figure


def _levels(marks: Sequence[Mark], span: float) -> dict[Mark, int]:
    """For each labelled mark of one lane the level at which its label overlaps no other."""
    ends: list[float] = []
    found: dict[Mark, int] = {}
    for mark in sorted((mark for mark in marks if mark.label), key=lambda mark: (mark.position, mark.label)):
        width = len(mark.label) * _LETTER * span
        # A label may stand on either side of its mark.
        start = mark.position - width
        level = next((n for n, end in enumerate(ends) if end <= start), len(ends))
        ends[level : level + 1] = [mark.position + width]
        found[mark] = level
    return found


def waterfall(before: float, parts: Mapping[str, float], after: float, *, title: str = "") -> Figure:
    """How one count got from before to after, cause by cause.

    Args:
        before: the count at the earlier time.
        parts: what each cause added (or took away).
        after: the count at the later time.
        title: what is counted.
    """
    figure = _figure(_WIDTH * 0.62, 3.1)
    axes = figure.add_subplot()
    draw_waterfall(axes, before, parts, after)
    axes.set_title(title, loc="left", fontsize=10)
    return figure


def waterfalls(
    counts: Sequence[tuple[str, float, Mapping[str, float], float]],
) -> Figure:
    """Waterfalls of many units beside each other, each on its own scale, so that shapes can be compared.

    Args:
        counts: for each unit its name, the count before, the parts and the count after.
    """
    rows = math.ceil(len(counts) / _ACROSS)
    figure = _figure(_WIDTH, 0.4 + 1.75 * max(rows, 1))
    for number, (name, before, parts, after) in enumerate(counts, start=1):
        axes = figure.add_subplot(rows, _ACROSS, number)
        draw_waterfall(axes, before, parts, after, small=True)
        axes.set_title(f"{name}: {before:,.0f} to {after:,.0f}", fontsize=7.5, loc="left")
    return figure


def draw_waterfall(axes: Axes, before: float, parts: Mapping[str, float], after: float, *, small: bool = False) -> None:
    """Draw a waterfall into axes that are there."""
    shown = {cause: part for cause, part in parts.items() if part or not small}
    names = ["before", *shown, "after"]
    level = before
    levels = [before]
    for number, (cause, part) in enumerate(shown.items(), start=1):
        axes.bar(number, part, bottom=level, color=COLOURS.get(cause, _UNKNOWN), width=0.72)
        axes.plot([number - 1, number], [level, level], color=FAINT, linewidth=0.7)
        if not small and part:
            axes.annotate(
                f"{part:+,.0f}",
                (number, max(level, level + part)),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        level += part
        levels.append(level)
    low, high = min([*levels, after]), max([*levels, after])
    room = (high - low) or max(abs(high), 1.0) * 0.05
    # Bars of the two totals are cut off below: what changed would be too small to see beside them.
    floor = max(0.0, low - 0.35 * room) if low >= 0 else low - 0.35 * room
    for place, value in ((0, before), (len(names) - 1, after)):
        axes.bar(place, value - floor, bottom=floor, color=FAINT, width=0.72)
    axes.set_ylim(floor, high + 0.22 * room)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_xticks(range(len(names)), names if not small else [""] * len(names))
    axes.tick_params(length=0, labelsize=7 if small else 7.5)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.locator_params(axis="y", nbins=3 if small else 5)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)


def multiples(tracks: Sequence[Track], ticks: Sequence[tuple[float, str]]) -> Figure:
    """Series of many units beside each other, cut where the unit is not the same any more.

    Args:
        tracks: the units' values; all share the time axis, each has its own scale.
        ticks: places on the time axis with their labels, in order.
    """
    rows = math.ceil(len(tracks) / _ACROSS)
    figure = _figure(_WIDTH, 0.4 + 1.35 * max(rows, 1))
    ends = [ticks[0], ticks[-1]] if len(ticks) > 1 else list(ticks)
    for number, track in enumerate(tracks, start=1):
        axes = figure.add_subplot(rows, _ACROSS, number)
        edges = [-math.inf, *sorted(track.cuts), math.inf]
        for start, stop in itertools.pairwise(edges):
            piece = [(p, v) for p, v in zip(track.positions, track.values, strict=True) if start <= p < stop]
            if piece:
                axes.plot(
                    [p for p, _ in piece],
                    [v for _, v in piece],
                    color=INK,
                    linewidth=1.1,
                    marker="." if len(piece) < 3 else None,  # noqa: PLR2004  a line of one or two points is hard to see
                )
        for cut in track.cuts:
            axes.axvline(cut, color=COLOURS["boundary"], linewidth=0.9, linestyle=(0, (3, 2)))
        axes.set_title(track.name, fontsize=8, loc="left")
        axes.set_xticks([place for place, _ in ends], [label for _, label in ends])
        axes.tick_params(length=2, labelsize=6.5)
        axes.locator_params(axis="y", nbins=3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return figure


def figure_of(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, laid out by itself."""
    return _figure(width, height)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _time_axis(axes: Axes, ticks: Sequence[tuple[float, str]]) -> None:
    step = max(1, math.ceil(len(ticks) / _MOST_TICKS))
    shown = ticks[::step]
    axes.set_xticks([place for place, _ in shown], [label for _, label in shown])
    if ticks:
        margin = (ticks[-1][0] - ticks[0][0]) * 0.03 or 0.5
        axes.set_xlim(ticks[0][0] - margin, ticks[-1][0] + margin)
    axes.tick_params(length=2, labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _legend(axes: Axes, causes: Sequence[str]) -> None:
    for cause in causes:
        axes.scatter([], [], s=44, marker=MARKERS[cause], color=COLOURS[cause], label=cause)
    if causes:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(causes), frameon=False, fontsize=8)
