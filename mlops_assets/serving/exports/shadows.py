"""Shadows: versions of a model that score what another one answers, for figures alone.

Put here how they run beside a request. Keep out which versions they are (``models``), and the figures.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from mlops_assets.serving.exports.models import LoadedModel

SHADOWS: Final = "shadows"
"""Name in the application's state."""
_LOGGER: Final = logging.getLogger(__name__)
_MOST: Final = 64
"""Shadows at a time; beyond them a request is not shadowed, so that nobody waits for figures."""


class Shadows:
    """Scores by versions that do not answer. What goes wrong there is logged and told to nobody who asked."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def follow(self, models: Iterable[LoadedModel], score: Callable[[LoadedModel], Awaitable[None]]) -> None:
        """Score by each of those versions, after the answer."""
        for model in models:
            if len(self._running) < _MOST:
                task = asyncio.create_task(self._score(model, score))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _score(self, model: LoadedModel, score: Callable[[LoadedModel], Awaitable[None]]) -> None:
        try:
            await score(model)
        except Exception:
            fields = {"model": model.name, "version": model.version}
            _LOGGER.exception("a shadow failed", extra={"fields": fields})


def draw_of(request_id: str) -> float:
    """A number from 0 up to 1 for a request: the same for all its attempts, which have one id."""
    return int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=6).digest(), "big") / 2**48
