"""The whole way of a person: a certificate, nginx by its shipped configuration, and the web server behind it."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from mlops_assets.deployment.certificates import Authority, Purpose
from mlops_assets_tests.browser import browser_page, require_chromium
from mlops_assets_tests.deploy.reverse_proxy import ReverseProxy, running_proxy
from mlops_assets_tests.deploy.signed_in import signed_in
from mlops_assets_tests.deploy.stack import PAGES, REPORTS, ROLES
from mlops_assets_tests.deployment.pages.changes import LAUNCH, execution, run_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets_tests.deployment.pages.asking import Served

pytestmark = pytest.mark.nginx

FORGED = [("X-Role", "modeler"), ("x-role", "modeler"), ("X_Role", "modeler")]


@pytest.fixture(name="proxy", scope="module")
def _proxy(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReverseProxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), served.socket) as proxy:
        (proxy.reports / "report.html").write_text("It shows.", encoding="utf-8")
        yield proxy


@pytest.mark.parametrize("role", ROLES)
def test_a_certificate_launches_in_its_own_location_whatever_the_client_says(proxy: ReverseProxy, role: str) -> None:
    with proxy.client(PAGES, f"a.{role}") as client:
        for location, owner in (("plumbing", "plumber"), ("wrangling", "wrangler"), ("modeling", "modeler")):
            body = {"query": LAUNCH % "", "variables": {"p": execution(location)}}
            answer = client.post("/graphql", json=body, headers=FORGED).text
            assert ("LaunchRunSuccess" in answer) is (role == owner)


def test_runs_are_followed_over_the_proxys_web_socket(proxy: ReverseProxy, served: Served) -> None:
    run = run_of(served, execution("modeling"))
    context = ssl.create_default_context(cafile=str(proxy.certificates / "services.crt"))
    context.load_cert_chain(proxy.certificates / "a.viewer.pem")
    address = f"wss://localhost:{proxy.ports[PAGES]}/graphql"
    logs = "{ ... on PipelineRunLogsSubscriptionSuccess { cursor } }"
    query = f'subscription {{ pipelineRunLogs(runId: "{run}") {logs} }}'
    with connect(address, ssl=context, subprotocols=[Subprotocol("graphql-ws")]) as connection:
        connection.send(json.dumps({"id": "1", "type": "start", "payload": {"query": query}}))
        assert json.loads(connection.recv())["type"] == "data"


@pytest.mark.parametrize("port", [PAGES, REPORTS])
def test_a_role_that_is_not_declared_is_shown_nothing(proxy: ReverseProxy, port: int) -> None:
    authority = Authority.read((proxy.secrets / "authority" / "people.pem").read_bytes())
    issued = authority.issue(["eve"], Purpose.CLIENT, unit="root")
    (proxy.certificates / "eve.pem").write_bytes(issued.key_pem + issued.certificate_pem)
    with proxy.client(port, "eve") as client:
        assert {client.get(path).status_code for path in ("/", "/report.html", "/server_info", "/role")} <= {403, 404}
        assert client.get("/report.html").status_code == 403
    with proxy.client(REPORTS, "a.viewer") as client:
        assert client.get("/report.html").text == "It shows."


@pytest.mark.chromium
def test_a_browser_greys_out_what_is_anothers(proxy: ReverseProxy) -> None:
    require_chromium()
    button = "[...document.querySelectorAll('button')].find(each => each.innerText.includes('Materialize')).disabled"
    with (
        signed_in(proxy.certificates, proxy.ports[PAGES], "a.plumber") as address,
        browser_page("--ignore-certificate-errors") as page,
    ):
        for location, disabled in (("plumbing", False), ("modeling", True)):
            page.open(f"{address}/assets/{location}/table")
            page.wait_for("Materialize")
            page.settle()
            assert page.run(button) is disabled
