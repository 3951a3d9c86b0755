"""The time axis of a chart: labels as they are in the data, as far apart as their times.

Put here how labels become places and ticks. Keep out what is drawn at them.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.dates import AutoDateFormatter, AutoDateLocator
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matplotlib.axes import Axes

_DAY: Final = re.compile(r"(1[5-9]\d\d|20\d\d|21\d\d)(?:-?(\d\d)(?:-?(\d\d))?)?(?:[T ].*)?")
_MARGIN: Final = 0.03
_FEWEST_TICKS: Final = 5


@dataclass(frozen=True, kw_only=True)
class TimeAxis:
    """Places of times.

    Attributes:
        kind: ``days``, ``numbers``, or ``texts`` that lie one step apart.
        places: of every label, in order.
    """

    kind: str
    places: Mapping[str, float]

    @classmethod
    def of(cls, labels: Iterable[str]) -> TimeAxis:
        """The axis of those labels: of dates, months and years if all of them are, else of numbers if all of them are.

        Args:
            labels: texts in their order; those of dates and numbers in any order and repeated.
        """
        known = list(dict.fromkeys(labels))
        for kind, read in (("days", _day), ("numbers", float)):
            with suppress(ValueError):
                places = {label: read(label) for label in known}
                return cls(kind=kind, places=dict(sorted(places.items(), key=itemgetter(1))))
        return cls(kind="texts", places={label: float(place) for place, label in enumerate(known)})

    def dress(self, axes: Axes, *, most: int) -> None:
        """Set limits and ticks of a chart's horizontal axis.

        Args:
            axes: of the chart.
            most: ticks that there is room for; with two the first and the last time are named.
        """
        if not self.places:
            return
        (first, low), (last, high) = (list(self.places.items())[end] for end in (0, -1))
        margin = (high - low) * _MARGIN or 0.5
        axes.set_xlim(low - margin, high + margin)
        if low == high:
            axes.set_xticks([low], [first])
        elif most <= 2:  # noqa: PLR2004  both ends
            axes.set_xticks([low, high], [first, last])
        elif self.kind == "days":
            yearly = all(re.fullmatch(r"\d{4}", label) for label in self.places)
            locator = AutoDateLocator(minticks=2 if yearly else _FEWEST_TICKS, maxticks=most)  # type: ignore[no-untyped-call]  # Matplotlib types it not
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(AutoDateFormatter(locator))  # type: ignore[no-untyped-call]  # nor this
        elif self.kind == "numbers":
            axes.xaxis.set_major_locator(MaxNLocator(most, integer=True))
        else:
            shown = list(self.places.items())[:: -(-len(self.places) // most)]
            axes.set_xticks([place for _, place in shown], [label for label, _ in shown])


def _day(label: str) -> float:
    """Days since 1970, as Matplotlib counts them."""
    found = _DAY.fullmatch(label)
    if found is None:
        raise ValueError(label)
    text = "-".join(part for part in found.groups() if part)
    return float(np.datetime64(text, "D").astype(np.int64))
