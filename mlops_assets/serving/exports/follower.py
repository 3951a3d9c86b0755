"""Following the exports of one name: the service always answers from the newest that is whole and believed.

Put here when an export is looked for, taken over, refused or given up. Keep out what is read from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from litestar.exceptions import ServiceUnavailableException

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports.export import open_export, open_kept_export, pointer_path
from mlops_assets.platform.security.token_keys import KeyFileError
from mlops_assets.serving.exports.served import ServedExport
from mlops_assets.serving.exports.table import SPARE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops_assets.platform.exports.export import Export
    from mlops_assets.serving.exports.last_served import LastServed
    from mlops_assets.serving.exports.trust import Trust, Trusted
    from mlops_assets.serving.http.metrics import ServiceMetrics

_LOGGER: Final = logging.getLogger(__name__)
_REFUSED: Final = (ArtifactError, KeyFileError, OSError, sqlite3.Error)
_RETRY_SECONDS: Final = 30.0
"""A refused export is tried again after this time: it may have been unreadable for a moment only."""


class ExportFollower:
    """Holds the current export, and swaps it when another becomes current.

    A request asks for it on the event loop, where swaps happen too, so none meets a closed one; a query that runs in a
    thread keeps its export open until it has ended. A new export is verified in a thread.
    """

    def __init__(self, folder: Path, *, metrics: ServiceMetrics, last: LastServed, trust: Trust) -> None:
        """Follow the exports of a folder, which is called like them; nothing is taken over before ``look``.

        Args:
            folder: where the exports of that name live.
            metrics: told of refusals.
            last: what the other workers serve.
            trust: the keys whose exports and models are believed.
        """
        self.name = folder.name
        self._folder = folder
        self._last = last
        self._metrics = metrics
        self.refusal: str | None = None
        """Why the current export was not taken over; ``None`` when it was."""
        self.judged = False
        """Whether the current export was looked at, whatever came of it."""
        self._trust = trust
        self._believed: Trusted | None = None
        self._served: ServedExport | None = None
        self._judged: tuple[int, ...] | None = None
        self._judged_by: Trusted | None = None
        self._retry_at = 0.0
        self._settling: asyncio.Task[None] | None = None

    @property
    def served(self) -> ServedExport:
        """The current export; ask again after each ``await``.

        Raises:
            ServiceUnavailableException: no export has been taken over yet, a key that vouched for it was withdrawn, or
                its file was found altered after it was verified.
        """
        self._follow_trust()
        if self._served is None:
            raise ServiceUnavailableException(detail="No export is loaded yet.", headers={"Retry-After": "5"})
        return self._served

    @property
    def ready(self) -> bool:
        """Whether there is an export to answer from."""
        self._follow_trust()
        return self._served is not None

    async def settle(self) -> None:
        """Verify the export in use again if its file was touched, and give it up if it is not what it was.

        Whoever asks for rows waits for that: a link to the file or other permissions look as a write does.
        """
        if self._served is None or self._served.export.untouched:
            return
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle(self._served))
        await asyncio.shield(self._settling)

    async def _settle(self, served: ServedExport) -> None:
        try:
            intact = await asyncio.to_thread(served.export.verify_again)
        finally:
            self._settling = None
        if not intact and self._served is served:
            self._judged = None
            self._give_up("altered")

    async def refresh(self) -> None:
        """Look at the pointer and the trusted keys, and take over the export if one of them changed and it is whole.

        An export that is damaged, does not fit or is not believed is refused and logged, and so is one with anything in
        it that nobody expected; the one in use stays, unless a key that vouched for it was withdrawn.
        """
        self._follow_trust()
        await self.settle()
        pointer = self._pointer()
        # New keys may let in what was refused; what is in use was judged by them already.
        same_keys = self._believed is self._judged_by or (self._served is not None and self.refusal is None)
        if pointer == self._judged and same_keys and time.monotonic() < self._retry_at:
            return
        self._judged, self._judged_by = pointer, self._believed
        self._retry_at = float("inf")
        try:
            taken = await asyncio.to_thread(self._load, open_export, self._trust.keys())
        except Exception as error:
            expected = isinstance(error, _REFUSED)
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            self.refusal = str(error) if expected else f"{type(error).__name__}: {error}"
            self._metrics.export_refused()
            serving = self._served and self._served.export_id
            # The message of one that was expected says it all; a trace would not help an operator.
            fields = {"name": self.name, "error": self.refusal, "serving": serving}
            _LOGGER.exception("export refused", exc_info=not expected, extra={"fields": fields})
            await self._fall_back()
            return
        self.refusal = None
        self._follow_trust()
        self._take(taken)

    async def _fall_back(self) -> None:
        """Serve what the other workers still serve, if this one was started while the current export is refused."""
        last = self._last.of(self.name)
        if self._served is not None or last is None:
            return
        try:
            taken = await asyncio.to_thread(self._load, partial(open_kept_export, export_id=last), self._trust.keys())
        except _REFUSED:
            return
        self._follow_trust()
        self._take(taken)

    def _follow_trust(self) -> None:
        """Give the export up once a key that vouched for it, or for one of its models, is not trusted any more.

        Asked at each request and not only when the pointer is looked at, which waits while a new export is verified.
        """
        try:
            trusted = self._trust.keys()
        except KeyFileError:
            trusted = None
        if trusted is self._believed:
            return
        self._believed = trusted
        if self._served is None or self._served.believed_by(trusted or {}):
            return
        self._give_up("key")

    def _give_up(self, reason: str) -> None:
        if self._served is not None:
            fields = {"name": self.name, "export_id": self._served.export_id, "reason": reason}
            _LOGGER.error("export given up", extra={"fields": fields})
            self.close()

    def _take(self, served: ServedExport) -> None:
        if not served.believed_by(self._believed or {}):
            # A key was withdrawn while its export was verified; the next look judges it anew.
            served.close()
            self._judged = None
            return
        old, self._served = self._served, served
        if self._pointer() == self._judged:
            # Else another worker may have taken over a newer one meanwhile.
            self._last.note(self.name, served.export_id)
        if old is not None:
            old.close()
        _LOGGER.info(
            "export served",
            extra={
                "fields": {
                    "name": self.name,
                    "export_id": served.export_id,
                    "previous": old and old.export_id,
                    "models": {model.name: model.version for model in served.models.latest},
                }
            },
        )

    async def look(self) -> None:
        """Refresh, and live on whatever happens.

        A service that stopped looking would serve old rows for ever, and one that ended as it starts would take
        its other workers along.
        """
        try:
            await self.refresh()
        except Exception:
            _LOGGER.exception("looking for a new export failed", extra={"fields": {"name": self.name}})
        self.judged = True

    def close(self) -> None:
        """Close the export in use."""
        if self._served is not None:
            self._served.close()
            self._served = None

    def _pointer(self) -> tuple[int, ...]:
        try:
            status = pointer_path(self._folder).stat()
        except OSError:
            return ()
        return (status.st_mtime_ns, status.st_ino, status.st_size)

    def _load(self, opened: Callable[..., Export], trusted: Trusted) -> ServedExport:
        with contextlib.ExitStack() as stack:
            export = opened(self._folder, trusted=trusted, spare=SPARE)
            stack.callback(export.close)
            served = ServedExport.of(export, self.name, trusted=trusted)
            stack.pop_all()
            return served
