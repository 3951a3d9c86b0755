"""Tests of the Open Inference Protocol v2, with Triton's own client and curl against a running service."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from mlops_assets.scoring.inputs import Input, Kind
from mlops_assets.serving.identity.scopes import Scope
from mlops_assets.serving.routes.inference_protocol import InferenceRequest, InputTensor
from mlops_assets.serving.routes.inference_tensors import input_tensors
from mlops_assets_tests.serving.sample import EVERY_KIND, MODEL, turnout_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    import numpy.typing as npt

    from mlops_assets_tests.serving.service_process import Service

VERSION = turnout_model().version
INFER = f"/v2/models/{MODEL}/infer"
AGES = np.array([40.0, 30.0, 0.5])
PARTIES = np.array(["DEM", "REP", "DEM"], dtype=object)
SCORES = [19.0, 15.0, -0.75]
AGE = {"name": "age", "shape": [3], "datatype": "FP64", "data": AGES.tolist()}
PARTY = {"name": "party", "shape": [3], "datatype": "BYTES", "data": PARTIES.tolist()}
BINARY = "Inference-Header-Content-Length"
EVERY = {
    "amount": ("FP64", np.array([4.0, np.nan])),
    "rate": ("FP32", np.array([0.5, 0.25], dtype=np.float32)),
    "count": ("INT64", np.array([2, 0])),
    "count_is_null": ("BOOL", np.array([False, True])),
    "level": ("INT32", np.array([3, -3], dtype=np.int32)),
    "active": ("BOOL", np.array([True, False])),
    "segment": ("BYTES", np.array(["nan", ""], dtype=object)),
    "segment_is_null": ("BOOL", np.array([False, True])),
}
"""Two rows of the model that reads a column of each kind."""
EVERY_SCORES = [2.0 - 0.5 + 1.0 - 3.0 + 0.5 - 1.0, 0.0 - 0.25 + 0.0 + 3.0 + 0.0 - 1.0 - 1.0]


@pytest.fixture(name="triton")
def _triton(service: Service) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(f"127.0.0.1:{service.port}")
    yield client
    client.close()


@pytest.fixture(name="bearer")
def _bearer(service: Service) -> dict[str, str]:
    return {"Authorization": f"Bearer {service.token(scopes=[Scope.INFER])}"}


def tensor(name: str, datatype: str, values: npt.NDArray[Any], *, binary: bool = True) -> InferInput:
    made = InferInput(name, values.shape, datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def columns(*, binary: bool, wide: bool = False) -> list[InferInput]:
    shape = (3, 1) if wide else (3,)
    return [
        tensor("age", "FP64", AGES.reshape(shape), binary=binary),
        tensor("party", "BYTES", PARTIES.reshape(shape), binary=binary),
    ]


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
        "inputs": [
            {"name": "age", "datatype": "FP64", "shape": [-1]},
            {"name": "party", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [{"name": "score", "datatype": "FP64", "shape": [-1]}],
    }
    found = triton.get_model_metadata(EVERY_KIND, headers=bearer)["inputs"]
    assert {each["name"]: each["datatype"] for each in found} == {name: kind for name, (kind, _) in EVERY.items()}


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("output", [None, True, False])
@pytest.mark.parametrize("version", ["", VERSION])
@pytest.mark.parametrize("wide", [True, False])
def test_tritons_client_scores_rows(
    triton: InferenceServerClient,
    bearer: dict[str, str],
    binary_input: bool,  # noqa: FBT001  a parameter of the test
    output: bool | None,  # noqa: FBT001
    version: str,
    wide: bool,  # noqa: FBT001
) -> None:
    outputs = None if output is None else [InferRequestedOutput("score", binary_data=output)]
    result = triton.infer(
        MODEL,
        columns(binary=binary_input, wide=wide),
        model_version=version,
        outputs=outputs,
        request_id="request-7",
        headers=bearer,
    )
    assert result.as_numpy("score").dtype == np.float64
    assert result.as_numpy("score").tolist() == SCORES
    response = result.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == (MODEL, VERSION, "request-7")


def test_tritons_client_scores_columns_of_every_kind_and_tells_nulls(
    triton: InferenceServerClient, bearer: dict[str, str]
) -> None:
    made = [tensor(name, kind, values) for name, (kind, values) in EVERY.items()]
    assert triton.infer(EVERY_KIND, made, headers=bearer).as_numpy("score").tolist() == EVERY_SCORES
    mixed = [tensor(name, kind, values, binary=kind in ("FP64", "BOOL")) for name, (kind, values) in EVERY.items()]
    assert triton.infer(EVERY_KIND, mixed[::-1], headers=bearer).as_numpy("score").tolist() == EVERY_SCORES


def test_tritons_client_is_told_what_is_wrong(triton: InferenceServerClient, bearer: dict[str, str]) -> None:
    age, party = columns(binary=True)

    def refused(match: str, *inputs: InferInput, **more: object) -> None:
        with pytest.raises(InferenceServerException, match=match):
            triton.infer(MODEL, list(inputs), **{"headers": bearer, **more})

    refused(r"shape of age is \[-1\] or \[-1, 1\]", tensor("age", "FP64", np.zeros((1, 3))), party)
    refused("datatype of age is FP64", tensor("age", "FP32", np.zeros(3, dtype=np.float32)), party)
    refused("datatype of age is FP64", tensor("age", "BYTES", PARTIES), party)
    refused("datatype of party is BYTES", age, tensor("party", "INT64", np.zeros(3, dtype=np.int64)))
    refused("column age: it holds NaN, infinite", tensor("age", "FP64", np.full(3, np.inf)), party)
    refused("differ in length", tensor("age", "FP64", np.zeros(2)), party)
    refused("missing: party; 0 unknown; 0 repeated", age)
    refused("missing: party; 0 unknown; 1 repeated", age, age)
    refused("1 unknown", age, party, tensor("height", "FP64", AGES))
    refused("one output", age, party, outputs=[InferRequestedOutput("label")])
    refused(r"\[401\]", age, party, headers={})
    with pytest.raises(InferenceServerException, match="no model"):
        triton.infer("nothing", [age, party], headers=bearer)


def test_no_rows_have_no_scores(client: httpx.Client) -> None:
    inputs = [{**AGE, "shape": [0], "data": []}, {**PARTY, "shape": [0], "data": []}]
    answer = client.post(INFER, json={"inputs": inputs}).raise_for_status()
    assert answer.json()["outputs"] == [{"name": "score", "datatype": "FP64", "shape": [0], "data": []}]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
def test_curl_scores_rows(service: Service, bearer: dict[str, str]) -> None:
    address = f"http://127.0.0.1:{service.port}"
    authorization = f"Authorization: {bearer['Authorization']}"
    done = subprocess.run(
        [
            "curl",
            "--silent",
            "--fail",
            "-H",
            authorization,
            "-d",
            json.dumps({"inputs": [AGE, PARTY]}),
            address + INFER,
        ],
        check=True,
        capture_output=True,
    )
    assert json.loads(done.stdout)["outputs"][0]["data"] == SCORES
    ready = subprocess.run(
        ["curl", "--silent", "--fail", f"{address}/v2/health/ready"], check=True, capture_output=True
    )
    assert json.loads(ready.stdout) == {"ready": True}


def test_flat_and_nested_data_are_the_same(client: httpx.Client) -> None:
    nested = {**AGE, "shape": [3, 1], "data": [[age] for age in AGES.tolist()]}
    for age in (AGE, nested, {**AGE, "shape": [3, 1]}):
        answer = client.post(INFER, json={"inputs": [PARTY, age]}).raise_for_status().json()
        assert answer["outputs"] == [{"name": "score", "datatype": "FP64", "shape": [3], "data": SCORES}]


def test_null_may_be_given_where_a_column_has_nan_for_it(client: httpx.Client) -> None:
    answer = client.post(INFER, json={"inputs": [{**AGE, "data": [40, None, 0.5]}, PARTY]}).raise_for_status()
    assert answer.json()["outputs"][0]["data"] == [19.0, 20.0, -0.75]
    party = client.post(INFER, json={"inputs": [AGE, {**PARTY, "data": ["DEM", None, "DEM"]}]})
    assert (party.status_code, "column party" in party.json()["error"]) == (422, True)


def test_the_protocol_and_the_route_of_rows_give_the_same_scores(client: httpx.Client) -> None:
    rows = [{"age": 17.3 + number / 7, "party": ("DEM", "REP")[number % 2]} for number in range(500)]
    inputs = [
        {"name": "age", "shape": [500], "datatype": "FP64", "data": [row["age"] for row in rows]},
        {"name": "party", "shape": [500], "datatype": "BYTES", "data": [row["party"] for row in rows]},
    ]
    scored = client.post(f"/v1/models/{MODEL}/score", json={"rows": rows}).raise_for_status().json()["scores"]
    assert client.post(INFER, json={"inputs": inputs}).raise_for_status().json()["outputs"][0]["data"] == scored


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"name": "party"},
        {"datatype": "INT64"},
        {"datatype": "BYTES"},
        {"datatype": "fp64"},
        {"shape": [3, 2]},
        {"shape": [1, 3]},
        {"shape": [3, 1, 1]},
        {"shape": [4]},
        {"shape": [1000000]},
        {"data": [40, 30]},
        {"data": [[40], [30], [0.5]]},
        {"shape": [3, 1], "data": [[40], [30], 0.5]},
        {"shape": [3, 1], "data": [[40], [30, 0.5], []]},
        {"data": []},
        {"data": None},
        {"data": [40, 30, 1e39]},
        {"data": [40, 30, 2**53 + 1]},
        {"data": [40, 30, "0.5"]},
        {"data": [40, 30, True]},
        {"parameters": {"binary_data_size": 24}},
        {"data": None, "parameters": {"binary_data_size": 24}},
        {"data": None, "parameters": {"binary_data_size": "24"}},
        {"data": None, "parameters": {"binary_data_size": True}},
        {"data": None, "parameters": {"binary_data_size": -24}},
        {"data": None, "parameters": {"binary_data_size": 0}},
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_in_the_protocols_form_and_named(
    client: httpx.Client, change: dict[str, Any]
) -> None:
    answer = client.post(INFER, json={"inputs": [{**AGE, **change}, PARTY]})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    assert "age" in answer.json()["error"]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"inputs": []},
        {"inputs": {}},
        {"inputs": [AGE], "outputs": "score"},
        {"inputs": [{**AGE, "shape": [-1]}]},
        {"inputs": [{**AGE, "shape": [3.5]}]},
        {"inputs": [{**AGE, "shape": [10**30]}]},
        {"inputs": [{**AGE, "shape": []}]},
        {"inputs": [{**AGE, "data": [[[1.0]]]}]},
        {"inputs": [{**AGE, "data": {"a": 1}}]},
        {"inputs": [AGE] * 1025},
        {"inputs": [AGE], "id": 5},
        [],
        "x",
    ],
)
def test_a_request_of_another_form_is_refused_in_the_protocols_form(client: httpx.Client, request_: object) -> None:
    answer = client.post(INFER, json=request_)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


def texts(*parts: bytes) -> bytes:
    """A binary tensor of texts."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def request_of(age: bytes, party: bytes) -> tuple[bytes, bytes]:
    """The JSON part and the binary part of a request for three rows."""
    inputs = [
        {"name": "age", "shape": [3], "datatype": "FP64", "parameters": {"binary_data_size": len(age)}},
        {"name": "party", "shape": [3], "datatype": "BYTES", "parameters": {"binary_data_size": len(party)}},
    ]
    return json.dumps({"inputs": inputs}).encode(), age + party


