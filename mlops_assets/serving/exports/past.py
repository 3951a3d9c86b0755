"""Past exports: what the service would have answered at an earlier time, as long as that export is kept.

Put here how a past export is found, verified and held open. Keep out the current one (the follower holds it).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports.export import kept_exports, open_kept_export, pointer_path
from mlops_assets.platform.exports.history import current_at, pointer_history
from mlops_assets.platform.followed_file import FollowedFile
from mlops_assets.platform.security.token_keys import KeyFileError
from mlops_assets.serving.exports.table import SPARE, ServedTable

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from mlops_assets.platform.exports.history import Move
    from mlops_assets.platform.exports.manifest import ExportManifest
    from mlops_assets.serving.exports.trust import Trust, Trusted

_LOGGER: Final = logging.getLogger(__name__)
_MOST_OPEN: Final = 8
_RETRY_SECONDS: Final = 30.0
"""An export that did not verify is not read again before this time, however often it is asked for."""


class NotKeptError(LookupError):
    """No export of that id or time is kept.

    Attributes:
        was_known: whether there was one, which has been deleted since.
    """

    def __init__(self, *, was_known: bool) -> None:
        super().__init__()
        self.was_known = was_known


class PastExports:
    """The kept exports of a table. Each is verified in a thread when it is first asked for, then held open.

    Ask again after each ``await``: closing happens on the event loop.
    """

    def __init__(self, folder: Path, name: str, trust: Trust) -> None:
        self._folder = folder
        self._name = name
        self._history = FollowedFile(pointer_path(folder), lambda _: pointer_history(folder))
        self._trust = trust
        self._believed: Trusted | None = None
        self._open: dict[str, ServedTable] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._damaged: dict[str, float] = {}

    async def by_id(self, export_id: str) -> ServedTable:
        """The table as a kept export has it.

        Raises:
            NotKeptError: it is not kept.
            ArtifactError: it is kept, and does not verify.
        """
        if not (self._folder / export_id).is_dir():
            self._forget(export_id)
            moves = self._history.content()
            raise NotKeptError(was_known=any(move.export_id == export_id for move in moves))
        while True:
            self._follow_trust(export_id)
            table = self._open.get(export_id)
            if table is not None and table.export.untouched:
                break
            self._forget(export_id)
            await self._verify(export_id)
        # The newest last: the first is the one that was not asked for the longest.
        self._open[export_id] = self._open.pop(export_id)
        return table

    async def by_time(self, moment: datetime) -> ServedTable:
        """The table as the export that was current at that time has it.

        Raises:
            NotKeptError: none was, or it is not kept.
            ArtifactError: it is kept, and does not verify; or the history cannot be read.
        """
        export_id = current_at(self._history.content(), moment)
        if export_id is None:
            raise NotKeptError(was_known=False)
        return await self.by_id(export_id)

    async def kept(self) -> tuple[ExportManifest, ...]:
        """The manifests of all kept exports that are signed by a trusted key, oldest first."""
        try:
            trusted = self._trust.keys()
        except KeyFileError:
            return ()
        return await asyncio.to_thread(kept_exports, self._folder, trusted=trusted)

    def moves(self) -> tuple[Move, ...]:
        """Which export was current from when on, oldest first; empty when it cannot be read."""
        try:
            return self._history.content()
        except ArtifactError:
            return ()

    def close(self) -> None:
        """Close every export."""
        for table in self._open.values():
            table.close()
        self._open.clear()

    def _forget(self, export_id: str) -> None:
        table = self._open.pop(export_id, None)
        if table is not None:
            table.close()

    def _follow_trust(self, export_id: str) -> None:
        """Verify everything anew once the trusted keys have changed; without any, nothing is believed."""
        try:
            trusted = self._trust.keys()
        except KeyFileError as error:
            self.close()
            raise _refused(export_id) from error
        if trusted is not self._believed:
            self._believed = trusted
            self._damaged.clear()
            self.close()

    async def _verify(self, export_id: str) -> None:
        """Verify once, however many ask at the same time; a request that goes away does not end it for the others."""
        if time.monotonic() < self._damaged.get(export_id, 0.0):
            raise _refused(export_id)
        task = self._opening.get(export_id)
        if task is None:
            task = self._opening[export_id] = asyncio.create_task(self._take_over(export_id))
            task.add_done_callback(partial(self._settle, export_id))
        await asyncio.shield(task)

    def _settle(self, export_id: str, task: asyncio.Task[None]) -> None:
        del self._opening[export_id]
        if not task.cancelled():
            # It was logged; everybody who asked may have gone away, and an error that nobody takes is told to stderr.
            task.exception()

    async def _take_over(self, export_id: str) -> None:
        believed = self._believed or {}
        try:
            table = await asyncio.to_thread(self._load, export_id, believed)
        except FileNotFoundError:
            raise NotKeptError(was_known=True) from None
        except Exception as error:
            # Whatever a damaged file makes a library raise: it is logged once, and not read again by the next request.
            self._damaged[export_id] = time.monotonic() + _RETRY_SECONDS
            _LOGGER.error(  # noqa: TRY400  the message says it all
                "past export refused",
                extra={"fields": {"export_id": export_id, "error": f"{type(error).__name__}: {error}"}},
            )
            raise _refused(export_id) from error
        if believed is not self._believed:
            # The keys changed meanwhile: whoever still asks has it verified anew.
            table.close()
            return
        self._open[export_id] = table
        while len(self._open) > _MOST_OPEN:
            self._open.pop(next(iter(self._open))).close()

    def _load(self, export_id: str, trusted: Trusted) -> ServedTable:
        with contextlib.ExitStack() as stack:
            export = open_kept_export(self._folder, export_id, trusted=trusted, spare=SPARE)
            stack.callback(export.close)
            table = ServedTable(export, self._name)
            stack.pop_all()
            return table


def _refused(export_id: str) -> ArtifactError:
    return ArtifactError(source=f"Export {export_id}", culprit="it does not verify.", remedy="Write it again.")
