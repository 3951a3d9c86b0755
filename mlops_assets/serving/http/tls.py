"""TLS of a service on loopback: which certificate and key can serve, and how.

Put here what is judged of them before the service listens. Keep out who a client certificate belongs to
(``client_certificates``), how certificates are made, and the edge's TLS, which is the edge's.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import uvicorn

_OTHERS: Final = 0o077


class TlsError(PlatformError):
    """A certificate or key cannot be used to serve."""


def modern(_config: uvicorn.Config, given: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """The web server's context, for TLS 1.3 alone."""
    context = given()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    return context


def end_of(certificate: Path) -> datetime:
    """When the certificate ends.

    Raises:
        TlsError: it cannot be read.
    """
    return _read(certificate).not_valid_after_utc


def demand_usable(certificate: Path, key: Path) -> None:
    """Refuse files that cannot serve.

    Args:
        certificate: PEM file with the certificate chain, the server's own first.
        key: PEM file with its private key, readable by its owner only.

    Raises:
        TlsError: a file is missing, unreadable, open to others, ended, not valid yet, or does not fit the other.
    """
    own = _read(certificate)
    try:
        if key.stat().st_mode & _OTHERS:
            raise _unusable(key, "others than its owner may read the server's key", "Set its mode to 0600.")
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, TypeError, ValueError) as error:
        raise _unusable(
            key,
            f"the server's key cannot be read ({type(error).__name__})",
            "Give a PEM file without a password, or correct MLOPS_ASSETS_SERVICE__TLS_KEY.",
        ) from error
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*spki) != own.public_key().public_bytes(*spki):
        raise _unusable(key, f"it is not the key of {certificate}", "Give the key that the certificate was made for.")
    now = datetime.now(UTC)
    if own.not_valid_after_utc <= now:
        raise _unusable(certificate, f"it ended on {own.not_valid_after_utc:%Y-%m-%d}", "Renew the certificate.")
    if own.not_valid_before_utc > now:
        raise _unusable(
            certificate, f"it is valid from {own.not_valid_before_utc:%Y-%m-%d} on", "Correct this machine's clock."
        )
    if not _serves(own):
        raise _unusable(certificate, "it is not for servers", "Ask for one with the usage serverAuth.")


def _read(certificate: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise _unusable(
            certificate,
            f"the server's certificate cannot be read ({type(error).__name__})",
            "Give a PEM file, or correct MLOPS_ASSETS_SERVICE__TLS_CERTIFICATE.",
        ) from error


def _serves(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usage


def _unusable(file: Path, culprit: str, remedy: str) -> TlsError:
    return TlsError(source=str(file), culprit=f"{culprit}.", remedy=remedy)
