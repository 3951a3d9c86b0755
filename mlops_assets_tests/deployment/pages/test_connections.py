"""Connections: who is let in by what the reverse proxy says, by each way to ask and at each route."""

from __future__ import annotations

import json
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import unix_connect

from mlops_assets_tests.deployment.pages.asking import Person
from mlops_assets_tests.deployment.pages.changes import execution, run_of

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.deployment.pages.asking import Served

DELETE = 'mutation { deleteRun(runId: "%s") { __typename } }'
ROUTES = ("/", "/server_info", "/graphql", "/runs", "/favicon.ico", "/logs/x/y.out", "/download_debug/x", "/robots.txt")
NOBODY: list[list[tuple[str, str]]] = [
    [],
    [("X-Role", "")],
    [("X-Role", "root")],
    [("X-Role", "Plumber")],
    [("X-Role", "plumber,viewer")],
    [("X-Role", "viewer"), ("X-Role", "plumber")],
    [("X-Role", "plumber"), ("x-role", "plumber")],
    [("X_Role", "plumber")],
]


@pytest.mark.parametrize("said", NOBODY)
def test_who_has_no_role_is_shown_nothing(served: Served, said: list[tuple[str, str]]) -> None:
    with Person(served.socket, tuple(said)).client() as client:
        assert {client.get(route).status_code for route in ROUTES} == {403}
        assert client.post("/graphql", json={"query": "{ version }"}).status_code == 403
        assert client.post("/report_asset_materialization/plumbing/plain").status_code == 403


@pytest.mark.parametrize("said", NOBODY)
def test_who_has_no_role_opens_no_web_socket(served: Served, said: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidStatus, match="403"), _opened(served.socket, said):
        pass


def test_the_socket_is_for_the_account_alone(served: Served) -> None:
    assert stat.S_IMODE(served.socket.stat().st_mode) == 0o600


def _opened(socket: Path, said: list[tuple[str, str]]) -> Any:  # noqa: ANN401  the library's own connection
    return unix_connect(
        str(socket), "ws://pages/graphql", additional_headers=said, subprotocols=["graphql-ws"], max_size=None
    )


def _subscribed(served: Served, role: str, query: str) -> dict[str, Any]:
    """The first answer over a web socket."""
    with _opened(served.socket, [("X-Role", role)]) as connection:
        connection.send(json.dumps({"type": "connection_init"}))
        connection.send(json.dumps({"id": "1", "type": "start", "payload": {"query": query}}))
        assert json.loads(connection.recv()) == {"type": "connection_ack"}
        answer: dict[str, Any] = json.loads(connection.recv())
        return answer


@pytest.mark.parametrize("role", ["viewer", "plumber"])
def test_runs_are_followed_over_a_web_socket_by_whoever_may_look(served: Served, role: str) -> None:
    run = run_of(served, execution("modeling"))
    logs = "{ ... on PipelineRunLogsSubscriptionSuccess { cursor } }"
    query = f'subscription {{ pipelineRunLogs(runId: "{run}") {logs} }}'
    assert _subscribed(served, role, query)["type"] == "data"


@pytest.mark.parametrize("role", ["viewer", "plumber", "everything"])
def test_nothing_is_changed_over_a_web_socket(served: Served, role: str) -> None:
    run = run_of(served, execution("plumbing"))
    assert _subscribed(served, role, DELETE % run)["type"] == "error"
    assert served.instance.get_run_by_id(run) is not None


@pytest.mark.parametrize("role", ["viewer", "plumber"])
def test_the_ways_to_ask_over_http_ask_the_same(served: Served, role: str) -> None:
    def ways(query: str) -> list[dict[str, Any]]:
        return [
            {"method": "GET", "params": {"query": query}},
            {"method": "POST", "params": {"query": query}},
            {"method": "POST", "content": query, "headers": {"Content-Type": "application/graphql"}},
            {"method": "POST", "json": {"query": query}, "headers": {"X-Forwarded-For": "127.0.0.1"}},
        ]

    with served.person(role).client() as client:
        for number in range(len(ways(""))):
            own, other = run_of(served, execution("plumbing")), run_of(served, execution("modeling"))
            for run in (own, other):
                client.request(url="/graphql", **ways(DELETE % run)[number])
            assert (served.instance.get_run_by_id(own) is None) is (role == "plumber")
            assert served.instance.get_run_by_id(other) is not None


