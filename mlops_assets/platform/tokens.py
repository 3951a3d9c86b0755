"""Access tokens: signed statements of which application asks, what it may do and which objects it may see.

Put here issuing and verifying. Keep out what a scope or a limit means (the service knows) and any web framework: the
service's request path imports this module.
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import jwt

from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.token_keys import key_id_of, read_keys, read_signing_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_LIFETIME: Final = timedelta(days=90)
"""A leaked token cannot be called back without retiring its key, so none lives longer."""

_ALGORITHM: Final = "EdDSA"
_TYPE: Final = "at+jwt"
_LEEWAY_SECONDS: Final = 5
_RELOAD_SECONDS: Final = 1.0
_MAX_TOKEN_CHARACTERS: Final = 4096
_MAX_REMEMBERED: Final = 1024
_REQUIRED_CLAIMS: Final = ("exp", "nbf", "iat", "iss", "aud", "sub", "jti", "scope")
_PRINCIPAL: Final = re.compile(r"[a-z][a-z0-9-]{1,62}")
_SCOPE: Final = re.compile(r"[a-z][a-z0-9_.:-]*")
_TOKEN_ID: Final = re.compile(r"[0-9a-f-]{32,36}")


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
    CLAIMS = "claims"


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
    """Who asks, as a verified token says.

    Attributes:
        name: name of the application, never of a person.
        scopes: what it may do.
        limits: for each limited kind of object the values it may see; a kind that is absent is not limited.
        token_id: id of the token (``jti``), to find it in a log without logging it.
        key_id: id of the key that signed it.
        expires: when it ends, seconds since 1970.
    """

    name: str
    scopes: frozenset[str]
    limits: Mapping[str, frozenset[str]]
    token_id: str
    key_id: str
    expires: float

    def may_see(self, kind: str, value: str) -> bool:
        """Whether the token's limits let it see that object."""
        allowed = self.limits.get(kind)
        return allowed is None or value in allowed


def issue_token(
    principal: str,
    *,
    scopes: Iterable[str],
    lifetime: timedelta,
    signing_key: Path,
    issuer: str,
    audience: str,
    limits: Mapping[str, Iterable[str]] | None = None,
) -> str:
    """Sign a token (a JWT of RFC 9068's type) for an application.

    Args:
        principal: the application's name, lower-case letters, digits and hyphens.
        scopes: what it may do.
        lifetime: how long from now, at most ``MAX_LIFETIME``.
        signing_key: PEM file of the private key.
        issuer: who issues it, as verifiers expect it.
        audience: the service it is for.
        limits: for each kind of object to limit (the claim's name) the values it may see. A limit without values
            lets it see none.

    Raises:
        TokenError: name, scopes, limits or lifetime are not acceptable.
        KeyFileError: the signing key cannot be used.
    """
    scope = sorted(set(scopes))
    claims = {kind: sorted(set(values)) for kind, values in (limits or {}).items()}
    if not _PRINCIPAL.fullmatch(principal):
        raise _not_issued(
            "the principal is no application's name", "Use 2 to 63 of a-z, 0-9 and hyphen, a letter first."
        )
    if not scope or not all(_SCOPE.fullmatch(name) for name in scope):
        raise _not_issued(f"the scopes are {scope}", "Give scopes such as predictions:read.")
    if reserved := set(claims) & set(_REQUIRED_CLAIMS):
        raise _not_issued(f"limits {sorted(reserved)} are claims of every token", "Name the limits otherwise.")
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise _not_issued(f"the lifetime is {lifetime}", f"Choose one above zero, up to {MAX_LIFETIME.days} days.")
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
            **claims,
        },
        private,
        algorithm=_ALGORITHM,
        headers={"kid": key_id_of(private.public_key()), "typ": _TYPE},
    )


