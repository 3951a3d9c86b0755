"""Access tokens: signed statements of which application asks, what it may do and which objects it may see.

Put here what a token says, and issuing. Keep out verifying (``token_verifier``), what a scope or a limit means (the
service knows) and any web framework: the service's request path imports this module.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

import jwt

from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.identifiers import is_identifier
from mlops_assets.platform.security.token_keys import key_id_of, read_signing_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MAX_LIFETIME: Final = timedelta(days=90)
"""A leaked token cannot be called back without retiring its key, so none lives longer."""

TYPE: Final = "at+jwt"
"""The header's ``typ`` after RFC 9068: no other kind of JWT, such as an identity token, passes for an access token."""

REQUIRED_CLAIMS: Final = ("exp", "nbf", "iat", "iss", "aud", "sub", "jti", "scope")
"""Claims without which a token is refused."""

CONFIRMATION: Final = "cnf"
"""The claim that binds a token to a key of its holder (RFC 7800)."""

THUMBPRINT: Final = "x5t#S256"
"""Its member for a client certificate: the SHA-256 of the certificate, base64url without padding (RFC 8705)."""

LIMITS: Final = "limits"
"""The claim that limits a token to some objects: for each column that tables are limited by, the values it may see."""

Columns = frozenset[str] | Literal[True]
"""Columns that tables are limited by: those, or all."""

_ALGORITHM: Final = "EdDSA"
_PRINCIPAL: Final = re.compile(r"[a-z][a-z0-9-]{1,62}")
_SCOPE: Final = re.compile(r"[a-z][a-z0-9_.:-]*")
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class Refusal(StrEnum):
    """Why a token was refused; short and fixed, fit for a log line."""

    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    PURPOSE = "purpose"
    CLAIMS = "claims"
    REVOKED = "revoked"
    BINDING = "binding"


class TokenError(PlatformError):
    """A token is refused, or cannot be issued as asked.

    Attributes:
        reason: why a verifier refused it; ``None`` when it could not be issued.
    """

    def __init__(self, *, source: str, culprit: str, remedy: str, reason: Refusal | None = None) -> None:
        super().__init__(source=source, culprit=culprit, remedy=remedy)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who asks, as a verified token or client certificate says.

    Attributes:
        name: name of the application, never of a person.
        scopes: what it may do.
        limits: for each column that tables are limited by the values it may see, as text; a column that is absent is
            not limited, unless it is among the ``required_limits``.
        token_id: id of the token (``jti``), to find it in a log without logging it; ``None`` without a token.
        key_id: id of the key that signed it; ``None`` without a token.
        expires: when it ends, seconds since 1970.
        certificate: thumbprint of the client certificate that the principal must show, or has shown; ``None`` for a
            token that anybody may bear.
        required_limits: columns of which it sees nothing as long as ``limits`` does not name them.
    """

    name: str
    scopes: frozenset[str]
    limits: Mapping[str, frozenset[str]]
    token_id: str | None
    key_id: str | None
    expires: float
    certificate: str | None = None
    required_limits: Columns = frozenset()

    def lacks_limit(self, column: str) -> bool:
        """Whether it sees nothing of what is limited by that column, since it has no limit and needs one."""
        return column not in self.limits and (self.required_limits is True or column in self.required_limits)


def is_scope(name: str) -> bool:
    """Whether a scope can be called that."""
    return _SCOPE.fullmatch(name) is not None


def issue_token(
    principal: str,
    *,
    scopes: Iterable[str],
    lifetime: timedelta,
    signing_key: Path,
    issuer: str,
    audience: str,
    limits: Mapping[str, Iterable[str]] | None = None,
    certificate: str | None = None,
) -> str:
    """Sign a token (a JWT of RFC 9068's type) for an application.

    Args:
        principal: the application's name, lower-case letters, digits and hyphens.
        scopes: what it may do.
        lifetime: how long from now, at most ``MAX_LIFETIME``.
        signing_key: PEM file of the private key.
        issuer: who issues it, as verifiers expect it.
        audience: the service it is for.
        limits: for each column to limit by the values that the token may see. A limit without values lets it see
            none.
        certificate: thumbprint of the client certificate without which the token is worth nothing; ``None`` for a
            token that whoever bears it may use.

    Raises:
        TokenError: name, scopes, limits, thumbprint or lifetime are not acceptable.
        KeyFileError: the signing key cannot be used.
    """
    scope = sorted(set(scopes))
    limited = {column: sorted(set(values)) for column, values in (limits or {}).items()}
    if not _PRINCIPAL.fullmatch(principal):
        raise _not_issued(
            "the principal is no application's name", "Use 2 to 63 of a-z, 0-9 and hyphen, a letter first."
        )
    if not scope or not all(map(is_scope, scope)):
        raise _not_issued(f"the scopes are {scope}", "Give scopes such as customers:read.")
    if wrong := sorted(column for column in limited if not is_identifier(column)):
        raise _not_issued(f"limits {wrong} are no columns of tables", "Give lower-case names of columns.")
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise _not_issued(f"the lifetime is {lifetime}", f"Choose one above zero, up to {MAX_LIFETIME.days} days.")
    if certificate is not None and not _THUMBPRINT.fullmatch(certificate):
        raise _not_issued("the thumbprint is no SHA-256 in base64url", "Name the certificate's file.")
    binding = {} if certificate is None else {CONFIRMATION: {THUMBPRINT: certificate}}
    private = read_signing_key(signing_key)
    now = int(time.time())
    return jwt.encode(
        {
            "iss": issuer,
            "aud": audience,
            "sub": principal,
            "scope": " ".join(scope),
            "iat": now,
            "nbf": now,
            "exp": now + int(lifetime.total_seconds()),
            "jti": str(uuid.uuid4()),
            **({LIMITS: limited} if limited else {}),
            **binding,
        },
        private,
        algorithm=_ALGORITHM,
        headers={"kid": key_id_of(private.public_key()), "typ": TYPE},
    )


def _not_issued(culprit: str, remedy: str) -> TokenError:
    return TokenError(source="Access token to issue", culprit=f"{culprit}.", remedy=remedy)
