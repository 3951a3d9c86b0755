"""Redirects to other hosts: followed by two real servers, of which the second is told no secret."""

from __future__ import annotations

import base64
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import pytest

import mlops_assets as ma
from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.http.access import Access
from mlops_assets.plumbing.sources.http.bodies import Kind
from mlops_assets.plumbing.sources.http.fetcher import Fetcher
from mlops_assets.plumbing.sources.http.limits import Limits
from mlops_assets_tests.plumbing.sources.api import ApiServer, Asked, Said, server_context
from mlops_assets_tests.plumbing.sources.rest_orders import SECRET, ids, order, read
from mlops_assets_tests.plumbing.sources.rest_orders import source as rest
from mlops_assets_tests.plumbing.sources.shop import SALES, Sale, contract, rows, run
from mlops_assets_tests.serving.certificates import Office

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TOKEN: Final = ma.Secret(file="orders_token")
BODY: Final = b"sale,day,amount,note\n1,2024-01-03,1.5,first\n"
QUICK: Final = ma.FileLimits(attempts=1, first_delay_seconds=0.01)
BASIC: Final = base64.b64encode(f"reader:{SECRET}".encode()).decode()

pytestmark = pytest.mark.usefixtures("secrets")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Who issues certificates."""
    return Office(tmp_path_factory.mktemp("office"))


@contextmanager
def two(
    query: str = "", headers: Mapping[str, str] | None = None, context: ssl.SSLContext | None = None
) -> Iterator[tuple[ApiServer, ApiServer]]:
    """A server that leads to a second one, which has the file."""
    second = ApiServer(lambda _: Said(value=BODY, content_type="text/csv", headers={"ETag": '"b"'}), context)

    def moved(_: Asked) -> Said:
        return Said(status=302, headers={"Location": f"{second.url}/data/b.csv{query}", **(headers or {})}, value=b"")

    with second, ApiServer(moved, context) as first:
        yield first, second


def source(at: str, **options: Any) -> ma.HttpFileSource:  # noqa: ANN401  a declaration's
    return ma.HttpFileSource(
        **{"contract": SALES, "url": f"{at}/{{month}}.csv", "limits": QUICK, "retries": 0, **options}
    )


def told(server: ApiServer) -> str:
    return repr(server.asked)


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        (ma.Bearer(secret=TOKEN), SECRET),
        (ma.Basic(user="reader", password=TOKEN), BASIC),
        (ma.ApiKey(secret=TOKEN, header="X-Api-Key"), SECRET),
        (ma.ApiKey(secret=TOKEN, query="key"), SECRET),
    ],
    ids=["bearer", "basic", "key in a header", "key in the query"],
)
def test_the_other_host_gets_no_secret(auth: Any, sent: str) -> None:  # noqa: ANN401  one of several
    with two(headers={"Set-Cookie": "session=of-the-first"}) as (first, second):
        done = run(source(first.url, auth=auth, headers={"X-Tenant": "declared"}))
    assert done.success, done.told
    assert len(rows()) == 1
    assert sent in told(first)
    assert "declared" in told(first)
    for text in (SECRET, BASIC, "declared", "of-the-first", "reader"):
        assert text not in told(second)


def test_it_is_told_where_the_file_came_from_without_the_query() -> None:
    with two("?signature=0123456789abcdef") as (first, second):
        done = run(source(first.url))
        assert second.asked[0].query == {"signature": "0123456789abcdef"}
    assert done.metadata["redirected_to"] == f"{second.url}/data/b.csv"
    kept = done.metadata["mlops_assets/raw"]
    assert kept["origin"] == f"{first.url}/2024-01.csv (redirected to {second.url}/data/b.csv)"
    assert "0123456789abcdef" not in repr(done.metadata)


def test_the_sensor_sees_the_validator_of_the_other_host() -> None:
    with two() as (first, _):
        found = source(first.url, auth=ma.Bearer(secret=TOKEN)).identities({"2024-01": None})
    assert found["2024-01"].startswith('"b" of ')


@pytest.mark.parametrize("query", [f"?key={SECRET}", f"?next={SECRET}", f"/{SECRET}"])
def test_an_address_elsewhere_that_repeats_the_secret_is_not_asked(query: str) -> None:
    with two(query) as (first, second):
        done = run(source(first.url, auth=ma.ApiKey(secret=TOKEN, query="key")))
        assert second.asked == []
    assert "with a secret in the address, which is not followed" in done.told
    assert SECRET not in done.told


def test_an_address_elsewhere_that_repeats_a_password_is_not_asked() -> None:
    with two(f"?pw={SECRET}") as (first, second):
        done = run(source(first.url, auth=ma.Basic(user="reader", password=TOKEN)))
        assert "with a secret in the address" in done.told
        assert SECRET not in done.told
        assert second.asked == []


def test_an_address_elsewhere_that_repeats_a_secret_of_the_address_is_not_asked() -> None:
    with two("?token=0123456789abcdef") as (first, second):
        done = run(source(first.url, url=f"{first.url}/{{month}}.csv?token=0123456789abcdef"))
        assert second.asked == []
    assert "with a secret in the address" in done.told


def test_a_client_certificate_is_shown_to_the_first_host_alone(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(office.server_authority))
    certificate, key = office.client("reader")
    auth = ma.ClientCertificate(certificate=str(certificate), key=str(key), authority=str(office.server_authority))
    asks = server_context(*office.server(), clients=office.client_authority)
    for context, success in ((server_context(*office.server()), True), (asks, False)):
        second = ApiServer(lambda _: Said(value=BODY, content_type="text/csv"), context)
        moved = Said(status=302, headers={"Location": f"{second.url}/b"}, value=b"")
        with second, ApiServer(lambda _, said=moved: said, asks) as first:  # type: ignore[misc]
            done = run(source(first.url, auth=auth))
            assert len(first.asked) == 1
        assert done.success == success, done.told


def test_who_is_led_back_is_not_told_again(tmp_path: Path) -> None:
    places: dict[str, str] = {}

    def back(_: Asked) -> Said:
        return Said(status=302, headers={"Location": f"{places['first']}/end"}, value=b"")

    def start(asked: Asked) -> Said:
        if asked.path == "/end":
            return Said(value=[order(1)])
        return Said(status=302, headers={"Location": places["second"]}, value=b"")

    with ApiServer(back) as second, ApiServer(start) as first:
        places |= {"first": first.url, "second": second.url}
        assert ids(read(rest(first.url, auth=ma.Bearer(secret=TOKEN)), tmp_path / "s")) == [1]
    assert [("authorization" in each.headers) for each in first.asked] == [True, False]


def test_a_next_page_on_the_other_host_is_asked_without_secrets(tmp_path: Path) -> None:
    def pages(asked: Asked) -> Said:
        following = {} if asked.path == "/2" else {"Link": '</2>; rel="next"'}
        return Said(value=[order(2 if asked.path == "/2" else 1)], headers=following)

    with ApiServer(pages) as second:
        moved = Said(status=307, headers={"Location": f"{second.url}/1"}, value=b"")
        with ApiServer(lambda _: moved) as first:
            declared = rest(
                first.url,
                auth=ma.ApiKey(secret=TOKEN, query="key"),
                headers={"X-Tenant": "declared"},
                paginate=ma.LinkHeader(),
            )
            assert ids(read(declared, tmp_path / "s")) == [1, 2]
    assert [each.path for each in second.asked] == ["/1", "/2"]
    assert SECRET not in told(second)
    assert "declared" not in told(second)


def test_addresses_that_a_declaration_names_on_several_hosts_are_all_signed() -> None:
    with two() as (_, one), two() as (_, other):
        ports = [each.url.rpartition(":")[2] for each in (one, other)]
        table = contract("by_port", Sale, partitions_def=dg.StaticPartitionsDefinition(ports))
        hosts = source("", url="http://127.0.0.1:{partition}/b.csv", auth=ma.Bearer(secret=TOKEN), contract=table)
        assert {*hosts.identities(dict.fromkeys(ports))} == {*ports}
    assert SECRET in told(one)
    assert SECRET in told(other)


def test_a_circle_of_two_hosts_ends() -> None:
    places: dict[str, str] = {}

    def to(name: str) -> Any:  # noqa: ANN401  an answer's function
        return lambda _: Said(status=302, headers={"Location": places[name]}, value=b"")

    with ApiServer(to("second")) as first, ApiServer(to("first")) as second:
        places |= {"first": first.url, "second": second.url}
        with (
            Fetcher(limits=Limits(attempts=1), access=Access()) as client,
            pytest.raises(SourceError, match="redirects more than 5 times"),
        ):
            client.get(first.url, Kind.CSV)
        assert len(first.asked) + len(second.asked) == 6
