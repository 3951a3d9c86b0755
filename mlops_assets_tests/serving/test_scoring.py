"""Tests of online scoring and of features by pseudonym, against a running service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.scoring.scorer import load_unsigned
from mlops_assets_tests.serving.sample import EVERY_KIND, MODEL, PERSONS, every_kind_model, turnout_model

if TYPE_CHECKING:
    import httpx

    from mlops_assets_tests.serving.service_process import Service

SCORE = f"/v1/models/{MODEL}/score"
ROW = {"age": 40, "party": "DEM"}


def test_the_models_are_listed_with_the_columns_that_they_read_and_an_example(client: httpx.Client) -> None:
    answer = client.get("/v1/models").raise_for_status()
    every_kind, model = answer.json()["models"]
    assert model == {
        "name": MODEL,
        "versions": [{"version": turnout_model().version, "trained_for": "2022"}],
        "inputs": [
            {"name": "age", "type": "double", "nullable": True},
            {"name": "party", "type": "text", "nullable": False},
        ],
        "example": {"age": 40.0, "party": "DEM"},
        "outcome": "boolean",
    }
    assert client.get(f"/v1/models/{MODEL}").json() == model
    assert [(column["name"], column["type"], column["nullable"]) for column in every_kind["inputs"]] == [
        ("amount", "double", True),
        ("rate", "float", True),
        ("count", "int64", True),
        ("level", "int32", False),
        ("active", "bool", False),
        ("segment", "text", True),
    ]
    assert client.get("/v1/models", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_the_example_of_every_model_can_be_scored(client: httpx.Client) -> None:
    for model in client.get("/v1/models").json()["models"]:
        answer = client.post(f"/v1/models/{model['name']}/score", json={"rows": [model["example"]]})
        assert len(answer.raise_for_status().json()["scores"]) == 1


def test_a_row_of_every_kind_is_scored_and_its_nulls_are_their_own(client: httpx.Client) -> None:
    row = {"amount": 4, "rate": 0.5, "count": 2**53 + 1, "level": 3, "active": True, "segment": "nan"}
    rows = [
        {**row, "count": 2},
        {**row, "count": None},
        *({**row, "count": 2, "segment": segment} for segment in ("", None, "NaN")),
        {**row, "count": 2, "amount": None, "rate": None},
    ]
    scores = client.post(f"/v1/models/{EVERY_KIND}/score", json={"rows": rows}).raise_for_status().json()["scores"]
    base = 2.0 - 0.5 + 1.0 - 3.0 + 0.5
    assert scores == [base - 1.0, base - 1.0 - 1.0 - 1.0, base + 0.5, base - 1.0, base, base - 1.0 - 2.0 + 0.5]
    table = pa.Table.from_pylist([{**each, "rate": each["rate"]} for each in rows])
    assert load_unsigned(every_kind_model()).score(table).tolist() == scores


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount", True),
        ("amount", "4"),
        ("amount", 2**53 + 1),
        ("count", 1.0),
        ("count", False),
        ("count", 2**63),
        ("level", 2**31),
        ("level", None),
        ("active", 1),
        ("active", None),
        ("segment", 5),
        ("segment", False),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_columns_name(
    client: httpx.Client, column: str, value: object
) -> None:
    row = {"amount": 4, "rate": 0.5, "count": 2, "level": 3, "active": True, "segment": "gold"}
    for rows in ([{**row, column: value}], [row, {**row, column: value}]):
        answer = client.post(f"/v1/models/{EVERY_KIND}/score", json={"rows": rows})
        assert answer.status_code == 422
        assert f"column {column}" in answer.json()["errors"][0]["message"]


def test_very_long_text_is_scored_and_half_a_surrogate_pair_refused(client: httpx.Client) -> None:
    long = client.post(SCORE, json={"rows": [{"age": 40, "party": "x" * 1_000_000}]}).raise_for_status()
    assert long.json()["scores"] == [20.0]
    halves = b'{"rows": [{"age": 40, "party": "\\ud800"}]}'
    assert client.post(SCORE, content=halves, headers={"Content-Type": "application/json"}).status_code == 400


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "age": st.none() | st.integers(17, 130) | st.floats(-1e6, 1e6),
                "party": st.sampled_from(["DEM", "REP", "NONE", "", "ü"]),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_online_and_batch_scores_are_the_same_numbers(client: httpx.Client, rows: list[dict[str, Any]]) -> None:
    answer = client.post(SCORE, json={"rows": rows}).raise_for_status().json()
    assert answer["model_version"] == turnout_model().version
    batch = pa.table(
        {"age": pa.array([row["age"] for row in rows], pa.float64()), "party": [row["party"] for row in rows]}
    )
    assert answer["scores"] == load_unsigned(turnout_model()).score(batch).tolist()


def test_a_thousand_rows_are_scored_at_once(client: httpx.Client) -> None:
    rows = [{"age": age % 100, "party": "DEM" if age % 2 else "REP"} for age in range(1000)]
    scores = client.post(SCORE, json={"rows": rows}).raise_for_status().json()["scores"]
    assert scores == [0.5 * (age % 100) - age % 2 for age in range(1000)]
    assert client.post(SCORE, json={"rows": [*rows, ROW]}).status_code == 400


def test_a_version_can_be_named(client: httpx.Client) -> None:
    version = turnout_model().version
    assert client.post(SCORE, json={"rows": [ROW], "model_version": version}).json()["scores"] == [19.0]
    assert client.post(SCORE, json={"rows": [ROW], "model_version": "0" * 64}).status_code == 404
    assert client.post("/v1/models/nothing/score", json={"rows": [ROW]}).status_code == 404


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"age": 40}, "party"),
        ({**ROW, "name": "x"}, "1 unknown"),
        ({**ROW, "age": "old"}, "age"),
        ({**ROW, "party": None}, "party"),
        ({**ROW, "party": 5}, "party"),
        ({**ROW, "age": 1e300}, "age"),
        ({**ROW, "age": 2**80}, "age"),
        ({**ROW, "age": True}, "age"),
        ({}, "age, party"),
    ],
)
def test_rows_that_do_not_fit_the_model_are_refused_and_say_where(
    client: httpx.Client, row: dict[str, Any], named: str
) -> None:
    answer = client.post(SCORE, json={"rows": [row]})
    assert answer.status_code == 422
    assert named in answer.json()["errors"][0]["message"]


def test_features_of_a_person_fit_the_model(client: httpx.Client) -> None:
    keys = [{"state": "NC", "person_token": person} for person in PERSONS[:2]]
    rows = client.post("/v1/lookup/person_features", json={"keys": keys}).json()["rows"]
    read = [column["name"] for column in client.get(f"/v1/models/{MODEL}").json()["inputs"]]
    asked = [{column: row[column] for column in read} for row in rows]
    assert client.post(SCORE, json={"rows": asked}).json()["scores"] == [19.0, 20.0]


def test_pseudonyms_and_rows_are_not_in_the_log(client: httpx.Client, service: Service) -> None:
    key = {"state": "NC", "person_token": PERSONS[0]}
    client.post("/v1/lookup/person_features", json={"keys": [key]}).raise_for_status()
    # So many digits that no identifier or duration in the log can hold them by chance.
    client.post(SCORE, json={"rows": [{"age": 987654321012345, "party": "SECRETPARTY"}]}).raise_for_status()
    client.post(SCORE, json={"rows": [{"age": "SECRETAGE", "party": "SECRETPARTY"}]})
    text = (service.folder / "service.log").read_text(encoding="utf-8")
    assert not [secret for secret in (PERSONS[0], "987654321012345", "SECRETPARTY", "SECRETAGE") if secret in text]
