"""Who may ask for what: every principal, at every route, for every object; every cell asserted.

The routes are those of the application itself: a new one fails here until somebody says who may call it.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from litestar import Litestar

from mlops_assets.serving.app import application
from mlops_assets.serving.identity.scopes import Access, Scope
from mlops_assets.serving.routes.documentation import openapi_document
from mlops_assets_tests.serving.sample import (
    CUSTOMERS_SERVED,
    EVERYTHING,
    FEATURES_SERVED,
    MODEL,
    PERSONS,
    READ,
    turnout_model,
)

if TYPE_CHECKING:
    import httpx

    from mlops_assets_tests.serving.service_process import Service

INFERENCE = {
    "inputs": [
        {"name": "age", "shape": [1], "datatype": "FP64", "data": [40]},
        {"name": "party", "shape": [1], "datatype": "BYTES", "data": ["DEM"]},
    ]
}


@dataclass(frozen=True)
class Domain:
    """What tells rows of a domain apart for principals.

    Attributes:
        column: the column that limits them.
        objects: a value that the limited principal may see, one that it may not, and one that nothing is known about.
    """

    column: str
    objects: tuple[str, str, str]


VOTERS: Final = Domain("state", ("NC", "GA", "ZZ"))
COMPANY: Final = Domain("territory", ("north", "south", "nowhere"))
_NOWHERE: Final = 2
_FORBIDDEN: Final = 403
CUSTOMERS_OF: Final = {"north": 1, "south": 2, "nowhere": 99}


@dataclass(frozen=True)
class Route:
    """What a route demands, and a request that it answers.

    Attributes:
        demands: the scope, or what stands in its place.
        path: the address, with ``{object}`` where rows of a value are asked for.
        body: the body, likewise.
        domain: the domain of those rows; ``None`` where nobody is limited.
        good: the status of the answer.
        unknown: the status for a value that nothing is known about.
        hidden: the status for one that the principal may not see.
    """

    demands: str
    path: str
    body: Any = None
    domain: Domain | None = None
    good: int = 200
    unknown: int = 404
    hidden: int = 403


VERSION: Final = turnout_model().version
READ_CUSTOMERS: Final = CUSTOMERS_SERVED.scope
READ_FEATURES: Final = FEATURES_SERVED.scope
CELLS: Final[dict[tuple[str, str], list[Route]]] = {
    ("GET", "/v1/tables"): [Route(Access.ANY_PRINCIPAL, "/v1/tables")],
    ("GET", "/v1/tables/{table}"): [
        Route(READ, "/v1/tables/predictions?state={object}", domain=VOTERS, unknown=200),
        Route(READ_CUSTOMERS, "/v1/tables/customers?territory={object}", domain=COMPANY, unknown=200),
    ],
    ("GET", "/v1/tables/{table}/{key}"): [
        Route(READ, "/v1/tables/predictions/{object}/01/turnout", domain=VOTERS),
        # The limit is no part of the key: a row that may not be seen is as one that is not there.
        Route(READ_CUSTOMERS, "/v1/tables/customers/{customer}", domain=COMPANY, hidden=404),
    ],
    ("POST", "/v1/lookup/{table}"): [
        Route(
            READ_FEATURES,
            "/v1/lookup/person_features",
            {"keys": [{"state": "{object}", "person_token": PERSONS[0]}]},
            domain=VOTERS,
            unknown=200,
        ),
        Route(
            READ_CUSTOMERS,
            "/v1/lookup/customers",
            {"keys": [{"customer": "{customer}"}]},
            domain=COMPANY,
            unknown=200,
            hidden=200,
        ),
    ],
    ("GET", "/v1/exports"): [Route(Scope.READ_EXPORTS, "/v1/exports")],
    ("GET", "/v1/exports/{name}"): [Route(Scope.READ_EXPORTS, "/v1/exports/predictions")],
    ("GET", "/v1/models"): [Route(Scope.INFER, "/v1/models")],
    ("GET", "/v1/models/{name}"): [Route(Scope.INFER, f"/v1/models/{MODEL}")],
    ("POST", "/v1/outcomes/{name}"): [
        Route(
            Scope.WRITE_OUTCOMES,
            f"/v1/outcomes/{MODEL}",
            {"outcomes": [{"request_id": "order-17", "outcome": True, "observed": "2024-12-01T00:00:00Z"}]},
            good=202,
        )
    ],
    ("POST", "/v1/models/{name}/score"): [
        Route(Scope.INFER, f"/v1/models/{MODEL}/score", {"rows": [{"age": 40, "party": "DEM"}]})
    ],
    ("GET", "/v2"): [Route(Access.ANY_PRINCIPAL, "/v2")],
    ("GET", "/v2/health/live"): [Route(Access.PUBLIC, "/v2/health/live")],
    ("GET", "/v2/health/ready"): [Route(Access.PUBLIC, "/v2/health/ready")],
    ("GET", "/v2/models/{name}"): [Route(Scope.INFER, f"/v2/models/{MODEL}")],
    ("GET", "/v2/models/{name}/ready"): [Route(Scope.INFER, f"/v2/models/{MODEL}/ready")],
    ("POST", "/v2/models/{name}/infer"): [Route(Scope.INFER, f"/v2/models/{MODEL}/infer", INFERENCE)],
    ("GET", "/v2/models/{name}/versions/{version}"): [Route(Scope.INFER, f"/v2/models/{MODEL}/versions/{VERSION}")],
    ("GET", "/v2/models/{name}/versions/{version}/ready"): [
        Route(Scope.INFER, f"/v2/models/{MODEL}/versions/{VERSION}/ready")
    ],
    ("POST", "/v2/models/{name}/versions/{version}/infer"): [
        Route(Scope.INFER, f"/v2/models/{MODEL}/versions/{VERSION}/infer", INFERENCE)
    ],
    ("GET", "/health/live"): [Route(Access.PUBLIC, "/health/live")],
    ("GET", "/health/ready"): [Route(Access.PUBLIC, "/health/ready")],
    ("GET", "/health/dependencies"): [Route(Scope.READ_METRICS, "/health/dependencies")],
    ("GET", "/metrics"): [Route(Scope.READ_METRICS, "/metrics")],
    ("GET", "/openapi.json"): [Route(Access.ANY_PRINCIPAL, "/openapi.json")],
}
ROUTES: Final = {key: routes[0] for key, routes in CELLS.items()}
ASKED: Final = [(key, route) for key, routes in CELLS.items() for route in routes]
NAMES: Final = [f"{method} {route.path.partition('?')[0]}" for (method, _), route in ASKED]


@dataclass(frozen=True)
class Caller:
    """A principal: the scopes and limits of its token; without scopes there is no valid token."""

    scopes: frozenset[str] = field(default_factory=frozenset)
    limits: dict[str, list[str]] = field(default_factory=dict)
    forged: str | None = None


EVERY: Final = frozenset(EVERYTHING)
CALLERS: Final = {
    "nobody": Caller(),
    "forger": Caller(forged="eyJhbGciOiJub25lIn0.e30."),
    "somebody else": Caller(frozenset({"other:thing"})),
    **{f"only {scope}": Caller(frozenset({scope})) for scope in EVERY},
    **{f"all but {scope}": Caller(EVERY - {scope}) for scope in EVERY},
    "everything": Caller(EVERY),
    "everything of some": Caller(EVERY, {"state": ["NC"], "territory": ["north"]}),
    "everything of nothing": Caller(EVERY, {"state": [], "territory": []}),
    "everything of a state": Caller(EVERY, {"state": ["NC"]}),
}


def expected(route: Route, caller: Caller, place: int) -> int:
    """The status of a cell, from what the route demands and the caller has."""
    if route.demands is Access.PUBLIC:
        return 200
    if not caller.scopes:
        return 401
    if not isinstance(route.demands, Access) and route.demands not in caller.scopes:
        return 403
    if route.domain is None:
        return route.good
    limit = caller.limits.get(route.domain.column)
    if limit is not None and route.domain.objects[place] not in limit:
        return route.unknown if place == _NOWHERE and route.hidden != _FORBIDDEN else route.hidden
    return 200 if place != _NOWHERE else route.unknown


def ask(client: httpx.Client, method: str, route: Route, place: int, headers: dict[str, str]) -> httpx.Response:
    chosen = route.domain.objects[place] if route.domain is not None else ""
    customer = CUSTOMERS_OF.get(chosen, 0)
    path = route.path.replace("{object}", chosen).replace("{customer}", str(customer))
    body = None
    if route.body is not None:
        text = json.dumps(route.body).replace("{object}", chosen).replace('"{customer}"', str(customer))
        body = json.loads(text)
    return client.request(method, path, json=body, headers=headers)


@pytest.fixture(name="tokens", scope="module")
def _tokens(service: Service) -> dict[str, dict[str, str]]:
    """For each caller the headers that it sends."""
    headers: dict[str, dict[str, str]] = {}
    for name, caller in CALLERS.items():
        token = service.token(scopes=caller.scopes, limits=caller.limits) if caller.scopes else caller.forged
        headers[name] = {} if token is None else {"Authorization": f"Bearer {token}"}
    return headers


def test_every_route_of_the_application_is_in_the_matrix(service: Service) -> None:
    app = application(service.config).app
    assert isinstance(app, Litestar)
    routes = {
        (method, re.sub(r":\w+}", "}", route.path)) for route in app.routes for method in getattr(route, "methods", ())
    }
    assert {route for route in routes if route[0] != "OPTIONS"} == set(ROUTES)


@pytest.mark.parametrize(("key", "route"), ASKED, ids=NAMES)
def test_every_cell_of_a_route_is_as_declared(
    stranger: httpx.Client, tokens: dict[str, dict[str, str]], key: tuple[str, str], route: Route
) -> None:
    cells = list(itertools.product(CALLERS, range(3 if route.domain else 1)))
    found = {cell: ask(stranger, key[0], route, cell[1], tokens[cell[0]]).status_code for cell in cells}
    assert found == {(caller, place): expected(route, CALLERS[caller], place) for caller, place in cells}


@pytest.mark.parametrize(("key", "route"), ASKED, ids=NAMES)
def test_a_refused_answer_holds_nothing_but_the_refusal(
    stranger: httpx.Client, tokens: dict[str, dict[str, str]], key: tuple[str, str], route: Route
) -> None:
    for caller, place in itertools.product(CALLERS, range(3 if route.domain else 1)):
        if (status := expected(route, CALLERS[caller], place)) not in (401, 403):
            continue
        answer = ask(stranger, key[0], route, place, tokens[caller])
        body = answer.json()
        assert answer.status_code == status
        assert set(body) in ({"error"}, {"type", "title", "status", "detail", "request_id", "errors"})
        assert "etag" not in answer.headers
        assert (status == 401) == ("www-authenticate" in answer.headers and "scope" not in answer.text)


@pytest.mark.parametrize(
    ("table", "column", "everything", "some"),
    [("predictions", "state", {"NC", "GA"}, {"NC"}), ("customers", "territory", {"north", "south"}, {"north"})],
)
def test_a_list_holds_what_the_caller_may_see_alone(
    stranger: httpx.Client,
    tokens: dict[str, dict[str, str]],
    table: str,
    column: str,
    everything: set[str],
    some: set[str],
) -> None:
    for caller, seen in (
        ("everything", everything),
        ("everything of some", some),
        ("everything of nothing", set()),
    ):
        answer = stranger.get(f"/v1/tables/{table}?limit=500", headers=tokens[caller]).raise_for_status()
        assert {item[column] for item in answer.json()["items"]} == seen


def test_a_look_up_gives_no_row_that_the_caller_may_not_see(
    stranger: httpx.Client, tokens: dict[str, dict[str, str]]
) -> None:
    keys = [{"customer": number} for number in range(1, 5)]
    for caller, seen in (
        ("everything", [1, 2, 3, 4]),
        ("everything of some", [1, None, 3, None]),
        ("everything of nothing", [None] * 4),
    ):
        answer = stranger.post("/v1/lookup/customers", json={"keys": keys}, headers=tokens[caller]).raise_for_status()
        assert [row and row["customer"] for row in answer.json()["rows"]] == seen


@pytest.mark.parametrize(("key", "route"), ASKED, ids=NAMES)
def test_no_other_method_gets_in(stranger: httpx.Client, key: tuple[str, str], route: Route) -> None:
    allowed = {method for method, path in ROUTES if path == key[1]}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "TRACE", "PROPFIND"} - allowed:
        answer = stranger.request(method, route.path.replace("{object}", "NC").replace("{customer}", "1"))
        assert answer.status_code == 405
        assert allowed <= {name.strip() for name in answer.headers["allow"].split(",")}


def test_what_a_route_demands_is_what_the_document_says(service: Service) -> None:
    document = openapi_document()
    for (method, path), route in ROUTES.items():
        operation = document["paths"][path][method.lower()]
        assert (operation.get("security") == [{}]) == (route.demands is Access.PUBLIC)
        named = re.findall(r"Needs the scope `([a-z:]+)`", operation.get("description", ""))
        assert named == ([route.demands] if isinstance(route.demands, Scope) else [])
    with service.client(service.token(scopes=EVERYTHING)) as client:
        told = client.get("/openapi.json").json()["paths"]
    for path, scope in (
        ("/v1/tables/predictions/{state}/{district}/{measure}", READ),
        ("/v1/tables/customers", READ_CUSTOMERS),
        ("/v1/lookup/person_features", READ_FEATURES),
    ):
        (operation,) = told[path].values()
        assert f"Needs the scope `{scope}`" in operation["description"]


def test_a_limit_holds_by_a_column_that_nobody_declared_to_limit_by(stranger: httpx.Client, service: Service) -> None:
    token = service.token(scopes=EVERYTHING, limits={"active": ["true"], "customer": ["1", "2", "3"]})
    headers = {"Authorization": f"Bearer {token}"}
    items = stranger.get("/v1/tables/customers?month=latest", headers=headers).raise_for_status().json()["items"]
    assert [item["customer"] for item in items] == [1, 2]
    assert stranger.get("/v1/tables/customers/3", headers=headers).status_code == 404
    assert stranger.get("/v1/tables/customers/4", headers=headers).status_code == 403
