"""Idempotency keys: a request that is sent again gets the answer it got the first time.

Put here what is remembered and for how long. Keep out what is answered.

Memory is of one process: a repetition that meets another worker, or comes after a restart, is computed anew. Scoring
changes nothing, so all that it can then differ by is the version of the model, which every answer names.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

SECONDS: Final = 600.0
_MOST_BYTES: Final = 16 * 1024 * 1024
_OVERHEAD_BYTES: Final = 400
"""Roughly what an entry takes beside its content."""


class KeyReusedError(ValueError):
    """A key was sent with another request before."""


@dataclass(frozen=True)
class _Entry:
    request: bytes
    content: bytes
    expires: float


class Remembered:
    """Answers by principal and key, for ten minutes and up to 16 MB; beyond that the oldest are forgotten first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._bytes = 0

    def find(self, principal: str, key: str, request: bytes) -> bytes | None:
        """The content that was answered to the same request; ``None`` when there was none.

        Raises:
            KeyReusedError: the key came with another request.
        """
        self._forget_old()
        entry = self._entries.get((principal, key))
        if entry is None:
            return None
        if entry.request != fingerprint(request):
            raise KeyReusedError
        return entry.content

    def keep(self, principal: str, key: str, request: bytes, content: bytes) -> bytes:
        """Remember what is answered; returns it, or what was answered to the same request meanwhile.

        Raises:
            KeyReusedError: the key came with another request meanwhile.
        """
        earlier = self.find(principal, key, request)
        if earlier is not None:
            return earlier
        self._entries[principal, key] = _Entry(fingerprint(request), content, time.monotonic() + SECONDS)
        self._bytes += len(content) + _OVERHEAD_BYTES
        while self._bytes > _MOST_BYTES:
            self._drop(next(iter(self._entries)))
        return content

    def clear(self) -> None:
        """Forget everything: what was answered may not be answered any more."""
        self._entries.clear()
        self._bytes = 0

    def _forget_old(self) -> None:
        now = time.monotonic()
        while self._entries:
            oldest = next(iter(self._entries))
            if self._entries[oldest].expires > now:
                return
            self._drop(oldest)

    def _drop(self, key: tuple[str, str]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.content) + _OVERHEAD_BYTES


def fingerprint(request: bytes) -> bytes:
    """What tells two requests apart: a hash of path and body."""
    return hashlib.sha256(request).digest()
