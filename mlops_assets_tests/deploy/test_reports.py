"""Reports behind the reverse proxy: whoever can write a page, or a link, gains nothing from those who look at it.

The proxy runs by its shipped configuration; that the deployment does so too is looked at in ``test_trust.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets.variance.pages import Section, figure, page
from mlops_assets_tests.browser import browser_page, require_chromium
from mlops_assets_tests.deploy.reverse_proxy import ReverseProxy, running_proxy
from mlops_assets_tests.deploy.signed_in import signed_in
from mlops_assets_tests.deploy.stack import OPERATOR, VIEWER

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from mlops_assets_tests.browser import Page

pytestmark = pytest.mark.nginx

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"><rect width="7" height="7"/></svg>'
ACTING = """<!doctype html><title>Nothing</title><p>It shows.
<script>document.title = 'it ran'; fetch('/graphql').then(() => { document.title = 'it asked' })</script>
<form id="form" method="post" action="/graphql"><input name="query"></form>"""


@pytest.fixture(name="proxy", scope="module")
def _proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReverseProxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy")) as proxy:
        picture = Section(title="One", body=figure(SVG, alt="a square"))
        written = page(title="A report", lead="It shows.", sections=[picture])
        (proxy.reports / "report.html").write_text(written, encoding="utf-8")
        (proxy.reports / "acting.html").write_text(ACTING, encoding="utf-8")
        own = proxy.secrets / "proxy"
        (proxy.reports / "key.html").symlink_to(own / "server.key")
        (proxy.reports / "own").symlink_to(own)
        (proxy.reports / "folder").mkdir()
        (proxy.reports / "folder" / "again.html").symlink_to("../report.html")
        yield proxy


@pytest.fixture(name="client", params=[(VIEWER, "viewer"), (OPERATOR, "operator")], ids=["viewer", "operator"])
def _client(proxy: ReverseProxy, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with proxy.client(*request.param) as client:
        yield client


def test_a_report_is_shown_as_a_page(client: httpx.Client) -> None:
    answer = client.get("/reports/report.html")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")
    assert "It shows." in answer.text


@pytest.mark.parametrize("path", ["key.html", "own/server.key", "own/server.crt", "folder/again.html"])
def test_no_link_is_followed(client: httpx.Client, path: str) -> None:
    assert client.get(f"/reports/{path}").status_code in {403, 404}


@pytest.mark.parametrize(
    "path", ["%2e%2e/secrets/proxy/server.key", "..%2fsecrets/proxy/server.key", "folder/..%2f..%2fnginx.conf"]
)
def test_no_path_leads_out_of_the_folder(client: httpx.Client, path: str) -> None:
    assert client.get(f"/reports/{path}").status_code in {400, 502}


def test_the_folder_is_not_listed(client: httpx.Client) -> None:
    assert [client.get(f"/reports/{path}").status_code for path in ("", "folder/")] == [403, 403]


@pytest.mark.parametrize("path", ["report.html", "key.html", "missing.html", "folder/", "folder", ""])
def test_nothing_below_reports_acts_for_who_looks_at_it(client: httpx.Client, path: str) -> None:
    headers = client.get(f"/reports/{path}").headers
    policy = headers["content-security-policy"].split("; ")
    # Without a word behind it the sandbox allows nothing: no scripts, no forms, and no origin.
    assert {"sandbox", "default-src 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert headers["x-content-type-options"] == "nosniff"


def test_the_policy_of_reports_is_not_that_of_the_pages(client: httpx.Client) -> None:
    answer = client.get("/server_info")
    assert answer.status_code == 502
    assert "content-security-policy" not in answer.headers


@pytest.fixture(name="tab", scope="module")
def _tab(proxy: ReverseProxy) -> Iterator[tuple[Page, str]]:
    """A browser of an operator, and the address of the reports."""
    require_chromium()
    with (
        signed_in(proxy.certificates, proxy.ports[OPERATOR], "operator") as address,
        browser_page("--ignore-certificate-errors") as tab,
    ):
        yield tab, f"{address}/reports"


@pytest.mark.chromium
def test_a_browser_shows_a_report_with_its_style_and_pictures(tab: tuple[Page, str]) -> None:
    shown, reports = tab
    shown.open(f"{reports}/report.html")
    shown.wait_for("It shows.")
    assert shown.run("document.images[0].naturalWidth") == 7
    assert shown.run("getComputedStyle(document.querySelector('main')).maxWidth") != "none"


@pytest.mark.chromium
def test_a_browser_lets_a_hostile_report_do_nothing(tab: tuple[Page, str]) -> None:
    shown, reports = tab
    shown.open(f"{reports}/acting.html")
    shown.wait_for("It shows.")
    assert shown.run("document.title") == "Nothing"
    assert shown.run("self.origin") == "null"
    shown.run("document.getElementById('form').submit()")
    assert shown.run("location.pathname") == "/reports/acting.html"
