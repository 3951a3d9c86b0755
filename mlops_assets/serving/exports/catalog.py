"""The catalog: all exports that the service answers from, each followed apart.

Put here which exports there are, and the way from a name to a table or a model. Keep out how an export is followed
(``follower``) and kept (``past``).
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from litestar.exceptions import HTTPException, NotFoundException, ServiceUnavailableException

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports.export import are_withdrawn, pointer_path
from mlops_assets.platform.exports.history import EXPORT_ID
from mlops_assets.platform.identifiers import is_identifier
from mlops_assets.serving.exports.follower import ExportFollower
from mlops_assets.serving.exports.past import NotKeptError, PastExports
from mlops_assets.serving.http.problems import unfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from litestar.connection import Request

    from mlops_assets.serving.exports.last_served import LastServed
    from mlops_assets.serving.exports.models import LoadedModel
    from mlops_assets.serving.exports.served import ServedExport
    from mlops_assets.serving.exports.table import ServedTable
    from mlops_assets.serving.exports.trust import Trust
    from mlops_assets.serving.http.metrics import ServiceMetrics

CATALOG: Final = "catalog"
"""Name in the application's state."""
_LOGGER: Final = logging.getLogger(__name__)
_CLOCKS: Final = timedelta(minutes=1)
"""By how much a client's clock may be ahead."""
_START_SECONDS: Final = 1.0
"""How long a start waits for its exports; a large one is verified while the service says that it is not ready."""


