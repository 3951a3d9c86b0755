"""Tests of the service on loopback: which certificates it takes, its TLS, and a client that reads nothing."""

from __future__ import annotations

import socket
import ssl
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509

from mlops_assets.deployment.certificates import Authority, Purpose
from mlops_assets.deployment.loopback import AUTHORITY, loopback_certificate
from mlops_assets.serving.http.tls import TlsError, demand_usable
from mlops_assets_tests.serving.certificates import NAMES, Office
from mlops_assets_tests.serving.sample import export_predictions
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(name="office")
def _office(tmp_path: Path) -> Office:
    return Office(tmp_path / "tls")


def missing(office: Office) -> tuple[Path, Path]:
    certificate, key = office.server()
    return certificate.with_name("other.crt"), key


def garbage(office: Office) -> tuple[Path, Path]:
    _, key = office.server()
    return office.write("server.crt", b"no certificate"), key


def ended(office: Office) -> tuple[Path, Path]:
    return office.server(lifetime=timedelta(days=-1))


def of_a_client(office: Office) -> tuple[Path, Path]:
    return office.server(purpose=Purpose.CLIENT)


def without_key(office: Office) -> tuple[Path, Path]:
    certificate, key = office.server()
    return certificate, key.with_name("other.key")


def of_another_key(office: Office) -> tuple[Path, Path]:
    _, key = office.client("other")
    return office.server()[0], key


def open_to_others(office: Office) -> tuple[Path, Path]:
    certificate, key = office.server()
    key.chmod(0o644)
    return certificate, key


@pytest.mark.parametrize(
    ("files", "culprit"),
    [
        (missing, "certificate cannot be read"),
        (garbage, "certificate cannot be read"),
        (ended, "it ended on"),
        (of_a_client, "not for servers"),
        (without_key, "key cannot be read"),
        (of_another_key, "is not the key of"),
        (open_to_others, "others than its owner"),
    ],
)
def test_files_that_cannot_serve_are_refused_by_name(
    office: Office, files: Callable[[Office], tuple[Path, Path]], culprit: str
) -> None:
    with pytest.raises(TlsError, match=culprit) as caught:
        demand_usable(*files(office))
    assert caught.value.remedy


def test_a_loopback_certificate_is_made_once_and_renewed_when_it_is_about_to_end(tmp_path: Path) -> None:
    certificate, key = loopback_certificate(tmp_path / "tls")
    assert key.stat().st_mode & 0o777 == 0o600
    made = certificate.read_bytes()
    assert loopback_certificate(tmp_path / "tls") == (certificate, key)
    assert certificate.read_bytes() == made
    demand_usable(certificate, key)
    soon = Authority.create("old").issue(NAMES, Purpose.SERVER, lifetime=timedelta(days=3))
    certificate.write_bytes(soon.certificate_pem)
    loopback_certificate(tmp_path / "tls")
    demand_usable(certificate, key)
    trusted = x509.load_pem_x509_certificate((tmp_path / "tls" / AUTHORITY).read_bytes())
    x509.load_pem_x509_certificate(certificate.read_bytes()).verify_directly_issued_by(trusted)


@pytest.fixture(name="secure")
def _secure(tmp_path: Path, office: Office) -> Iterator[Service]:
    """A running service that speaks TLS."""
    certificate, key = office.server()
    service = Service(
        tmp_path, changes={"tls_certificate": certificate, "tls_key": key}, authority=office.server_authority
    )
    service.create_keys()
    export_predictions(service.config.exports)
    with service:
        yield service


def served_certificate(service: Service, context: ssl.SSLContext | None = None) -> x509.Certificate:
    trusting = context or service.trust()
    assert isinstance(trusting, ssl.SSLContext)
    with (
        socket.create_connection(("127.0.0.1", service.port), timeout=60) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        certificate = tls.getpeercert(binary_form=True)
    assert certificate
    return x509.load_der_x509_certificate(certificate)


def test_only_tls_1_3_reaches_the_service(secure: Service) -> None:
    assert served_certificate(secure).subject.rfc4514_string() == "CN=localhost"
    context = ssl.create_default_context(cafile=secure.authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served_certificate(secure, context)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{secure.port}/health/live")
    with secure.client(secure.token()) as client:
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200


def test_a_client_that_reads_no_answer_takes_little_memory_and_is_cut(tmp_path: Path) -> None:
    """On loopback, without an edge: the web server reads no further than it answers, and the system ends it."""
    service = Service(tmp_path, changes={"request_seconds": 2.0})
    service.create_keys()
    export_predictions(service.config.exports)
    with service:
        before = memory_kib(service)
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(40)
            connection.connect(("127.0.0.1", service.port))
            with pytest.raises(ConnectionError):
                connection.sendall(300_000 * b"GET /v1/predictions HTTP/1.1\r\nHost: a\r\n\r\n")
        assert memory_kib(service) < 1.2 * before
        with service.client(service.token()) as client:
            assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200


def memory_kib(service: Service) -> int:
    """The most that the service's process has ever held."""
    assert service.process is not None
    lines = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
