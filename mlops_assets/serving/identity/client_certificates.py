"""Client certificates: which one a connection came with, and which principal it stands for.

Put here what is read of a verified certificate and the file that declares principals. Keep out its verification, which
is the handshake's.
"""

from __future__ import annotations

import hashlib
import ssl
import time
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mlops_assets.platform.base64url import to_base64url
from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.identifiers import is_identifier
from mlops_assets.platform.security.claims import PRINCIPAL_NAME
from mlops_assets.platform.security.token_keys import KeyFileError
from mlops_assets.platform.security.tokens import Principal
from mlops_assets.serving.identity.scopes import SCOPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from litestar.types import Scope as ConnectionScope

    from mlops_assets.platform.security.tokens import Columns

_KINDS: Final[Mapping[type[Any], str]] = {
    x509.DNSName: "DNS",
    x509.UniformResourceIdentifier: "URI",
    x509.RFC822Name: "EMAIL",
    x509.IPAddress: "IP",
}


class CertificateFileError(PlatformError):
    """A certificate's file cannot be read."""


@dataclass(frozen=True)
class ClientCertificate:
    """A certificate that the handshake verified.

    Attributes:
        thumbprint: SHA-256 of the certificate, base64url without padding (``x5t#S256`` of RFC 8705).
        subject: its subject after RFC 4514, such as ``CN=dashboard``.
        names: its subject alternative names, such as ``DNS:dashboard.example`` or ``URI:spiffe://example/dashboard``.
        expires: when it ends, seconds since 1970.
    """

    thumbprint: str
    subject: str
    names: frozenset[str]
    expires: float


class _Declared(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A principal as the file declares it; of ``san``, ``subject`` and ``thumbprint`` all that are given must fit."""

    name: str
    scopes: frozenset[Annotated[str, msgspec.Meta(pattern=SCOPE)]]
    limits: dict[str, frozenset[str]] = {}
    san: str | None = None
    subject: str | None = None
    thumbprint: str | None = None

    def fits(self, certificate: ClientCertificate) -> bool:
        return (
            (self.san is None or self.san in certificate.names)
            and (self.subject is None or self.subject == certificate.subject)
            and (self.thumbprint is None or self.thumbprint == certificate.thumbprint)
        )


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    principal: tuple[_Declared, ...]


@dataclass(frozen=True)
class DeclaredPrincipals:
    """The principals of a file, and the columns of which those without a limit see nothing."""

    _declared: Sequence[_Declared]
    _required_limits: Columns = frozenset()

    def principal(self, certificate: ClientCertificate) -> Principal | None:
        """Whom the certificate stands for; ``None`` when no declaration fits, or more than one."""
        fitting = [declared for declared in self._declared if declared.fits(certificate)]
        if len(fitting) != 1:
            return None
        (declared,) = fitting
        return Principal(
            name=declared.name,
            scopes=declared.scopes,
            limits=declared.limits,
            token_id=None,
            key_id=None,
            expires=certificate.expires,
            certificate=certificate.thumbprint,
            required_limits=self._required_limits,
        )


def read_principals(path: Path, *, required_limits: Columns = frozenset()) -> DeclaredPrincipals:
    """The principals that a TOML file declares, each a table of the array ``principal``.

    Args:
        path: the file.
        required_limits: columns of which a principal sees nothing that is not limited by them.

    Raises:
        KeyFileError: the file cannot be read or understood; nobody is let in by certificate then.
    """
    try:
        declared = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File).principal
    except (OSError, ValueError, RecursionError) as error:
        raise _unfit(path, f"it cannot be read as a declaration of principals ({error})") from error
    for one in declared:
        if not PRINCIPAL_NAME.fullmatch(one.name):
            raise _unfit(path, f"{one.name!r} is no application's name")
        if one.san is None and one.subject is None and one.thumbprint is None:
            raise _unfit(path, f"nothing says which certificate is {one.name}")
        if wrong := sorted(column for column in one.limits if not is_identifier(column)):
            raise _unfit(path, f"the limits {wrong} of {one.name} are no columns of tables")
    return DeclaredPrincipals(declared, required_limits)


def thumbprint_of(path: Path) -> str:
    """The thumbprint of the first certificate in a PEM file.

    Raises:
        CertificateFileError: it cannot be read.
    """
    try:
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise CertificateFileError(
            source=str(path),
            culprit=f"it cannot be read as a certificate ({type(error).__name__}).",
            remedy="Give the client's certificate as a PEM file.",
        ) from error
    return _thumbprint(certificate.public_bytes(Encoding.DER))


def client_certificate(scope: ConnectionScope) -> ClientCertificate | None:
    """The verified certificate of the request's connection; ``None`` when there is none or it has ended since."""
    tls: Any = (scope.get("extensions") or {}).get("tls")
    if not tls or not tls["client_cert_chain"]:
        return None
    certificate = _parsed(tls["client_cert_chain"][0])
    return certificate if certificate.expires > time.time() else None


@lru_cache(maxsize=1024)
def _parsed(pem: str) -> ClientCertificate:
    certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = frozenset[str]()
    else:
        names = frozenset(f"{_KINDS[type(name)]}:{name.value}" for name in alternatives if type(name) in _KINDS)
    return ClientCertificate(
        thumbprint=_thumbprint(ssl.PEM_cert_to_DER_cert(pem)),
        subject=certificate.subject.rfc4514_string(),
        names=names,
        expires=certificate.not_valid_after_utc.timestamp(),
    )


def _thumbprint(der: bytes) -> str:
    return to_base64url(hashlib.sha256(der).digest())


def _unfit(path: Path, culprit: str) -> KeyFileError:
    return KeyFileError(
        source=str(path), culprit=f"{culprit}.", remedy="Correct the file; docs/service.md shows its form."
    )
