"""Nobody is believed without proof: certificates, passwords and roles, each tried with the wrong one."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from mlops_assets.demo.waiting import wait_until
from mlops_assets_tests.deploy.accounts import RIGHT, connected
from mlops_assets_tests.deploy.stack import (
    PAGES,
    PROJECT,
    REPORTS,
    ROLES,
    SERVICE,
    copy_volume,
    docker,
    in_container,
    secrets_command,
    token,
)

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
            ("sslrootcert=/s/services.crt", "sslrootcert=/other/people.crt", "certificate verify failed"),
            ("host=postgres", f"host=postgres.{PROJECT}_runs", "does not match host name"),
            ("dbname=storage", "dbname=restricted", "no pg_hba.conf entry"),
            ("dbname=storage", "dbname=postgres", "no pg_hba.conf entry"),
            ("user=storage", "user=postgres", "no pg_hba.conf entry"),
            ("passfile=/s/pgpass", "password=wrong", "password authentication failed"),
        ],
    )
    def test_one_wrong_part_keeps_it_out(self, right: str, wrong: str, answer: str) -> None:
        assert answer in connected(RIGHT.replace(right, wrong))


class TestReverseProxy:
    @pytest.mark.parametrize("port", [PAGES, REPORTS])
    def test_nobody_comes_in_without_a_certificate(self, stack: Stack, clients: Path, port: int) -> None:
        with stack.client(clients, port, None) as client:
            assert client.get("/server_info").status_code == 400

    @pytest.mark.parametrize("role", ROLES)
    def test_a_role_may_do_what_the_document_says(self, stack: Stack, clients: Path, role: str) -> None:
        query = """{ locationStatusesOrError { ... on WorkspaceLocationStatusEntries {
          entries { name permissions { permission value } } } } }"""
        # What the client says of itself is not believed.
        with stack.client(clients, PAGES, f"a.{role}") as client:
            answer = client.post("/graphql", json={"query": query}, headers={"X-Role": "plumber"}).json()["data"]
        launches = {
            entry["name"]
            for entry in answer["locationStatusesOrError"]["entries"]
            for each in entry["permissions"]
            if each["value"] and each["permission"] == "launch_pipeline_execution"
        }
        operated = {"plumber": {"plumbing"}, "wrangler": {"wrangling"}, "modeler": {"modeling"}}
        assert launches == operated.get(role, set())

    def test_who_is_revoked_is_shut_out_while_the_deployment_runs(self, stack: Stack, clients: Path) -> None:
        secrets_command("person", "eve", "--role", "plumber")
        copy_volume("secrets-clients", clients)
        with stack.client(clients, PAGES, "eve") as client:
            assert client.get("/server_info").status_code == 200
            secrets_command("revoke-person", "eve")
            wait_until(
                lambda status: status == 400,
                lambda: client.get("/server_info", headers={"Connection": "close"}).status_code,
                what="The revocation",
                remedy="Does the proxy follow the list?",
            )
        with stack.client(clients, PAGES, "a.plumber") as client:
            assert client.get("/server_info").status_code == 200
        assert '"person":"eve","role":"plumber"' in docker("logs", stack.containers["proxy"]["Id"])

    @pytest.mark.parametrize("header", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example.org"}])
    def test_another_site_cannot_use_an_operators_certificate(
        self, stack: Stack, clients: Path, header: dict[str, str]
    ) -> None:
        with stack.client(clients, PAGES, "a.plumber") as client:
            assert client.post("/graphql", json={"query": "{ version }"}, headers=header).status_code == 403
            own = {"Origin": f"https://localhost:{PAGES}", "Sec-Fetch-Site": "same-origin"}
            assert client.post("/graphql", json={"query": "{ version }"}, headers=own).status_code == 200

    def test_a_report_acts_for_nobody_and_a_link_among_them_leads_nowhere(self, stack: Stack, clients: Path) -> None:
        in_container(_HOSTILE, volumes=[f"{PROJECT}_reports:/reports"])
        with stack.client(clients, REPORTS, "a.viewer") as client:
            page = client.get("/hostile.html")
            assert (page.status_code, page.text) == (200, "<script>act()</script>")
            assert page.headers["content-security-policy"].startswith("sandbox; ")
            assert client.get("/key.html").status_code == 403
        with stack.client(clients, PAGES, "a.viewer") as client:
            assert "act()" not in client.get("/reports/hostile.html").text

    @pytest.mark.usefixtures("stack")
    @pytest.mark.parametrize("port", [PAGES, REPORTS, SERVICE])
    def test_plain_http_is_refused(self, port: int) -> None:
        assert httpx.get(f"http://localhost:{port}/", timeout=60, trust_env=False).status_code == 400

    @pytest.mark.usefixtures("stack")
    @pytest.mark.parametrize("port", [PAGES, REPORTS, SERVICE])
    def test_older_tls_is_refused(self, clients: Path, port: int) -> None:
        context = ssl.create_default_context(cafile=str(clients / "services.crt"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection(("localhost", port)) as plain, pytest.raises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname="localhost")

    def test_a_server_of_another_authority_is_not_believed(self, stack: Stack, tmp_path: Path) -> None:
        copy_volume("secrets-proxy", tmp_path)
        (tmp_path / "services.crt").write_bytes((tmp_path / "people.crt").read_bytes())
        with stack.client(tmp_path, SERVICE, None) as client, pytest.raises(httpx.ConnectError, match="certificate"):
            client.get("/health/live")

    def test_the_service_asks_for_a_token(self, stack: Stack, clients: Path) -> None:
        bearer = token("test-application")
        with stack.client(clients, SERVICE, None) as client:
            assert client.get("/health/live").status_code == 200
            assert client.get("/v1/tables").status_code == 401
            assert client.get("/v1/tables", headers={"Authorization": f"Bearer {bearer}x"}).status_code == 401
            # Accepted, whether or not there is an export to describe yet.
            assert client.get("/v1/tables", headers={"Authorization": f"Bearer {bearer}"}).status_code in {200, 503}
