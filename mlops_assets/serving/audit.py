"""The audit trail: one log line for each decision about who may see what.

Put here what is recorded of a request. Keep out personal data, tokens, query values and addresses: the line names the
application, its token's id, the route and the outcome.
"""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from litestar.types import Scope

    from mlops_assets.platform.tokens import Principal

LOGGER: Final = logging.getLogger(f"{__name__}")

_STATE_KEY: Final = "mlops_assets_decision"
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_-]{8,64}")


@dataclass
class Decision:
    """What was decided about one request.

    Attributes:
        request_id: the client's ``X-Request-ID`` when it is 8 to 64 letters, digits, ``_`` or ``-``, else a new one.
        public: whether the route needs no token, so that there was nothing to decide.
        principal: who asked; ``None`` without a valid token.
        reason: why the request was denied; ``None`` when it was not.
        state: the state whose object was asked for, if the route names one.
    """

    request_id: str
    public: bool = False
    principal: Principal | None = None
    reason: str | None = None
    state: str | None = None


def decision_of(scope: Scope) -> Decision:
    """The record of the request with that scope; made when first asked for."""
    state = scope["state"]
    decision = state.get(_STATE_KEY)
    if not isinstance(decision, Decision):
        decision = Decision(request_id=_request_id(scope))
        state[_STATE_KEY] = decision
    return decision


def log_decision(scope: Scope, status: int) -> None:
    """Write the line of a request that is being answered with that status."""
    decision = decision_of(scope)
    if decision.public:
        return
    principal = decision.principal
    # A request that met no route was never judged; it is written all the same, as probing shows there.
    allowed = principal is not None and decision.reason is None
    LOGGER.info(
        "access",
        extra={
            "fields": {
                "decision": "allow" if allowed else "deny",
                "reason": decision.reason or (None if allowed else "no_route"),
                "principal": principal and principal.name,
                "token_id": principal and principal.token_id,
                "key_id": principal and principal.key_id,
                "method": scope.get("method"),
                "route": scope.get("path_template"),
                "state": decision.state,
                "status": status,
                "request_id": decision.request_id,
            }
        },
    )


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode("ascii") if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