class Catalog:
    """The exports below a folder, by their names. Ask again after each ``await``: they are swapped in between."""

    def __init__(
        self, folder: Path, *, poll_seconds: float, metrics: ServiceMetrics, last: LastServed, trust: Trust
    ) -> None:
        """Follow the exports of a folder; nothing is taken over before ``start``.

        Args:
            folder: it has a folder for each name.
            poll_seconds: how often to look.
            metrics: told of refusals.
            last: what the other workers serve.
            trust: the keys whose exports and models are believed.
        """
        self._folder = folder
        self._poll_seconds = poll_seconds
        self._metrics, self._last, self._trust = metrics, last, trust
        self._followers: dict[str, ExportFollower] = {}
        self._pasts: dict[str, PastExports] = {}
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._started = False

    @property
    def followers(self) -> Sequence[ExportFollower]:
        """Who follows each name, by name."""
        return [self._followers[name] for name in sorted(self._followers)]

    @property
    def ready(self) -> bool:
        """Whether each export that was there at the start was looked at, and there is one to answer from.

        One that comes later, however large, keeps nobody waiting for the others.
        """
        followers = self._followers.values()
        self._started = self._started or all(each.judged for each in followers)
        return self._started and any(each.ready for each in followers)

    def served(self) -> Iterator[ServedExport]:
        """The exports in use, by name."""
        for follower in self.followers:
            if follower.ready:
                yield follower.served

    def export(self, name: str) -> ServedExport:
        """The export of that name that is in use.

        Raises:
            NotFoundException: there is none of that name.
            ServiceUnavailableException: there is, and none of it is in use; or none of any name is.
        """
        return self._follower(name).served

    async def table(self, name: str) -> ServedTable:
        """A table as the export in use has it, verified again where its file was touched.

        Raises:
            NotFoundException: there is none of that name.
            ServiceUnavailableException: there is, and no export of it is in use; or none of any name is.
        """
        await self._follower(name).settle()
        found = self.export(name).table
        if found is None:
            raise _no_table()
        return found

    async def table_as_of(self, name: str, as_of: str | None) -> ServedTable:
        """A table as the export in use has it, or the one that ``as_of`` names.

        Raises:
            NotFoundException: there is none of that name, no export has that id, or none was current at that time.
            ServiceUnavailableException: no export of it is in use, or the past one does not verify.
            HTTPException: 410, there was one, and it is not kept any more; 422, there is no such time.
        """
        current = await self.table(name)
        if as_of is None or as_of == current.export_id:
            return current
        past = self.past(name)
        try:
            if EXPORT_ID.fullmatch(as_of):
                return await past.by_id(as_of)
            return await past.by_time(_moment(as_of))
        except NotKeptError as error:
            if error.was_known:
                raise HTTPException(
                    status_code=HTTPStatus.GONE, detail="The export of that version is not kept any more."
                ) from None
            raise NotFoundException(detail="No export has that id, or none was current at that time.") from None
        except ArtifactError:
            raise ServiceUnavailableException(detail="The export of that version cannot be verified.") from None

    def past(self, name: str) -> PastExports:
        """The kept exports of a name.

        Raises:
            NotFoundException: there is none of that name.
        """
        self._follower(name)
        return self._pasts[name]

    def models(self) -> Iterator[tuple[ServedExport, LoadedModel]]:
        """The latest version of each model with its export, by the exports' names."""
        for served in self.served():
            for model in served.models.latest:
                yield served, model

    def model(self, name: str, version: str | None = None, *, draw: float = 0.0) -> tuple[ServedExport, LoadedModel]:
        """A version of a model with its export: the one named, or the one that the declared shares choose.

        Args:
            name: the model.
            version: SHA-256 of the version; ``None`` for whichever answers.
            draw: a number from 0 up to 1, drawn for the request.

        Raises:
            NotFoundException: there is none of that name and version.
            ServiceUnavailableException: no export is in use.
        """
        if not self.ready:
            raise ServiceUnavailableException(detail="No export is loaded yet.", headers={"Retry-After": "5"})
        for served in self.served():
            models = served.models
            model = models.answering(name, draw) if version is None else models.find(name, version)
            if model is not None:
                return served, model
        raise NotFoundException(detail="There is no model of that name and version.")

    async def start(self) -> asyncio.Task[None]:
        """Look for the first time, and go on looking; the task ends when it is cancelled."""
        self._look()
        if self._looks:
            await asyncio.wait(self._looks.values(), timeout=_START_SECONDS)
        return asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                self._look()
            except Exception:
                # A service that stopped looking would answer from old exports for ever.
                _LOGGER.exception("looking for exports failed")

    def _look(self) -> None:
        """Look at each name, beside each other: a large export is verified for minutes."""
        names = _names(self._folder)
        for name in names - self._followers.keys():
            folder = self._folder / name
            self._followers[name] = ExportFollower(folder, metrics=self._metrics, last=self._last, trust=self._trust)
            self._pasts[name] = PastExports(folder, name, self._trust)
        for name in self._followers.keys() - names:
            # What is in use stays: a folder that is gone may be a disk that is away for a moment.
            gone = are_withdrawn(self._folder / name) or not self._followers[name].ready
            if gone and name not in self._looks:
                self._followers.pop(name).close()
                self._pasts.pop(name).close()
        for name, follower in self._followers.items():
            if name not in self._looks:
                self._looks[name] = task = asyncio.create_task(follower.look())
                task.add_done_callback(partial(self._looked, name))

    def _looked(self, name: str, _: asyncio.Task[None]) -> None:
        del self._looks[name]

    def close(self) -> None:
        """Close every export."""
        for task in self._looks.values():
            task.cancel()
        for follower in self._followers.values():
            follower.close()
        for past in self._pasts.values():
            past.close()

    def _follower(self, name: str) -> ExportFollower:
        found = self._followers.get(name)
        if found is not None:
            return found
        if not self.ready:
            raise ServiceUnavailableException(detail="No export is loaded yet.", headers={"Retry-After": "5"})
        raise _no_table()


def catalog_of(request: Request[Any, Any, Any]) -> Catalog:
    """The catalog of the application that a request came to."""
    found: Catalog = request.app.state[CATALOG]
    return found


def _names(folder: Path) -> set[str]:
    try:
        return {
            each.name
            for each in folder.iterdir()
            if is_identifier(each.name) and pointer_path(each).is_file() and not are_withdrawn(each)
        }
    except FileNotFoundError:
        return set()


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise unfit("as_of", "there is no such time") from None
    if moment > datetime.now(UTC) + _CLOCKS:
        # What is answered then is not known yet.
        raise unfit("as_of", "it has not come yet")
    return moment


def _no_table() -> NotFoundException:
    return NotFoundException(detail="There is no table of that name.")
