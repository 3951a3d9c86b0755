"""Tests of online scoring and of features by pseudonym, against a running service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.scoring.scorer import load_unsigned
from mlops_assets.serving.identity.scopes import Scope
from mlops_assets.serving.routes.idempotency import KeyReusedError, Remembered
from mlops_assets_tests.serving.sample import MODEL, PERSONS, turnout_model

if TYPE_CHECKING:
    import httpx

    from mlops_assets_tests.serving.service_process import Service

SCORE = f"/v1/models/{MODEL}/score"
ROW = {"age": 40, "party": "DEM"}


def test_the_models_are_listed_with_what_they_read(client: httpx.Client) -> None:
    answer = client.get("/v1/models").raise_for_status()
    (model,) = answer.json()["models"]
    assert model == {
        "name": MODEL,
        "versions": [{"version": turnout_model().version, "election": "2022"}],
        "input_columns": ["age", "party"],
        "feature_names": ["age", "party_is_DEM"],
    }
    assert client.get(f"/v1/models/{MODEL}").json() == model
    assert client.get("/v1/models", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


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
        ({}, "age, party"),
    ],
)
def test_rows_that_do_not_fit_the_model_are_refused_and_say_where(
    client: httpx.Client, row: dict[str, Any], named: str
) -> None:
    answer = client.post(SCORE, json={"rows": [row]})
    assert answer.status_code == 422
    assert named in answer.json()["errors"][0]["message"]


def test_a_repeated_request_with_a_key_gets_the_first_answer(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "a-key-of-one-request"}
    first = client.post(SCORE, json={"rows": [ROW]}, headers=headers)
    second = client.post(SCORE, json={"rows": [ROW]}, headers=headers)
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.content == first.content
    other = client.post(SCORE, json={"rows": [ROW, ROW]}, headers=headers)
    assert other.status_code == 422
    assert other.json()["errors"][0]["parameter"] == "Idempotency-Key"


@pytest.mark.parametrize("key", ["short", "x" * 65, "with space", "ü" * 10])
def test_a_key_of_another_form_is_refused(client: httpx.Client, key: str) -> None:
    answer = client.post(SCORE, json={"rows": [ROW]}, headers=[(b"Idempotency-Key", key.encode())])
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == "Idempotency-Key"


def test_remembered_answers_belong_to_one_principal_and_take_bounded_memory() -> None:
    remembered = Remembered()
    remembered.keep("one", "key", b"asked", b"answer")
    assert remembered.find("one", "key", b"asked") == b"answer"
    assert remembered.find("other", "key", b"asked") is None
    with pytest.raises(KeyReusedError):
        remembered.find("one", "key", b"otherwise")
    for number in range(300):
        remembered.keep("one", f"key-{number}", b"asked", bytes(100_000))
    assert remembered.find("one", "key", b"asked") is None
    assert remembered.find("one", "key-299", b"asked") == bytes(100_000)
    assert 15_000_000 < remembered._bytes <= 16 * 1024 * 1024
    assert sum(len(entry.content) + 400 for entry in remembered._entries.values()) == remembered._bytes


def test_of_two_answers_to_one_key_the_first_is_remembered_and_given() -> None:
    # Two attempts of one request may be scored at the same time, by different models.
    remembered = Remembered()
    assert remembered.keep("one", "key", b"asked", b"first") == b"first"
    assert remembered.keep("one", "key", b"asked", b"second") == b"first"
    assert remembered.find("one", "key", b"asked") == b"first"
    with pytest.raises(KeyReusedError):
        remembered.keep("one", "key", b"otherwise", b"third")


def test_features_are_found_by_pseudonym_in_the_order_asked(client: httpx.Client) -> None:
    tokens = [PERSONS[1], "f" * 32, PERSONS[0]]
    answer = client.post("/v1/features/lookup", json={"state": "NC", "person_tokens": tokens}).raise_for_status()
    assert answer.json()["features"] == [{"age": None, "party": "REP"}, None, {"age": 40, "party": "DEM"}]
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


def test_features_fit_the_model_as_they_come(client: httpx.Client) -> None:
    asked = {"state": "NC", "person_tokens": list(PERSONS[:2])}
    rows = client.post("/v1/features/lookup", json=asked).json()["features"]
    assert client.post(SCORE, json={"rows": rows}).json()["scores"] == [19.0, 20.0]


def test_persons_of_another_state_are_not_found_nor_looked_for_without_the_state(
    client: httpx.Client, service: Service
) -> None:
    georgian = {"person_tokens": [PERSONS[2]]}
    assert client.post("/v1/features/lookup", json={"state": "NC", **georgian}).json()["features"] == [None]
    with service.client(service.token(scopes=[Scope.READ_FEATURES], states=["NC"])) as limited:
        assert limited.post("/v1/features/lookup", json={"state": "GA", **georgian}).status_code == 403
        assert limited.post("/v1/features/lookup", json={"state": "NC", **georgian}).json()["features"] == [None]


@pytest.mark.parametrize(
    "body",
    [
        {"state": "NC", "person_tokens": []},
        {"state": "NC", "person_tokens": ["x"]},
        {"state": "NC", "person_tokens": [PERSONS[0]] * 101},
        {"state": "nc", "person_tokens": [PERSONS[0]]},
        {"state": "NC", "person_tokens": [PERSONS[0]], "all": True},
        {"state": "NC", "person_tokens": "%"},
    ],
)
def test_a_look_up_that_is_none_is_refused(client: httpx.Client, body: dict[str, Any]) -> None:
    assert client.post("/v1/features/lookup", json=body).status_code == 400


def test_pseudonyms_and_rows_are_not_in_the_log(client: httpx.Client, service: Service) -> None:
    client.post("/v1/features/lookup", json={"state": "NC", "person_tokens": [PERSONS[0]]}).raise_for_status()
    # So many digits that no identifier or duration in the log can hold them by chance.
    client.post(SCORE, json={"rows": [{"age": 987654321012345, "party": "SECRETPARTY"}]}).raise_for_status()
    client.post(SCORE, json={"rows": [{"age": "SECRETAGE", "party": "SECRETPARTY"}]})
    text = (service.folder / "service.log").read_text(encoding="utf-8")
    assert not [secret for secret in (PERSONS[0], "987654321012345", "SECRETPARTY", "SECRETAGE") if secret in text]
