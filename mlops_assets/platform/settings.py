"""Settings: every value that differs between machines, in one place.

Put here what an operator sets by environment (``MLOPS_ASSETS_*``), ``.env`` or secret files. Keep out values that
belong to the domain's contracts, and any reading of the environment elsewhere.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SecretsFolderError

from mlops_assets.platform.errors import SettingsError

PREFIX = "MLOPS_ASSETS_"
SECRETS_FOLDER = f"{PREFIX}SECRETS_DIR"


class LakeName(StrEnum):
    """The two lakes: personal data may only be in ``restricted``."""

    RESTRICTED = "restricted"
    CURATED = "curated"


class LakeSettings(BaseModel):
    """Where one lake keeps its catalog and its data.

    Attributes:
        catalog: ``sqlite`` for a file in the home folder, else a libpq connection string without password, such as
            ``host=db dbname=curated user=curated``.
        password: password of the catalog's account; only for PostgreSQL.
        data_path: folder of the Parquet files; in the home folder when not set.
    """

    catalog: str = "sqlite"
    password: SecretStr | None = None
    data_path: Path | None = None


class ProfileTransport(StrEnum):
    """How census profiles are fetched: from the API, or as table downloads."""

    API = "api"
    DOWNLOADS = "downloads"


class SourceSettings(BaseModel):
    """Addresses and accounts of the source systems.

    Attributes:
        landing: folder into which voter files are dropped; ``landing`` in the home folder when not set.
        profiles_url: base address of the census profiles.
        profiles_transport: ``api`` or ``downloads``.
        profiles_key: key of the census API.
        house_returns_url: address of the CSV file of US House returns.
        voting_history: ``sqlite:///path`` or a libpq connection string of the voting-history database.
        voting_history_password: password of that account.
        registrations_url: base address of county registration statistics.
        timeout_seconds: how long one request may take.
        attempts: how often a request is tried before the source counts as away.
    """

    landing: Path | None = None
    profiles_url: str | None = None
    profiles_transport: ProfileTransport = ProfileTransport.API
    profiles_key: SecretStr | None = None
    house_returns_url: str | None = None
    voting_history: str | None = None
    voting_history_password: SecretStr | None = None
    registrations_url: str | None = None
    timeout_seconds: float = Field(default=30.0, gt=0)
    attempts: int = Field(default=4, ge=1)


class AlertSettings(BaseModel):
    """Where alerts go beside the log.

    Attributes:
        webhook_url: address that receives each alert as JSON by POST.
        log: file to which each alert is appended as one JSON line; ``alerts.jsonl`` in the home folder when not set.
    """

    webhook_url: SecretStr | None = None
    log: Path | None = None


class ServiceSettings(BaseModel):
    """The REST service.

    Attributes:
        host: address to listen on.
        port: port to listen on.
        issuer: issuer that tokens must name.
        audience: audience that tokens must name.
        keys: file with the public keys (JWKS) that verify tokens; in the home folder when not set.
        signing_key: file with the private key (PEM) that signs tokens; only the ``token`` command reads it.
        allow_plain_http: whether the service may listen on other addresses than loopback although it speaks plain
            HTTP; for a closed network whose proxy ends TLS.
        public_documentation: whether the OpenAPI document and its page are served without a token.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8089, ge=0, le=65535)
    issuer: str = "mlops-assets"
    audience: str = "mlops-assets-service"
    keys: Path | None = None
    signing_key: Path | None = None
    allow_plain_http: bool = False
    public_documentation: bool = False


class Settings(BaseSettings):
    """All settings. Nested ones are set with two underscores: ``MLOPS_ASSETS_SOURCES__HOUSE_RETURNS_URL``.

    A secret may also be a file named like its variable in lower case, in the folder ``MLOPS_ASSETS_SECRETS_DIR``.

    Attributes:
        home: folder for everything that has no place of its own: embedded lakes, landing folder, exports, keys.
        pseudonym_key: key of the pseudonyms, at least 32 characters.
        environment: digest of the image or hash of the lock that the code runs in; read from the lock when not set.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_nested_delimiter="__",
        # A compose file can pass a variable on, but not leave out one that is not set.
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    home: Path = Path(".mlops_assets")
    restricted: LakeSettings = LakeSettings()
    curated: LakeSettings = LakeSettings()
    sources: SourceSettings = SourceSettings()
    alerts: AlertSettings = AlertSettings()
    service: ServiceSettings = ServiceSettings()
    pseudonym_key: SecretStr | None = Field(default=None, min_length=32)
    environment: str | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the name is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let secret files reach nested settings as variables do."""
        files = NestedSecretsSettingsSource(file_secret_settings, secrets_dir_missing="error")
        return init_settings, env_settings, dotenv_settings, files

    @classmethod
    def load(cls) -> Self:
        """Read the settings from environment, ``.env`` and secret files.

        Raises:
            SettingsError: a value is missing or wrong; the message names the variable, never its value.
        """
        folder = os.environ.get(SECRETS_FOLDER)
        try:
            return cls(_secrets_dir=folder)  # type: ignore[call-arg]
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = PREFIX + "__".join(str(part) for part in first["loc"]).upper()
            raise SettingsError(source=name, culprit=f"{first['msg']}.", remedy="Correct the setting.") from None
        except SecretsFolderError as error:
            raise SettingsError(
                source=SECRETS_FOLDER, culprit=f"{error}.", remedy="Name the folder that holds the secret files."
            ) from None

    def lake(self, name: LakeName) -> LakeSettings:
        """The settings of that lake."""
        return self.restricted if name is LakeName.RESTRICTED else self.curated

    def lake_data_path(self, name: LakeName) -> Path:
        """The folder of that lake's Parquet files."""
        return (self.lake(name).data_path or self.home / "lakes" / name / "data").absolute()

    def lake_catalog_path(self, name: LakeName) -> Path:
        """The file of that lake's embedded catalog."""
        return (self.home / "lakes" / name / "catalog.sqlite").absolute()

    @property
    def landing(self) -> Path:
        """The landing folder."""
        return (self.sources.landing or self.home / "landing").absolute()

    @property
    def exports(self) -> Path:
        """The folder of the service's exports."""
        return (self.home / "exports").absolute()

    @property
    def alert_log(self) -> Path:
        """The file to which alerts are appended."""
        return (self.alerts.log or self.home / "alerts.jsonl").absolute()

    @property
    def token_keys(self) -> Path:
        """The file with the public keys that verify tokens."""
        return (self.service.keys or self.home / "keys" / "jwks.json").absolute()

    @property
    def token_signing_key(self) -> Path:
        """The file with the private key that signs tokens."""
        return (self.service.signing_key or self.home / "keys" / "signing.pem").absolute()

    def secret(self, value: SecretStr | None, variable: str) -> str:
        """The secret's text.

        Raises:
            SettingsError: it is not set.
        """
        if value is None:
            raise SettingsError(
                source=f"{PREFIX}{variable}",
                culprit="this secret is not set.",
                remedy=f"Set it in the environment or in .env, or put it in a file {PREFIX.lower()}{variable.lower()} "
                f"in the folder that {SECRETS_FOLDER} names.",
            )
        return value.get_secret_value()
