"""Verifying access tokens: who a token speaks for, or why it is refused.

Put here the checks of a token's header and signature, and what is remembered of one that passed. Keep out what its
claims say (``claims``), where keys come from (``verification_keys``) and what scopes and limits mean.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import jwt
import msgspec

from mlops_assets.platform.security.claims import check_claims, parsed_claims, principal_of, refused
from mlops_assets.platform.security.providers import OWN, PROFILES, Profile
from mlops_assets.platform.security.tokens import Principal, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.platform.security.revocations import RevocationFile
    from mlops_assets.platform.security.tokens import Columns
    from mlops_assets.platform.security.verification_keys import KeySource, VerificationKey

_MAX_TOKEN_CHARACTERS: Final = 8192
_MAX_REMEMBERED: Final = 1024


class _Header(msgspec.Struct):
    """What is read of a token's header; of its type nothing is believed either."""

    alg: str
    typ: str = ""
    kid: str = ""
    crit: Any = msgspec.UNSET
    """Extensions that must be understood (RFC 7515, 4.1.11), of which none is."""


@dataclass
class TokenVerifier:
    """Verifies tokens against a set of keys, and follows that set as keys are rotated and retired.

    Not for use by several threads at once.

    Attributes:
        keys: where the keys come from; each verifies one algorithm.
        issuer: the only issuer accepted.
        audience: the audience a token must name.
        revocations: tokens and keys that are refused all the same; ``None`` when there is no such list.
        profile: the form of the issuer's tokens.
        required_limits: columns of which a token without a limit lets see nothing.
    """

    keys: KeySource
    issuer: str
    audience: str
    revocations: RevocationFile | None = None
    profile: Profile = PROFILES[OWN]
    required_limits: Columns = frozenset()
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
            raise refused(Refusal.MALFORMED)
        digest = hashlib.sha256(token.encode("ascii")).digest()
        principal = self._remembered(digest)
        if principal is None:
            principal = self._principal(token, keys)
            if len(self._verified) >= _MAX_REMEMBERED:
                self._verified.clear()
            self._verified[digest] = principal
        if revoked is not None and (principal.token_id in revoked.tokens or principal.key_id in revoked.key_ids):
            raise refused(Refusal.REVOKED)
        if principal.certificate not in (None, certificate):
            raise refused(Refusal.BINDING)
        return principal

    def _remembered(self, digest: bytes) -> Principal | None:
        known = self._verified.get(digest)
        if known is not None and known.expires + self.profile.leeway_seconds <= time.time():
            del self._verified[digest]
            return None
        return known

    def _principal(self, token: str, keys: Mapping[str, VerificationKey]) -> Principal:
        header = _header(token)
        if header.typ.lower().removeprefix("application/") not in self.profile.types:
            raise refused(Refusal.PURPOSE)
        key = keys.get(header.kid)
        if key is None:
            self.keys.ask_again()
            keys = self.keys.keys()
            key = keys.get(header.kid)
        # The key's own algorithm counts; the header only has to agree.
        if header.alg not in {each.algorithm.value for each in keys.values()}:
            raise refused(Refusal.ALGORITHM)
        if key is None:
            raise refused(Refusal.UNKNOWN_KEY)
        claims = parsed_claims(_payload(token, key))
        check_claims(claims, self.profile, issuer=self.issuer, audience=self.audience)
        return principal_of(
            claims,
            token.rpartition(".")[0],
            self.profile,
            audience=self.audience,
            key_id=header.kid,
            required_limits=self.required_limits,
        )


def _header(token: str) -> _Header:
    try:
        header = msgspec.convert(jwt.get_unverified_header(token), _Header)
    except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
        raise refused(Refusal.MALFORMED) from error
    if header.crit is not msgspec.UNSET:
        raise refused(Refusal.MALFORMED)
    return header


def _payload(token: str, key: VerificationKey) -> bytes:
    """What the key has signed."""
    try:
        payload: bytes = jwt.PyJWS().decode(token, key.key, algorithms=[key.algorithm.value])
    except jwt.InvalidSignatureError as error:
        raise refused(Refusal.SIGNATURE) from error
    except jwt.InvalidAlgorithmError as error:
        raise refused(Refusal.ALGORITHM) from error
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise refused(Refusal.MALFORMED) from error
    return payload
