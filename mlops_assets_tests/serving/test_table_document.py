"""Tests of what the OpenAPI document says of served tables, as a validator and a generator of clients read it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from openapi_spec_validator import validate

from mlops_assets_tests.serving.sample import CUSTOMERS, FEATURES, TABLE

if TYPE_CHECKING:
    import httpx


@pytest.fixture(name="document", scope="module")
def _document(client: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").raise_for_status().json()
    return document


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {op["operationId"]: op for methods in document["paths"].values() for op in methods.values()}


def test_the_served_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)


def test_each_table_has_operations_of_its_name_and_no_other_can_have_it(document: dict[str, Any]) -> None:
    named = operations(document)
    assert len(named) == sum(map(len, document["paths"].values()))
    of_tables = {name for name in named if re.match("list_|get_|look_up_", name)}
    assert of_tables == {
        *(f"{verb}_{table}" for verb in ("list", "get", "look_up") for table in (CUSTOMERS, TABLE)),
        f"look_up_{FEATURES}",
    }
    assert {tag for name in of_tables for tag in named[name]["tags"]} == {"tables"}
    assert all(len(operation["tags"]) == 1 for operation in named.values())


def test_every_schema_is_used_and_those_of_a_table_bear_its_name(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert used == set(schemas)
    assert {name for name in schemas if name.startswith(f"{CUSTOMERS}_")} == {
        f"{CUSTOMERS}_{part}" for part in ("row", "page", "one", "key", "lookup", "found")
    }


def test_what_has_an_etag_takes_one(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        taken = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "header"}
        assert ("If-None-Match" in taken) == ("304" in operation["responses"]), name


def test_only_the_key_is_never_null(document: dict[str, Any]) -> None:
    properties = document["components"]["schemas"][f"{CUSTOMERS}_row"]["properties"]
    assert {name for name, schema in properties.items() if "null" not in schema["type"]} == {"month", "customer"}