@dataclass
class TokenVerifier:
    """Verifies tokens against a JWKS file, and follows that file as keys are rotated and retired.

    Not for use by several threads at once.

    Attributes:
        keys: the JWKS file; looked at again at most once a second.
        issuer: the only issuer accepted.
        audience: the audience a token must name.
        limits: the claims that limit objects; each is a list of text when present.
    """

    keys: Path
    issuer: str
    audience: str
    limits: tuple[str, ...] = ()
    _public: Mapping[str, Ed25519PublicKey] = field(default_factory=dict, init=False)
    _seen: tuple[int, int, int] | None = field(default=None, init=False)
    _look_again: float = field(default=0.0, init=False)
    _verified: dict[bytes, Principal] = field(default_factory=dict, init=False)

    def verify(self, token: str) -> Principal:
        """Who the token speaks for.

        A token verified before is remembered by its hash until it expires or the keys change: an Ed25519 check takes
        longer than the rest of a request.

        Raises:
            TokenError: the token is refused; its ``reason`` says why.
            KeyFileError: the JWKS file is missing or damaged: nobody can be let in.
        """
        self.refresh()
        if not token.isascii() or len(token) > _MAX_TOKEN_CHARACTERS:
            raise _refused(Refusal.MALFORMED)
        digest = hashlib.sha256(token.encode("ascii")).digest()
        known = self._verified.get(digest)
        if known is not None:
            if known.expires + _LEEWAY_SECONDS > time.time():
                return known
            del self._verified[digest]
        principal = self._principal(token)
        if len(self._verified) >= _MAX_REMEMBERED:
            self._verified.clear()
        self._verified[digest] = principal
        return principal

    def refresh(self) -> None:
        """Read the JWKS file again if it changed.

        Raises:
            KeyFileError: it is missing or damaged. Keys read before are forgotten, or a retired one might live on.
        """
        now = time.monotonic()
        if self._seen is not None and now < self._look_again:
            return
        self._look_again = now + _RELOAD_SECONDS
        try:
            status = self.keys.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            seen = (0, 0, 0)
        if seen == self._seen:
            return
        self._seen, self._public = None, {}
        self._verified.clear()
        self._public = read_keys(self.keys)
        self._seen = seen

    def _principal(self, token: str) -> Principal:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise _refused(Refusal.MALFORMED) from error
        if header.get("alg") != _ALGORITHM:
            raise _refused(Refusal.ALGORITHM)
        if str(header.get("typ")).lower() != _TYPE:
            raise _refused(Refusal.MALFORMED)
        key_id = str(header.get("kid"))
        public = self._public.get(key_id)
        if public is None:
            raise _refused(Refusal.UNKNOWN_KEY)
        return self._from_claims(self._claims(token, public), key_id)

    def _claims(self, token: str, public: Ed25519PublicKey) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                public,
                algorithms=[_ALGORITHM],
                issuer=self.issuer,
                audience=self.audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": list(_REQUIRED_CLAIMS), "strict_aud": True},
            )
        except jwt.ExpiredSignatureError as error:
            raise _refused(Refusal.EXPIRED) from error
        except jwt.ImmatureSignatureError as error:
            raise _refused(Refusal.NOT_YET_VALID) from error
        except jwt.InvalidIssuerError as error:
            raise _refused(Refusal.ISSUER) from error
        except jwt.InvalidAudienceError as error:
            raise _refused(Refusal.AUDIENCE) from error
        except jwt.InvalidSignatureError as error:
            raise _refused(Refusal.SIGNATURE) from error
        except jwt.MissingRequiredClaimError as error:
            raise _refused(Refusal.CLAIMS) from error
        except jwt.InvalidTokenError as error:
            raise _refused(Refusal.MALFORMED) from error

    def _from_claims(self, claims: Mapping[str, Any], key_id: str) -> Principal:
        limits = {}
        for kind in self.limits:
            values = claims.get(kind, [])
            if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                raise _refused(Refusal.CLAIMS)
            if kind in claims:
                limits[kind] = frozenset(values)
        name, token_id, scope = claims["sub"], claims["jti"], claims["scope"]
        # Name and token id go to the log, so they may hold nothing but what an issuer of ours writes.
        if not isinstance(scope, str) or not _PRINCIPAL.fullmatch(name) or not _TOKEN_ID.fullmatch(token_id):
            raise _refused(Refusal.CLAIMS)
        return Principal(
            name=name,
            scopes=frozenset(scope.split()),
            limits=limits,
            token_id=token_id,
            key_id=key_id,
            expires=float(claims["exp"]),
        )


def _refused(reason: Refusal) -> TokenError:
    return TokenError(
        source="Access token",
        culprit=f"it is refused ({reason}).",
        remedy="Ask the service's operator for a new one.",
        reason=reason,
    )


def _not_issued(culprit: str, remedy: str) -> TokenError:
    return TokenError(source="Access token to issue", culprit=f"{culprit}.", remedy=remedy)
