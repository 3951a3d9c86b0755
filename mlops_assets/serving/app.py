"""The application: routes, guard, errors and headers put together.

Put here only the putting together. Keep out the web server, and every import that a request does not need.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

from litestar import Litestar
from litestar.datastructures import State

from mlops_assets.platform.tokens import TokenVerifier
from mlops_assets.serving.access import STATES, AccessGuard
from mlops_assets.serving.documentation import DOCUMENT, documentation_routes, openapi_document
from mlops_assets.serving.follower import ExportFollower
from mlops_assets.serving.headers import finish_response, refuse_strays
from mlops_assets.serving.problems import exception_handlers
from mlops_assets.serving.routes import API_ROUTES, FOLLOWER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mlops_assets.serving.config import ServiceConfig


def application(config: ServiceConfig) -> Litestar:
    """The service as an ASGI application. It starts without an export, and is ready as soon as there is one."""
    follower = ExportFollower(config.exports, poll_seconds=config.poll_seconds)
    verifier = TokenVerifier(keys=config.keys, issuer=config.issuer, audience=config.audience, limits=(STATES,))
    public = config.public_documentation
    return Litestar(
        route_handlers=[*API_ROUTES, *documentation_routes(public=public)],
        guards=[AccessGuard(verifier)],
        before_request=refuse_strays,
        before_send=[finish_response],
        exception_handlers=exception_handlers(),
        lifespan=[partial(_following, follower)],
        state=State({FOLLOWER: follower, DOCUMENT: openapi_document(public=public)}, deep_copy=False),
        openapi_config=None,
        logging_config=None,
        debug=False,
    )


@contextlib.asynccontextmanager
async def _following(follower: ExportFollower, _: Litestar) -> AsyncIterator[None]:
    await follower.refresh()
    task = asyncio.create_task(follower.follow())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        follower.close()
