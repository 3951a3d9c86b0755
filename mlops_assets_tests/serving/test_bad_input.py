"""Tests of what nobody should send: always a 4xx problem document, never a trace, and no growth."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets_tests.serving.sample import EVERYTHING, MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from mlops_assets_tests.serving.service_process import Service

SCORE = f"/v1/models/{MODEL}/score"
INFER = f"/v2/models/{MODEL}/infer"
LOOKUP = "/v1/lookup/person_features"
TAKING_A_BODY = (SCORE, INFER, LOOKUP)
JSON = {"Content-Type": "application/json"}
MEGABYTE = 1024 * 1024

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"rows=1",
    "cut off": b'{"rows": [{"age": 4',
    "two documents": b"{}{}",
    "no UTF-8": b'{"rows": [{"age": 1, "party": "\xff\xfe"}]}',
    "half a surrogate": b'{"rows": [{"age": 1, "party": "\\ud800"}]}',
    "UTF-16": '{"rows": []}'.encode("utf-16"),
    "NaN": b'{"rows": [{"age": NaN, "party": "DEM"}]}',
    "Infinity": b'{"rows": [{"age": Infinity, "party": "DEM"}]}',
    "a number beyond a double": b'{"rows": [{"age": 1e999, "party": "DEM"}]}',
    "a number of 300,000 digits": b'{"rows": [{"age": ' + b"9" * 300_000 + b', "party": "DEM"}]}',
    "arrays in arrays": b"[" * 500_000,
    "objects in objects": b'{"a":' * 200_000,
    "arrays in arrays where a value is expected": b'{"rows":[{"age":' + b"[" * 200_000,
    "arrays in arrays where nothing is expected": b'{"unknown":' + b"[" * 200_000,
    "an array of requests, as GraphQL takes it": json.dumps([{"rows": [{"age": 1, "party": "DEM"}]}] * 50).encode(),
    "a GraphQL query": json.dumps({"query": "{ predictions { value } }" * 100}).encode(),
    "null": b"null",
    "text": b'"rows"',
    "a member given twice, the last one wrong": b'{"rows": [], "rows": 5}',
    "an attribute of Python": b'{"__class__": "x", "__init__": {"__globals__": 1}}',
    "a row for every byte": b'{"rows":[' + b"{}," * 300_000 + b"{}]}",
}


def is_a_refusal(answer: httpx.Response) -> None:
    """A 4xx in the form of its protocol, without a trace and without anything of our files."""
    assert 400 <= answer.status_code < 500, answer.text
    body = answer.json()
    assert set(body) in ({"error"}, {"type", "title", "status", "detail", "request_id", "errors"})
    assert len(answer.content) < 2000
    assert not [word for word in ("Traceback", ".py", "msgspec", "litestar", "sqlite") if word in answer.text]


@pytest.fixture(name="unharmed", autouse=True)
def _unharmed(service: Service) -> Iterator[None]:
    """After each test the service has logged no failure."""
    yield
    assert not [line for line in service.log() if line["message"] == "request failed"]


@pytest.mark.parametrize("path", TAKING_A_BODY)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_not_as_declared_is_refused(client: httpx.Client, path: str, body: bytes) -> None:
    is_a_refusal(client.post(path, content=body, headers=JSON))


@pytest.mark.parametrize("path", [SCORE, LOOKUP])
@pytest.mark.parametrize("kind", ["", "text/plain", "application/xml", "application/jsonp", "multipart/form-data"])
def test_a_body_that_is_not_said_to_be_json_is_not_read(client: httpx.Client, path: str, kind: str) -> None:
    answer = client.post(path, content=b"{}", headers={"Content-Type": kind})
    is_a_refusal(answer)
    assert answer.status_code == 415


@pytest.mark.parametrize("path", TAKING_A_BODY)
@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "gzip, gzip"])
def test_a_compressed_body_is_not_unpacked(client: httpx.Client, path: str, coding: str) -> None:
    answer = client.post(path, content=b"\x1f\x8b" + bytes(100), headers={**JSON, "Content-Encoding": coding})
    is_a_refusal(answer)
    assert answer.status_code == 415


def resident_megabytes(service: Service) -> float:
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.parametrize("path", [*TAKING_A_BODY, "/v1/tables/predictions", "/v1/nowhere"])
def test_a_hundred_megabytes_are_refused_by_their_length_before_they_come(service: Service, path: str) -> None:
    token = service.token(scopes=EVERYTHING)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {100 * MEGABYTE}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536)
    assert answer.split(b" ")[1] in (b"413", b"404", b"405"), answer


@pytest.mark.parametrize("path", TAKING_A_BODY)
def test_a_body_without_a_length_is_refused_while_it_comes(service: Service, path: str) -> None:
    token = service.token(scopes=EVERYTHING)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = f"{MEGABYTE:x}\r\n".encode() + b" " * MEGABYTE + b"\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(head.encode() + chunk * 2)
        # The body has no end yet.
        assert connection.recv(65536).split(b" ")[1] == b"413"


@pytest.mark.parametrize("path", TAKING_A_BODY)
def test_a_hundred_megabytes_without_a_length_take_no_memory(client: httpx.Client, service: Service, path: str) -> None:
    before = resident_megabytes(service)
    answer = client.post(path, content=(b" " * MEGABYTE for _ in range(100)), headers=JSON)
    assert answer.status_code == 413
    is_a_refusal(answer)
    assert resident_megabytes(service) - before < 20


def test_a_length_that_is_none_is_refused(service: Service) -> None:
    token = service.token(scopes=EVERYTHING)
    for length in ("-1", "1e3", "0x10", "9" * 40, "1, 2", "५"):
        head = (
            f"POST {SCORE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
            connection.sendall(head.encode())
            assert connection.recv(65536).split(b" ")[1] in (b"400", b"413"), length


def test_what_cannot_be_read_as_a_request_is_a_problem_and_in_the_audit_trail(service: Service) -> None:
    for nonsense in (
        b"nonsense\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nA\x00: b\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
            connection.sendall(nonsense)
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
        problem = json.loads(body)
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"x-content-type-options: nosniff" in head
        told = [line for line in service.log() if line.get("request_id") == problem["request_id"]]
        assert [line["reason"] for line in told] == ["unreadable"]


@pytest.mark.parametrize("before", [b"", b"1\r\n{\r\n"])
def test_a_body_that_cannot_be_read_further_is_told_once(service: Service, before: bytes) -> None:
    token = service.token(scopes=EVERYTHING)
    head = (
        f"POST {SCORE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        "X-Request-ID: order-bad-chunk\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    told = len(service.log())
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(head.encode() + before + b"ZZ\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"x-request-id: order-bad-chunk" in answer
    service.wait_for(lambda: [line for line in service.log()[told:] if line["message"] == "access"] != [])
    time.sleep(0.2)
    [line] = [line for line in service.log()[told:] if line["message"] == "access"]
    assert (line["decision"], line["reason"], line["request_id"]) == ("deny", "unreadable", "order-bad-chunk")


@pytest.mark.parametrize("size", [17_000, 60_000])
def test_a_head_in_one_piece_is_limited_as_one_in_several(service: Service, size: int) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Pad: " + b"a" * size + b"\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_both_a_length_and_chunks_are_refused_or_leave_no_second_request(service: Service) -> None:
    smuggled = b"0\r\n\r\nGET /v1/exports HTTP/1.1\r\nHost: x\r\n\r\n"
    head = f"POST {SCORE} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(smuggled)}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(head.encode() + smuggled)
        connection.settimeout(1)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except TimeoutError:
            pass
    assert answer.count(b"HTTP/1.1 ") <= 1 or b"HTTP/1.1 400" in answer


def test_a_client_that_goes_away_in_the_middle_of_a_body_harms_nobody(service: Service, client: httpx.Client) -> None:
    token = service.token(scopes=EVERYTHING)
    head = (
        f"POST {SCORE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        "Content-Length: 1000\r\n\r\n{"
    )
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
            connection.sendall(head.encode())
    time.sleep(0.2)
    assert client.get("/v1/exports").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../v1/exports",
        "/v1/%2e%2e/exports",
        "/v1/tables/predictions/NC/../../export",
        "/v1/tables/predictions/NC/%2e%2e%2fexport",
        "/v1/tables/predictions/NC%2f12",
        "/v1/tables/predictions/NC/12%00",
        "/v1/tables/predictions/NC/12%0d%0aX-Injected:%20yes",
        "/v1/tables/predictions/NC/12%0A",
        "/v1/%70redictions/NC/12",
        "/v%31/predictions/NC/12",
        "/v1/tables/predictions/N%43/12",
        "/v1/tables/predictions/NC/12/",
        "//v1/exports",
        "/v1//exports",
        "/V1/exports",
        "/v1/exports;x=1",
        "/v1/tables/predictions/%ff%fe/12",
        "/v1/models/..%2f..%2fetc%2fpasswd",
        f"/v1/models/{'a' * 5000}",
        "/v2/models/person_turnout/versions/../ready",
        "/v2/",
        "/v2/models/%2e%2e/ready",
        "/.env",
        "/v1/tables/predictions?as_of=../../../../etc/passwd",
        "/v1/tables/predictions?state=NC&state=GA",
        "/v1/tables/predictions?state[]=NC",
        "/v1/tables/predictions?as_of=null",
        "/v1/tables/predictions?limit=1&limit=2",
        "/v1/tables/predictions?limit=99999999999999999999999999",
        "/v1/tables/predictions?limit=1.5",
        "/v1/tables/predictions?cursor=" + "A" * 5000,
        "/v1/tables/predictions?%ff=1",
        "/v1/tables/predictions?" + "&".join(f"x{number}=1" for number in range(400)),
        "/v1/tables/predictions/NC/12/turnout?state=GA",
        "/v1/tables/customers?customer=NaN",
        "/v1/tables/customers/1e3",
        "/v1/tables/customers/%20",
        "/v1/tables/customers/1%00",
        "/v1/tables/%2e%2e",
        "/v1/tables/predictions_by_state",
        "/v1/tables/sqlite_schema",
        "/v1/exports/..",
    ],
)
def test_a_path_or_query_that_is_none_is_refused(service: Service, path: str) -> None:
    # Past httpx, which would tidy the path up.
    token = service.token(scopes=EVERYTHING)
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    status = int(answer.split(b" ")[1])
    assert status in (400, 404, 422), answer[:300]
    assert b"x-injected: yes" not in answer.lower()
    assert b"Traceback" not in answer


def test_a_storm_of_bad_requests_leaves_the_service_as_small_as_before(client: httpx.Client, service: Service) -> None:
    def storm(count: int) -> None:
        for number in range(count):
            client.post(SCORE, content=b"[" * 20_000, headers=JSON)
            client.get(f"/v1/models/unknown-{number}")
            client.get(f"/v1/tables/predictions?unknown{number}=1")
            client.get(f"/v1/tables/predictions?as_of={number:032x}")

    storm(50)
    before = resident_megabytes(service)
    storm(150)
    assert resident_megabytes(service) - before < 15


def test_an_answer_never_repeats_what_was_sent(client: httpx.Client) -> None:
    secret = "a-token-pasted-in-the-wrong-place"  # noqa: S105  not one
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"/v1/tables/predictions?state={secret}", {}),
        ("GET", f"/v1/tables/predictions/NC/{secret}", {}),
        ("GET", f"/v1/models/{secret}", {}),
        ("GET", f"/v2/models/{secret}", {}),
        ("GET", f"/{secret}", {}),
        ("POST", SCORE, {"json": {"rows": [{"age": secret, "party": secret}]}}),
        ("POST", SCORE, {"json": {"rows": [{secret: 1}]}}),
        ("POST", SCORE, {"json": {"rows": secret}}),
        ("POST", LOOKUP, {"json": {"keys": [{"state": secret, "person_token": secret}]}}),
        ("POST", INFER, {"json": {"inputs": [{"name": secret, "shape": [1], "datatype": secret}]}}),
    ]
    for method, path, others in requests:
        assert secret not in client.request(method, path, **others).text
