"""What every request must respect and every response carries, errors included.

Put here headers and rules that hold for all routes alike. Keep out those of one route.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from litestar.exceptions import HTTPException, ValidationException
from litestar.params import QueryParameter

from mlops_assets.serving.audit import decision_of, log_decision

if TYPE_CHECKING:
    from litestar.connection import Request
    from litestar.types import Message, Scope

_SECURE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_DEFAULTS: Final = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


async def finish_response(message: Message, scope: Scope) -> None:
    """Add the secure headers and the request id, and write the audit line; called for each message of a response."""
    if message["type"] != "http.response.start":
        return
    headers = list(message["headers"])
    present = {name.lower() for name, _ in headers}
    headers += [(name, value) for name, value in _DEFAULTS if name not in present]
    headers += _SECURE
    headers.append((b"x-request-id", decision_of(scope).request_id.encode("ascii")))
    message["headers"] = headers
    log_decision(scope, message["status"])


async def refuse_strays(request: Request[Any, Any, Any]) -> None:
    """Refuse a body, and query parameters that the route does not know or that are given twice.

    A filter with a typing error would otherwise be ignored and answer with everything.

    Raises:
        HTTPException: 413, as no route takes a body.
        ValidationException: a query parameter is unknown or repeated.
    """
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        raise HTTPException(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail="No route takes a body.")
    if not request.scope["query_string"]:
        return
    arguments = request.route_handler.parsed_fn_signature.parameters
    known = {
        argument.kwarg_definition.name or name
        for name, argument in arguments.items()
        if isinstance(argument.kwarg_definition, QueryParameter)
    }
    names = [name for name, _ in request.query_params.multi_items()]
    strays = [
        {"key": name[:40], "message": "unknown" if name not in known else "given more than once"}
        for name in sorted(set(names))
        if name not in known or names.count(name) > 1
    ]
    if strays:
        raise ValidationException(extra=strays)
