"""Access: every route needs a valid token and the scope to read, unless it says otherwise.

Put here who may call which route and see which object. Keep out how tokens are verified (that is the platform's) and
what the routes answer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from litestar.exceptions import NotAuthorizedException, PermissionDeniedException

from mlops_assets.platform.tokens import Principal, TokenError
from mlops_assets.serving.audit import decision_of

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection, Request
    from litestar.datastructures import State
    from litestar.handlers import BaseRouteHandler

    from mlops_assets.platform.tokens import TokenVerifier

READ_PREDICTIONS: Final = "predictions:read"
STATES: Final = "states"
"""The claim that limits a token to some states, as a list of postal codes."""
ACCESS: Final = "access"
"""Name of the handler option that relaxes what a route demands."""
_SCHEME: Final = "bearer"


class Access(StrEnum):
    """What a route demands instead of the scope to read."""

    PUBLIC = "public"
    ANY_TOKEN = "any_token"  # noqa: S105  a demand, not a password


class AccessGuard:
    """The application's guard. Being on the application, it also judges routes whose author forgot about access."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Let the request pass, with its principal as the connection's user.

        Raises:
            NotAuthorizedException: there is no valid token.
            PermissionDeniedException: the token lacks the scope.
            KeyFileError: no token can be verified at the moment.
        """
        decision = decision_of(connection.scope)
        access = handler.opt.get(ACCESS)
        if access is Access.PUBLIC:
            decision.public = True
            return
        principal = self._principal(connection)
        decision.principal = principal
        connection.scope["user"] = principal
        if access is not Access.ANY_TOKEN and READ_PREDICTIONS not in principal.scopes:
            decision.reason = "scope"
            raise PermissionDeniedException(
                detail=f"The token lacks the scope {READ_PREDICTIONS}.",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{READ_PREDICTIONS}"'},
            )

    def _principal(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
        decision = decision_of(connection.scope)
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != _SCHEME or not token:
            decision.reason = "no_token"
            raise NotAuthorizedException(
                detail="A bearer token is needed.", headers={"WWW-Authenticate": 'Bearer realm="predictions"'}
            )
        try:
            return self._verifier.verify(token.strip())
        except TokenError as error:
            decision.reason = str(error.reason)
            raise NotAuthorizedException(
                detail="The bearer token is not valid.",
                headers={"WWW-Authenticate": 'Bearer realm="predictions", error="invalid_token"'},
            ) from error


def demand_state(request: Request[Principal, None, State], state: str) -> None:
    """Refuse an object of a state that the token may not see, whether or not the object exists.

    Raises:
        PermissionDeniedException: the token is limited to other states.
    """
    decision = decision_of(request.scope)
    decision.state = state
    if not request.user.may_see(STATES, state):
        decision.reason = "state"
        raise PermissionDeniedException(detail=f"The token does not cover the state {state}.")


def visible_states(request: Request[Principal, None, State]) -> frozenset[str] | None:
    """The states that the token is limited to; ``None`` when it may see all."""
    return request.user.limits.get(STATES)
