"""Small plots of a model's evaluation, as text that a page can show.

Put here drawing. Keep out what is drawn (``card``) and any state that outlives a figure: matplotlib's ``pyplot`` keeps
one for the whole process, so figures are made by themselves.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES: Final = (4.2, 2.8)
_DOTS_PER_INCH: Final = 80
_INK: Final = "#30507a"
_PROMISE: Final = "#b04030"
_MOST_BARS: Final = 16


def reliability(points: Sequence[tuple[float, float, int]]) -> str:
    """A reliability diagram: shares that came true over probabilities, the size of a point telling how many.

    Args:
        points: mean probability, share of events and number of cases of each bin.

    Returns:
        A PNG as data address.
    """
    figure, axes = _empty()
    largest = max((count for _, _, count in points), default=1)
    axes.plot([0, 1], [0, 1], color=_PROMISE, linewidth=1)
    axes.scatter(
        [point[0] for point in points],
        [point[1] for point in points],
        s=[10.0 + 70.0 * point[2] / largest for point in points],
        color=_INK,
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="share that came true")
    return _address(figure)


def coverage(shares: Mapping[str, float], promised: float) -> str:
    """Bars of the share of districts that intervals held in each election, and a line at what they promise.

    Returns:
        A PNG as data address.
    """
    figure, axes = _empty()
    axes.bar(list(shares), list(shares.values()), color=_INK)
    axes.axhline(promised, color=_PROMISE, linewidth=1)
    axes.set(ylim=(0, 1), ylabel="districts held by the interval")
    axes.tick_params(axis="x", rotation=90)
    return _address(figure)


def excesses(groups: Mapping[str, float], bound: float) -> str:
    """Bars of how far each group's mean error lies from everybody's, and lines at the bound; the largest only.

    Returns:
        A PNG as data address.
    """
    largest = sorted(groups, key=lambda group: -abs(groups[group]))[:_MOST_BARS][::-1]
    figure, axes = _empty()
    axes.barh(largest, [groups[group] for group in largest], color=_INK)
    for side in (-bound, bound):
        axes.axvline(side, color=_PROMISE, linewidth=1)
    axes.set(xlabel="mean error less everybody's")
    return _address(figure)


def _empty() -> tuple[Figure, Axes]:
    # As in fitting, imported where it is needed: a fifth of a second for every process that loads the location.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.tick_params(labelsize=7)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
    return figure, axes


def _address(figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
