"""TLS: the server's certificate, the authorities of client certificates, and their renewal while the service runs.

Put here what is judged before and during a handshake. Keep out who a client certificate belongs to
(``client_certificates``) and how certificates are made.
"""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from pathlib import Path

_LOGGER: Final = logging.getLogger(__name__)
_OTHERS: Final = 0o077
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has no others."""


class TlsError(PlatformError):
    """A certificate or key cannot be used to serve."""


class ServerTls:
    """The server's side of TLS, from files that are replaced as certificates are renewed.

    A handshake always meets a whole context: new files become a context of their own, which takes the old one's place
    for handshakes that begin afterwards. Files that do not fit each other, or have ended, are refused and the old ones
    stay. Where client certificates are asked for, sessions are never resumed: each connection's certificate is verified
    by the authorities of that moment.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        """Read the files.

        Args:
            certificate: PEM file with the certificate chain, the server's own first.
            key: PEM file with its private key, readable by its owner only.
            client_ca: PEM file with the authorities that client certificates must come from; without it none is asked.

        Raises:
            TlsError: a file is missing, unreadable, open to others, ended, not valid yet, or does not fit the other.
        """
        self._files = (certificate, key, client_ca)
        self._seen = self._identities()
        self.context, self.expires = _context(certificate, key, client_ca)
        """The context to listen with, and when the certificate ends (seconds since 1970)."""
        self._current = self.context
        self.context.sni_callback = self._choose

    def refresh(self) -> bool:
        """Look at the files, and take them over if they changed and fit; returns whether it took them over."""
        seen = self._identities()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self._current, self.expires = _context(*self._files)
        except TlsError as error:
            _LOGGER.error("certificate refused", extra={"fields": {"error": str(error)}})  # noqa: TRY400
            return False
        _LOGGER.info(
            "certificate served",
            extra={"fields": {"expires": datetime.fromtimestamp(self.expires, UTC).isoformat(timespec="seconds")}},
        )
        return True

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def _identities(self) -> tuple[tuple[int, int, int], ...]:
        found = []
        for file in self._files:
            if file is None:
                continue
            try:
                status = file.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)


def tls_extension(connection: Any) -> dict[str, Any]:  # noqa: ANN401  an asyncio transport, of whatever loop
    """What ASGI's TLS extension says of a connection: the client certificate that its handshake verified, if any."""
    tls = connection.get_extra_info("ssl_object")
    certificate = None if tls is None else tls.getpeercert(binary_form=True)
    if not certificate:
        return {}
    return {"tls": {"client_cert_chain": (ssl.DER_cert_to_PEM_cert(certificate),), "client_cert_error": None}}


def _context(certificate: Path, key: Path, client_ca: Path | None) -> tuple[ssl.SSLContext, float]:
    expires = _demand_usable(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # TLS 1.2 resumes sessions out of a cache that Python cannot turn off, with the client certificate that was verified
    # when they began: also one of an authority that was withdrawn since.
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if client_ca is None else ssl.TLSVersion.TLSv1_3
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(
            certificate, f"it cannot be loaded ({error})", "Give a certificate chain and its key."
        ) from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(
                client_ca,
                f"it cannot be read as authorities of client certificates ({type(error).__name__})",
                "Give their certificates as a PEM file, or correct MLOPS_ASSETS_SERVICE__CLIENT_CA.",
            ) from error
        # A client without a certificate is refused by the application, so that the refusal stands in the audit trail
        # and health checks need none. A certificate that does not verify ends the handshake.
        context.verify_mode = ssl.CERT_OPTIONAL
    return context, expires


def _demand_usable(certificate: Path, key: Path) -> float:
    try:
        own = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise _unusable(
            certificate,
            f"the server's certificate cannot be read ({type(error).__name__})",
            "Give a PEM file, or correct MLOPS_ASSETS_SERVICE__TLS_CERTIFICATE.",
        ) from error
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
    return own.not_valid_after_utc.timestamp()


def _serves(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usage


def _unusable(file: Path, culprit: str, remedy: str) -> TlsError:
    return TlsError(source=str(file), culprit=f"{culprit}.", remedy=remedy)
