"""Certificates: private authorities, and what they issue to servers and people.

Put here how keys and certificates are made and judged. Keep out which ones a deployment has and where they lie.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTHORITY_LIFETIME: Final = timedelta(days=3650)
"""How long an authority is valid."""

LIFETIME: Final = timedelta(days=397)
"""How long an issued certificate is valid: the longest that browsers accept of any authority."""

RENEWED_BEFORE: Final = timedelta(days=30)
"""How long before its end a certificate is due."""

# Clocks differ; a certificate is valid a little before it is made.
_BACKDATED: Final = timedelta(minutes=5)


class Purpose(Enum):
    """What a certificate may be used for; one of a server never signs in as a client."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A key with its certificate.

    Attributes:
        certificate_pem: the certificate.
        key_pem: the private key (PKCS 8, not encrypted).
    """

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)

    def pkcs12(self, name: str) -> bytes:
        """Both in one file as browsers import it; not encrypted, since it lies beside its key."""
        key = load_pem_private_key(self.key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("keys of this module are of elliptic curves")
        certificate = x509.load_pem_x509_certificate(self.certificate_pem)
        return pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, None, NoEncryption())


class Authority:
    """A private certificate authority. What it signed is trusted where its own certificate was put, nowhere else."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(cls, name: str) -> Self:
        """A new authority of that name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        certificate = (
            _builder(subject, subject, key.public_key(), AUTHORITY_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def read(cls, certificate_pem: bytes, key_pem: bytes) -> Self:
        """The authority of these PEM texts.

        Raises:
            ValueError: a text cannot be read, or the key is not of an elliptic curve.
        """
        key = load_pem_private_key(key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key is not of an elliptic curve")  # noqa: TRY004  bad input, no bug
        return cls(x509.load_pem_x509_certificate(certificate_pem), key)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate that those who trust the authority get."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key (PKCS 8, not encrypted)."""
        return _pem(self._key)

    def issue(self, names: Sequence[str], purpose: Purpose, *, lifetime: timedelta = LIFETIME) -> Issued:
        """A new key and its certificate.

        Args:
            names: host names and addresses of a server, or the name of a client; the first is the common name.
            purpose: what it may be used for.
            lifetime: how long it is valid; a negative one has ended already.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _builder(_name(names[0]), self.certificate.subject, key.public_key(), lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose.value]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(identifier, critical=False)
            .sign(self._key, SHA256())
        )
        return Issued(certificate_pem=certificate.public_bytes(Encoding.PEM), key_pem=_pem(key))


def is_due(certificate_pem: bytes, *, now: datetime | None = None) -> bool:
    """Whether the certificate has ended or ends within ``RENEWED_BEFORE``."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    return certificate.not_valid_after_utc - (now or datetime.now(UTC)) < RENEWED_BEFORE


def is_issued_by(certificate_pem: bytes, authority: Authority) -> bool:
    """Whether the authority signed the certificate."""
    try:
        x509.load_pem_x509_certificate(certificate_pem).verify_directly_issued_by(authority.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def names_of(certificate_pem: bytes) -> list[str]:
    """The host names and addresses that the certificate is valid for, in its order."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    return [
        str(name.value) for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ]


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    start = min(now, now + lifetime) - _BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(now + lifetime)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
