"""Verifying access tokens: who a token speaks for, or why it is refused.

Put here every check of a token, and what is remembered of one that passed. Keep out where keys come from
(``verification_keys``) and what scopes and limits mean.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import jwt

from mlops_assets.platform.security.tokens import (
    CONFIRMATION,
    LIMITS,
    REQUIRED_CLAIMS,
    THUMBPRINT,
    TYPE,
    Principal,
    Refusal,
    TokenError,
)

if TYPE_CHECKING:
    from mlops_assets.platform.security.revocations import RevocationFile
    from mlops_assets.platform.security.verification_keys import KeySource, VerificationKey

_LEEWAY_SECONDS: Final = 5
_MAX_TOKEN_CHARACTERS: Final = 4096
_MAX_REMEMBERED: Final = 1024
# Both go to the log, so they may hold nothing that could be a person's name, forge a line or fill the disk.
_PRINCIPAL: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")
_TOKEN_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")


@dataclass
class TokenVerifier:
    """Verifies tokens against a set of keys, and follows that set as keys are rotated and retired.

    Not for use by several threads at once.

    Attributes:
        keys: where the keys come from; each verifies one algorithm.
        issuer: the only issuer accepted.
        audience: the audience a token must name.
        revocations: tokens and keys that are refused all the same; ``None`` when there is no such list.
    """

    keys: KeySource
    issuer: str
    audience: str
    revocations: RevocationFile | None = None
    _generation: int = field(default=-1, init=False)
    _verified: dict[bytes, Principal] = field(default_factory=dict, init=False)

    def verify(self, token: str, *, certificate: str | None = None) -> Principal:
        """Who the token speaks for.

        A token verified before is remembered by its hash until it expires or the keys change: a check of a signature
        takes longer than the rest of a request. Revocation and binding are checked each time.

        Args:
            token: the token.
            certificate: thumbprint of the client certificate that it came with, if it came with one.

        Raises:
            TokenError: the token is refused; its ``reason`` says why.
            KeyFileError: keys or revocations are not known: nobody can be let in.
        """
        keys = self.keys.keys()
        if self._generation != self.keys.generation:
            self._verified.clear()
            self._generation = self.keys.generation
            # Another thread may have changed them since they were read: a withdrawn key must not outlive the clearing.
            keys = self.keys.keys()
        revoked = None if self.revocations is None else self.revocations.revoked()
        if not token.isascii() or len(token) > _MAX_TOKEN_CHARACTERS:
            raise _refused(Refusal.MALFORMED)
        digest = hashlib.sha256(token.encode("ascii")).digest()
        principal = self._remembered(digest)
        if principal is None:
            principal = self._principal(token, keys)
            if len(self._verified) >= _MAX_REMEMBERED:
                self._verified.clear()
            self._verified[digest] = principal
        if revoked is not None and (principal.token_id in revoked.tokens or principal.key_id in revoked.key_ids):
            raise _refused(Refusal.REVOKED)
        if principal.certificate not in (None, certificate):
            raise _refused(Refusal.BINDING)
        return principal

    def _remembered(self, digest: bytes) -> Principal | None:
        known = self._verified.get(digest)
        if known is not None and known.expires + _LEEWAY_SECONDS <= time.time():
            del self._verified[digest]
            return None
        return known

    def _principal(self, token: str, keys: Mapping[str, VerificationKey]) -> Principal:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise _refused(Refusal.MALFORMED) from error
        if str(header.get("typ")).lower().removeprefix("application/") != TYPE:
            raise _refused(Refusal.MALFORMED)
        key_id = str(header.get("kid"))
        key = keys.get(key_id)
        if key is None:
            self.keys.ask_again()
            keys = self.keys.keys()
            key = keys.get(key_id)
        # The key's own algorithm counts; the header only has to agree.
        if header.get("alg") not in {each.algorithm.value for each in keys.values()}:
            raise _refused(Refusal.ALGORITHM)
        if key is None:
            raise _refused(Refusal.UNKNOWN_KEY)
        return self._from_claims(self._claims(token, key), key_id)

    def _claims(self, token: str, key: VerificationKey) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm.value],
                issuer=self.issuer,
                audience=self.audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": list(REQUIRED_CLAIMS), "strict_aud": True},
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
        except jwt.InvalidAlgorithmError as error:
            raise _refused(Refusal.ALGORITHM) from error
        except jwt.MissingRequiredClaimError as error:
            raise _refused(Refusal.CLAIMS) from error
        except jwt.InvalidTokenError as error:
            raise _refused(Refusal.MALFORMED) from error

    def _from_claims(self, claims: Mapping[str, Any], key_id: str) -> Principal:
        name, token_id, scope = claims["sub"], claims["jti"], claims["scope"]
        if not isinstance(scope, str) or not _PRINCIPAL.fullmatch(name) or not _TOKEN_ID.fullmatch(token_id):
            raise _refused(Refusal.CLAIMS)
        return Principal(
            name=name,
            scopes=frozenset(scope.split()),
            limits=_limits(claims),
            token_id=token_id,
            key_id=key_id,
            expires=float(claims["exp"]),
            certificate=_binding(claims),
        )


def _limits(claims: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The limits of the token; a limit that is not understood is refused, never ignored."""
    limits = claims.get(LIMITS, {})
    if not isinstance(limits, Mapping):
        raise _refused(Refusal.CLAIMS)
    for values in limits.values():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise _refused(Refusal.CLAIMS)
    return {column: frozenset(values) for column, values in limits.items()}


def _binding(claims: Mapping[str, Any]) -> str | None:
    """The thumbprint that the token is bound to; a binding that is not understood is refused, never ignored."""
    if CONFIRMATION not in claims:
        return None
    confirmation = claims[CONFIRMATION]
    if not isinstance(confirmation, Mapping) or set(confirmation) != {THUMBPRINT}:
        raise _refused(Refusal.BINDING)
    return str(confirmation[THUMBPRINT])


def _refused(reason: Refusal) -> TokenError:
    return TokenError(
        source="Access token",
        culprit=f"it is refused ({reason}).",
        remedy="Ask the service's operator for a new one.",
        reason=reason,
    )
