"""What the service needs to know to run, without the settings' own dependencies.

Put here a value the service reads while it runs. Keep out reading of the environment (that is the settings') and
whatever only the process start needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.platform.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """Configuration of the application.

    Attributes:
        exports: folder of the exports, see ``platform.export``.
        keys: JWKS file with the public keys that verify tokens.
        issuer: issuer that tokens must name.
        audience: audience that tokens must name.
        public_documentation: whether the OpenAPI document and its page need no token.
        poll_seconds: how often the service looks for a new export.
    """

    exports: Path
    keys: Path
    issuer: str
    audience: str
    public_documentation: bool = False
    poll_seconds: float = 0.5

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The configuration that the settings describe."""
        return cls(
            exports=settings.exports,
            keys=settings.token_keys,
            issuer=settings.service.issuer,
            audience=settings.service.audience,
            public_documentation=settings.service.public_documentation,
        )
