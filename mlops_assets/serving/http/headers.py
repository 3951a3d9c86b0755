"""What every request must respect and every response carries, errors included.

Put here headers and rules that hold for all routes alike. Keep out those of one route.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from litestar.exceptions import HTTPException, NotFoundException, ValidationException
from litestar.params import QueryParameter

from mlops_assets.serving.http.audit import decision_of, log_decision
from mlops_assets.serving.http.bodies import BODY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from litestar.connection import Request
    from litestar.types import Message, Scope

    from mlops_assets.serving.http.audit import Decision

_STRAY_PATH: Final = re.compile(
    # Two slashes or one at the end; an encoded slash, backslash, control character, letter or digit.
    rb"//|/$|%2f|%5c|%[01][0-9a-f]|%7f|%3[0-9]|%[46][1-9a-f]|%[57][0-9a]",
    re.IGNORECASE,
)
_MOST_NAMED: Final = 10
OWN_QUERY: Final = "own_query"
"""Name of the handler option of a route that knows by itself which parameters its query may have."""
_SECURE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # Browsers heed it on TLS only.
    (b"strict-transport-security", b"max-age=31536000"),
)
_DEFAULTS: Final = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


async def finish_response(message: Message, scope: Scope) -> None:
    """Add the secure headers and the request id, and write the audit line; called for each message of a response."""
    if message["type"] != "http.response.start":
        return
    message["headers"] = with_secure_headers(message["headers"], decision_of(scope))
    log_decision(scope, message["status"])


def with_secure_headers(headers: Iterable[tuple[bytes, bytes]], decision: Decision) -> list[tuple[bytes, bytes]]:
    """Those headers and what every answer carries."""
    headers = list(headers)
    present = [name.lower() for name, _ in headers]
    defaults = [default for default in _DEFAULTS if default[0] not in present]
    return [*headers, *defaults, *_SECURE, *decision.headers, (b"x-request-id", decision.request_id.encode("ascii"))]


async def refuse_strays(request: Request[Any, Any, Any]) -> None:
    """Refuse a second spelling of an address, a body where the route takes none, and stray query parameters.

    A proxy that judges addresses must not be passed by writing one otherwise (``//``, ``%2F``, ``%76`` for ``v``, a
    slash at the end). A filter with a typing error would be ignored and answer with everything, one given twice be read
    in either way.

    Raises:
        NotFoundException: the address is not spelt as the route's.
        HTTPException: 413, the route takes no body.
        ValidationException: a query parameter is unknown or repeated.
    """
    if _STRAY_PATH.search(request.scope["raw_path"]):
        raise NotFoundException
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if has_body and BODY not in request.route_handler.opt:
        raise HTTPException(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail="This route takes no body.")
    if OWN_QUERY in request.route_handler.opt or not request.scope["query_string"]:
        return
    arguments = request.route_handler.parsed_fn_signature.parameters
    given = demand_known(
        request,
        {
            argument.kwarg_definition.name or name
            for name, argument in arguments.items()
            if isinstance(argument.kwarg_definition, QueryParameter)
        },
    )
    # The framework reads this text as if the parameter were absent.
    if nulls := sorted(name for name, value in given.items() if value.lower() == "null"):
        raise ValidationException(extra=[{"key": nulls[0], "message": "null is no value"}])


def demand_known(request: Request[Any, Any, Any], known: Collection[str]) -> dict[str, str]:
    """The query's parameters, each given once.

    Raises:
        ValidationException: one is not among the known, or is given more than once.
    """
    values = list(request.query_params.multi_items())
    names = [name for name, _ in values]
    told = f"unknown; there are {', '.join(sorted(known))}" if known else "unknown; there are none"
    strays = {name: told for name in names if name not in known}
    strays |= {name: "given more than once" for name in known if names.count(name) > 1}
    if strays:
        named = sorted(strays.items())[:_MOST_NAMED]
        raise ValidationException(extra=[{"key": name[:40], "message": message} for name, message in named])
    return dict(values)
