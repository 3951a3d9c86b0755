"""Tests of models that change while the service scores: no failed request, no mixed answer, no unverified model."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mlops_assets.platform.exports.export import current_export_id
from mlops_assets.platform.exports.manifest import Split
from mlops_assets.platform.security import token_keys
from mlops_assets.scoring.records import file_version
from mlops_assets.scoring.signatures import signed
from mlops_assets.serving.identity.scopes import Scope
from mlops_assets_tests.scoring.models import linear_graph, record_of
from mlops_assets_tests.serving.sample import EVERYTHING as SCOPES
from mlops_assets_tests.serving.sample import (
    MODEL,
    MODEL_KEY,
    export_everything,
    export_models,
    export_predictions,
    turnout_model,
)
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mlops_assets.scoring.records import ModelRecord

SCORE = f"/v1/models/{MODEL}/score"
INFER = f"/v2/models/{MODEL}/infer"
UNKNOWN_AGE = {"rows": [{"age": None, "party": "REP"}]}
TENSORS = {
    "inputs": [
        {"name": "age", "shape": [1], "datatype": "FP64", "data": [40]},
        {"name": "party", "shape": [1], "datatype": "BYTES", "data": ["DEM"]},
    ]
}


@pytest.fixture(name="running", scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("promoted"))
    service.create_keys()
    export_everything(service.config.exports)
    with service:
        yield service


@pytest.fixture(name="own")
def _own(running: Service) -> Service:
    """The running service, with the sample's export in use."""
    promote(running, turnout_model())
    return running


def promote(service: Service, *records: ModelRecord, split: Split | None = None) -> str:
    """Make an export of those models current, and wait until it is in use; returns its id."""
    export_id = export_models(service.config.exports, *records, split=split).export_id
    with service.client(service.token()) as client:
        service.wait_for(
            lambda: client.get(f"/v1/exports/{MODEL}").json().get("current") == export_id, f"A service of {export_id}"
        )
    return export_id


def test_models_are_promoted_under_load_without_a_failed_or_a_mixed_answer(own: Service) -> None:
    stop, started = Event(), Barrier(4)
    token = own.token(scopes=[Scope.INFER])

    def ask() -> list[tuple[int, str, float]]:
        answers: list[tuple[int, str, float]] = []
        with own.client(token) as client:
            while not stop.is_set():
                answer = client.post(SCORE, json=UNKNOWN_AGE)
                body = answer.json()
                answers.append((answer.status_code, body["export_id"], body["scores"][0]))
                assert client.post(INFER, json=TENSORS).status_code == 200
                if len(answers) == 1:
                    started.wait(timeout=60)
        return answers

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        try:
            # Each model stands for another age where it is unknown: the score tells which one answered.
            expected = {current_export_id(own.config.exports / MODEL): 20.0}
            started.wait(timeout=60)
            for number in range(1, 6):
                export_id = promote(own, turnout_model(fill=40.0 + number))
                expected[export_id] = 0.5 * (40 + number)
        finally:
            stop.set()
        answers = [answer for future in asking for answer in future.result()]
    assert {status for status, _, _ in answers} == {200}
    assert all(expected[export_id] == score for _, export_id, score in answers)
    assert len({export_id for _, export_id, _ in answers}) > 3


def _unsigned(record: ModelRecord) -> ModelRecord:
    return dataclasses.replace(record, signature="", key_id="")


def _signed_by_a_stranger(record: ModelRecord) -> ModelRecord:
    return signed(record, Ed25519PrivateKey.generate())


def _exchanged_file(record: ModelRecord) -> ModelRecord:
    return dataclasses.replace(record, onnx=record_of(linear_graph()).onnx)


def _exchanged_parameters(record: ModelRecord) -> ModelRecord:
    return dataclasses.replace(record, parameters={**record.parameters, "more": 1})


