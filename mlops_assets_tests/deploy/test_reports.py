"""Reports behind the reverse proxy: whoever can write a page, or a link, gains nothing from those who look at it.

The proxy runs by its shipped configuration; that the deployment does so too is looked at in ``test_trust.py``.
"""

from __future__ import annotations

import json
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from mlops_assets.variance.report.pages import Picture, Section, page
from mlops_assets_tests.browser import browser_page, require_chromium
from mlops_assets_tests.deploy.reverse_proxy import ReverseProxy, running_proxy
from mlops_assets_tests.deploy.signed_in import signed_in
from mlops_assets_tests.deploy.stack import PAGES, REPORTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets_tests.browser import Page

pytestmark = pytest.mark.nginx

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"><rect width="7" height="7"/></svg>'
ACTING = """<!doctype html><title>Nothing</title><p>It shows.
<script>document.title = 'it ran'; fetch('PAGES/graphql', {method: 'POST', mode: 'no-cors', credentials: 'include'})
</script><form id="form" method="post" action="PAGES/graphql"><input name="query"></form>"""


@pytest.fixture(name="proxy", scope="module")
def _proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReverseProxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy")) as proxy:
        picture = Section(title="One", parts=[Picture(svg=SVG, alt="a square")])
        written = page(title="A report", lead="It shows.", sections=[picture])
        (proxy.reports / "report.html").write_text(written, encoding="utf-8")
        own = proxy.secrets / "proxy"
        (proxy.reports / "key.html").symlink_to(own / "server.key")
        (proxy.reports / "own").symlink_to(own)
        (proxy.reports / "folder").mkdir()
        (proxy.reports / "folder" / "again.html").symlink_to("../report.html")
        yield proxy


