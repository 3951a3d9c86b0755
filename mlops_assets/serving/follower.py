"""Following the exports: the service always answers from the newest export that is whole.

Put here when an export is looked for, taken over or refused. Keep out what is read from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from typing import TYPE_CHECKING, Final

from litestar.exceptions import ServiceUnavailableException

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.export import open_export, pointer_path
from mlops_assets.serving.predictions import PredictionTable

if TYPE_CHECKING:
    from pathlib import Path

_LOGGER: Final = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 30.0
"""A refused export is tried again after this time: it may have been unreadable for a moment only."""


class ExportFollower:
    """Holds the current predictions, and swaps them when another export becomes current.

    Queries and swaps all happen on the event loop, and a query never waits in between: so the old export can be closed
    at the swap, and no request meets a closed one. Only verifying a new export, which reads the whole file, is done
    in a thread.
    """

    def __init__(self, folder: Path, *, poll_seconds: float) -> None:
        self._folder = folder
        self._poll_seconds = poll_seconds
        self._table: PredictionTable | None = None
        self._judged: tuple[int, ...] | None = None
        self._retry_at = 0.0

    @property
    def table(self) -> PredictionTable:
        """The current predictions; ask again after each ``await``.

        Raises:
            ServiceUnavailableException: no export has been taken over yet.
        """
        if self._table is None:
            raise ServiceUnavailableException(detail="No export is loaded yet.", headers={"Retry-After": "5"})
        return self._table

    @property
    def ready(self) -> bool:
        """Whether there are predictions to answer from."""
        return self._table is not None

    async def refresh(self) -> None:
        """Look at the pointer, and take over the export it names if it changed and the export is whole.

        An export that is damaged or does not fit is refused and logged; the one in use stays.
        """
        pointer = self._pointer()
        if pointer == self._judged and time.monotonic() < self._retry_at:
            return
        self._judged = pointer
        self._retry_at = float("inf")
        try:
            table = await asyncio.to_thread(self._load)
        except (ArtifactError, OSError, sqlite3.Error) as error:
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            _LOGGER.error(  # noqa: TRY400  the message says it all; a trace would not help an operator
                "export refused",
                extra={"fields": {"error": str(error), "serving": self._table and self._table.export_id}},
            )
            return
        old, self._table = self._table, table
        if old is not None:
            old.close()
        _LOGGER.info(
            "export served", extra={"fields": {"export_id": table.export_id, "previous": old and old.export_id}}
        )

    async def follow(self) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self.refresh()
            except Exception:
                # Whatever went wrong, a service that stopped looking would serve old predictions for ever.
                _LOGGER.exception("looking for a new export failed")

    def close(self) -> None:
        """Close the export in use."""
        if self._table is not None:
            self._table.close()
            self._table = None

    def _pointer(self) -> tuple[int, ...]:
        try:
            status = pointer_path(self._folder).stat()
        except OSError:
            return ()
        return (status.st_mtime_ns, status.st_ino, status.st_size)

    def _load(self) -> PredictionTable:
        with contextlib.ExitStack() as stack:
            export = open_export(self._folder)
            stack.callback(export.close)
            table = PredictionTable(export)
            stack.pop_all()
            return table
