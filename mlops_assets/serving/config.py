"""What the service needs to know to run, without the settings' own dependencies.

Put here a value the service reads while it runs. Keep out reading of the environment (that is the settings') and
whatever only the process start needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.security.providers import OWN, demand_issuer, read_profile
from mlops_assets.platform.security.verification_keys import Algorithm

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.platform.security.tokens import Columns
    from mlops_assets.platform.settings import ServiceSettings, Settings


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """Configuration of the service; what the members mean in full stands at the settings of the same names.

    Attributes:
        exports: folder of the exports, see ``platform.export``.
        keys: JWKS file with the public keys that verify tokens.
        model_keys: JWKS file of the keys whose exports and models are believed.
        issuer: issuer that tokens must name.
        audience: audience that tokens must name.
        revoked: file with revoked tokens and keys; ``None`` for no such list.
        provider: the identity provider, by the name of its profile.
        provider_file: what differs from that profile.
        require_limits: columns of which nobody sees anything without a limit; ``True`` for all.
        keys_url: https address of the keys, in place of the file.
        socket: Unix socket to listen on, behind an edge; ``None`` for loopback.
        tls_certificate: certificate chain of the server; ``None`` for plain HTTP.
        authentication: ``token``, ``certificate`` or ``both``.
        certificate_principals: which client certificate is which principal.
        public_documentation: whether the OpenAPI document and its page need no token.
        poll_seconds: how often the service looks for a new export.
        inference_log: folder of the inference log.
    """

    exports: Path
    keys: Path
    model_keys: Path
    inference_log: Path
    issuer: str
    audience: str
    provider: str
    provider_file: Path | None
    require_limits: bool | tuple[str, ...]
    revoked: Path | None
    keys_url: str | None
    keys_url_ca: Path | None
    keys_url_proxy: str | None
    keys_refresh_seconds: float
    algorithms: tuple[str, ...]
    socket: Path | None
    tls_certificate: Path | None
    tls_key: Path | None
    client_ca: Path | None
    authentication: str
    certificate_principals: Path | None
    public_documentation: bool
    poll_seconds: float = 0.5
    workers: int
    rate_per_second: float
    burst: int
    concurrency: int
    max_header_bytes: int
    request_seconds: float
    drain_seconds: float
    traces_url: str | None
    inference_log_days: int
    inference_log_free_bytes: int

    @property
    def required_limits(self) -> Columns:
        """The columns of which nobody sees anything without a limit."""
        return True if self.require_limits is True else frozenset(self.require_limits or ())

    @property
    def edge_verifies(self) -> bool:
        """Whether client certificates are verified, by an edge that alone reaches the service."""
        return self.socket is not None and self.client_ca is not None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The configuration that the settings describe.

        Raises:
            SettingsError: an algorithm is unknown, or what is said of the identity provider cannot be.
        """
        service = settings.service
        profile = read_profile(service.provider, service.provider_file)
        demand_issuer(profile, service.issuer, service.provider)
        _demand_keys(service)
        if unknown := sorted(set(service.algorithms) - set(Algorithm)):
            raise SettingsError(
                source="MLOPS_ASSETS_SERVICE__ALGORITHMS",
                culprit=f"{', '.join(unknown)} is not among the algorithms that can be allowed.",
                remedy=f"Choose among {', '.join(Algorithm)}.",
            )
        same = {name: getattr(service, name) for name in cls.__dataclass_fields__ if name in type(service).model_fields}
        paths = {
            "exports": settings.exports,
            "keys": settings.token_keys,
            "revoked": settings.revoked,
            "model_keys": settings.model_keys,
            "inference_log": settings.inference_log,
        }
        limits = service.has_identity_provider if service.require_limits is None else service.require_limits
        resolved = {
            "provider": service.provider.value,
            "authentication": service.authentication.value,
            "algorithms": service.algorithms or tuple(each.value for each in profile.algorithms),
            "require_limits": limits,
        }
        return cls(**{**same, **paths, **resolved})


def _demand_keys(service: ServiceSettings) -> None:
    """An identity provider's tokens are verified by its keys: those in the home folder are ours."""
    if service.provider != OWN and service.keys_url is None and service.keys is None:
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__KEYS_URL",
            culprit=f"nothing says where the keys of {service.provider} are.",
            remedy="Set it to the jwks_uri of the provider's discovery document, or __KEYS to a file of its keys.",
        )