def test_binary_numbers_lie_where_native_code_may_read_them_wherever_the_json_ends() -> None:
    column = Input(name="age", kind=Kind.DOUBLE, example=1.0)
    asked = InputTensor(name="age", shape=[3], datatype="FP64", parameters={"binary_data_size": 24})
    for length in range(8):
        binary = memoryview(bytes(length) + AGES.tobytes())[length:]
        found = input_tensors(InferenceRequest(inputs=[asked]), binary, {"age": column})["age"]
        assert found.flags.aligned
        assert np.array_equal(found, AGES)


def test_binary_tensors_must_have_exactly_the_bytes_they_say(client: httpx.Client) -> None:
    head, tail = request_of(AGES.tobytes(), texts(b"DEM", b"REP", b"DEM"))
    body = head + tail
    good = client.post(INFER, content=body, headers={BINARY: str(len(head))}).raise_for_status()
    assert good.json()["outputs"][0]["data"] == SCORES
    for length in ("0", str(len(head) - 1), str(len(head) + 1), str(len(body) + 1), "999999999", "-1", "x", "1e3"):
        assert client.post(INFER, content=body, headers={BINARY: length}).status_code in (400, 422)
    for wrong in (body[:-1], body + b"\x00", head):
        assert client.post(INFER, content=wrong, headers={BINARY: str(len(head))}).status_code == 422
    json_only = json.dumps({"inputs": [AGE, PARTY]}).encode()
    left_over = client.post(INFER, content=json_only + b"\x00", headers={BINARY: str(len(json_only))})
    assert left_over.status_code == 422


