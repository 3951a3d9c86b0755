"""Which export answers a request: the current one, or a past one that the request names.

Put here the way from a request to an export, and the problems on that way. Keep out how exports are followed and kept.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from litestar.exceptions import HTTPException, NotFoundException, ServiceUnavailableException

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports.history import EXPORT_ID
from mlops_assets.serving.exports.past import NotKeptError
from mlops_assets.serving.http.problems import unfit

if TYPE_CHECKING:
    from mlops_assets.serving.exports.follower import ExportFollower
    from mlops_assets.serving.exports.past import PastExports
    from mlops_assets.serving.exports.predictions import PredictionTable
    from mlops_assets.serving.exports.served import ServedExport
    from mlops_assets.serving.http.answers import ServiceRequest

FOLLOWER: Final = "follower"
"""Name in the application's state."""
PAST_EXPORTS: Final = "past_exports"
"""Name in the application's state."""


def current_export(request: ServiceRequest) -> ServedExport:
    """The export in use; ask again after each ``await``.

    Raises:
        ServiceUnavailableException: there is none yet.
    """
    follower: ExportFollower = request.app.state[FOLLOWER]
    return follower.served


def past_exports(request: ServiceRequest) -> PastExports:
    """The exports that are kept."""
    found: PastExports = request.app.state[PAST_EXPORTS]
    return found


async def predictions_as_of(request: ServiceRequest, as_of: str | None) -> PredictionTable:
    """The predictions of the export in use, or of the one that ``as_of`` names; ask again after each ``await``.

    Raises:
        ServiceUnavailableException: there is none in use yet, or the past one does not verify.
        NotFoundException: no export has that id, or none was current at that time.
        HTTPException: 410, there was one, and it is not kept any more.
        HTTPException: 422, there is no such time.
    """
    current = current_export(request).predictions
    if as_of is None or as_of == current.export_id:
        return current
    past = past_exports(request)
    try:
        return await (past.by_id(as_of) if EXPORT_ID.fullmatch(as_of) else past.by_time(_time(as_of)))
    except NotKeptError as error:
        if error.was_known:
            raise HTTPException(
                status_code=HTTPStatus.GONE, detail="The export of that version is not kept any more."
            ) from None
        raise NotFoundException(detail="No export has that id, or none was current at that time.") from None
    except ArtifactError:
        raise ServiceUnavailableException(detail="The export of that version cannot be verified.") from None


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise unfit("as_of", "there is no such time") from None
