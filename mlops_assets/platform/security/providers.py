"""Identity providers: in which form each says in a token who asks, what it may do and what it may see.

Put here a profile: what differs between providers, as data, and the file in which an operator changes it. Keep out
reading a token by a profile (``claims``), verifying it (``token_verifier``) and where keys come from.

The forms are those that the providers document: Microsoft's and Auth0's references of access tokens, Amazon's
"Understanding the access token", Okta's and Keycloak's token representations.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.identifiers import is_identifier
from mlops_assets.platform.security.tokens import LIMITS, REQUIRED_CLAIMS, TYPE, is_scope
from mlops_assets.platform.security.verification_keys import Algorithm

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Way = str | tuple[str, ...]
"""Where a value stands among the claims: the name of a claim, or the names on the way to one within others."""

AUDIENCE: Final = "{audience}"
"""Stands in a way for the audience that the service expects."""

_ONLY_IN_ID_TOKENS: Final = frozenset({"at_hash", "c_hash", "nonce"})


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form of a provider's access tokens.

    Attributes:
        issuer: what the issuer has to look like, as a pattern; only a slip in the setting is found by it, since a token
            must name exactly the issuer that is set.
        audiences: audiences that are accepted beside the one that is set.
        audience_from: the claim that names the audience, as text or as a list that holds it.
        types: values of ``typ`` in the header, in small letters; an empty one stands for its absence.
        algorithms: signature algorithms accepted where the settings name none.
        required: claims without which a token is refused, beside issuer, audience, end and name.
        only: claims of which one of these values is demanded, such as what tells an access token from an ID token.
        one_of: claims of which an access token has at least one, and an ID token none.
        never: claims that an access token has not.
        name_from: where the application's name stands; the first that is there counts.
        renames: whether a name that is unfit for a log is given another, and not refused.
        id_from: where the token's own id stands; a token without one is known by a hash of what is signed.
        scopes_from: where scopes stand, as text with spaces or as lists; all of them count.
        scopes: what one of the provider's scopes, roles or groups means here: one scope or several. A name that is not
            in it counts as it is.
        limits_from: for each column that tables are limited by where its values stand, as a text (one value) or a list.
        limits_in: the claim that holds all limits: an object of columns, each with a list.
        leeway_seconds: by how much clocks may differ.
    """

    issuer: str = "(?s).+"
    audiences: frozenset[str] = frozenset()
    audience_from: Way = "aud"
    types: frozenset[str] = frozenset({"jwt", TYPE})
    algorithms: Annotated[tuple[Algorithm, ...], msgspec.Meta(min_length=1)] = (Algorithm.RS256, Algorithm.ES256)
    required: tuple[Way, ...] = ("iat",)
    only: dict[str, tuple[str, ...]] = {}
    one_of: tuple[str, ...] = ()
    never: frozenset[str] = _ONLY_IN_ID_TOKENS
    name_from: Annotated[tuple[Way, ...], msgspec.Meta(min_length=1)] = ("azp", "client_id")
    renames: bool = True
    id_from: Way = "jti"
    scopes_from: tuple[Way, ...] = ("scope",)
    scopes: dict[str, str | tuple[str, ...]] = {}
    limits_from: dict[str, Way] = {}
    limits_in: Way | None = None
    leeway_seconds: Annotated[float, msgspec.Meta(ge=0, le=300)] = 5.0