@pytest.mark.parametrize(
    "party",
    [
        texts(b"DEM", b"REP"),
        texts(b"DEM", b"REP", b"DEM", b"DEM"),
        texts(b"DEM", b"REP", b"DEM") + b"\x00",
        texts(b"DEM", b"REP") + struct.pack("<I", 2**32 - 1) + b"DEM",
        texts(b"DEM", b"REP") + b"\x00\x00",
        texts(b"DEM", b"REP", b"\xff\xfe"),
        texts(b"DEM", b"REP", b"\xed\xa0\x80"),
        b"",
    ],
)
def test_binary_texts_that_are_none_are_refused_by_their_name(client: httpx.Client, party: bytes) -> None:
    head, tail = request_of(AGES.tobytes(), party)
    answer = client.post(INFER, content=head + tail, headers={BINARY: str(len(head))})
    assert answer.status_code == 422
    assert "party" in answer.json()["error"]


def test_a_byte_that_is_no_boolean_is_refused(client: httpx.Client) -> None:
    inputs: list[dict[str, Any]] = []
    for name, (kind, values) in EVERY.items():
        data = [None if value != value else value for value in values.tolist()]  # noqa: PLR0124  NaN
        inputs.append({"name": name, "shape": [2], "datatype": kind, "data": data})
    assert (
        client.post(f"/v2/models/{EVERY_KIND}/infer", json={"inputs": inputs}).json()["outputs"][0]["data"]
        == EVERY_SCORES
    )
    active = next(each for each in inputs if each["name"] == "active")
    active |= {"data": None, "parameters": {"binary_data_size": 2}}
    head = json.dumps({"inputs": inputs}).encode()
    answer = client.post(f"/v2/models/{EVERY_KIND}/infer", content=head + b"\x01\x02", headers={BINARY: str(len(head))})
    assert (answer.status_code, "active" in answer.json()["error"]) == (422, True)


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
        answer = reader.post(INFER, json={"inputs": [AGE, PARTY]})
        assert (answer.status_code, set(answer.json())) == (403, {"error"})
