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
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
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
    from collections.abc import Iterable, Sequence

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

    @property
    def serial(self) -> str:
        """The certificate's serial number, in hexadecimal digits."""
        return f"{x509.load_pem_x509_certificate(self.certificate_pem).serial_number:x}"

    @property
    def ends_at(self) -> datetime:
        """When the certificate ends."""
        return x509.load_pem_x509_certificate(self.certificate_pem).not_valid_after_utc

    def pkcs12(self, name: str) -> bytes:
        """Both in one file as browsers import it; not encrypted, since it lies beside its key."""
        certificate = x509.load_pem_x509_certificate(self.certificate_pem)
        key = _curve_key(self.key_pem)
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
    def read(cls, pem: bytes) -> Self:
        """The authority of that PEM text, its key and its certificate.

        Raises:
            ValueError: it cannot be read, or the key is not of an elliptic curve or is another certificate's.
        """
        if not is_pair(pem, pem):
            raise ValueError("its key is not its certificate's")
        return cls(x509.load_pem_x509_certificate(pem), _curve_key(pem))

    @property
    def certificate_pem(self) -> bytes:
        """The certificate that those who trust the authority get."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key (PKCS 8, not encrypted)."""
        return _pem(self._key)

    @property
    def pem(self) -> bytes:
        """Key and certificate in one text: a file of it is replaced at one instant."""
        return self.key_pem + self.certificate_pem

    @property
    def fingerprint(self) -> str:
        """What tells this authority from others of its name."""
        return self.certificate.fingerprint(SHA256()).hex()

    def issue(
        self, names: Sequence[str], purpose: Purpose, *, lifetime: timedelta = LIFETIME, unit: str | None = None
    ) -> Issued:
        """A new key and its certificate.

        Args:
            names: host names and addresses of a server, or the name of a client; the first is the common name.
            purpose: what it may be used for.
            lifetime: how long it is valid; a negative one has ended already.
            unit: of the subject beside the common name (OU), such as a person's role.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _builder(_name(names[0], unit), self.certificate.subject, key.public_key(), lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose.value]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(identifier, critical=False)
            .sign(self._key, SHA256())
        )
        return Issued(certificate_pem=certificate.public_bytes(Encoding.PEM), key_pem=_pem(key))

    def revocation_list(self, serials: Iterable[str]) -> bytes:
        """The signed list of the certificates that are revoked, for as long as the authority is valid.

        It lies beside those who read it: what is new is a new list, and one that ended would shut everybody out.

        Args:
            serials: their serial numbers, in hexadecimal digits.
        """
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - _BACKDATED)
            .next_update(self.certificate.not_valid_after_utc)
        )
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(now)
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM)

    def lists(self, list_pem: bytes, serials: Iterable[str]) -> bool:
        """Whether that is a list of this authority, of these revoked certificates and no others."""
        try:
            held = x509.load_pem_x509_crl(list_pem)
        except ValueError:
            return False
        signed = held.is_signature_valid(self._key.public_key())
        return signed and {entry.serial_number for entry in held} == {int(serial, 16) for serial in serials}


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


def is_pair(certificate_pem: bytes, key_pem: bytes) -> bool:
    """Whether both can be read, and the certificate is that key's."""
    try:
        certified = x509.load_pem_x509_certificate(certificate_pem).public_key()
        return certified == load_pem_private_key(key_pem, password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def names_of(certificate_pem: bytes) -> list[str]:
    """The host names and addresses that the certificate is valid for, in its order; none if it cannot be read."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError:
        return []
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


def _name(common_name: str, unit: str | None = None) -> x509.Name:
    # Written the other way round: CN=...,OU=...
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []
    return x509.Name([*units, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _curve_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not of an elliptic curve")  # noqa: TRY004  bad input, no bug
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
