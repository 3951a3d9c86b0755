"""The web server: Dagster's own, on a Unix socket, for people who have a role.

Put here how it is put together and run. Keep out what a role may do.

Whoever reaches the socket is believed about the role. It lies in a volume that only the web server and the reverse
proxy mount, and the proxy writes the header anew on each request.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.cli import DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_MAX_OVERFLOW, DEFAULT_POOL_RECYCLE
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.websockets import WebSocketClose

from mlops_assets.deployment.pages.mutations import guarded
from mlops_assets.deployment.pages.permissions import RoleRequestContext, RolesProcessContext, role_of
from mlops_assets.deployment.pages.questions import fault_of_question, status_of
from mlops_assets.deployment.pages.roles import demand_locations, read_roles
from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.http_heads import HeadAlone

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from graphene import Schema
    from graphql import GraphQLError
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

CLOSED: Final = frozenset({"/notebook", "/dagit/notebook"})
"""Routes that are not served: they show, as a page of this origin, any notebook that a code server can read."""

_POLL_MILLISECONDS: Final = 2000
_POLICY_VIOLATION: Final = 1008


class PagesError(PlatformError):
    """The pages cannot be served."""


class RoleGate:
    """Refuses connections of those who have no role, web sockets too, before anything is asked."""

    def __init__(self, app: ASGIApp, roles: Collection[str]) -> None:
        """Stand before ``app``, for these roles."""
        self._app = app
        self._roles = roles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what has a role, and what is no connection."""
        if scope["type"] == "lifespan" or role_of(HTTPConnection(scope)) in self._roles:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(_POLICY_VIOLATION)(scope, receive, send)
        else:
            await PlainTextResponse("No role of this deployment.", status_code=403)(scope, receive, send)


class Pages(DagsterWebserver[RolesProcessContext, RoleRequestContext]):
    """Dagster's web server, in which mutations are guarded."""

    def __init__(self, process: RolesProcessContext, roles: Collection[str]) -> None:
        """Serve what ``process`` shows to these roles."""
        self._roles = roles
        super().__init__(process, live_data_poll_rate=_POLL_MILLISECONDS)

    def build_graphql_schema(self) -> Schema:
        """Dagster's schema, whose mutations are guarded."""
        schema = super().build_graphql_schema()
        for name, field in schema.graphql_schema.mutation_type.fields.items():
            field.resolve = guarded(name, field.resolve)
        return schema

    async def graphql_http_endpoint(self, request: Request) -> Response:
        """Answer a question; what cannot be read as one is refused with the reason."""
        if (fault := await fault_of_question(request)) is not None:
            return JSONResponse({"data": None, "errors": [{"message": fault}]}, status_code=400)
        answer: Response = await super().graphql_http_endpoint(request)
        return answer

    def _determine_status_code(
        self, resolver_errors: list[GraphQLError] | None, captured_errors: list[Exception]
    ) -> int:
        return status_of(resolver_errors or [], captured_errors)

    def build_middleware(self) -> list[Middleware]:
        """Dagster's own, behind the gate."""
        return [Middleware(RoleGate, roles=self._roles), *super().build_middleware()]

    def build_routes(self) -> list[BaseRoute]:
        """Dagster's own, without those that are closed."""
        routes: list[BaseRoute] = super().build_routes()  # type: ignore[no-untyped-call]
        return [route for route in routes if getattr(route, "path", None) not in CLOSED]


def serve(workspace: Path, *, roles: Path, listen: Path) -> None:
    """Serve until the process is told to end.

    Args:
        workspace: file of the code locations.
        roles: file of the roles.
        listen: socket to make; only this account may use it.

    Raises:
        RolesError: the roles cannot be used with these code locations.
        PagesError: the socket cannot be made.
    """
    known = read_roles(roles)
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW)
        target = WorkspaceFileTarget(paths=[str(workspace)])
        demand_locations(known, [origin.location_name for origin in target.create_origins()])
        with RolesProcessContext(instance, target, version=__version__, roles=known) as process, _bound(listen) as own:
            app = Pages(process, known).create_asgi_app()
            settings = uvicorn.Config(
                app, http=HeadAlone, log_level="warning", proxy_headers=False, server_header=False
            )
            uvicorn.Server(settings).run([own])


def _bound(path: Path) -> socket.socket:
    own = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        # What an earlier process left there belongs to nobody any more.
        path.unlink(missing_ok=True)
        own.bind(str(path))
    except OSError as error:
        own.close()
        raise PagesError(
            source=f"Socket {path}",
            culprit=f"it cannot be made ({error.strerror}).",
            remedy="Does its folder exist, and may this account write there?",
        ) from error
    finally:
        os.umask(before)
    return own