def _no_model(record: ModelRecord) -> ModelRecord:
    file = b"import os"
    return signed(dataclasses.replace(record, onnx=file, version=file_version(file)), MODEL_KEY)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_unsigned, "not signed"),
        (_signed_by_a_stranger, "not among the 1 trusted"),
        (_exchanged_file, "SHA-256"),
        (_exchanged_parameters, "does not fit"),
        (_no_model, "no valid ONNX"),
    ],
)
def test_a_bad_model_is_refused_with_its_export_while_the_old_one_goes_on_scoring(
    own: Service, damage: Callable[[ModelRecord], ModelRecord], reason: str
) -> None:
    with own.client(own.token(scopes=[Scope.INFER])) as client:
        before = client.post(SCORE, json=UNKNOWN_AGE).json()
        refusals = len([line for line in own.log() if line["message"] == "export refused"])
        export_models(own.config.exports, damage(turnout_model(fill=60.0)))
        refused = own.wait_for_log("export refused", count=refusals + 1)
        assert reason in refused["error"]
        assert client.post(SCORE, json=UNKNOWN_AGE).json() == before
        promote(own, turnout_model(fill=60.0))
        assert client.post(SCORE, json=UNKNOWN_AGE).json()["scores"] == [30.0]


def test_what_models_were_trained_for_orders_their_versions_and_the_latest_is_the_default(own: Service) -> None:
    old, new = turnout_model(fill=40.0), turnout_model(fill=60.0)
    other = signed(dataclasses.replace(record_of(linear_graph()), name=MODEL), MODEL_KEY)
    promote(own, old, new, other)
    with own.client(own.token(scopes=[Scope.INFER])) as client:
        versions = client.get(f"/v1/models/{MODEL}").json()["versions"]
        assert [(version["version"], version["trained_for"]) for version in versions] == [
            (old.version, "2022"),
            (new.version, "2024"),
            (other.version, "2026"),
        ]
        assert client.post(SCORE, json={"rows": [{"a": 2, "b": 1}]}).json()["model_version"] == other.version
        named = {**UNKNOWN_AGE, "model_version": new.version}
        assert client.post(SCORE, json=named).json()["scores"] == [30.0]


