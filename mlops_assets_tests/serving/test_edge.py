"""Tests of the edge: a real nginx, as its configuration is made, in front of a service on its socket."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509

from mlops_assets.demo.live import free_port
from mlops_assets.demo.waiting import wait_until
from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.settings import ServiceSettings
from mlops_assets.serving.edge import edge_configuration
from mlops_assets.serving.http.edge_header import HEADER
from mlops_assets_tests.serving.certificates import Office
from mlops_assets_tests.serving.sample import export_predictions
from mlops_assets_tests.serving.service_process import Service, require_nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

QUESTION = b"GET /v1/tables/predictions HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNK = b"3e8\r\n" + b"a" * 1000 + b"\r\n"
FLOOD_BYTES = 13_000_000
MOST_GROWTH = 1.2
SILENT = 400
LIMITS = {
    "header_seconds": 2.0,
    "body_seconds": 1.0,
    "request_seconds": 2.0,
    "max_header_bytes": 8192,
    "max_body_bytes": 20_000,
}
DEPLOYED = Path(__file__).parents[2] / "deploy" / "proxy" / "service.conf"


def edged(folder: Path, office: Office, **changes: object) -> Service:
    """A service behind its edge, with an export to answer from."""
    require_nginx()
    certificate, key = office.server()
    given = {"tls_certificate": certificate, "tls_key": key, "request_seconds": 2.0, **changes}
    service = Service(folder, changes=given, authority=office.server_authority, edge=dict(LIMITS))
    service.create_keys()
    export_predictions(service.config.exports)
    return service


@pytest.fixture(name="office", scope="module")
def _office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("tls"))


@pytest.fixture(name="running", scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory, office: Office) -> Iterator[Service]:
    with edged(tmp_path_factory.mktemp("edge"), office) as service:
        yield service


def connect(service: Service) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    trust = service.trust()
    assert isinstance(trust, ssl.SSLContext)
    return trust.wrap_socket(plain, server_hostname="localhost")


def read_to_end(connection: socket.socket) -> bytes:
    parts = []
    with suppress(ConnectionError, ssl.SSLError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def problem_of(answer: bytes) -> int:
    """Status of the one answer in these bytes, which is a problem document."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    assert b"x-content-type-options: nosniff" in head.lower()
    problem = json.loads(body)
    assert head.split(b" ")[1] == str(problem["status"]).encode()
    assert problem["request_id"].encode() in head
    return int(problem["status"])


def head_of_score(token: str, length: int) -> bytes:
    return (
        "POST /v1/models/person_turnout/score HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def test_questions_without_end_take_no_memory_are_cut_and_keep_nobody_waiting(running: Service) -> None:
    before, ended, sent = running.memory_kib(), threading.Event(), 0

    def flood() -> None:
        nonlocal sent
        with connect(running) as connection, suppress(OSError):
            while sent < FLOOD_BYTES:
                sent += connection.send(1000 * QUESTION)
            connection.settimeout(30)
            connection.sendall(FLOOD_BYTES * b"\r\n")
        ended.set()

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    most, statuses = before, set()
    deadline = time.monotonic() + 25
    while not ended.is_set() and time.monotonic() < deadline:
        with running.client(running.token()) as client:
            statuses.add(client.get("/v1/tables/predictions/NC/12/turnout").status_code)
        most = max(most, running.memory_kib())
        time.sleep(0.1)
    assert ended.is_set()
    assert statuses == {200}
    assert most < MOST_GROWTH * before


def test_silent_handshakes_lock_nobody_out_and_end(running: Service) -> None:
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=30))
            for _ in range(SILENT)
        ]
        with running.client(running.token()) as client:
            assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
        assert all(read_to_end(each) == b"" for each in silent)


def test_more_silent_connections_than_the_edge_holds_lock_nobody_out(tmp_path: Path, office: Office) -> None:
    service = edged(tmp_path, office)
    service.edge = {"connections": 32, "header_seconds": 60.0}
    with service, ExitStack() as stack:
        for _ in range(SILENT):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=30))
        for _ in range(5):
            with service.client(service.token()) as client:
                assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200


