"""Tests of what the OpenAPI document says of served tables, as a validator and a generator of clients read it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from mlops_assets_tests.serving.sample import CUSTOMERS, CUSTOMERS_SERVED, FEATURES, TABLE

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


def test_a_choice_of_few_values_is_told_and_another_value_refused(
    document: dict[str, Any], client: httpx.Client
) -> None:
    listed = list(CUSTOMERS_SERVED.values["note"])
    assert document["components"]["schemas"][f"{CUSTOMERS}_row"]["properties"]["note"]["enum"] == [*listed, None]
    [parameter] = [each for each in operations(document)[f"list_{CUSTOMERS}"]["parameters"] if each["name"] == "note"]
    assert parameter["schema"]["enum"] == listed
    assert parameter["example"] in listed
    url = f"/v1/tables/{CUSTOMERS}"
    assert client.get(url, params={"note": listed[0]}).json()["items"]
    answer = client.get(url, params={"note": "another"})
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "note")


@pytest.mark.parametrize("column", ["since", "seen"])
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_time_of_the_document_is_taken_and_every_other_refused(
    document: dict[str, Any], client: httpx.Client, column: str, data: st.DataObject
) -> None:
    [parameter] = [each for each in operations(document)[f"list_{CUSTOMERS}"]["parameters"] if each["name"] == column]
    pattern = parameter["schema"]["pattern"]
    text = data.draw(st.from_regex(pattern, fullmatch=True) | st.sampled_from(TIMES))
    answer = client.get(f"/v1/tables/{CUSTOMERS}", params={column: text})
    assert answer.status_code == (200 if re.fullmatch(pattern.strip("^$"), text) else 400)


TIMES = (
    *("2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29", "0000-01-01", "0001-01-01", "9999-12-31", "2024-02-30"),
    *("2024-13-01", "2024-04-31", "24-01-01", "2024-01-01\n", "\u0662024-01-01"),
    *("2024-01-01T00:00:60Z", "2024-01-01T24:00:00Z", "2024-01-01t00:00:00z", "2024-01-01T00:00:00.1234567Z"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2024-01-01T00:00:00-00:00", "2024-01-01T00:00:00"),
    *("2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00+00:60", "2023-02-29T00:00:00Z", "0000-02-29T00:00:00Z"),
)


def test_only_the_key_is_never_null(document: dict[str, Any]) -> None:
    properties = document["components"]["schemas"][f"{CUSTOMERS}_row"]["properties"]
    assert {name for name, schema in properties.items() if "null" not in schema["type"]} == {"month", "customer"}
