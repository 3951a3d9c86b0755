"""Tests of TLS: what is refused before the service listens, and how certificates are renewed while it runs."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509

from mlops_assets.deployment.certificates import Authority, Purpose
from mlops_assets.deployment.loopback import AUTHORITY, loopback_certificate
from mlops_assets.serving.http.tls import ServerTls, TlsError
from mlops_assets_tests.serving.certificates import NAMES, Office
from mlops_assets_tests.serving.sample import export_predictions
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


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
        ServerTls(*files(office))
    assert caught.value.remedy


def test_authorities_that_cannot_be_read_are_refused(office: Office) -> None:
    with pytest.raises(TlsError, match="CLIENT_CA"):
        ServerTls(*office.server(), office.write("clients.crt", b"nothing"))


def test_a_loopback_certificate_is_made_once_and_renewed_when_it_is_about_to_end(tmp_path: Path) -> None:
    certificate, key = loopback_certificate(tmp_path / "tls")
    assert key.stat().st_mode & 0o777 == 0o600
    made = certificate.read_bytes()
    assert loopback_certificate(tmp_path / "tls") == (certificate, key)
    assert certificate.read_bytes() == made
    ServerTls(certificate, key)
    soon = Authority.create("old").issue(NAMES, Purpose.SERVER, lifetime=timedelta(days=3))
    certificate.write_bytes(soon.certificate_pem)
    loopback_certificate(tmp_path / "tls")
    ServerTls(certificate, key)
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


def test_only_modern_tls_reaches_the_service(secure: Service) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=secure.authority)
        context.minimum_version = context.maximum_version = version
        assert served_certificate(secure, context).subject.rfc4514_string() == "CN=localhost"
    for weak in ("AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "AES256-GCM-SHA384"):
        context = ssl.create_default_context(cafile=secure.authority)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(weak)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            served_certificate(secure, context)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{secure.port}/health/live")
    with secure.client(secure.token()) as client:
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200


def test_a_renewed_certificate_is_served_without_a_restart_and_a_bad_one_is_not(
    secure: Service, office: Office
) -> None:
    first = served_certificate(secure).serial_number
    with secure.client(secure.token()) as held:
        assert held.get("/v1/exports").status_code == 200
        office.server()
        secure.wait_for_log("certificate served")
        second = served_certificate(secure).serial_number
        assert second != first
        # The connection that was open goes on.
        assert held.get("/v1/exports").status_code == 200
        office.server(lifetime=timedelta(days=-1))
        assert "it ended on" in secure.wait_for_log("certificate refused")["error"]
        assert served_certificate(secure).serial_number == second
        office.write("server.crt", b"half a fi")
        secure.wait_for_log("certificate refused", count=2)
        assert served_certificate(secure).serial_number == second
        office.server()
        secure.wait_for_log("certificate served", count=2)
        assert served_certificate(secure).serial_number not in (first, second)


def test_renewed_authorities_of_clients_count_for_handshakes_from_then_on(tmp_path: Path, office: Office) -> None:
    certificate, key = office.server()
    changes = {"tls_certificate": certificate, "tls_key": key, "client_ca": office.client_authority}
    service = Service(tmp_path, changes=changes, authority=office.server_authority)
    service.create_keys()
    successor = Authority.create("successor")
    old, new = office.client("old"), office.client("new", authority=successor)

    def answered(identity: tuple[Path, Path]) -> bool:
        with service.client(identity=identity) as client:
            try:
                return client.get("/health/live").is_success
            except httpx.TransportError:
                return False

    with service, service.client(identity=old) as kept_open:
        assert (answered(old), answered(new)) == (True, False)
        assert kept_open.get("/health/live").is_success
        office.write("clients.crt", successor.certificate_pem)
        service.wait_for_log("certificate served")
        assert (answered(old), answered(new)) == (False, True)
        with pytest.raises(httpx.TransportError):
            kept_open.get("/health/live")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_brings_an_earlier_verified_client_certificate_back(office: Office, version: ssl.TLSVersion) -> None:
    files = office.server()
    served = ServerTls(*files, office.client_authority)
    trusting = ssl.create_default_context(cafile=office.server_authority)
    trusting.maximum_version = version
    trusting.load_cert_chain(*office.client("old"))
    session = None
    resumed = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
            handshake = pool.submit(greet, served, listener)
            try:
                connection = trusting.wrap_socket(
                    socket.create_connection(listener.getsockname()), server_hostname="localhost", session=session
                )
                connection.recv(1)
                session = connection.session
                # A session that was not ended in order would be forgotten.
                connection.unwrap().close()
            except (ssl.SSLError, ConnectionError):
                # Without TLS 1.3 there is no connection at all.
                assert version is ssl.TLSVersion.TLSv1_2
            resumed.append(handshake.result(timeout=60))
    assert resumed == [False, False]


def greet(served: ServerTls, listener: socket.socket) -> bool:
    """Serve one connection; returns whether it resumed an earlier one's session."""
    plain, _ = listener.accept()
    try:
        connection = served.context.wrap_socket(plain, server_side=True)
    except (ssl.SSLError, ConnectionError):
        return False
    resumed = bool(connection.session_reused)
    connection.sendall(b"x")
    connection.unwrap().close()
    return resumed


def test_a_client_that_never_finishes_its_handshake_is_dropped(tmp_path: Path, office: Office) -> None:
    certificate, key = office.server()
    changes = {"tls_certificate": certificate, "tls_key": key, "header_seconds": 0.5}
    service = Service(tmp_path, changes=changes, authority=office.server_authority)
    service.create_keys()
    # By itself the event loop would wait for a minute.
    with service, socket.create_connection(("127.0.0.1", service.port), timeout=30) as silent:
        silent.sendall(b"\x16\x03\x01")
        assert silent.recv(100) == b""