def test_a_head_that_comes_byte_by_byte_is_cut_off_however_busy_it_looks(running: Service) -> None:
    began = time.monotonic()
    with connect(running) as connection, suppress(OSError):
        while time.monotonic() - began < 20:
            connection.sendall(b"G")
            time.sleep(0.05)
    assert 1 < time.monotonic() - began < 10


def test_a_body_that_does_not_come_is_cut_off_and_never_reaches_the_service(running: Service) -> None:
    token = running.token(scopes=["models:infer"], principal="slow-client")
    with connect(running) as connection:
        connection.sendall(head_of_score(token, 1000) + b'{"rows"')
        began = time.monotonic()
        assert read_to_end(connection) == b""
        assert time.monotonic() - began < 10
    assert not [line for line in running.log() if line.get("principal") == "slow-client"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 10_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + 100 * (b"X: " + b"a" * 200 + b"\r\n") + b"\r\n", 431),
        (b"POST /v1/tables/predictions HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + 30 * CHUNK, 413),
    ],
)
def test_what_is_too_long_is_a_problem(running: Service, sent: bytes, status: int) -> None:
    with connect(running) as connection:
        connection.sendall(sent)
        assert problem_of(read_to_end(connection)) == status


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"TRACE /v1/tables HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)
def test_what_the_edge_does_not_speak_is_a_problem_of_the_client(running: Service, sent: bytes, status: int) -> None:
    with connect(running) as connection:
        connection.sendall(sent)
        answer = read_to_end(connection)
    assert problem_of(answer) == status
    assert (b"\r\nAllow: GET, POST\r\n" in answer) == (status == 405)


@pytest.mark.parametrize(
    "line",
    ["X /v1/tables", "PROPFINDER /v1/tables", "GET /v1/tables/\uff11", "GET /v1/tables?\u00e9"],
)
def test_what_the_services_parser_does_not_read_is_a_problem_and_in_the_audit_trail(
    running: Service, line: str
) -> None:
    with connect(running) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = read_to_end(connection)
    assert problem_of(answer) == 400
    name = json.loads(answer.partition(b"\r\n\r\n")[2])["request_id"]
    (told,) = [told for told in running.log() if told.get("request_id") == name]
    assert (told["decision"], told["reason"], told["status"]) == ("deny", "unreadable", 400)


def test_what_comes_behind_a_body_is_no_header_of_the_request(running: Service) -> None:
    """Whoever is believed by a header of the edge is so by the head alone; here a token shows it."""
    body, token = b'{"keys": []}', running.token(scopes=["features:read"])
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(running.config.socket))
        connection.sendall(
            b"POST /v1/lookup/person_features HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"%x\r\n%s\r\n0\r\nAuthorization: Bearer %s\r\n\r\n" % (len(body), body, token.encode())
        )
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 401 ")


def test_a_refusal_reaches_who_is_still_sending(tmp_path: Path, office: Office) -> None:
    with edged(tmp_path, office) as service, socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(service.config.socket))
        connection.sendall(b"GET /v1/tables?\xd9\xa3 HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n")
        for _ in range(4):
            time.sleep(0.1)
            connection.sendall(bytes(100_000))
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", ["/v1/tables", "/v1/tables/predictions", "/v1/nowhere"])
def test_a_request_of_http_1_0_without_a_host_is_answered(running: Service, path: str) -> None:
    with connect(running) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nAuthorization: Bearer {running.token()}\r\n\r\n".encode())
        assert read_to_end(connection).split(b" ")[1] == (b"404" if path == "/v1/nowhere" else b"200")


def test_what_is_no_request_never_reaches_the_service(running: Service) -> None:
    told = len(running.log())
    for nonsense in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ):
        with connect(running) as connection:
            connection.sendall(nonsense)
            assert read_to_end(connection).startswith(b"HTTP/1.1 400 ")
    assert len(running.log()) == told
    text = (running.folder / "edge.log").read_text(encoding="utf-8")
    assert '"message":"request stopped","status":400' in text


