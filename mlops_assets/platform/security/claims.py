"""Claims: who a token speaks for, read from what it says in the form of its provider.

Put here reading of claims, of which nothing is believed by its type. Keep out checking signatures (``token_verifier``)
and the forms themselves (``providers``).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import jwt
import msgspec

from mlops_assets.platform.base64url import to_base64url
from mlops_assets.platform.security.providers import AUDIENCE
from mlops_assets.platform.security.tokens import CONFIRMATION, THUMBPRINT, Principal, Refusal, TokenError

if TYPE_CHECKING:
    from mlops_assets.platform.security.providers import Profile, Way
    from mlops_assets.platform.security.tokens import Columns

Claims = Mapping[str, Any]
# Both go to the log, so they may hold nothing that could be a person's name, forge a line or fill the disk.
PRINCIPAL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")
_TOKEN_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_GIVEN_NAME: Final = re.compile(r"client-[0-9a-f]{16}")
_ABSENT: Final = object()


class _Times(msgspec.Struct):
    """Claims whose types are the same for everybody (RFC 7519, 4.1)."""

    iss: str
    exp: float
    iat: float | None = None
    nbf: float | None = None


def parsed_claims(payload: bytes) -> Claims:
    """The claims of a token's middle part.

    Raises:
        TokenError: it is no JSON object.
    """
    try:
        claims = msgspec.json.decode(payload)
    except (ValueError, RecursionError) as error:
        raise refused(Refusal.MALFORMED) from error
    if not isinstance(claims, dict):
        raise refused(Refusal.MALFORMED)
    return claims


def check_claims(claims: Claims, profile: Profile, *, issuer: str, audience: str) -> None:
    """Refuse claims of another issuer, audience, time or purpose.

    Raises:
        TokenError: they are refused; the reason says why.
    """
    try:
        times = msgspec.convert(claims, _Times)
    except ValueError as error:
        raise refused(Refusal.CLAIMS) from error
    if any(_at(claims, way, audience) in (_ABSENT, None) for way in profile.required):
        raise refused(Refusal.CLAIMS)
    if not _is_for_access(claims, profile):
        raise refused(Refusal.PURPOSE)
    if times.iss != issuer:
        raise refused(Refusal.ISSUER)
    named = _at(claims, profile.audience_from, audience)
    expected = {audience, *profile.audiences}
    if not any(isinstance(one, str) and one in expected for one in (named if isinstance(named, list) else [named])):
        raise refused(Refusal.AUDIENCE)
    now = time.time()
    if times.exp <= now - profile.leeway_seconds:
        raise refused(Refusal.EXPIRED)
    if max(times.nbf or 0.0, times.iat or 0.0) > now + profile.leeway_seconds:
        raise refused(Refusal.NOT_YET_VALID)


def principal_of(
    claims: Claims, signed: str, profile: Profile, *, audience: str, key_id: str, required_limits: Columns = frozenset()
) -> Principal:
    """Who the token with these claims speaks for.

    Args:
        claims: the claims, already checked.
        signed: the part of the token that is signed.
        profile: the form they are in.
        audience: the audience that the service expects.
        key_id: id of the key that signed the token.
        required_limits: columns of which nothing may be seen without a limit.

    Raises:
        TokenError: a claim is not understood.
    """
    scopes = {
        meant
        for way in profile.scopes_from
        for name in _scope_names(_at(claims, way, audience))
        for meant in _tuple(profile.scopes.get(name, name))
    }
    return Principal(
        name=_name(claims, profile, audience),
        scopes=frozenset(scopes),
        limits=_limits(claims, profile, audience),
        token_id=token_id_of(claims, signed, profile),
        key_id=key_id,
        expires=float(claims["exp"]),
        certificate=_binding(claims),
        required_limits=required_limits,
    )


def unverified_token_id(token: str, profile: Profile) -> str:
    """The id that a verifier would find in that token, which nobody has verified: to revoke it.

    Whatever else its claims say does not matter, such as an end that is no number.

    Raises:
        TokenError: it is no token.
    """
    try:
        claims = json.loads(jwt.PyJWS().decode(token, options={"verify_signature": False}))
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise refused(Refusal.MALFORMED) from error
    return token_id_of(claims, token.rpartition(".")[0], profile)


def token_id_of(claims: Claims, signed: str, profile: Profile) -> str:
    """The id by which the token is logged and revoked: its own, or a hash where that is missing or unfit for a log.

    The hash leaves the signature out: another text of the same signature must not be another token.

    Raises:
        TokenError: it has no fit id, and its provider's tokens have.
    """
    own = _at(claims, profile.id_from, "")
    if isinstance(own, str) and _TOKEN_ID.fullmatch(own):
        return own
    if not profile.renames or not (own is _ABSENT or isinstance(own, str)):
        raise refused(Refusal.CLAIMS)
    digest = hashlib.sha256((own if isinstance(own, str) and own else signed).encode(errors="replace")).digest()
    return to_base64url(digest)


def is_token_id(text: str) -> bool:
    """Whether it could be the id of a token."""
    return _TOKEN_ID.fullmatch(text) is not None


def refused(reason: Refusal) -> TokenError:
    """The error of a token that is refused for that reason."""
    return TokenError(
        source="Access token",
        culprit=f"it is refused ({reason}).",
        remedy="Ask the service's operator for a new one.",
        reason=reason,
    )


def _is_for_access(claims: Claims, profile: Profile) -> bool:
    """Whether it is an access token, and not an ID token of the same login."""
    return (
        all(claims.get(name) in values for name, values in profile.only.items())
        and (not profile.one_of or any(name in claims for name in profile.one_of))
        and not any(name in claims for name in profile.never)
    )


def _at(claims: Claims, way: Way, audience: str) -> Any:  # noqa: ANN401  any JSON value
    """The value at the end of the way; what is no object on it is refused, since it is not understood."""
    value: Any = claims
    for name in _tuple(way):
        if not isinstance(value, Mapping):
            raise refused(Refusal.CLAIMS)
        value = value.get(audience if name == AUDIENCE else name, _ABSENT)
        if value is _ABSENT:
            break
    return value


def _name(claims: Claims, profile: Profile, audience: str) -> str:
    """The application's name, fit for a log: its own in small letters, or one made of its hash."""
    name = next((found for way in profile.name_from if (found := _at(claims, way, audience)) is not _ABSENT), None)
    if not isinstance(name, str) or not name:
        raise refused(Refusal.CLAIMS)
    fit = name.lower() if profile.renames else name
    # Nobody may choose a name that stands for another.
    if PRINCIPAL_NAME.fullmatch(fit) and not (profile.renames and _GIVEN_NAME.fullmatch(fit)):
        return fit
    if not profile.renames:
        raise refused(Refusal.CLAIMS)
    digest = hashlib.sha256(f"{claims['iss']}/{name}".encode()).hexdigest()
    return f"client-{digest[:16]}"


