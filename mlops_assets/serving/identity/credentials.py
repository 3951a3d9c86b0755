"""Credentials of the service's clients: what an operator does with keys and tokens.

Put here the operator's actions, in the service's terms. Keep out the command line, and how keys and tokens work (the
platform knows).
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.exports.export import current_manifests
from mlops_assets.platform.security.claims import is_token_id, unverified_token_id
from mlops_assets.platform.security.providers import read_profile
from mlops_assets.platform.security.revocations import begin_revocations, revoke_key, revoke_token
from mlops_assets.platform.security.token_keys import create_keys, retire_key, rotate_keys
from mlops_assets.platform.security.tokens import MAX_LIFETIME, TokenError, issue_token
from mlops_assets.serving.identity.client_certificates import thumbprint_of
from mlops_assets.serving.identity.scopes import Scope, is_known, known_scopes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mlops_assets.platform.exports.manifest import TableRecord
    from mlops_assets.platform.settings import Settings

_PROVIDERS_LIFETIME: Final = timedelta(days=3650)
"""No token of an identity provider is taken to live longer; how long one does is not known by its id."""


def create_service_keys(settings: Settings) -> str:
    """Make the first signing key and, with it, the empty list of revocations; returns the key's id.

    Raises:
        KeyFileError: there is one already.
    """
    _begin_with_first_key(settings)
    return create_keys(settings.token_signing_key, settings.token_keys)


def rotate_service_keys(settings: Settings) -> str:
    """Sign new tokens with a new key; returns its id. Old tokens stay valid until the old key is retired.

    Raises:
        KeyFileError: the JWKS file is damaged.
    """
    _begin_with_first_key(settings)
    return rotate_keys(settings.token_signing_key, settings.token_keys)


def begin_service_revocations(settings: Settings) -> Path:
    """Make the empty list of revocations where there is none; returns where it lies.

    Raises:
        KeyFileError: it cannot be written.
    """
    begin_revocations(settings.revoked)
    return settings.revoked


def retire_service_key(settings: Settings, key_id: str) -> None:
    """Refuse every token that was signed by that key; a running service follows within a second.

    A key of an identity provider is not ours to remove: it is put on the list of revocations.

    Raises:
        KeyFileError: there is no such key, or it is the only one.
    """
    if settings.service.has_identity_provider:
        revoke_key(settings.revoked, key_id)
        return
    retire_key(settings.token_keys, key_id)


def retire_model_key(settings: Settings, key_id: str) -> None:
    """Believe no model and no export that was signed by that key; a running service follows within a second.

    Raises:
        KeyFileError: there is no such key, or it is the only one.
    """
    retire_key(settings.model_keys, key_id)


def revoke_service_token(settings: Settings, token: str) -> str:
    """Refuse one token; a running service follows within a second.

    It stays on the list for as long as any token may live. When this one ends is not asked: the text is not verified,
    and a forged end would let the real token in again.

    Args:
        settings: they name the list of revocations.
        token: the token, or its id as the audit trail shows it.

    Returns:
        The token's id.

    Raises:
        TokenError: it is neither.
        KeyFileError: the list of revocations is missing or damaged, or cannot be written.
        SettingsError: the identity provider's profile cannot be read.
    """
    service = settings.service
    longest = _PROVIDERS_LIFETIME if service.has_identity_provider else MAX_LIFETIME
    token_id = token
    if not is_token_id(token):
        try:
            token_id = unverified_token_id(token, read_profile(service.provider, service.provider_file))
        except TokenError:
            raise TokenError(
                source="Access token to revoke",
                culprit="it is neither a token nor the id of one.",
                remedy="Give the token, or the token_id of an audit line.",
            ) from None
    revoke_token(settings.revoked, token_id, expires=time.time() + longest.total_seconds())
    return token_id


def issue_service_token(
    settings: Settings,
    *,
    principal: str,
    lifetime: timedelta,
    scopes: Iterable[str],
    limits: Mapping[str, Iterable[str]] | None = None,
    certificate: Path | None = None,
) -> str:
    """A token for one application.

    Args:
        settings: they name the signing key, the issuer and the audience.
        principal: the application's name; never a person's.
        lifetime: how long it is valid from now.
        scopes: what it may do: scopes that something demands.
        limits: for each column that tables are limited by the only values it may see; see ``issue_token``.
        certificate: PEM file of the client certificate that the token is bound to; ``None`` for whoever bears it.

    Raises:
        TokenError: name, scopes, limits or lifetime are not acceptable, or tokens come from an identity provider.
        CertificateFileError: the certificate cannot be read.
        KeyFileError: the signing key cannot be used.
    """
    if settings.service.has_identity_provider:
        raise TokenError(
            source="Access token to issue",
            culprit="the service takes tokens of an identity provider, and would refuse it.",
            remedy="Get the token there, or take MLOPS_ASSETS_SERVICE__PROVIDER and __KEYS_URL out of the settings.",
        )
    asked = tuple(scopes)
    if unknown := sorted(scope for scope in asked if not is_known(scope)):
        raise TokenError(
            source="Access token to issue",
            culprit=f"nothing demands the scope {', '.join(unknown)}.",
            remedy=f"Choose among {known_scopes()}.",
        )
    return issue_token(
        principal,
        scopes=asked,
        lifetime=lifetime,
        signing_key=settings.token_signing_key,
        issuer=settings.service.issuer,
        audience=settings.service.audience,
        limits=limits,
        certificate=None if certificate is None else thumbprint_of(certificate),
    )


def demand_known_limits(settings: Settings, limits: Iterable[str]) -> None:
    """Refuse a limit that limits nothing: a misspelt one would leave its principal without any.

    Nothing is refused where there is no export that could be asked.

    Raises:
        TokenError: no table that is exported has that column.
    """
    columns = {column for table in _served_tables(settings) for column in table.columns}
    if columns and (unknown := sorted(set(limits) - columns)):
        raise TokenError(
            source="Access token to issue",
            culprit=f"no table that is exported has the column {unknown[0]}, so the limit would limit nothing.",
            remedy="Correct it, or export the table first.",
        )


def undemanded(settings: Settings, scopes: Iterable[str]) -> tuple[str, ...]:
    """Those of the scopes that no route and no table that is exported demands; none where there is no export."""
    tables = _served_tables(settings)
    demanded = {*Scope, *(table.served.scope for table in tables if table.served is not None)}
    return tuple(sorted(set(scopes) - demanded)) if tables else ()


def _served_tables(settings: Settings) -> list[TableRecord]:
    return [
        table
        for manifest in current_manifests(settings.exports)
        for table in manifest.tables.values()
        if table.served is not None
    ]


def _begin_with_first_key(settings: Settings) -> None:
    """Only with the first key: no token is older than that, so nothing can have been revoked before."""
    if not settings.service.has_identity_provider and not settings.token_keys.exists():
        begin_revocations(settings.revoked)
