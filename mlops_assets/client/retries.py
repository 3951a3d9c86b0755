"""When a request is tried again, and after how long.

Put here the policy. Keep out sending.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import httpx

_TRY_AGAIN: Final = (429, 503)


@dataclass(frozen=True, kw_only=True)
class Retries:
    """Exponential backoff with full jitter: after the n-th failure a random time up to ``first * 2 ** n`` seconds.

    Without jitter, clients that failed together would come back together. Source: M. Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015.

    Attributes:
        attempts: how often a request is sent at most, the first time included.
        first: scale of the first wait, in seconds.
        longest: no wait is longer, in seconds; a longer ``Retry-After`` ends the attempts.
    """

    attempts: int = 4
    first: float = 0.2
    longest: float = 10.0

    def wait(self, attempt: int, response: httpx.Response | None) -> float | None:
        """Seconds to wait before the next attempt; ``None`` when there is to be none.

        Args:
            attempt: how many attempts were made.
            response: the answer to the last; ``None`` when none came.
        """
        if attempt >= self.attempts or (response is not None and response.status_code not in _TRY_AGAIN):
            return None
        jitter = random.uniform(0, min(self.longest, self.first * 2 ** (attempt - 1)))  # noqa: S311  no secret
        asked = None if response is None else _retry_after(response.headers.get("retry-after"))
        if asked is None:
            return jitter
        # Not before the time that was asked for, and not all at that time.
        return None if asked > self.longest else asked + jitter


def _retry_after(value: str | None) -> float | None:
    """Seconds that a ``Retry-After`` asks for, as a number or as a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
