"""What a simulation is made from: seed, size, months, and the random streams derived from them.

Put here the values a caller chooses and the calendar they span. Keep out anything about persons or places.
"""

from __future__ import annotations

import datetime as dt
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np

STATES: Final = ("GA", "NC")
"""The simulated states, by postal code."""

MONTHS: Final = tuple(f"{2021 + (6 + n) // 12}-{(6 + n) % 12 + 1:02d}" for n in range(18))
"""The months that can be simulated, 2021-07 to 2022-12; a snapshot is taken on the first day of its month."""

SMALLEST_STATE: Final = 500
"""Fewer voters than this leave districts with almost nobody in them."""


class SimulationError(ValueError):
    """A simulation was asked for something it cannot make; the text says what, and what to ask for instead."""


def snapshot_day(month: int) -> dt.date:
    """The day of the snapshot with that index in ``MONTHS``."""
    return dt.date.fromisoformat(f"{MONTHS[month]}-01")


def month_index(month: str) -> int:
    """The index of a month (``YYYY-MM``) in ``MONTHS``.

    Raises:
        SimulationError: the month is not simulated.
    """
    if month not in MONTHS:
        raise SimulationError(f"Month {month!r} is not simulated. Ask for one from {MONTHS[0]} to {MONTHS[-1]}.")
    return MONTHS.index(month)


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """A simulation is a function of these values alone: equal values give equal bytes.

    Attributes:
        seed: seed of every random stream, 0 or more.
        voters_per_state: registered persons of each state in the first snapshot.
        months: how many monthly snapshots can be dropped, 1 to 18. The world behind them always runs to the end of
            2022, so that the election of 2022 does not depend on this.
    """

    seed: int = 2022
    voters_per_state: int = 100_000
    months: int = len(MONTHS)

    def __post_init__(self) -> None:
        """Refuse values that no world can be made from.

        Raises:
            SimulationError: a value is out of range.
        """
        if self.seed < 0:
            raise SimulationError(f"seed is {self.seed}. Give 0 or more.")
        if self.voters_per_state < SMALLEST_STATE:
            raise SimulationError(f"voters_per_state is {self.voters_per_state}. Give {SMALLEST_STATE} or more.")
        if not 1 <= self.months <= len(MONTHS):
            raise SimulationError(f"months is {self.months}. Give 1 to {len(MONTHS)}.")

    def stream(self, *names: str) -> np.random.Generator:
        """The random stream of that name: independent of every other one and of the order in which they are used."""
        return np.random.default_rng([self.seed, *(zlib.crc32(name.encode()) for name in names)])
