"""The audit trail: one log line for each decision about who may see what.

Put here what is recorded of a request. Keep out personal data, tokens, query values and addresses: the line names the
application, its token's id, the route and the outcome.
"""

from __future__ import annotations

import logging
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlops_assets.serving.http.logs import write_line

if TYPE_CHECKING:
    from litestar.types import Scope

    from mlops_assets.platform.security.tokens import Principal

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
        table: the table that was asked for, if the route names one that there is.
        limit: the column whose limit did not cover what was asked for.
        certificate: thumbprint of a client certificate that stands for nobody.
        headers: what the answer tells the client about the decision.
        held: the principal in whose concurrency limit the request holds a place.
        trace_id: id of the trace that the request belongs to, if traces are kept.
    """

    request_id: str
    public: bool = False
    principal: Principal | None = None
    reason: str | None = None
    table: str | None = None
    limit: str | None = None
    certificate: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    held: str | None = None
    trace_id: str | None = None


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
    write_line(
        LOGGER,
        "access",
        {
            "decision": "allow" if allowed else "deny",
            "reason": decision.reason or (None if allowed else "no_route"),
            "principal": principal and principal.name,
            "token_id": principal and principal.token_id,
            "key_id": principal and principal.key_id,
            "certificate": principal.certificate if principal else decision.certificate,
            "method": scope.get("method"),
            "route": scope.get("path_template"),
            "table": decision.table,
            "limit": decision.limit,
            "status": status,
            "request_id": decision.request_id,
            **({} if decision.trace_id is None else {"trace_id": decision.trace_id}),
        },
    )


def _fresh_request_id() -> str:
    """An id for a request that brings none: 128 bits."""
    return f"{random.getrandbits(128):032x}"


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value.decode("ascii") if _REQUEST_ID.fullmatch(value) else _fresh_request_id()
    return _fresh_request_id()
