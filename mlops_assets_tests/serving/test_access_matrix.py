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
from mlops_assets_tests.serving.sample import MODEL, PERSONS, turnout_model

if TYPE_CHECKING:
    import httpx

    from mlops_assets_tests.serving.service_process import Service

INFERENCE = {"inputs": [{"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
OBJECTS: Final = ("NC", "GA", "ZZ")
"""A state that the limited principal may see, one that it may not, and one that nothing is known about."""
KNOWN: Final = ("NC", "GA")


@dataclass(frozen=True)
class Route:
    """What a route demands, and a request that it answers with 200.

    Attributes:
        demands: the scope, or what stands in its place.
        path: the address, with ``{state}`` where an object of a state is asked for.
        body: the body, likewise.
        unknown: the status for an object of a state that nothing is known about.
    """

    demands: Scope | Access
    path: str = ""
    body: Any = None
    unknown: int = 404


ROUTES: Final[dict[tuple[str, str], Route]] = {
    ("GET", "/v1/predictions"): Route(Scope.READ_PREDICTIONS, "/v1/predictions?state={state}", unknown=200),
    ("GET", "/v1/predictions/{state_code}/{district}"): Route(Scope.READ_PREDICTIONS, "/v1/predictions/{state}/01"),
    ("GET", "/v1/predictions/{state_code}/{district}/history"): Route(
        Scope.READ_PREDICTIONS, "/v1/predictions/{state}/01/history"
    ),
    ("GET", "/v1/export"): Route(Scope.READ_PREDICTIONS),
    ("GET", "/v1/exports"): Route(Scope.READ_PREDICTIONS),
    ("GET", "/v1/models"): Route(Scope.INFER),
    ("GET", "/v1/models/{name}"): Route(Scope.INFER, f"/v1/models/{MODEL}"),
    ("POST", "/v1/models/{name}/score"): Route(
        Scope.INFER, f"/v1/models/{MODEL}/score", {"rows": [{"age": 40, "party": "DEM"}]}
    ),
    ("POST", "/v1/features/lookup"): Route(
        Scope.READ_FEATURES,
        "/v1/features/lookup",
        {"state": "{state}", "person_tokens": [PERSONS[0]]},
        unknown=200,
    ),
    ("GET", "/v2"): Route(Access.ANY_PRINCIPAL),
    ("GET", "/v2/health/live"): Route(Access.PUBLIC),
    ("GET", "/v2/health/ready"): Route(Access.PUBLIC),
    ("GET", "/v2/models/{name}"): Route(Scope.INFER, f"/v2/models/{MODEL}"),
    ("GET", "/v2/models/{name}/ready"): Route(Scope.INFER, f"/v2/models/{MODEL}/ready"),
    ("POST", "/v2/models/{name}/infer"): Route(Scope.INFER, f"/v2/models/{MODEL}/infer", INFERENCE),
    ("GET", "/v2/models/{name}/versions/{version}"): Route(
        Scope.INFER, f"/v2/models/{MODEL}/versions/{turnout_model().version}"
    ),
    ("GET", "/v2/models/{name}/versions/{version}/ready"): Route(
        Scope.INFER, f"/v2/models/{MODEL}/versions/{turnout_model().version}/ready"
    ),
    ("POST", "/v2/models/{name}/versions/{version}/infer"): Route(
        Scope.INFER, f"/v2/models/{MODEL}/versions/{turnout_model().version}/infer", INFERENCE
    ),
    ("GET", "/health/live"): Route(Access.PUBLIC),
    ("GET", "/health/ready"): Route(Access.PUBLIC),
    ("GET", "/health/dependencies"): Route(Scope.READ_METRICS),
    ("GET", "/metrics"): Route(Scope.READ_METRICS),
    ("GET", "/openapi.json"): Route(Access.ANY_PRINCIPAL),
    ("GET", "/docs"): Route(Access.ANY_PRINCIPAL),
}


@dataclass(frozen=True)
class Caller:
    """A principal: the scopes and states of its token; without scopes there is no valid token."""

    scopes: frozenset[str] = field(default_factory=frozenset)
    states: tuple[str, ...] | None = None
    forged: str | None = None


CALLERS: Final = {
    "nobody": Caller(),
    "forger": Caller(forged="eyJhbGciOiJub25lIn0.e30."),
    "somebody else": Caller(frozenset({"other:thing"})),
    **{f"only {scope}": Caller(frozenset({scope})) for scope in Scope},
    **{f"all but {scope}": Caller(frozenset(set(Scope) - {scope})) for scope in Scope},
    "everything": Caller(frozenset(Scope)),
    "everything of NC": Caller(frozenset(Scope), ("NC",)),
    "everything of no state": Caller(frozenset(Scope), ()),
}


def expected(route: Route, caller: Caller, state: str) -> int:
    """The status of a cell, from what the route demands and the caller has."""
    if route.demands is Access.PUBLIC:
        return 200
    if not caller.scopes:
        return 401
    if isinstance(route.demands, Scope) and route.demands not in caller.scopes:
        return 403
    if not is_of_state(route):
        return 200
    if caller.states is not None and state not in caller.states:
        return 403
    return 200 if state in KNOWN else route.unknown


def is_of_state(route: Route) -> bool:
    return "{state}" in f"{route.path}{route.body}"


def ask(client: httpx.Client, key: tuple[str, str], state: str, headers: dict[str, str]) -> httpx.Response:
    route = ROUTES[key]
    body = None if route.body is None else json.loads(json.dumps(route.body).replace("{state}", state))
    return client.request(key[0], (route.path or key[1]).replace("{state}", state), json=body, headers=headers)


@pytest.fixture(name="tokens", scope="module")
def _tokens(service: Service) -> dict[str, dict[str, str]]:
    """For each caller the headers that it sends."""
    headers: dict[str, dict[str, str]] = {}
    for name, caller in CALLERS.items():
        token = service.token(scopes=caller.scopes, states=caller.states) if caller.scopes else caller.forged
        headers[name] = {} if token is None else {"Authorization": f"Bearer {token}"}
    return headers


def test_every_route_of_the_application_is_in_the_matrix(service: Service) -> None:
    app = application(service.config).app
    assert isinstance(app, Litestar)
    routes = {
        (method, re.sub(r":\w+}", "}", route.path)) for route in app.routes for method in getattr(route, "methods", ())
    }
    assert {route for route in routes if route[0] != "OPTIONS"} == set(ROUTES)


@pytest.mark.parametrize("key", ROUTES, ids=" ".join)
def test_every_cell_of_a_route_is_as_declared(
    stranger: httpx.Client, tokens: dict[str, dict[str, str]], key: tuple[str, str]
) -> None:
    route = ROUTES[key]
    cells = list(itertools.product(CALLERS, OBJECTS if is_of_state(route) else OBJECTS[:1]))
    found = {cell: ask(stranger, key, cell[1], tokens[cell[0]]).status_code for cell in cells}
    assert found == {(caller, state): expected(route, CALLERS[caller], state) for caller, state in cells}


@pytest.mark.parametrize("key", ROUTES, ids=" ".join)
def test_a_refused_answer_holds_nothing_but_the_refusal(
    stranger: httpx.Client, tokens: dict[str, dict[str, str]], key: tuple[str, str]
) -> None:
    route = ROUTES[key]
    for caller, state in itertools.product(CALLERS, OBJECTS):
        if (status := expected(route, CALLERS[caller], state)) not in (401, 403):
            continue
        answer = ask(stranger, key, state, tokens[caller])
        body = answer.json()
        assert answer.status_code == status
        assert set(body) in ({"error"}, {"type", "title", "status", "detail", "request_id", "errors"})
        assert "etag" not in answer.headers
        assert (status == 401) == ("www-authenticate" in answer.headers and "scope" not in answer.text)


def test_a_list_holds_the_states_of_the_caller_alone(stranger: httpx.Client, tokens: dict[str, dict[str, str]]) -> None:
    for caller, states in (
        ("everything", {"NC", "GA"}),
        ("everything of NC", {"NC"}),
        ("everything of no state", set()),
    ):
        answer = stranger.get("/v1/predictions?limit=500", headers=tokens[caller]).raise_for_status()
        assert {item["state"] for item in answer.json()["items"]} == states


@pytest.mark.parametrize("key", ROUTES, ids=" ".join)
def test_no_other_method_gets_in(stranger: httpx.Client, key: tuple[str, str]) -> None:
    allowed = {method for method, path in ROUTES if path == key[1]}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "TRACE", "PROPFIND"} - allowed:
        answer = stranger.request(method, (ROUTES[key].path or key[1]).replace("{state}", "NC"))
        assert answer.status_code == 405
        assert allowed <= {name.strip() for name in answer.headers["allow"].split(",")}


def test_what_a_route_demands_is_what_the_document_says(service: Service) -> None:
    with service.client(service.token()) as client:
        document = client.get("/openapi.json").json()
    for (method, path), route in ROUTES.items():
        operation = document["paths"][path][method.lower()]
        assert (operation.get("security") == [{}]) == (route.demands is Access.PUBLIC)
        named = re.findall(r"Needs the scope `([a-z:]+)`", operation.get("description", ""))
        assert named == ([route.demands] if isinstance(route.demands, Scope) else [])