def test_questions_sent_ahead_are_answered_in_their_order(running: Service) -> None:
    count = 200
    with connect(running) as connection:
        connection.sendall(count * (b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n" + QUESTION))
        received = b""
        while received.count(b"HTTP/1.1 ") < 2 * count:
            part = connection.recv(65536)
            assert part
            received += part
    assert [answer[:3] for answer in received.split(b"HTTP/1.1 ")[1:]] == count * [b"200", b"401"]


def test_the_connection_to_the_service_is_kept(running: Service) -> None:
    # As many as the edge has processes, at most, though each client comes anew.
    inodes = set()
    for _ in range(20):
        with running.client(running.token()) as client:
            assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
        inodes |= connections_of(running)
    assert 1 <= len(inodes) <= 3


def connections_of(service: Service) -> set[str]:
    """The connections that the service has taken on its socket, by the system's numbers."""
    lines = Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()
    connected = "03"
    found = [line.split() for line in lines if line.endswith(str(service.config.socket))]
    return {fields[6] for fields in found if fields[5] == connected}


def test_only_tls_1_3_is_spoken(running: Service) -> None:
    context = ssl.create_default_context(cafile=running.authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", running.port), timeout=30) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain, server_hostname="localhost")
    assert httpx.get(f"http://127.0.0.1:{running.port}/health/live").status_code == 400


@pytest.mark.parametrize("name", [HEADER, HEADER.upper(), HEADER.replace("-", "_")])
def test_a_clients_own_header_of_a_certificate_is_not_believed(tmp_path: Path, office: Office, name: str) -> None:
    principals = office.write(
        "forged.toml", b'[[principal]]\nname = "a-b"\nsan = "DNS:a"\nscopes = ["predictions:read"]'
    )
    certificate, _ = office.client("a")
    forged = quote(certificate.read_text(encoding="ascii"))
    changes = {
        "client_ca": office.client_authority,
        "authentication": "certificate",
        "certificate_principals": principals,
    }
    with edged(tmp_path, office, **changes) as service:
        with service.client() as client:
            assert client.get("/v1/tables", headers={name: forged}).status_code == 401
            assert client.get("/v1/tables", headers=[(name, forged), (name, forged)]).status_code == 401
        with service.client(identity=office.client("a")) as client:
            assert client.get("/v1/tables", headers={name: forged}).status_code == 200


def test_a_header_of_a_certificate_counts_nothing_where_no_edge_verifies_any(running: Service, office: Office) -> None:
    """Even from who can reach the socket: a bound token needs a certificate that somebody verified."""
    certificate, _ = office.client("a")
    transport = httpx.HTTPTransport(uds=str(running.config.socket))
    headers = {HEADER: quote(certificate.read_text(encoding="ascii")), "Authorization": f"Bearer {running.token()}"}
    with httpx.Client(transport=transport, base_url="http://service", headers=headers) as client:
        assert client.get("/v1/tables").status_code == 200
    (line, *_) = [line for line in reversed(running.log()) if line.get("route") == "/v1/tables"]
    assert line["certificate"] is None


def served_serial(service: Service) -> int:
    with connect(service) as connection:
        found = connection.getpeercert(binary_form=True)
    assert found
    return x509.load_der_x509_certificate(found).serial_number


def reload(service: Service) -> None:
    assert service.nginx is not None
    service.nginx.send_signal(signal.SIGHUP)


def test_a_renewed_certificate_is_taken_over_and_who_is_being_answered_is_not_dropped(
    tmp_path: Path, office: Office
) -> None:
    with edged(tmp_path, office) as service:
        first = served_serial(service)
        with connect(service) as held:
            # In the middle of its body when the certificate changes.
            held.sendall(head_of_score(service.token(scopes=["models:infer"]), 12) + b'{"rows":')
            certificate, _ = office.server()
            reload(service)
            wait_until(
                lambda serial: serial != first,
                lambda: served_serial(service),
                what="The new certificate",
                remedy="Look at edge.log.",
            )
            held.sendall(b"[]} ")
            assert held.recv(65536).startswith(b"HTTP/1.1 4")
        # Workers of before still take connections for a moment.
        second = x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number
        office.write("server.crt", b"half a fi")
        reload(service)
        time.sleep(1)
        assert served_serial(service) == second


def test_a_withdrawn_authority_of_clients_counts_no_more_after_a_reload(tmp_path: Path, office: Office) -> None:
    own = Office(tmp_path / "clients")
    authorities = own.client_authority
    with edged(tmp_path, office, client_ca=authorities) as service:
        with service.client(identity=own.client("a")) as client:
            assert client.get("/health/live").status_code == 200
        own.write(authorities.name, Office(tmp_path / "others").client_authority.read_bytes())
        reload(service)

        def status() -> int:
            with service.client(identity=own.client("a")) as client:
                return client.get("/health/live").status_code

        wait_until(lambda found: found == 400, status, what="The refusal", remedy="Look at edge.log.")


def test_a_killed_worker_is_replaced_and_clients_of_the_edge_hardly_notice(tmp_path: Path, office: Office) -> None:
    with edged(tmp_path, office, workers=2) as service:
        service.wait_for_log("Application startup complete.", count=2)
        killed = service.workers[0]
        statuses = []
        with service.client(service.token()) as client:
            for number in range(60):
                if number == 20:
                    os.kill(killed, signal.SIGKILL)
                statuses.append(client.get("/v1/tables/predictions/NC/12/turnout").status_code)
        assert set(statuses) <= {200, 503}
        assert statuses.count(200) >= 58
        service.wait_for_log("worker started", count=3)
        assert killed not in service.workers


def test_a_service_that_is_told_to_end_answers_what_is_under_way(tmp_path: Path, office: Office) -> None:
    with edged(tmp_path, office, drain_seconds=1.0) as service, service.client(service.token()) as client:
        assert service.process is not None
        assert client.get("/health/ready").status_code == 200
        service.process.terminate()
        statuses = []
        while service.process.poll() is None:
            statuses.append(client.get("/v1/tables/predictions/NC/12/turnout").status_code)
        answer = client.get("/v1/tables/predictions/NC/12/turnout")
    assert statuses.count(200) > 1
    assert set(statuses) <= {200, 503}
    # The edge alone is left: clients are told to come again.
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.headers["content-type"] == "application/problem+json"


ANSWERING = """
import sys
from pathlib import Path
from mlops_assets.serving.server import _bound_unix
with _bound_unix(Path(sys.argv[1])) as listening:
    while True:
        with listening.accept()[0] as asked:
            asked.recv(65536)
            asked.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
"""
SERVICE_USER, EDGE_USER = "daemon", "www-data"


@pytest.mark.skipif(os.geteuid() != 0, reason="it needs users of its own, so it needs root")
@pytest.mark.parametrize(
    ("mode", "edge_starter", "user", "status"),
    [
        (0o2750, "root", EDGE_USER, 200),
        (0o750, "root", EDGE_USER, 503),
        (0o2750, "root", None, 503),
        (0o700, SERVICE_USER, None, 200),
    ],
)
def test_the_edge_reaches_the_socket_as_the_recipes_have_it(
    office: Office, mode: int, edge_starter: str, user: str | None, status: int
) -> None:
    require_nginx()
    with tempfile.TemporaryDirectory() as name, ExitStack() as ended:
        folder = Path(name)
        folder.chmod(0o755)
        port, files = free_port(), []
        for file in office.server():
            files.append(Path(shutil.copy(file, folder)))
            shutil.chown(files[-1], edge_starter)
        shared, own = folder / "socket", folder / "edge"
        for made, owner in ((shared, SERVICE_USER), (own, edge_starter)):
            made.mkdir()
            shutil.chown(made, owner, EDGE_USER if made == shared and user else None)
        shared.chmod(mode)
        given = ServiceSettings(port=port, socket=shared / "s.sock", tls_certificate=files[0], tls_key=files[1])
        (folder / "edge.conf").write_text(edge_configuration(given, folder=own, user=user), encoding="utf-8")
        root = str(Path(__file__).parents[2])
        pairs = [
            (SERVICE_USER, [sys.executable, "-c", ANSWERING, str(shared / "s.sock")]),
            (edge_starter, ["nginx", "-e", "stderr", "-c", str(folder / "edge.conf"), "-g", "daemon off;"]),
        ]
        for starter, command in pairs:
            log = folder / f"{Path(command[0]).name}.log"
            # It opens what it prints to anew, which only its owner may.
            opened = ended.enter_context(log.open("wb"))
            shutil.chown(log, starter)
            process = subprocess.Popen(
                command,
                stdout=opened,
                user=starter,
                group=pwd.getpwnam(starter).pw_gid,
                extra_groups=[],
                cwd="/",
                env={**os.environ, "PYTHONPATH": root},
            )
            ended.callback(process.wait)
            ended.callback(process.terminate)
        come(shared / "s.sock", "the socket")
        context = ssl.create_default_context(cafile=str(office.server_authority))
        client = ended.enter_context(httpx.Client(verify=context))
        come(own / "nginx.pid", "the edge")
        assert client.get(f"https://localhost:{port}/").status_code == status
        let_in = subprocess.run(["runuser", "-u", EDGE_USER, "--", "test", "-w", str(shared / "s.sock")], check=False)
        assert (let_in.returncode == 0) == (mode == 0o2750 and user is not None)


def come(file: Path, what: str) -> None:
    wait_until(bool, file.exists, what=what, remedy="See what it printed.")


def test_the_deployments_edge_is_what_the_command_prints() -> None:
    """After a change: run the test with this variable to write the file anew."""
    settings = ServiceSettings(
        host="front-service",
        port=8445,
        socket=Path("/run/service/service.sock"),
        tls_certificate=Path("/run/secrets/own/server.crt"),
        tls_key=Path("/run/secrets/own/server.key"),
    )
    made = edge_configuration(settings, folder=Path("/tmp"))  # noqa: S108  the container's own
    if "MLOPS_ASSETS_WRITE_EDGE" in os.environ:
        DEPLOYED.write_text(made, encoding="utf-8")
    assert DEPLOYED.read_text(encoding="utf-8") == made


@pytest.mark.parametrize("missing", ["socket", "tls_certificate", "tls_key"])
def test_what_the_edge_needs_is_named(tmp_path: Path, missing: str) -> None:
    given = {name: tmp_path / name for name in ("socket", "tls_certificate", "tls_key") if name != missing}
    with pytest.raises(SettingsError, match=f"MLOPS_ASSETS_SERVICE__{missing.upper()}"):
        edge_configuration(ServiceSettings.model_validate(given), folder=tmp_path)


@pytest.mark.parametrize("path", ["a b", "a;b", "a}b", "a$b", "a\nb"])
def test_a_path_that_would_end_its_directive_is_refused(tmp_path: Path, path: str) -> None:
    given = {"socket": tmp_path / path, "tls_certificate": tmp_path / "c", "tls_key": tmp_path / "k"}
    with pytest.raises(SettingsError, match="cannot stand in nginx's configuration"):
        edge_configuration(ServiceSettings.model_validate(given), folder=tmp_path)


def test_the_command_prints_a_configuration_that_nginx_takes(tmp_path: Path) -> None:
    require_nginx()
    environment = {**os.environ, "MLOPS_ASSETS_HOME": str(tmp_path)}
    environment["MLOPS_ASSETS_SERVICE__SOCKET"] = str(tmp_path / "s" / "service.sock")
    command = [sys.executable, "-m", "mlops_assets", "edge-config"]
    made = subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
    file = tmp_path / "edge.conf"
    file.write_bytes(made.stdout)
    judged = subprocess.run(
        ["nginx", "-t", "-e", "stderr", "-c", str(file)], check=False, capture_output=True, text=True
    )
    assert judged.returncode == 0, judged.stderr
