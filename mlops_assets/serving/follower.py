"""Following the exports: the service always answers from the newest export that is whole.

Put here when an export is looked for, taken over or refused. Keep out what is read from it.
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
from mlops_assets.platform.export import open_export, open_kept_export, pointer_path
from mlops_assets.platform.token_keys import KeyFileError
from mlops_assets.serving.drift import Reference, reference_of
from mlops_assets.serving.served import ServedExport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops_assets.platform.export import Export
    from mlops_assets.serving.last_served import LastServed
    from mlops_assets.serving.metrics import ServiceMetrics
    from mlops_assets.serving.predictions import PredictionTable

_LOGGER: Final = logging.getLogger(__name__)
_REFUSED: Final = (ArtifactError, KeyFileError, OSError, sqlite3.Error)
_RETRY_SECONDS: Final = 30.0
"""A refused export is tried again after this time: it may have been unreadable for a moment only."""


class ExportFollower:
    """Holds the current export, and swaps it when another becomes current.

    Queries and swaps all happen on the event loop, and a query never waits in between: so the old export can be closed
    at the swap, and no request meets a closed one. Only verifying a new export, which reads the whole file, is done
    in a thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        poll_seconds: float,
        metrics: ServiceMetrics,
        last: LastServed,
        model_keys: Path | None = None,
    ) -> None:
        self._folder = folder
        self._last = last
        self._metrics = metrics
        self.refusal: str | None = None
        """Why the current export was not taken over; ``None`` when it was."""
        self._poll_seconds = poll_seconds
        self._model_keys = model_keys
        self._served: ServedExport | None = None
        self._judged: tuple[int, ...] | None = None
        self._retry_at = 0.0

    @property
    def served(self) -> ServedExport:
        """The current export; ask again after each ``await``.

        Raises:
            ServiceUnavailableException: no export has been taken over yet.
        """
        if self._served is None:
            raise ServiceUnavailableException(detail="No export is loaded yet.", headers={"Retry-After": "5"})
        return self._served

    @property
    def table(self) -> PredictionTable:
        """The predictions of the current export; ask again after each ``await``.

        Raises:
            ServiceUnavailableException: no export has been taken over yet.
        """
        return self.served.predictions

    @property
    def ready(self) -> bool:
        """Whether there are predictions to answer from."""
        return self._served is not None

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
            taken = await asyncio.to_thread(self._load, open_export)
        except _REFUSED as error:
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            self.refusal = str(error)
            self._metrics.export_refused()
            _LOGGER.error(  # noqa: TRY400  the message says it all; a trace would not help an operator
                "export refused",
                extra={"fields": {"error": str(error), "serving": self._served and self._served.predictions.export_id}},
            )
            await self._fall_back()
            return
        self.refusal = None
        self._take(*taken)

    async def _fall_back(self) -> None:
        """Serve what the other workers still serve, if this one was started while the current export is refused."""
        last = self._last.export_id
        if self._served is not None or last is None:
            return
        try:
            taken = await asyncio.to_thread(self._load, partial(open_kept_export, export_id=last))
        except _REFUSED:
            return
        self._take(*taken)

    def _take(self, served: ServedExport, references: list[Reference]) -> None:
        old, self._served = self._served, served
        if self._pointer() == self._judged:
            # Else another worker may have taken over a newer one meanwhile.
            self._last.note(served.predictions.export_id)
        self._metrics.compare_with(references)
        previous = old and old.predictions.export_id
        if old is not None:
            old.close()
        _LOGGER.info(
            "export served",
            extra={
                "fields": {
                    "export_id": served.predictions.export_id,
                    "previous": previous,
                    "models": {model.name: model.version for model in served.models.latest},
                }
            },
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
        if self._served is not None:
            self._served.close()
            self._served = None

    def _pointer(self) -> tuple[int, ...]:
        try:
            status = pointer_path(self._folder).stat()
        except OSError:
            return ()
        return (status.st_mtime_ns, status.st_ino, status.st_size)

    def _load(self, opened: Callable[[Path], Export]) -> tuple[ServedExport, list[Reference]]:
        with contextlib.ExitStack() as stack:
            export = opened(self._folder)
            stack.callback(export.close)
            served = ServedExport.of(export, model_keys=self._model_keys)
            published = served.predictions.published_values()
            references = [reference_of(*model, values) for model, values in published.items()]
            stack.pop_all()
            return served, [reference for reference in references if reference is not None]
