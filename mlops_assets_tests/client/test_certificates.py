"""Tests of the client against a service that speaks TLS and asks for a client certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets.client.problems import ForbiddenError, ServiceUnreachableError, UnauthenticatedError
from mlops_assets.client.retries import Retries
from mlops_assets.client.service import ClientCertificate, PredictionService
from mlops_assets_tests.serving.certificates import Office
from mlops_assets_tests.serving.sample import export_predictions
from mlops_assets_tests.serving.service_process import Service, require_nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

PRINCIPALS = """
[[principal]]
name = "dashboard"
san = "DNS:dashboard"
scopes = ["predictions:read"]
limits = {state = ["NC"]}
"""
ONCE = Retries(attempts=1)


@pytest.fixture(name="office", scope="module")
def _office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("tls"))


@pytest.fixture(name="running", scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory, office: Office) -> Iterator[Service]:
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
    export_predictions(service.config.exports)
    with service:
        yield service


def test_a_certificate_signs_the_client_in(running: Service, office: Office) -> None:
    chain, key = office.client("dashboard")
    certificate = ClientCertificate(chain=chain, key=key)
    with PredictionService(running.url, authority=office.server_authority, certificate=certificate) as client:
        assert client.district("NC", "12").state == "NC"
        with pytest.raises(ForbiddenError):
            client.district("GA", "01")


def test_without_its_certificate_the_client_is_nobody(running: Service, office: Office) -> None:
    with (
        PredictionService(running.url, authority=office.server_authority, retries=ONCE) as client,
        pytest.raises(UnauthenticatedError),
    ):
        client.export()


def test_a_service_of_another_authority_is_not_believed(running: Service, office: Office) -> None:
    chain, key = office.client("dashboard")
    for authority in (None, office.client_authority):
        certificate = ClientCertificate(chain=chain, key=key)
        with (
            PredictionService(running.url, authority=authority, certificate=certificate, retries=ONCE) as client,
            pytest.raises(ServiceUnreachableError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            client.export()