def test_without_keys_no_model_is_believed(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_keys()
    (tmp_path / "model-keys.json").unlink()
    export_everything(service.config.exports)
    with service, service.client(service.token(scopes=SCOPES)) as client:
        assert client.post(SCORE, json=UNKNOWN_AGE).status_code == 503
        assert "model-keys.json" in service.wait_for_log("export refused")["error"]


def trust(service: Service, *keys: Ed25519PrivateKey) -> None:
    """Trust these keys alone, from now on."""
    public = [key.public_key() for key in keys]
    token_keys._write_keys(service.config.model_keys, {token_keys.key_id_of(key): key for key in public})


def statuses(service: Service, bodies: Mapping[str, Mapping[str, object] | None]) -> set[int]:
    """What each of these addresses is answered with."""
    with service.client(service.token(scopes=SCOPES)) as client:
        return {
            (client.get(path) if body is None else client.post(path, json=body)).status_code
            for path, body in bodies.items()
        }


ADDRESSES: Mapping[str, Mapping[str, object] | None] = {
    SCORE: UNKNOWN_AGE,
    INFER: TENSORS,
    f"/v2/models/{MODEL}/ready": None,
    "/v1/tables/predictions/NC/12/turnout": None,
    "/health/ready": None,
}
FOLLOWED = 1.0


def test_what_a_withdrawn_key_has_signed_is_given_up_within_a_second_and_served_again_when_signed_anew(
    own: Service,
) -> None:
    stranger = Ed25519PrivateKey.generate()
    assert statuses(own, ADDRESSES) == {200}
    trust(own, stranger)
    time.sleep(FOLLOWED)
    assert statuses(own, ADDRESSES) == {503}
    given_up = {line["name"] for line in own.log() if line["message"] == "export given up"}
    assert {MODEL, "predictions"} <= given_up
    try:
        before = len(served(own))
        export_models(own.config.exports, turnout_model(key=stranger), key=stranger)
        export_predictions(own.config.exports, key=stranger)
        own.wait_for_log("export served", count=before + 2)
        assert statuses(own, ADDRESSES) == {200}
    finally:
        trust(own, MODEL_KEY)
        export_predictions(own.config.exports)


def served(service: Service) -> list[str]:
    return [line["export_id"] for line in service.log() if line["message"] == "export served"]


@pytest.mark.parametrize("withdrawn", ["model", "export"])
def test_a_model_and_its_export_may_have_two_signers_and_both_must_be_trusted(own: Service, withdrawn: str) -> None:
    signers = {"model": Ed25519PrivateKey.generate(), "export": Ed25519PrivateKey.generate()}
    trust(own, MODEL_KEY, *signers.values())
    try:
        record = turnout_model(key=signers["model"])
        export_id = export_models(own.config.exports, record, key=signers["export"]).export_id
        own.wait_for(lambda: export_id in served(own), f"A service of {export_id}")
        assert statuses(own, {SCORE: UNKNOWN_AGE}) == {200}
        trust(own, MODEL_KEY, *(key for name, key in signers.items() if name != withdrawn))
        time.sleep(FOLLOWED)
        assert statuses(own, {SCORE: UNKNOWN_AGE}) == {404}
        assert statuses(own, {"/v1/tables/predictions/NC/12/turnout": None}) == {200}
    finally:
        trust(own, MODEL_KEY)


def test_a_key_that_nothing_in_use_was_signed_by_is_withdrawn_without_a_refused_request(own: Service) -> None:
    trust(own, MODEL_KEY, Ed25519PrivateKey.generate())
    time.sleep(FOLLOWED)
    assert statuses(own, ADDRESSES) == {200}
    trust(own, MODEL_KEY)
    time.sleep(FOLLOWED)
    assert statuses(own, ADDRESSES) == {200}


def test_while_the_file_of_trusted_keys_is_damaged_nothing_is_answered(own: Service) -> None:
    before = own.config.model_keys.read_bytes()
    own.config.model_keys.write_text("{", encoding="utf-8")
    time.sleep(FOLLOWED)
    assert statuses(own, ADDRESSES) == {503}
    times_served = len(served(own))
    own.config.model_keys.write_bytes(before)
    own.wait_for_log("export served", count=times_served + 4)
    assert statuses(own, ADDRESSES) == {200}


def test_an_unsigned_export_is_refused_and_the_old_one_stays(own: Service) -> None:
    refusals = len([line for line in own.log() if line["message"] == "export refused"])
    export_models(own.config.exports, turnout_model(fill=50.0), key=None)
    assert "it is not signed" in own.wait_for_log("export refused", count=refusals + 1)["error"]
    assert statuses(own, ADDRESSES) == {200}


def test_a_canary_answers_its_share_and_a_repeated_request_gets_the_same_version(own: Service) -> None:
    old, new = turnout_model(fill=40.0), turnout_model(fill=60.0)
    promote(own, old, new, split=Split(weights={"previous": 0.8, "latest": 0.2}))
    with own.client(own.token(scopes=[Scope.INFER])) as client:
        answered: Counter[str] = Counter()
        for number in range(200):
            headers = {"X-Request-ID": f"request-{number:04}"}
            first, again = (client.post(SCORE, json=UNKNOWN_AGE, headers=headers).json() for _ in range(2))
            assert first == again
            assert first["scores"] == [20.0 if first["model_version"] == old.version else 30.0]
            answered[first["model_version"]] += 1
        assert set(answered) == {old.version, new.version}
        assert 20 <= answered[new.version] <= 65
        named = client.post(SCORE, json={**UNKNOWN_AGE, "model_version": new.version}).json()
        assert named["scores"] == [30.0]


def test_a_shadow_scores_every_request_and_answers_none(own: Service) -> None:
    old, new = turnout_model(fill=71.0), turnout_model(fill=81.0)
    promote(own, old, new, split=Split(weights={"previous": 1.0}, shadow=("latest",)))
    with own.client(own.token(scopes=[Scope.INFER, Scope.READ_METRICS])) as client:
        for _ in range(10):
            assert client.post(SCORE, json=UNKNOWN_AGE).json()["model_version"] == old.version
        time.sleep(0.2)
        told = client.get("/metrics").text
    for version, way, total in ((old.version, "answered", 10 * 35.5), (new.version, "shadow", 10 * 40.5)):
        labels = f'{{model="{MODEL}",version="{version}",way="{way}"}}'
        assert f"mlops_assets_scores_count{labels} 10.0" in told
        assert f"mlops_assets_scores_sum{labels} {total}" in told


def test_where_there_is_one_version_it_answers_whatever_the_shares(own: Service) -> None:
    promote(own, turnout_model(fill=42.0), split=Split(weights={"previous": 1.0}, shadow=("previous", "latest")))
    with own.client(own.token(scopes=[Scope.INFER])) as client:
        assert client.post(SCORE, json=UNKNOWN_AGE).json()["scores"] == [21.0]