@pytest.mark.parametrize("said", [b"X-Role: viewer\r\n", b""])
def test_a_role_behind_a_body_in_chunks_is_none(served: Served, said: bytes) -> None:
    """The proxy writes the header anew in the head, and may pass on what a client sends as a trailer."""
    run = run_of(served, execution("plumbing"))
    body = json.dumps({"query": DELETE % run}).encode()
    head = b"POST /graphql HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\nConnection: close\r\n" + said
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-Role: plumber\r\n\r\n" % (len(body), body)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(served.socket))
        connection.sendall(head + chunks)
        answer = connection.makefile("rb").read()
    assert (b"You may not deleteRun" in answer) if said else answer.startswith(b"HTTP/1.1 403 ")
    assert served.instance.get_run_by_id(run) is not None


def test_a_refusal_is_told_as_the_pages_show_it(served: Served) -> None:
    run = run_of(served, execution("modeling"))
    with served.person("plumber").client() as client:
        answer = client.post("/graphql", json={"query": DELETE % run})
    assert answer.status_code == 200
    [error] = answer.json()["errors"]
    assert error["message"] == "You may not deleteRun in modeling."
    assert set(error) == {"message", "locations", "path"}


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b"{",
        b"[" * 100_000,
        b'[{"query": "{ version }"}]',
        b'"{ version }"',
        b'{"query": ["{ version }"]}',
        b'{"query": "{ version }", "variables": []}',
        b'{"query": "{ version }", "variables": "[]"}',
        b'{"query": "{ version }", "variables": "{"}',
        b'{"query": "{ version }", "operationName": 1}',
        b'{"query": "query($a: Int!) { version }", "variables": {"a": "b"}}',
        b'{"query": "{"}',
    ],
)
def test_what_is_no_question_is_refused_with_a_reason(served: Served, body: bytes) -> None:
    with served.person("viewer").client() as client:
        answer = client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "route",
    [
        "/report_asset_materialization/{}/plain",
        "/report_asset_check/{}/plain?check_name=whole&passed=true",
        "/report_asset_observation/{}/plain?data_version=1",
    ],
)
@pytest.mark.parametrize(
    ("role", "location", "status"),
    [
        ("plumber", "plumbing", 200),
        ("plumber", "modeling", 401),
        ("plumber", "nowhere", 401),
        ("modeler", "plumbing", 401),
        ("architect", "plumbing", 401),
        ("viewer", "plumbing", 401),
    ],
)
def test_events_are_reported_for_ones_own_assets(
    served: Served, route: str, role: str, location: str, status: int
) -> None:
    with served.person(role).client() as client:
        assert client.post(route.format(location)).status_code == status


@pytest.mark.parametrize("route", ["/notebook", "/dagit/notebook"])
def test_no_notebook_of_a_code_server_is_shown(served: Served, route: str) -> None:
    with served.person("plumber").client() as client:
        answer = client.get(route, params={"repoLocName": "plumbing", "path": "/etc/x.ipynb"})
    assert answer.text.startswith("<!DOCTYPE html>")


def test_no_file_beside_the_logs_is_shown(served: Served) -> None:
    (served.socket.parent / "secret.out").write_text("secret", encoding="utf-8")
    with served.person("viewer").client() as client:
        answers = [client.get(f"/logs/{up}secret.out") for up in ("../", "%2e%2e/", "..%2f", "..%2f..%2f")]
    assert not [each for each in answers if "secret" in each.text]


def test_a_page_that_is_greyed_out_says_why(served: Served) -> None:
    query = """{ locationStatusesOrError { ... on WorkspaceLocationStatusEntries {
      entries { name permissions { permission disabledReason } } } } }"""
    entries = served.person("plumber").asked(query)["entries"]
    reasons = {entry["name"]: {each["disabledReason"] for each in entry["permissions"]} for entry in entries}
    assert "As plumber you may not do this in modeling." in reasons["modeling"]
    assert "As plumber you may not do this in plumbing." in reasons["plumbing"]
    assert None in reasons["plumbing"]
    assert reasons["modeling"] == {"As plumber you may not do this in modeling."}
