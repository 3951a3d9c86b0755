"""Tests of the service's description of itself."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.platform.settings import Authentication
from mlops_assets.serving.http.bodies import decoded
from mlops_assets.serving.identity.scopes import Access
from mlops_assets.serving.routes.documentation import html_page, openapi_document
from mlops_assets.serving.routes.inference_protocol import InferenceRequest
from mlops_assets.serving.routes.scoring import FeatureRequest, ScoreRequest
from mlops_assets_tests.serving.service_process import Service
from mlops_assets_tests.serving.test_access_matrix import ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

PUBLIC = {path for (_, path), route in ROUTES.items() if route.demands is Access.PUBLIC}
BEARER: list[dict[str, list[str]]] = [{"bearer": []}]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for operation in item.values():
            yield path, operation


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield str(value)
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document: dict[str, Any], reference: str) -> object:
    node: object = document
    for part in reference.removeprefix("#/").split("/"):
        assert isinstance(node, dict)
        node = node[part]
    return node


def test_the_served_document_is_the_one_made_without_a_service(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json() == json.loads(json.dumps(openapi_document()))


def test_every_route_is_listed_with_what_it_demands() -> None:
    document = openapi_document()
    assert {(method.upper(), path) for path, item in document["paths"].items() for method in item} == set(ROUTES)
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, operation in operations(document):
        demanded = operation.get("security", document["security"])
        assert demanded == ([{}] if path in PUBLIC else BEARER), path


def test_the_document_is_whole() -> None:
    document = openapi_document()
    assert document["openapi"].startswith("3.1")
    assert {"title", "version", "description"} <= set(document["info"])
    for reference in references(document):
        assert resolve(document, reference)
    identities = [operation["operationId"] for _, operation in operations(document)]
    assert len(identities) == len(set(identities))
    for path, operation in operations(document):
        named = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path))
        assert operation["summary"]
        assert all(parameter["description"] for parameter in operation.get("parameters", []))
        assert all(response["description"] for response in operation["responses"].values())


def test_errors_are_documented_as_problems() -> None:
    for path, operation in operations(openapi_document()):
        if path in PUBLIC:
            continue
        assert {"200", "400", "401", "403", "422", "429", "500", "503"} <= set(operation["responses"])
        form = "application/json" if path.startswith("/v2") else "application/problem+json"
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert set(response["content"]) == {form}, (path, status)


def test_bodies_are_documented_with_their_limit_and_an_example_that_fits() -> None:
    document = openapi_document()
    bodies = {path: operation["requestBody"] for path, operation in operations(document) if "requestBody" in operation}
    assert set(bodies) == {path for (method, path) in ROUTES if method == "POST"}
    kinds: dict[str, type[Any]] = {
        "ScoreRequest": ScoreRequest,
        "FeatureRequest": FeatureRequest,
        "InferenceRequest": InferenceRequest,
    }
    for body in bodies.values():
        assert re.search(r"[0-9,]+ bytes", body["description"])
        content = body["content"]["application/json"]
        kind = kinds[content["schema"]["$ref"].rsplit("/", maxsplit=1)[-1]]
        assert decoded(json.dumps(content["example"]).encode(), kind)


def test_parameters_have_examples_that_fit_and_are_never_null() -> None:
    for path, operation in operations(openapi_document()):
        for parameter in operation.get("parameters", []):
            schema = parameter["schema"]
            assert "null" not in json.dumps(schema), path
            for example in parameter.get("examples", {}).values():
                pattern = schema.get("pattern")
                assert pattern is None or re.search(pattern, example["value"]), (path, parameter["name"])


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(client: httpx.Client) -> None:
    answer = client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "script" not in answer.headers["content-security-policy"]
    assert not re.search(r"<script|<link|<img|https?://|\son\w+=|@import|url\(", answer.text)
    for _, path in ROUTES:
        assert path in answer.text
    assert "ScoreRequest" in answer.text


def test_what_the_document_says_cannot_become_markup() -> None:
    document = openapi_document()
    document["info"]["title"] = "<script>alert(1)</script>"
    assert "<script>" not in html_page(document)


def test_the_documentation_can_be_made_public_and_nothing_else_with_it(tmp_path: Path) -> None:
    service = Service(tmp_path, public_documentation=True)
    service.create_keys()
    with service, service.client() as client:
        document = client.get("/openapi.json").raise_for_status().json()
        assert client.get("/docs").status_code == 200
        assert client.get("/v1/export").status_code == 401
    public = {path for path, operation in operations(document) if operation.get("security") == [{}]}
    assert public == PUBLIC | {"/openapi.json", "/docs"}


@pytest.mark.parametrize("public", [True, False])
def test_making_the_document_twice_gives_the_same(public: bool) -> None:  # noqa: FBT001  a parameter of the test
    assert openapi_document(public=public) == openapi_document(public=public)


@pytest.mark.parametrize(
    ("authentication", "demanded"),
    [
        (Authentication.TOKEN, [{"bearer": []}]),
        (Authentication.CERTIFICATE, [{"mutualTLS": []}]),
        (Authentication.BOTH, [{"bearer": [], "mutualTLS": []}]),
    ],
)
def test_the_document_demands_what_the_service_demands(
    authentication: Authentication, demanded: list[dict[str, list[str]]]
) -> None:
    document = openapi_document(authentication=authentication)
    schemes = document["components"]["securitySchemes"]
    assert {name: scheme["type"] for name, scheme in schemes.items()} == {"bearer": "http", "mutualTLS": "mutualTLS"}
    assert document["security"] == demanded
    for path, operation in operations(document):
        assert operation.get("security", demanded) == ([{}] if path in PUBLIC else demanded)
    shown = html_page(document)
    assert ("bearer token" in shown) == ("bearer" in demanded[0])
    assert ("(client certificate)" in shown) == (demanded == [{"mutualTLS": []}])
