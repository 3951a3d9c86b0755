"""Tests of connections to a service that speaks TLS and asks for a client certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from mlops_assets.client.connections import connection
from mlops_assets_tests.serving.certificates import Office
from mlops_assets_tests.serving.sample import export_customers
from mlops_assets_tests.serving.service_process import Service, require_nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

PRINCIPALS = """
[[principal]]
name = "dashboard"
san = "DNS:dashboard"
scopes = ["customers:read"]
limits = {territory = ["north"]}
"""
ADDRESS = "/v1/tables/customers"


@pytest.fixture(name="office", scope="module")
def _office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("tls"))


@pytest.fixture(name="guarded", scope="module")
def _guarded(tmp_path_factory: pytest.TempPathFactory, office: Office) -> Iterator[Service]:
    require_nginx()
    certificate, key = office.server()
    changes = {
        "tls_certificate": certificate,
        "tls_key": key,
        "client_ca": office.client_authority,
        "authentication": "certificate",
        "certificate_principals": office.write("principals.toml", PRINCIPALS.encode()),
    }
    service = Service(tmp_path_factory.mktemp("service"), changes=changes, authority=office.server_authority, edge={})
    service.create_keys()
    export_customers(service.config.exports)
    with service:
        service.wait_for_log("export served")
        yield service


def test_a_certificate_signs_the_client_in(guarded: Service, office: Office) -> None:
    certificate = office.client("dashboard")
    with connection(guarded.url, authority=office.server_authority, certificate=certificate) as client:
        assert client.get(ADDRESS).status_code == 200
        assert client.get(ADDRESS, params={"territory": "south"}).status_code == 403


def test_without_its_certificate_the_client_is_nobody(guarded: Service, office: Office) -> None:
    with connection(guarded.url, authority=office.server_authority) as client:
        assert client.get(ADDRESS).status_code == 401


def test_a_service_of_another_authority_is_not_believed(guarded: Service, office: Office) -> None:
    for authority in (None, office.client_authority):
        with (
            connection(guarded.url, authority=authority, certificate=office.client("dashboard")) as client,
            pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            client.get(ADDRESS)
