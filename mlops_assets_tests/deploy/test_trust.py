"""Nobody is believed without proof: certificates, passwords and roles, each tried with the wrong one."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from mlops_assets_tests.deploy.accounts import RIGHT, connected
from mlops_assets_tests.deploy.stack import OPERATOR, PROJECT, SERVICE, VIEWER, in_container, token

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.deploy.stack import Stack

pytestmark = [pytest.mark.docker]

_HOSTILE = """
from pathlib import Path
reports = Path('/reports')
(reports / 'hostile.html').write_text('<script>act()</script>')
if not (reports / 'key.html').is_symlink():
    (reports / 'key.html').symlink_to('/run/secrets/own/server.key')
"""
"""What a run of wrangling may leave where it writes its reports."""


@pytest.mark.usefixtures("stack")
class TestPostgres:
    def test_an_account_has_its_database_over_verified_tls_and_no_further_right(self) -> None:
        assert connected(RIGHT).split() == [*["False"] * 5, "True", "TLSv1.3"]

    @pytest.mark.parametrize(
        ("right", "wrong", "answer"),
        [
            ("sslmode=verify-full", "sslmode=disable", "no encryption"),
            ("sslrootcert=/s/services.crt", "sslrootcert=/other/operators.crt", "certificate verify failed"),
            ("host=postgres", "host=postgres.mlops-assets-runs", "does not match host name"),
            ("dbname=storage", "dbname=restricted", "no pg_hba.conf entry"),
            ("dbname=storage", "dbname=postgres", "no pg_hba.conf entry"),
            ("user=storage", "user=postgres", "no pg_hba.conf entry"),
            ("passfile=/s/pgpass", "password=wrong", "password authentication failed"),
        ],
    )
    def test_one_wrong_part_keeps_it_out(self, right: str, wrong: str, answer: str) -> None:
        assert answer in connected(RIGHT.replace(right, wrong))


class TestReverseProxy:
    @pytest.mark.parametrize(
        ("port", "certificate", "status"),
        [
            (VIEWER, "viewer", 200),
            (VIEWER, "operator", 200),
            (VIEWER, None, 400),
            (OPERATOR, "operator", 200),
            (OPERATOR, "viewer", 400),
            (OPERATOR, None, 400),
        ],
    )
    def test_the_pages_open_to_certificates_of_their_role(
        self, stack: Stack, clients: Path, port: int, certificate: str | None, status: int
    ) -> None:
        with stack.client(clients, port, certificate) as client:
            assert client.get("/server_info").status_code == status

    @pytest.mark.parametrize(("port", "role", "changes"), [(VIEWER, "viewer", False), (OPERATOR, "operator", True)])
    def test_an_operator_may_change_things_and_a_viewer_may_not(
        self, stack: Stack, clients: Path, port: int, role: str, *, changes: bool
    ) -> None:
        query = "{ permissions { permission value } }"
        with stack.client(clients, port, role) as client:
            answer = client.post("/graphql", json={"query": query}).json()["data"]
        granted = {entry["permission"] for entry in answer["permissions"] if entry["value"]}
        assert bool({name for name in granted if name.startswith(("launch", "terminate", "delete"))}) is changes

    @pytest.mark.parametrize("header", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example.org"}])
    def test_another_site_cannot_use_an_operators_certificate(
        self, stack: Stack, clients: Path, header: dict[str, str]
    ) -> None:
        with stack.client(clients, OPERATOR, "operator") as client:
            assert client.post("/graphql", json={"query": "{ version }"}, headers=header).status_code == 403
            own = {"Origin": f"https://localhost:{OPERATOR}", "Sec-Fetch-Site": "same-origin"}
            assert client.post("/graphql", json={"query": "{ version }"}, headers=own).status_code == 200

    @pytest.mark.parametrize(("port", "role"), [(VIEWER, "viewer"), (OPERATOR, "operator")])
    def test_a_report_acts_for_nobody_and_a_link_among_them_leads_nowhere(
        self, stack: Stack, clients: Path, port: int, role: str
    ) -> None:
        in_container(_HOSTILE, volumes=[f"{PROJECT}-reports:/reports"])
        with stack.client(clients, port, role) as client:
            page = client.get("/reports/hostile.html")
            assert (page.status_code, page.text) == (200, "<script>act()</script>")
            assert page.headers["content-security-policy"].startswith("sandbox; ")
            assert client.get("/reports/key.html").status_code == 403

    @pytest.mark.usefixtures("stack")
    @pytest.mark.parametrize("port", [VIEWER, OPERATOR, SERVICE])
    def test_plain_http_is_refused(self, port: int) -> None:
        assert httpx.get(f"http://localhost:{port}/", timeout=60, trust_env=False).status_code == 400

    @pytest.mark.usefixtures("stack")
    @pytest.mark.parametrize("port", [VIEWER, OPERATOR, SERVICE])
    def test_older_tls_is_refused(self, clients: Path, port: int) -> None:
        context = ssl.create_default_context(cafile=str(clients / "services.crt"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection(("localhost", port)) as plain, pytest.raises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname="localhost")

    def test_a_server_of_another_authority_is_not_believed(self, stack: Stack, clients: Path, tmp_path: Path) -> None:
        (tmp_path / "services.crt").write_bytes((clients / "viewer.crt").read_bytes())
        with stack.client(tmp_path, SERVICE, None) as client, pytest.raises(httpx.ConnectError, match="certificate"):
            client.get("/health/live")

    def test_the_service_asks_for_a_token(self, stack: Stack, clients: Path) -> None:
        bearer = token("test-application")
        with stack.client(clients, SERVICE, None) as client:
            assert client.get("/health/live").status_code == 200
            assert client.get("/v1/export").status_code == 401
            assert client.get("/v1/export", headers={"Authorization": f"Bearer {bearer}x"}).status_code == 401
            # Accepted, whether or not there is an export to describe yet.
            assert client.get("/v1/export", headers={"Authorization": f"Bearer {bearer}"}).status_code in {200, 503}
