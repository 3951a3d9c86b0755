"""The service's description of itself: an OpenAPI document of its routes, tables and models.

Put here what is said about the service as a whole. Keep out what is said about one route (it stands at the
route), and about tables (``table_document``).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityRequirement, SecurityScheme, Server
from litestar.types import ControllerRouterHandler

from mlops_assets import __version__
from mlops_assets.platform.settings import Authentication
from mlops_assets.serving.exports.catalog import catalog_of
from mlops_assets.serving.http.bodies import BODY, TEXT_END, BodyKind
from mlops_assets.serving.http.encoded_answers import EncodedAnswer
from mlops_assets.serving.http.problems import COMMON, problem_responses
from mlops_assets.serving.identity.scopes import ACCESS, Access, Scope
from mlops_assets.serving.routes.api import API_ROUTES
from mlops_assets.serving.routes.table_document import with_tables

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
_DEMANDED: Final[Mapping[Authentication, list[SecurityRequirement]]] = {
    Authentication.TOKEN: [{_BEARER: []}],
    Authentication.CERTIFICATE: [{_CERTIFICATE: []}],
    Authentication.BOTH: [{_BEARER: [], _CERTIFICATE: []}],
}
_MOST_DOCUMENTS: Final = 32
"""One for each choice of tables; a long one takes a tenth of a second to make."""
_ERRORS: Final = problem_responses(*COMMON)
_TAGS: Final = {
    "/v1/tables": "tables",
    "/v1/lookup": "tables",
    "/v1/exports": "exports",
    "/v1/models": "models",
    "/v2": "inference",
}
"""Subjects of routes by where their addresses begin; all others are for operators."""
_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The `ETag` of the client's copy: the answer is 304 while that is still right.",
}


def documentation_routes(*, public: bool) -> tuple[ControllerRouterHandler, ...]:
    """The routes that describe the service. Unless they are public, they need a token, with whatever scope."""
    access = {ACCESS: Access.PUBLIC if public else Access.ANY_PRINCIPAL}
    security: list[SecurityRequirement] | None = [{}] if public else None
    made: dict[tuple[str, ...], bytes] = {}

    @get(
        "/openapi.json", summary="This document", opt=access, security=security, responses=_ERRORS, sync_to_thread=False
    )
    def openapi_json(request: DocumentRequest) -> Response[dict[str, Any]]:
        """The OpenAPI document, of the tables that the principal may read."""
        served = [each.table for each in catalog_of(request).served() if each.table is not None]
        tables = [table for table in served if public or table.served.scope in request.user.scopes]
        told = tuple(table.export_id for table in tables)
        if told not in made:
            if len(made) >= _MOST_DOCUMENTS:
                made.clear()
            made[told] = msgspec.json.encode(with_tables(request.app.state[DOCUMENT], tables))
        return EncodedAnswer(made[told], {})

    return (openapi_json,)


def openapi_document(*, public: bool = False, authentication: Authentication = Authentication.TOKEN) -> dict[str, Any]:
    """The OpenAPI 3.1 document of all routes, those of tables as of any table.

    Args:
        public: whether the documentation routes need no token.
        authentication: what the service demands of every request.
    """
    routes: Sequence[ControllerRouterHandler] = (*API_ROUTES, *documentation_routes(public=public))
    config = OpenAPIConfig(
        title="mlops-assets",
        version=__version__,
        description=(
            "Tables by declaration, and online scoring by models. Each operation names the scope it needs; the claim "
            "`limits` may limit a token to some rows of tables. Errors are problem documents (RFC 9457), under `/v2` "
            "those of the Open Inference Protocol: 400 is what breaks this document, 422 what keeps to it and does not "
            "fit the data or the model. Answers carry an `ETag`; send it as `If-None-Match` to get 304 while nothing "
            "has changed."
        ),
        servers=[Server(url="/")],
        components=Components(security_schemes=dict(_SCHEMES)),
        security=list(_DEMANDED[authentication]),
        operation_id_creator=_operation_id,
    )
    document: dict[str, Any] = Litestar(
        route_handlers=list(routes), openapi_config=config, logging_config=None
    ).openapi_schema.to_schema()
    _describe_bodies(document, routes)
    for path, operation in _operations(document):
        operation["tags"] = [next((tag for start, tag in _TAGS.items() if path.startswith(start)), "operation")]
        for parameter in operation.get("parameters", []):
            parameter["schema"] = _never_null(parameter["schema"])
        if "304" in operation["responses"]:
            operation.setdefault("parameters", []).append(dict(_IF_NONE_MATCH))
    return document


def _operation_id(handler: HTTPRouteHandler, _: object, path: Sequence[object]) -> str:
    """The handler's name, by which generated clients call it; the operations of tables are named after these.

    No handler's name begins as those do (``list_``, ``get_``, ``look_up_``), so that none has the name of another.
    """
    versioned = any(getattr(part, "name", None) == "version" for part in path)
    return f"{handler.handler_name}_version" if versioned else handler.handler_name


def _describe_bodies(document: dict[str, Any], routes: Sequence[ControllerRouterHandler]) -> None:
    """Add the bodies and scopes that routes declare as options: the framework reads neither from there."""
    handlers = [route for route in routes if isinstance(route, HTTPRouteHandler)]
    described = {re.sub(r":\w+}", "}", path): handler.opt for handler in handlers for path in handler.paths}
    kinds = sorted({opt[BODY].kind for opt in described.values() if BODY in opt}, key=lambda kind: str(kind.__name__))
    references, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    document["components"]["schemas"] |= _in_its_dialect(components)
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


def _in_its_dialect(schema: Any) -> Any:  # noqa: ANN401  any part of a schema
    """The schema with patterns as JSON Schema ends them."""
    if isinstance(schema, list | tuple):
        return [_in_its_dialect(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: _in_its_dialect(value) for name, value in schema.items()}
    if isinstance(pattern := inner.get("pattern"), str) and pattern.endswith(TEXT_END):
        inner["pattern"] = f"{pattern.removesuffix(TEXT_END)}$"
    return inner


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
