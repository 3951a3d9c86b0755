"""Limits of a principal: how many requests a second over all workers, and how many at a time in one.

Put here counting and refusing. Keep out limits of connections and heads, which the edge keeps before anybody knows who
asks.
"""

from __future__ import annotations

import hashlib
import math
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from mlops_assets.serving.shared_memory import shared_memory

if TYPE_CHECKING:
    from pathlib import Path

_SLOTS: Final = 1 << 16
_PROBES: Final = 16
_ROUNDING: Final = 1e-6
_TAG, _ARRIVAL, _WORDS = 0, 1, 2


class Allowance(NamedTuple):
    """What a principal may still send; made for every request, so it is of a kind that is made fast.

    Attributes:
        allowed: whether this request is within the limit.
        remaining: requests that would be allowed at once after it.
        reset_seconds: until another one is allowed if this one is not, else until the whole burst is.
    """

    allowed: bool
    remaining: int
    reset_seconds: float


class RateLimiter:
    """A token bucket for each principal, in memory that all workers share.

    It is kept as the generic cell rate algorithm (ITU-T I.371): one number for each principal, the time at which its
    bucket would be full again. Reading and writing it takes no lock: two workers that meet at the same microsecond may
    let one request more through than the limit, and never one less. The table knows principals by a hash; it holds
    65,536, and those beyond share a bucket.
    """

    def __init__(self, *, rate_per_second: float, burst: int, file: Path | None = None) -> None:
        """Make the table, or take part in it.

        Args:
            rate_per_second: how fast a bucket fills.
            burst: what it holds.
            file: where workers share it; see ``shared_memory``.
        """
        self.burst = burst
        self.window_seconds = burst / rate_per_second
        """How long an empty bucket takes to fill."""
        self._interval = 1.0 / rate_per_second
        memory = shared_memory(file, _SLOTS * _WORDS * 8)
        self._tags = memoryview(memory).cast("Q")
        self._arrivals = memoryview(memory).cast("d")
        self._places: dict[str, int] = {}

    def take(self, principal: str) -> Allowance:
        """Take one request out of the principal's bucket, if there is one in it."""
        place = self._places.get(principal)
        if place is None:
            place = self._places[principal] = self._place(principal)
        # The system's monotonic clock is the same in all its processes.
        now = time.monotonic()
        full = max(self._arrivals[place], now)
        filled = full + self._interval
        excess = filled - now - self.window_seconds
        if excess > _ROUNDING:
            return Allowance(allowed=False, remaining=0, reset_seconds=excess)
        self._arrivals[place] = filled
        remaining = math.floor((self.window_seconds - (filled - now)) / self._interval + _ROUNDING)
        return Allowance(allowed=True, remaining=remaining, reset_seconds=filled - now)

    def _place(self, principal: str) -> int:
        tag = int.from_bytes(hashlib.blake2b(principal.encode(), digest_size=8).digest(), "little") or 1
        slot = tag % _SLOTS
        for probe in range(_PROBES):
            base = (slot + probe) % _SLOTS * _WORDS
            if self._tags[base + _TAG] == 0:
                self._tags[base + _TAG] = tag
            if self._tags[base + _TAG] == tag:
                return base + _ARRIVAL
        return slot * _WORDS + _ARRIVAL


class ConcurrencyLimiter:
    """Counts the requests of each principal that this worker answers at the moment."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._busy: dict[str, int] = {}

    def enter(self, principal: str) -> bool:
        """Count a request; ``False`` when the principal has as many as it may, and it was not counted."""
        busy = self._busy.get(principal, 0)
        if busy >= self._limit:
            return False
        self._busy[principal] = busy + 1
        return True

    def leave(self, principal: str) -> None:
        """A counted request is over."""
        busy = self._busy[principal] - 1
        if busy:
            self._busy[principal] = busy
        else:
            del self._busy[principal]
