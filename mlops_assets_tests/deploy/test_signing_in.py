"""People at the reverse proxy: the web server is told their roles, the log has their names, and revocation reaches.

The proxy runs by its shipped configuration and start script, as a process of this machine.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from mlops_assets.demo.waiting import wait_until
from mlops_assets.deployment import people, secrets
from mlops_assets.deployment.certificates import Authority, Purpose
from mlops_assets_tests.deploy.reverse_proxy import ReverseProxy, running_proxy
from mlops_assets_tests.deploy.stack import PAGES, REPORTS, ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.nginx


@pytest.fixture(name="proxy", scope="module")
def _proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReverseProxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.mark.parametrize("role", ROLES)
def test_the_web_server_is_told_the_role_of_the_certificate(proxy: ReverseProxy, role: str) -> None:
    with proxy.client(PAGES, f"a.{role}") as client:
        assert client.get("/").text == f"pages of {role}"


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Role", "plumber")],
        [("x-role", "plumber")],
        [("X-ROLE", "plumber"), ("X-Role", "modeler")],
        [("X_Role", "plumber")],
        [("X-Role", "")],
        [("Connection", "close, X-Role")],
    ],
)
def test_a_role_that_a_client_says_ends_at_the_proxy(proxy: ReverseProxy, headers: list[tuple[str, str]]) -> None:
    with proxy.client(PAGES, "a.viewer") as client:
        assert client.get("/", headers=headers).text == "pages of viewer"


@pytest.mark.parametrize("port", [PAGES, REPORTS])
@pytest.mark.parametrize(
    ("name", "unit"),
    [("eve", None), ("eve", "root"), ("eve", "plumber,OU=viewer"), ("eve,OU=plumber", None), ("Eve", "plumber")],
)
def test_a_certificate_that_says_no_role_leads_nowhere(
    proxy: ReverseProxy, port: int, name: str, unit: str | None
) -> None:
    authority = Authority.read((proxy.secrets / "authority" / "people.pem").read_bytes())
    issued = authority.issue([name], Purpose.CLIENT, unit=unit)
    (proxy.certificates / "odd.pem").write_bytes(issued.key_pem + issued.certificate_pem)
    with proxy.client(port, "odd") as client:
        assert client.get("/").status_code == 403


def test_a_certificate_of_the_servers_authority_is_nobody_s(proxy: ReverseProxy) -> None:
    authority = Authority.read((proxy.secrets / "authority" / "services.pem").read_bytes())
    issued = authority.issue(["eve"], Purpose.CLIENT, unit="plumber")
    (proxy.certificates / "foreign.pem").write_bytes(issued.key_pem + issued.certificate_pem)
    with proxy.client(PAGES, "foreign") as client:
        assert client.get("/").status_code == 400


def test_the_log_names_the_person_and_the_role(proxy: ReverseProxy) -> None:
    with proxy.client(PAGES, "a.modeler") as client:
        client.get("/where?what=secret")
    # Written once the answer has left.
    text = wait_until(
        lambda text: "/where" in text,
        lambda: proxy.log.read_text(encoding="utf-8"),
        what="The log",
        remedy="Does nginx write it?",
    )
    [told] = [entry for entry in map(json.loads, text.splitlines()) if entry["path"] == "/where"]
    assert (told["person"], told["role"], told["status"]) == ("a.modeler", "modeler", 200)
    assert "secret" not in text


def test_who_is_revoked_is_out_within_a_minute_and_nobody_else_notices(proxy: ReverseProxy) -> None:
    people.admit(proxy.secrets, "eve", "plumber")
    context = ssl.create_default_context(cafile=str(proxy.certificates / "services.crt"))
    context.load_cert_chain(proxy.certificates / "a.viewer.pem")
    with (
        proxy.client(PAGES, "eve") as eve,
        proxy.client(PAGES, "a.plumber") as other,
        socket.create_connection(("localhost", proxy.ports[PAGES])) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as under_way,
    ):
        assert (eve.get("/").status_code, other.get("/").status_code) == (200, 200)
        under_way.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        people.revoke(proxy.secrets, "eve")
        # On the connection that she has as well as on new ones.
        wait_until(
            lambda status: status == 400,
            lambda: (_status(other), _status(eve))[1],
            what="The revocation",
            remedy="Does the start script follow the list?",
        )
        assert _status(other) == 200
        under_way.sendall(b"\r\n")
        assert under_way.recv(4096).startswith(b"HTTP/1.1 200")
    with proxy.client(PAGES, "eve") as again:
        assert again.get("/").status_code == 400


def test_what_a_revoked_person_has_open_ends_within_a_minute(proxy: ReverseProxy) -> None:
    people.admit(proxy.secrets, "eve", "plumber")
    context = ssl.create_default_context(cafile=str(proxy.certificates / "services.crt"))
    context.load_cert_chain(proxy.certificates / "eve.pem")
    # What began before the proxy follows the list that has just been written anew would end by that.
    time.sleep(6)
    with (
        socket.create_connection(("localhost", proxy.ports[PAGES]), timeout=90) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as open_,
    ):
        open_.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        people.revoke(proxy.secrets, "eve")
        begun = time.monotonic()
        received = 0
        while block := open_.recv(4096):
            received += len(block)
        assert received < 2000
        assert time.monotonic() - begun < 60


def _status(client: httpx.Client) -> int:
    try:
        return client.get("/").status_code
    except httpx.TransportError:
        # The worker of before closes connections that wait for nothing; a client asks again.
        return client.get("/").status_code


def test_a_renewed_certificate_is_shown_without_a_restart(proxy: ReverseProxy) -> None:
    before = ssl.get_server_certificate(("localhost", proxy.ports[PAGES]))
    secrets.rotate(proxy.secrets, parts=[secrets.Part.CERTIFICATES])
    wait_until(
        lambda shown: shown != before,
        lambda: ssl.get_server_certificate(("localhost", proxy.ports[PAGES])),
        what="The renewed certificate",
        remedy="Does the start script follow its secrets?",
    )
    with proxy.client(PAGES, "a.viewer") as client:
        assert client.get("/").status_code == 200
