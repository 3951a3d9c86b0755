"""Verdicts: what was found of each group and time, and the table that tells it.

Put here how findings are kept and laid out. Keep out what is found, and in which order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from mlops_assets.variance.arrays import Codes, Flags, Floats
    from mlops_assets.variance.panel.evidence import Evidence
    from mlops_assets.variance.panel.panels import Panel

CAUSES: Final = ("none", "boundary", "renumbering", "entry", "population", "units", "unknown")
"""What may have happened; the first is nothing beyond ordinary change, the last something that the evidence does not
tell."""

SCHEMA: Final = pa.schema(
    [
        ("group", pa.string()),
        ("time", pa.string()),
        ("cause", pa.string()),
        ("probability", pa.float64()),
        ("magnitude", pa.float64()),
        ("units", pa.string()),
        ("evidence", pa.string()),
    ]
)

_MOST_LISTED: Final = 60
_NOTHING: Final = "no change beyond the ordinary"
_NO_OVERLAP: Final = "no unit of any group has the label it had before: nothing can be compared"
_ABSENT: Final = "no rows at this time"
_FIRST: Final = "no rows at an earlier time to compare with"


class Verdicts:
    """The causes found so far, one per group and time; what was found first stands."""

    def __init__(self, panel: Panel, evidence: Evidence, boundary: Floats) -> None:
        """Begin with nothing found, as far as no boundary is probable."""
        self._panel, self._evidence = panel, evidence
        self._cause = np.zeros(boundary.size, dtype=np.int8)
        self._probability = 1 - boundary
        self._magnitude = np.zeros(boundary.size)
        self._units: dict[int, str] = {}
        self._words: dict[int, str] = {}

    @property
    def unnamed(self) -> Flags:
        """Cells without a cause, and of which nothing else is said."""
        found: Flags = self._cause == 0
        found[list(self._words)] = False
        return found

    def free(self, cell: int) -> bool:
        """Whether nothing is said of a cell yet."""
        return not self._cause[cell] and cell not in self._words

    def name(self, cell: int, cause: str, probability: float, magnitude: float, units: str, words: str) -> None:
        """Say what happened; more evidence of the same cause is added, of another one it is too late."""
        if self._cause[cell]:
            if self._cause[cell] == CAUSES.index(cause):
                self._words[cell] += f"; {words}"
            return
        self._cause[cell] = CAUSES.index(cause)
        self._probability[cell], self._magnitude[cell] = probability, magnitude
        self._units[cell], self._words[cell] = units, words

    def explain(self, cell: int, words: str) -> None:
        """Say why nothing is named, for certain."""
        self._words[cell], self._probability[cell] = words, 1.0

    def listed(self, units: Codes) -> str:
        """The labels of units, separated by commas."""
        names = [self._panel.units[unit] for unit in units[:_MOST_LISTED]]
        return ",".join(dict.fromkeys(names)) + (",..." if len(units) > _MOST_LISTED else "")

    def table(self) -> pa.Table:
        """One row per group and time after the first, as ``SCHEMA``."""
        panel, evidence = self._panel, self._evidence
        groups, times = panel.cells
        cells = np.arange(groups * times).reshape(groups, times)[:, 1:].ravel()
        plain = np.full(groups * times, _NOTHING, dtype=object)
        plain[~evidence.continued] = _NO_OVERLAP
        plain[evidence.before == 0] = _FIRST
        plain[evidence.units == 0] = _ABSENT
        units = np.full(groups * times, "", dtype=object)
        for cell, words in self._words.items():
            plain[cell] = words
        for cell, listed in self._units.items():
            units[cell] = listed
        return pa.table(
            [
                pa.array(np.array(panel.groups, dtype=object)[cells // times]),
                pa.array(np.array(panel.times, dtype=object)[cells % times]),
                pa.array(np.array(CAUSES, dtype=object)[self._cause[cells]]),
                pa.array(np.clip(self._probability[cells], 0, 1).round(4)),
                pa.array(self._magnitude[cells].round(6)),
                pa.array(units[cells]),
                pa.array(plain[cells]),
            ],
            schema=SCHEMA,
        )
