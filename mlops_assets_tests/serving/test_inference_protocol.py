"""Tests of the Open Inference Protocol v2, with Triton's own client and curl against a running service."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from mlops_assets.serving.identity.scopes import Scope
from mlops_assets.serving.routes.inference_protocol import InferenceRequest, InputTensor, input_matrix
from mlops_assets_tests.serving.sample import MODEL, turnout_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from mlops_assets_tests.serving.service_process import Service

VERSION = turnout_model().version
INFER = f"/v2/models/{MODEL}/infer"
ROWS = np.array([[40, 1], [30, 0], [0.5, 1]], dtype=np.float32)
SCORES = [19.0, 15.0, -0.75]
INPUT = {"name": "features", "shape": [3, 2], "datatype": "FP32", "data": ROWS.tolist()}
BINARY = "Inference-Header-Content-Length"


@pytest.fixture(name="triton")
def _triton(service: Service) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(f"127.0.0.1:{service.port}")
    yield client
    client.close()


@pytest.fixture(name="bearer")
def _bearer(service: Service) -> dict[str, str]:
    return {"Authorization": f"Bearer {service.token(scopes=[Scope.INFER])}"}


def features(*, binary: bool) -> InferInput:
    tensor = InferInput("features", ROWS.shape, "FP32")
    tensor.set_data_from_numpy(ROWS, binary_data=binary)
    return tensor


def test_tritons_client_finds_server_and_model(triton: InferenceServerClient, bearer: dict[str, str]) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready(MODEL, headers=bearer)
    assert triton.is_model_ready(MODEL, VERSION, headers=bearer)
    assert not triton.is_model_ready("nothing", headers=bearer)
    assert triton.get_server_metadata(headers=bearer)["extensions"] == ["binary_tensor_data"]
    assert triton.get_model_metadata(MODEL, headers=bearer) == {
        "name": MODEL,
        "versions": [VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "score", "datatype": "FP32", "shape": [-1]}],
    }


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("output", [None, True, False])
@pytest.mark.parametrize("version", ["", VERSION])
def test_tritons_client_scores_rows(
    triton: InferenceServerClient,
    bearer: dict[str, str],
    binary_input: bool,  # noqa: FBT001  a parameter of the test
    output: bool | None,  # noqa: FBT001
    version: str,
) -> None:
    outputs = None if output is None else [InferRequestedOutput("score", binary_data=output)]
    result = triton.infer(
        MODEL,
        [features(binary=binary_input)],
        model_version=version,
        outputs=outputs,
        request_id="request-7",
        headers=bearer,
    )
    assert result.as_numpy("score").dtype == np.float32
    assert result.as_numpy("score").tolist() == SCORES
    response = result.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == (MODEL, VERSION, "request-7")


def test_tritons_client_is_told_what_is_wrong(triton: InferenceServerClient, bearer: dict[str, str]) -> None:
    wide = InferInput("features", [1, 3], "FP32")
    wide.set_data_from_numpy(np.zeros((1, 3), dtype=np.float32))
    with pytest.raises(InferenceServerException, match=r"shape is \[-1, 2\]"):
        triton.infer(MODEL, [wide], headers=bearer)
    missing = InferInput("features", [1, 2], "FP32")
    missing.set_data_from_numpy(np.array([[np.nan, 0]], dtype=np.float32))
    with pytest.raises(InferenceServerException, match="NaN"):
        triton.infer(MODEL, [missing], headers=bearer)
    double = InferInput("features", [1, 2], "FP64")
    double.set_data_from_numpy(np.zeros((1, 2), dtype=np.float64))
    with pytest.raises(InferenceServerException, match="datatype is FP32"):
        triton.infer(MODEL, [double], headers=bearer)
    with pytest.raises(InferenceServerException, match="no model"):
        triton.infer("nothing", [features(binary=True)], headers=bearer)
    with pytest.raises(InferenceServerException, match="one output"):
        triton.infer(MODEL, [features(binary=True)], outputs=[InferRequestedOutput("label")], headers=bearer)
    with pytest.raises(InferenceServerException, match=r"\[401\]"):
        triton.infer(MODEL, [features(binary=True)])


def test_an_empty_matrix_has_no_scores(client: httpx.Client) -> None:
    answer = client.post(INFER, json={"inputs": [{**INPUT, "shape": [0, 2], "data": []}]}).raise_for_status()
    assert answer.json()["outputs"] == [{"name": "score", "datatype": "FP32", "shape": [0], "data": []}]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
def test_curl_scores_rows(service: Service, bearer: dict[str, str]) -> None:
    address = f"http://127.0.0.1:{service.port}"
    authorization = f"Authorization: {bearer['Authorization']}"
    done = subprocess.run(
        ["curl", "--silent", "--fail", "-H", authorization, "-d", json.dumps({"inputs": [INPUT]}), address + INFER],
        check=True,
        capture_output=True,
    )
    assert json.loads(done.stdout)["outputs"][0]["data"] == SCORES
    ready = subprocess.run(
        ["curl", "--silent", "--fail", f"{address}/v2/health/ready"], check=True, capture_output=True
    )
    assert json.loads(ready.stdout) == {"ready": True}


def test_flat_and_nested_data_are_the_same(client: httpx.Client) -> None:
    flat = {**INPUT, "data": ROWS.ravel().tolist()}
    for tensor in (INPUT, flat):
        answer = client.post(INFER, json={"inputs": [tensor]}).raise_for_status().json()
        assert answer["outputs"] == [{"name": "score", "datatype": "FP32", "shape": [3], "data": SCORES}]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"datatype": "INT64"},
        {"datatype": "BYTES"},
        {"shape": [2, 3]},
        {"shape": [6]},
        {"shape": [3, 2, 1]},
        {"shape": [4, 2]},
        {"shape": [1000000, 2]},
        {"data": [[40, 1], [30, 0], [0.5]]},
        {"data": [[40, 1, 30], [0, 0.5, 1]]},
        {"data": [40, [1], 30, 0, 0.5, 1]},
        {"data": []},
        {"data": None},
        {"data": [[40, 1], [30, 0], [1e39, 1]]},
        {"parameters": {"binary_data_size": 24}},
        {"data": None, "parameters": {"binary_data_size": 24}},
        {"data": None, "parameters": {"binary_data_size": "24"}},
        {"data": None, "parameters": {"binary_data_size": True}},
        {"data": None, "parameters": {"binary_data_size": -24}},
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_in_the_protocols_form(
    client: httpx.Client, change: dict[str, Any]
) -> None:
    answer = client.post(INFER, json={"inputs": [{**INPUT, **change}]})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"inputs": []},
        {"inputs": {}},
        {"inputs": [INPUT], "outputs": "score"},
        {"inputs": [{**INPUT, "shape": [-1, 2]}]},
        {"inputs": [{**INPUT, "shape": [3.5, 2]}]},
        {"inputs": [{**INPUT, "shape": [10**30, 2]}]},
        {"inputs": [{**INPUT, "data": ["a"] * 6}]},
        {"inputs": [{**INPUT, "data": [None] * 6}]},
        {"inputs": [{**INPUT, "data": [[[1.0]]]}]},
        {"inputs": [INPUT] * 17},
        {"inputs": [INPUT], "id": 5},
        [],
        "x",
    ],
)
def test_a_request_of_another_form_is_refused_in_the_protocols_form(client: httpx.Client, request_: object) -> None:
    answer = client.post(INFER, json=request_)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


def test_a_binary_matrix_lies_where_native_code_may_read_it_wherever_the_json_ends() -> None:
    tensor = InputTensor(name="features", shape=[3, 2], datatype="FP32", parameters={"binary_data_size": 24})
    for length in range(8):
        matrix = input_matrix(
            InferenceRequest(inputs=[tensor]), memoryview(bytes(length) + ROWS.tobytes())[length:], columns=2
        )
        assert matrix.flags.aligned
        assert np.array_equal(matrix, ROWS)


def test_binary_tensors_must_have_exactly_the_bytes_they_say(client: httpx.Client) -> None:
    tensor = {"name": "features", "shape": [3, 2], "datatype": "FP32", "parameters": {"binary_data_size": 24}}
    head = json.dumps({"inputs": [tensor]}).encode()
    body = head + ROWS.astype("<f4").tobytes()
    good = client.post(INFER, content=body, headers={BINARY: str(len(head))}).raise_for_status()
    assert good.json()["outputs"][0]["data"] == SCORES
    for length in ("0", str(len(head) - 1), str(len(head) + 1), str(len(body) + 1), "999999999", "-1", "x", "1e3"):
        assert client.post(INFER, content=body, headers={BINARY: length}).status_code in (400, 422)
    for wrong in (body[:-1], body + b"\x00", head):
        assert client.post(INFER, content=wrong, headers={BINARY: str(len(head))}).status_code == 422
    json_only = json.dumps({"inputs": [INPUT]}).encode()
    left_over = client.post(INFER, content=json_only + b"\x00", headers={BINARY: str(len(json_only))})
    assert left_over.status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/v2/models/{MODEL}/versions/1", 404),
        ("GET", f"/v2/models/{MODEL}/versions/1/ready", 404),
        ("GET", "/v2/models/nothing", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", f"/v2/models/{MODEL}/infer", 405),
        ("POST", "/v2/health/live", 405),
        ("GET", f"/v2/models/{MODEL}?x=1", 400),
    ],
)
def test_what_is_not_there_is_refused_in_the_protocols_form(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})


def test_health_is_public_and_the_rest_needs_the_scope(service: Service, stranger: httpx.Client) -> None:
    assert stranger.get("/v2/health/live").json() == {"live": True}
    assert stranger.get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2", f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/ready"):
        answer = stranger.get(path)
        assert (answer.status_code, set(answer.json())) == (401, {"error"})
    with service.client(service.token()) as reader:
        assert reader.get("/v2").status_code == 200
        answer = reader.post(INFER, json={"inputs": [INPUT]})
        assert (answer.status_code, set(answer.json())) == (403, {"error"})