OWN: Final = "own"
PROFILES: Final[Mapping[str, Profile]] = {
    # What ``tokens.issue_token`` makes, and any token of RFC 9068 of the same claims.
    OWN: Profile(
        types=frozenset({TYPE}),
        algorithms=(Algorithm.EDDSA,),
        required=REQUIRED_CLAIMS,
        never=frozenset(),
        name_from=("sub",),
        renames=False,
        limits_in=LIMITS,
    ),
    # ``typ`` among the claims tells its kinds of tokens apart. Older versions put the login's nonce into all of them.
    "keycloak": Profile(
        issuer=r"https://.+/realms/[^/]+",
        only={"typ": ("Bearer",)},
        never=_ONLY_IN_ID_TOKENS - {"nonce"},
        scopes_from=("scope", ("realm_access", "roles"), ("resource_access", AUDIENCE, "roles")),
    ),
    # ``azp`` (v2.0) and ``appid`` (v1.0) stand in access tokens only; audience, roles and ``uti`` in ID tokens, too.
    "entra": Profile(
        issuer=r"https://[^/]+/[0-9a-f-]{36}/(v2\.0)?",
        required=("iat", "nbf", "ver"),
        one_of=("azp", "appid"),
        name_from=("azp", "appid"),
        id_from="uti",
        scopes_from=("scp", "roles"),
    ),
    # ``azp`` in the form of Auth0, ``client_id`` in that of RFC 9068.
    "auth0": Profile(issuer=r"https://[^/]+/", one_of=("azp", "client_id"), scopes_from=("scope", "permissions")),
    # Tokens of the organisation's own server (an issuer without path) are for Okta alone. The header has no ``typ``.
    "okta": Profile(
        issuer=r"https://[^/]+/oauth2/[^/]+",
        types=frozenset({"", "jwt", TYPE}),
        required=("iat", "ver"),
        one_of=("cid",),
        name_from=("cid",),
        scopes_from=("scp",),
    ),
    # Access tokens name the client and no audience; the header has no ``typ``.
    "cognito": Profile(
        issuer=r"https://[^/]+/[^/]+",
        audience_from="client_id",
        types=frozenset({"", "jwt", TYPE}),
        only={"token_use": ("access",)},
        name_from=("client_id",),
        scopes_from=("scope", "cognito:groups"),
    ),
}


def read_profile(provider: str, file: Path | None = None) -> Profile:
    """The profile of that provider, changed by what a TOML file says.

    Args:
        provider: its name among :data:`PROFILES`.
        file: what differs from the profile, each value by the name of its attribute.

    Raises:
        SettingsError: there is no such profile, or the file cannot be read or understood.
    """
    profile = PROFILES.get(provider)
    if profile is None:
        raise SettingsError(
            source="Identity provider",
            culprit=f"there is no profile {provider}.",
            remedy=f"Choose among {', '.join(PROFILES)}; what differs from one of them goes into a file.",
        )
    if file is None:
        return profile
    try:
        changes = tomllib.loads(file.read_text(encoding="utf-8"))
        changed = msgspec.convert({**msgspec.to_builtins(profile), **changes}, Profile)
        re.compile(changed.issuer)
    except (OSError, ValueError, re.error, RecursionError) as error:
        raise _unfit(file, f"it cannot be read as a provider's profile ({error})") from error
    meant = {scope for scopes in changed.scopes.values() for scope in ([scopes] if isinstance(scopes, str) else scopes)}
    if wrong := sorted(scope for scope in meant if not is_scope(scope)):
        raise _unfit(file, f"{', '.join(wrong)} cannot be the name of a scope here")
    if wrong := sorted(column for column in changed.limits_from if not is_identifier(column)):
        raise _unfit(file, f"limits_from names {', '.join(wrong)}, which cannot be columns of tables")
    return changed


def demand_issuer(profile: Profile, issuer: str, provider: str) -> None:
    """Refuse an issuer that no token of the provider can name.

    Raises:
        SettingsError: it does not look like one of the provider's.
    """
    if re.fullmatch(profile.issuer, issuer) is None:
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__ISSUER",
            culprit=f"{issuer} is no issuer of {provider}: it does not fit {profile.issuer}.",
            remedy="Give the issuer as the provider's discovery document names it, to the last slash.",
        )


def _unfit(file: Path, culprit: str) -> SettingsError:
    return SettingsError(
        source=str(file), culprit=f"{culprit}.", remedy="Correct the file; docs/service.md shows its form."
    )