@pytest.fixture(name="client", params=["a.viewer", "a.plumber"])
def _client(proxy: ReverseProxy, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with proxy.client(REPORTS, request.param) as client:
        yield client


def test_a_report_is_shown_as_a_page(client: httpx.Client) -> None:
    answer = client.get("/report.html")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")
    assert "It shows." in answer.text


@pytest.mark.parametrize("path", ["key.html", "own/server.key", "own/server.crt", "folder/again.html"])
def test_no_link_is_followed(client: httpx.Client, path: str) -> None:
    assert client.get(f"/{path}").status_code in {403, 404}


@pytest.mark.parametrize(
    "path", ["%2e%2e/secrets/proxy/server.key", "..%2fsecrets/proxy/server.key", "folder/..%2f..%2fnginx.conf"]
)
def test_no_path_leads_out_of_the_folder(client: httpx.Client, path: str) -> None:
    assert client.get(f"/{path}").status_code in {400, 404}


def test_the_folder_is_not_listed(client: httpx.Client) -> None:
    assert [client.get(f"/{path}").status_code for path in ("", "folder/")] == [403, 403]


@pytest.mark.parametrize("path", ["report.html", "key.html", "missing.html", "folder/", "folder", ""])
def test_nothing_below_reports_acts_for_who_looks_at_it(client: httpx.Client, path: str) -> None:
    headers = client.get(f"/{path}").headers
    policy = headers["content-security-policy"].split("; ")
    # Without a word behind it the sandbox allows nothing: no scripts, no forms, and no origin.
    assert {"sandbox", "default-src 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("person", ["a.viewer", "a.plumber"])
def test_the_pages_have_no_reports_and_the_reports_no_pages(proxy: ReverseProxy, person: str) -> None:
    with proxy.client(PAGES, person) as pages, proxy.client(REPORTS, person) as reports:
        assert pages.get("/reports/report.html").text == f"pages of {person.removeprefix('a.')}"
        assert reports.get("/graphql").status_code == 404
        assert reports.post("/report.html").status_code == 405


@pytest.mark.parametrize("port", [PAGES, REPORTS])
def test_nobody_comes_in_without_a_certificate(proxy: ReverseProxy, port: int) -> None:
    context = ssl.create_default_context(cafile=str(proxy.certificates / "services.crt"))
    address = f"https://localhost:{proxy.ports[port]}/report.html"
    assert httpx.get(address, verify=context, trust_env=False).status_code == 400


@pytest.mark.parametrize(("asked_for", "status"), [("document", 200), ("iframe", 403), ("empty", 403), ("image", 403)])
def test_a_report_is_opened_and_never_part_of_another_page(client: httpx.Client, asked_for: str, status: int) -> None:
    headers = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": asked_for}
    assert client.get("/report.html", headers=headers).status_code == status


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_the_pages_take_nothing_that_a_report_asks(proxy: ReverseProxy, site: str) -> None:
    with proxy.client(PAGES, "a.plumber") as client:
        assert client.post("/graphql", headers={"Sec-Fetch-Site": site}).status_code == 403
        assert client.post("/graphql", headers={"Origin": "null"}).status_code == 403
        reports = f"https://localhost:{proxy.ports[REPORTS]}"
        assert client.post("/graphql", headers={"Origin": reports}).status_code == 403


@pytest.fixture(name="tab", scope="module")
def _tab(proxy: ReverseProxy) -> Iterator[tuple[Page, str, str]]:
    """A browser of somebody who may operate, and the addresses of the reports and of the pages."""
    require_chromium()
    with (
        signed_in(proxy.certificates, proxy.ports[REPORTS], "a.plumber") as reports,
        signed_in(proxy.certificates, proxy.ports[PAGES], "a.plumber") as pages,
        browser_page("--ignore-certificate-errors") as tab,
    ):
        # What a script in a report would do with the certificate that the browser has for the pages.
        (proxy.reports / "acting.html").write_text(ACTING.replace("PAGES", pages), encoding="utf-8")
        yield tab, reports, pages


@pytest.mark.chromium
def test_a_browser_shows_a_report_with_its_style_and_pictures(tab: tuple[Page, str, str]) -> None:
    shown, reports, _ = tab
    shown.open(f"{reports}/report.html")
    shown.wait_for("It shows.")
    assert shown.run("document.images[0].naturalWidth") == 7
    assert shown.run("getComputedStyle(document.querySelector('main')).maxWidth") != "none"


@pytest.mark.chromium
def test_a_browser_lets_a_hostile_report_do_nothing(tab: tuple[Page, str, str]) -> None:
    shown, reports, _ = tab
    shown.open(f"{reports}/acting.html")
    shown.wait_for("It shows.")
    assert shown.run("document.title") == "Nothing"
    assert shown.run("self.origin") == "null"
    shown.run("document.getElementById('form').submit()")
    assert shown.run("location.pathname") == "/acting.html"


@pytest.mark.chromium
def test_a_browser_opens_a_report_from_a_link_on_the_pages(tab: tuple[Page, str, str]) -> None:
    shown, reports, pages = tab
    shown.open(pages)
    shown.wait_for("pages of plumber")
    shown.run(f"location.assign('{reports}/report.html')")
    shown.wait_for("It shows.")


@pytest.mark.chromium
def test_even_a_report_without_its_policy_could_ask_nothing_of_the_pages(
    proxy: ReverseProxy, tab: tuple[Page, str, str]
) -> None:
    shown, reports, pages = tab
    # The browser's console is not held by the sandbox: from the reports' origin it asks as a script there could.
    shown.open(f"{reports}/report.html")
    shown.wait_for("It shows.")
    shown.call("Page.setBypassCSP", enabled=True)
    shown.open(f"{reports}/acting.html")
    shown.wait_for("It shows.")
    asking = f"fetch('{pages}/graphql', {{method: 'POST', mode: 'no-cors', credentials: 'include'}}).then(() => 1)"
    with suppress(AssertionError):
        shown.run(asking)
    audited = [json.loads(line) for line in proxy.log.read_text(encoding="utf-8").splitlines()]
    posted = [entry for entry in audited if entry["path"] == "/graphql" and entry["method"] == "POST"]
    assert "a.plumber" in {entry["person"] for entry in posted}
    assert {entry["status"] for entry in posted} == {403}