def _scope_names(value: Any) -> list[str]:  # noqa: ANN401  any JSON value
    if value is _ABSENT:
        return []
    return value.split() if isinstance(value, str) else _texts(value)


def _limits(claims: Claims, profile: Profile, audience: str) -> dict[str, frozenset[str]]:
    """The limits of the token; a limit that is not understood is refused, never ignored."""
    limits: Any = {} if profile.limits_in is None else _at(claims, profile.limits_in, audience)
    if limits is _ABSENT:
        limits = {}
    if not isinstance(limits, Mapping):
        raise refused(Refusal.CLAIMS)
    found = {column: frozenset(_texts(values)) for column, values in limits.items()}
    for column, way in profile.limits_from.items():
        value = _at(claims, way, audience)
        if value is not _ABSENT:
            values = frozenset([value] if isinstance(value, str) else _texts(value))
            found[column] = found.get(column, values) & values
    return found


def _texts(value: Any) -> list[str]:  # noqa: ANN401  any JSON value
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise refused(Refusal.CLAIMS)
    return value


def _tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _binding(claims: Claims) -> str | None:
    """The thumbprint that the token is bound to; a binding that is not understood is refused, never ignored."""
    if CONFIRMATION not in claims:
        return None
    confirmation = claims[CONFIRMATION]
    if not isinstance(confirmation, Mapping) or set(confirmation) != {THUMBPRINT}:
        raise refused(Refusal.BINDING)
    return str(confirmation[THUMBPRINT])
