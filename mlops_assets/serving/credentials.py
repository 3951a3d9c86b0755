"""Credentials of the service's clients: what an operator does with keys and tokens.

Put here the operator's actions, in the service's terms. Keep out the command line, and how keys and tokens work (the
platform knows).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.token_keys import create_keys, retire_key, rotate_keys
from mlops_assets.platform.tokens import TokenError, issue_token
from mlops_assets.serving.access import READ_PREDICTIONS, STATES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from mlops_assets.platform.settings import Settings

_POSTAL_CODE: Final = re.compile(r"[A-Z]{2}")


def create_service_keys(settings: Settings) -> str:
    """Make the first signing key; returns its id.

    Raises:
        KeyFileError: there is one already.
    """
    return create_keys(settings.token_signing_key, settings.token_keys)


def rotate_service_keys(settings: Settings) -> str:
    """Sign new tokens with a new key; returns its id. Old tokens stay valid until the old key is retired.

    Raises:
        KeyFileError: the JWKS file is damaged.
    """
    return rotate_keys(settings.token_signing_key, settings.token_keys)


def retire_service_key(settings: Settings, key_id: str) -> None:
    """Refuse every token that was signed by that key; a running service follows within a second.

    Raises:
        KeyFileError: there is no such key, or it is the only one.
    """
    retire_key(settings.token_keys, key_id)


def issue_service_token(
    settings: Settings,
    *,
    principal: str,
    lifetime: timedelta,
    scopes: Iterable[str] = (READ_PREDICTIONS,),
    states: Iterable[str] | None = None,
) -> str:
    """A token for one application.

    Args:
        settings: they name the signing key, the issuer and the audience.
        principal: the application's name; never a person's.
        lifetime: how long it is valid from now.
        scopes: what it may do.
        states: postal codes of the only states it may see; ``None`` for all.

    Raises:
        TokenError: name, scopes, states or lifetime are not acceptable.
        KeyFileError: the signing key cannot be used.
    """
    limits = None if states is None else {STATES: sorted(set(states))}
    for state in (limits or {}).get(STATES, ()):
        if not _POSTAL_CODE.fullmatch(state):
            raise TokenError(
                source="Access token to issue",
                culprit=f"{state!r} is no state's postal code.",
                remedy="Give two capital letters, such as NC.",
            )
    return issue_token(
        principal,
        scopes=scopes,
        lifetime=lifetime,
        signing_key=settings.token_signing_key,
        issuer=settings.service.issuer,
        audience=settings.service.audience,
        limits=limits,
    )
