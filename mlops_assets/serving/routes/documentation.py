"""The service's description of itself: an OpenAPI document, and a page made from it that needs nothing from elsewhere.

Put here what is said about the service as a whole. Keep out what is said about one route (it stands at the route).
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityRequirement, SecurityScheme, Server
from litestar.types import ControllerRouterHandler

from mlops_assets import __version__
from mlops_assets.platform.settings import Authentication
from mlops_assets.serving.http.bodies import BODY, BodyKind
from mlops_assets.serving.http.problems import COMMON, problem_responses
from mlops_assets.serving.identity.scopes import ACCESS, Access, Scope
from mlops_assets.serving.routes.api import API_ROUTES

DOCUMENT: Final = "openapi_document"
"""Name in the application's state."""
DocumentRequest = Request[Any, Any, State]
_BEARER: Final = "bearer"
_CERTIFICATE: Final = "mutualTLS"
_SCHEMES: Final = {
    _BEARER: SecurityScheme(
        type="http",
        scheme="bearer",
        bearer_format="JWT",
        description="A JWT of type at+jwt (RFC 9068). One that is bound to a client certificate (RFC 8705) is good "
        "only together with it.",
    ),
    _CERTIFICATE: SecurityScheme(
        type="mutualTLS", description="A client certificate of an authority that the service's operator names."
    ),
}
_NAMES: Final = {_BEARER: "bearer token", _CERTIFICATE: "client certificate"}
_DEMANDED: Final[Mapping[Authentication, list[SecurityRequirement]]] = {
    Authentication.TOKEN: [{_BEARER: []}],
    Authentication.CERTIFICATE: [{_CERTIFICATE: []}],
    Authentication.BOTH: [{_BEARER: [], _CERTIFICATE: []}],
}
_ERRORS: Final = problem_responses(*COMMON)
_STYLE: Final = (
    "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,h2{font-family:monospace}table{border-collapse:collapse}td,th{border:1px solid #999;padding:.2rem .6rem;"
    "text-align:left;vertical-align:top}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
_PAGE_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'"


def documentation_routes(*, public: bool) -> tuple[ControllerRouterHandler, ...]:
    """The routes that describe the service. Unless they are public, they need a token, with whatever scope."""
    access = {ACCESS: Access.PUBLIC if public else Access.ANY_PRINCIPAL}
    security: list[SecurityRequirement] | None = [{}] if public else None

    @get(
        "/openapi.json", summary="This document", opt=access, security=security, responses=_ERRORS, sync_to_thread=False
    )
    def openapi_json(request: DocumentRequest) -> dict[str, Any]:
        """The OpenAPI document."""
        document: dict[str, Any] = request.app.state[DOCUMENT]
        return document

    @get(
        "/docs",
        summary="This document, to read",
        opt=access,
        security=security,
        responses=_ERRORS,
        media_type=MediaType.HTML,
        sync_to_thread=False,
    )
    def documentation_page(request: DocumentRequest) -> Response[str]:
        """The OpenAPI document as a page without scripts."""
        return Response(
            html_page(request.app.state[DOCUMENT]),
            media_type=MediaType.HTML,
            headers={"Content-Security-Policy": _PAGE_POLICY},
        )

    return (openapi_json, documentation_page)


def openapi_document(*, public: bool = False, authentication: Authentication = Authentication.TOKEN) -> dict[str, Any]:
    """The OpenAPI 3.1 document of all routes.

    It is made of the routes alone, so it can be written to a file without starting the service.

    Args:
        public: whether the documentation routes need no token.
        authentication: what the service demands of every request.
    """
    routes: Sequence[ControllerRouterHandler] = (*API_ROUTES, *documentation_routes(public=public))
    config = OpenAPIConfig(
        title="Predictions",
        version=__version__,
        description=(
            "Predictions per congressional district with interval and provenance, and online scoring by the models "
            "behind them. Each operation names the scope it needs; the claim `limits` may limit a token to some "
            "rows of tables. Errors are problem documents (RFC 9457), under `/v2` those of the Open Inference "
            "Protocol: 400 is what breaks this document, 422 what keeps to it and does not fit the data or the model. "
            "Answers carry an "
            "`ETag`; send it as `If-None-Match` to get 304 while nothing has changed."
        ),
        servers=[Server(url="/")],
        components=Components(security_schemes=dict(_SCHEMES)),
        security=list(_DEMANDED[authentication]),
    )
    document: dict[str, Any] = Litestar(
        route_handlers=list(routes), openapi_config=config, logging_config=None
    ).openapi_schema.to_schema()
    _describe_bodies(document, routes)
    for _, operation in _operations(document):
        for parameter in operation.get("parameters", []):
            parameter["schema"] = _never_null(parameter["schema"])
    return document


def _describe_bodies(document: dict[str, Any], routes: Sequence[ControllerRouterHandler]) -> None:
    """Add the bodies and scopes that routes declare as options: the framework reads neither from there."""
    handlers = [route for route in routes if isinstance(route, HTTPRouteHandler)]
    described = {re.sub(r":\w+}", "}", path): handler.opt for handler in handlers for path in handler.paths}
    kinds = sorted({opt[BODY].kind for opt in described.values() if BODY in opt}, key=lambda kind: str(kind.__name__))
    references, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    document["components"]["schemas"] |= components
    for path, operation in _operations(document):
        access = described[path].get(ACCESS)
        if isinstance(access, Scope):
            operation["description"] = f"{operation.get('description', '')} Needs the scope `{access}`.".strip()
        if BODY in described[path]:
            body: BodyKind = described[path][BODY]
            operation["requestBody"] = {
                "required": True,
                "description": f"Up to {body.limit:,} bytes.",
                "content": {
                    "application/json": {"schema": references[kinds.index(body.kind)], "example": body.example}
                },
            }


def _operations(document: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(path, operation) for path, methods in document["paths"].items() for operation in methods.values()]


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without null: a parameter that may be left out is not one that may be null."""
    tidy = dict(schema)
    if "oneOf" in tidy:
        (other,) = [choice for choice in tidy.pop("oneOf") if choice != {"type": "null"}]
        tidy |= other
    if isinstance(tidy.get("type"), list):
        (tidy["type"],) = [kind for kind in tidy["type"] if kind != "null"]
    if "enum" in tidy:
        tidy["enum"] = [value for value in tidy["enum"] if value is not None]
    return tidy


def html_page(document: Mapping[str, Any]) -> str:
    """The document as one HTML page, without scripts and without anything from another address."""
    info = document["info"]
    parts = [
        "<!DOCTYPE html><html lang=en><meta charset=utf-8>",
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>",
    ]
    demanded = " or ".join(" and ".join(_NAMES[scheme] for scheme in one) for one in document["security"])
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(path, method, operation, demanded))
    for name, schema in document["components"]["schemas"].items():
        rows = [
            (field, _type_of(property_), property_.get("description", ""))
            for field, property_ in schema.get("properties", {}).items()
        ]
        parts.append(f'<h2 id="{escape(name)}">{escape(name)}</h2><p>{escape(schema.get("description", ""))}</p>')
        parts.append(_table(("field", "type", "meaning"), rows))
    return "\n".join(parts)


def _operation(path: str, method: str, operation: Mapping[str, Any], demanded: str) -> str:
    parameters = [
        (parameter["name"], parameter["in"], _type_of(parameter["schema"]), parameter.get("description", ""))
        for parameter in operation.get("parameters", [])
    ]
    body = operation.get("requestBody")
    if body:
        (content,) = body["content"].values()
        parameters.append(("", "body", _type_of(content["schema"]), body["description"]))
    responses = [(status, response["description"]) for status, response in operation["responses"].items()]
    access = "no token" if operation.get("security") == [{}] else demanded
    return "\n".join(
        (
            f"<h2>{escape(method.upper())} {escape(path)}</h2>",
            f"<p>{escape(operation.get('summary', ''))} ({access}). {escape(operation.get('description', ''))}</p>",
            _table(("parameter", "in", "type", "meaning"), parameters) if parameters else "",
            _table(("status", "meaning"), responses),
        )
    )


def _type_of(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", maxsplit=1)[-1]
    if "oneOf" in schema:
        return " or ".join(_type_of(choice) for choice in schema["oneOf"])
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type_of(schema.get('items', {}))}"
    return ", ".join(kind) if isinstance(kind, list) else str(kind)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["<table><tr>", *(f"<th>{escape(cell)}" for cell in head)]
    for row in rows:
        lines += ["<tr>", *(f"<td>{escape(cell)}" for cell in row)]
    return "".join([*lines, "</table>"])
