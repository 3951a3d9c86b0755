"""The simulated servers over real HTTP: the census API's shapes and errors, entity tags, folders, faults."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mlops_assets.simulation.servers import Fault, FolderServer
from mlops_assets.simulation.sources import DEMO_KEY, SourceSystems

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.simulation.servers import SourceServer

get = partial(httpx.get, timeout=60)
PROFILE = "/2022/acs/acs1/profile"
DISTRICTS = "congressional district:*"


@pytest.fixture(scope="module")
def server(systems: SourceSystems) -> Iterator[SourceServer]:
    """A server without faults."""
    with systems.serve() as running:
        yield running


def _ask(server: SourceServer, path: str = PROFILE, **query: str) -> httpx.Response:
    asked = {"get": "NAME,DP05_0001E", "for": DISTRICTS, "in": "state:37", "key": DEMO_KEY} | query
    return get(server.profiles_url + path, params={name: value for name, value in asked.items() if value})


def test_a_group_comes_as_rows_with_a_header_and_geography_last(server: SourceServer) -> None:
    header, *rows = _ask(server, get="NAME,group(DP05)").json()

    assert header[0] == "NAME"
    assert header[-2:] == ["state", "congressional district"]
    assert {"GEO_ID", "DP05_0001E", "DP05_0073PM"} < set(header)
    assert [row[-2:] for row in rows] == [["37", f"{number:02d}"] for number in range(1, 15)]
    assert all(isinstance(value, str) for row in rows for value in row)


def test_single_variables_and_districts_can_be_asked_for(server: SourceServer) -> None:
    answer = _ask(server, get="DP05_0001E,NAME", **{"for": "congressional district:02,14"})

    header, *rows = answer.json()
    assert header == ["DP05_0001E", "NAME", "state", "congressional district"]
    assert [row[-1] for row in rows] == ["02", "14"]
    assert len(_ask(server, **{"in": ""}).json()) == 1 + 28


def test_the_group_file_gives_labels_without_a_key(server: SourceServer) -> None:
    answer = get(f"{server.profiles_url}/2022/acs/acs1/profile/groups/DP05.json")

    variables: dict[str, Any] = answer.json()["variables"]
    assert variables["DP05_0001E"] == {"label": "Estimate!!SEX AND AGE!!Total population"}
    assert set(_ask(server, get="group(DP05)").json()[0]) >= set(variables)


@pytest.mark.parametrize(("key", "title"), [("", "Missing Key"), ("wrong", "Invalid Key")])
def test_without_a_valid_key_the_client_is_sent_to_an_html_page(server: SourceServer, key: str, title: str) -> None:
    answer = _ask(server, key=key)

    assert answer.status_code == 302
    page = get(server.url + answer.headers["Location"])
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html")
    assert title in page.text


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({"get": "DP05_9999E"}, 400, "error: unknown variable 'DP05_9999E'"),
        ({"get": ""}, 400, "error: missing 'get' argument"),
        ({"for": "tract:*"}, 400, "error: unknown/unsupported geography hierarchy"),
        ({"in": "county:*"}, 400, "error: unknown/unsupported geography hierarchy"),
        ({"in": "state:36"}, 204, ""),
        ({"path": "/1999/acs/acs1/profile"}, 404, "404 Not Found"),
        ({"path": "/2022/acs/acs9/profile"}, 404, "404 Not Found"),
    ],
)
def test_requests_that_cannot_be_answered_get_the_real_apis_answer(
    server: SourceServer, query: dict[str, str], status: int, text: str
) -> None:
    answer = _ask(server, **query)

    assert answer.status_code == status
    assert text in answer.text


def test_unchanged_returns_are_not_sent_again(server: SourceServer, systems: SourceSystems) -> None:
    first = get(server.house_returns_url)
    tag = first.headers["ETag"]

    assert first.content == systems.house_returns.read_bytes()
    assert first.headers["Content-Type"] == "text/csv"
    for known in (tag, f'"other", W/{tag}', "*"):
        again = get(server.house_returns_url, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert get(server.house_returns_url, headers={"If-None-Match": '"other"'}).status_code == 200
    dated = get(server.house_returns_url, headers={"If-Modified-Since": first.headers["Last-Modified"]})
    assert dated.status_code == 304


def test_a_folder_is_served_with_names_and_tags_that_follow_the_content(tmp_path: Path) -> None:
    (tmp_path / "2021").mkdir()
    file = tmp_path / "2021" / "a b.csv"
    file.write_text("x\n1\n", encoding="utf-8")
    (tmp_path / "z.json").write_text("{}", encoding="utf-8")

    with FolderServer(tmp_path) as server:
        assert get(f"{server.url}/").json() == ["2021/", "z.json"]
        assert get(f"{server.url}/2021/").json() == ["a b.csv"]
        first = get(f"{server.url}/2021/a%20b.csv")
        assert first.text == "x\n1\n"
        file.write_text("x\n1\n2\n", encoding="utf-8")
        second = get(f"{server.url}/2021/a%20b.csv", headers={"If-None-Match": first.headers["ETag"]})
        assert (second.status_code, second.text) == (200, "x\n1\n2\n")
        assert httpx.head(f"{server.url}/z.json").headers["Content-Length"] == "2"
        assert [get(f"{server.url}/{path}").status_code for path in ("absent", "2021", "absent/")] == [404] * 3
        assert server.requests[0] == "/"


@pytest.mark.parametrize("path", ["/..%2Fsecret.txt", "/%2E%2E/secret.txt", "/inside/../../secret.txt", "/link"])
def test_nothing_outside_the_folder_is_reachable(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    served = tmp_path / "served"
    (served / "inside").mkdir(parents=True)
    os.symlink(tmp_path / "secret.txt", served / "link")  # noqa: PTH211 - the link is the test's point

    with FolderServer(served) as server, httpx.Client(timeout=60) as client:
        request = client.build_request("GET", server.url)
        request.url = request.url.copy_with(raw_path=path.encode())
        assert client.send(request).status_code == 404


def test_faults_come_in_their_order_and_then_the_right_answer(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("0123456789", encoding="utf-8")
    faults = [Fault.too_many_requests(retry_after=3), Fault.server_error(), Fault.html_page(), Fault.half_body()]

    with FolderServer(tmp_path, faults=faults) as server:
        address = f"{server.url}/x.txt"
        limited, broken, portal = (get(address) for _ in range(3))
        with pytest.raises(httpx.RemoteProtocolError, match="received 5 bytes, expected 10"):
            get(address)
        right = get(address)
        server.inject(Fault.server_error())
        again = get(address)

    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "3")
    assert broken.status_code == again.status_code == 500
    assert (portal.status_code, portal.headers["Content-Type"]) == (200, "text/html")
    assert right.text == "0123456789"
    assert server.requests == ["/x.txt"] * 6


def test_a_server_is_gone_after_its_block_and_its_port_free_again(tmp_path: Path) -> None:
    with FolderServer(tmp_path) as server:
        port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(httpx.ConnectError):
        get(server.url)

    with FolderServer(tmp_path, port=port) as again:
        assert get(f"{again.url}/").json() == []
