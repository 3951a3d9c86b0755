"""Access: every route needs a principal with the scope that the route declares, within its limits.

Put here who may call which route and see which object, and how often. Keep out how a principal is found
(``authentication``), what the scopes are (``scopes``) and what the routes answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from litestar.exceptions import PermissionDeniedException, TooManyRequestsException

from mlops_assets.serving.http.audit import decision_of
from mlops_assets.serving.identity.scopes import ACCESS, Access

if TYPE_CHECKING:
    from litestar.connection import Request
    from litestar.datastructures import State
    from litestar.types import ASGIApp, Receive, Send
    from litestar.types import Scope as ConnectionScope

    from mlops_assets.platform.security.tokens import Principal
    from mlops_assets.serving.http.audit import Decision
    from mlops_assets.serving.identity.authentication import Authenticator
    from mlops_assets.serving.identity.limits import ConcurrencyLimiter, RateLimiter


class AccessGuard:
    """The application's guard. Being on the application, it also judges routes whose author forgot about access.

    It is a middleware, which every route has around it: the framework copies the handler for each call of what it calls
    a guard itself. A request that is let in keeps a place in the concurrency limit until ``release`` is called with its
    decision.
    """

    def __init__(self, authenticator: Authenticator, rate: RateLimiter, concurrency: ConcurrencyLimiter) -> None:
        self._authenticator = authenticator
        self._rate = rate
        self._concurrency = concurrency
        # Names and form are those of the IETF's draft "RateLimit header fields for HTTP".
        policy = f'"principal";q={rate.burst};w={math.ceil(rate.window_seconds)}'
        self._policy = (b"ratelimit-policy", policy.encode())

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """That application, for those who may pass."""

        async def guarded(scope: ConnectionScope, receive: Receive, send: Send) -> None:
            self.admit(scope)
            await app(scope, receive, send)

        return guarded

    def admit(self, scope: ConnectionScope) -> None:
        """Let the request pass, with its principal as the connection's user.

        Raises:
            NotAuthorizedException: there is no valid token or certificate.
            PermissionDeniedException: the principal lacks the scope, or the route declares none.
            TooManyRequestsException: the principal has sent too many, or has too many under way.
            KeyFileError: nobody can be let in at the moment.
        """
        decision = decision_of(scope)
        demanded = scope["route_handler"].opt.get(ACCESS)
        if demanded is Access.PUBLIC:
            decision.public = True
            return
        principal = self._authenticator.principal(scope)
        decision.principal = principal
        scope["user"] = principal
        self._demand_rate(principal, decision)
        _demand_scope(principal, demanded, decision)
        if not self._concurrency.enter(principal.name):
            decision.reason = "concurrency"
            raise TooManyRequestsException(
                detail="Too many requests of this principal are under way.", headers={"Retry-After": "1"}
            )
        decision.held = principal.name

    def release(self, decision: Decision) -> None:
        """The request of that decision is over."""
        if decision.held is not None:
            self._concurrency.leave(decision.held)
            decision.held = None

    def _demand_rate(self, principal: Principal, decision: Decision) -> None:
        allowance = self._rate.take(principal.name)
        left = b'"principal";r=%d;t=%d' % (allowance.remaining, math.ceil(allowance.reset_seconds))
        decision.headers += (self._policy, (b"ratelimit", left))
        if not allowance.allowed:
            decision.reason = "rate"
            raise TooManyRequestsException(
                detail="This principal has sent too many requests.",
                headers={"Retry-After": str(math.ceil(allowance.reset_seconds))},
            )


def _demand_scope(principal: Principal, demanded: object, decision: Decision) -> None:
    if demanded in (Access.ANY_PRINCIPAL, Access.BY_TABLE):
        return
    if not isinstance(demanded, str) or isinstance(demanded, Access):
        decision.reason = "scope"
        raise PermissionDeniedException(detail="The route is open to nobody: it declares no scope.")
    if demanded not in principal.scopes:
        raise _lacks(demanded, principal, decision)


def _lacks(scope: str, principal: Principal, decision: Decision) -> PermissionDeniedException:
    decision.reason = "scope"
    challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
    # Another token would not help a principal that came with a certificate alone.
    headers = {} if principal.token_id is None else challenge
    return PermissionDeniedException(detail=f"The scope {scope} is needed.", headers=headers)


def demand_scope(request: Request[Principal, None, State], scope: str) -> None:
    """Refuse a principal without that scope: for routes whose scope depends on what is asked for.

    Raises:
        PermissionDeniedException: the principal lacks it.
    """
    if scope not in request.user.scopes:
        raise _lacks(scope, request.user, decision_of(request.scope))


def limit_of(request: Request[Principal, None, State], column: str) -> frozenset[str] | None:
    """The values of a column that the principal is limited to, as text; ``None`` when it may see all.

    Raises:
        PermissionDeniedException: it needs a limit of that column, and has none.
    """
    if request.user.lacks_limit(column):
        decision = decision_of(request.scope)
        decision.reason, decision.limit = "no_limit", column
        raise PermissionDeniedException(detail=f"A limit of {column} is needed, and this principal has none.")
    return request.user.limits.get(column)


def beyond_limit(request: Request[Principal, None, State], column: str) -> PermissionDeniedException:
    """The refusal of rows with a value that the principal may not see, whether or not there are any."""
    decision = decision_of(request.scope)
    decision.reason, decision.limit = "limit", column
    return PermissionDeniedException(detail=f"The limit of {column} does not cover what is asked for.")
