"""Settings: every value that differs between machines, in one place.

Put here what an operator sets by environment (``MLOPS_ASSETS_*``), ``.env`` or secret files. Keep out values that
belong to the domain's contracts, and any reading of the environment elsewhere.
"""

from __future__ import annotations

import difflib
import os
import re
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SecretsFolderError

from mlops_assets.platform.catalog_address import SQLITE, problem_of
from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.identifiers import is_identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX = "MLOPS_ASSETS_"
SECRETS_FOLDER = f"{PREFIX}SECRETS_DIR"
_HOME: Final = Path(".mlops_assets")
_CATALOG_FILE: Final = "catalog.sqlite"
_AMOUNT: Final = re.compile(r"[0-9]+(\.[0-9]+)? ?[KMGT]i?B")


class _Group(BaseModel):
    """Settings of one subject, of which no other are known."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class LakeSettings(_Group):
    """Where one lake keeps its catalog and its data.

    Attributes:
        catalog: ``sqlite`` for a file in the home folder, else a libpq connection string without password, such as
            ``host=db dbname=curated user=curated``.
        password: password of the catalog's account; only for PostgreSQL.
        data_path: folder of the Parquet files; in the home folder when not set.
    """

    catalog: str = SQLITE
    password: SecretStr | None = None
    data_path: Path | None = None

    @field_validator("catalog")
    @classmethod
    def _require_address(cls, catalog: str) -> str:
        if (problem := problem_of(catalog)) is not None:
            raise ValueError(f"it {problem}")
        return catalog


_IN_HOME: Final = LakeSettings()


class ProfileTransport(StrEnum):
    """How census profiles are fetched: from the API, or as table downloads."""

    API = "api"
    DOWNLOADS = "downloads"


class SourceSettings(_Group):
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
        timeout_seconds: how long a source may take to connect, to begin its answer, and between two parts of it.
        attempts: how often a request over HTTP is tried before the source counts as away.
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


class WebhookSettings(_Group):
    """A receiver of alerts.

    Attributes:
        url: address that receives each alert as JSON by POST.
        least: the least severity that it gets: ``warning`` or ``error``.
    """

    url: SecretStr
    least: Literal["warning", "error"] = "warning"


class AlertSettings(_Group):
    """Where alerts go beside the log.

    Attributes:
        webhook_url: address of the common webhook, which gets the alerts of all roles.
        webhook_least: the least severity that it gets: ``warning`` or ``error``.
        webhooks: a webhook more for each role, which gets the alerts of what that role owns: ``plumbing`` for tables of
            ``team:plumbing`` (``MLOPS_ASSETS_ALERTS__WEBHOOKS__PLUMBING__URL``).
        log: file to which each alert is appended as one JSON line; ``alerts.jsonl`` in the home folder when not set.
    """

    webhook_url: SecretStr | None = None
    webhook_least: Literal["warning", "error"] = "warning"
    webhooks: dict[str, WebhookSettings] = {}
    log: Path | None = None

    @property
    def common(self) -> WebhookSettings | None:
        """The common webhook."""
        return WebhookSettings(url=self.webhook_url, least=self.webhook_least) if self.webhook_url is not None else None


class Authentication(StrEnum):
    """How clients of the service prove who they are.

    ``both``: by a token that is bound to the client certificate it comes with (RFC 8705).
    """

    TOKEN = "token"  # noqa: S105  a way, not a password
    CERTIFICATE = "certificate"
    BOTH = "both"


class Provider(StrEnum):
    """Whose tokens the service takes; ``own`` for those of the ``token`` command, and others of RFC 9068."""

    OWN = "own"
    KEYCLOAK = "keycloak"
    ENTRA = "entra"
    AUTH0 = "auth0"
    OKTA = "okta"
    COGNITO = "cognito"


class ServiceSettings(_Group):
    """The REST service: where it listens, whom it believes, what it bears.

    Attributes:
        host: address to listen on: of the service on loopback, else of the edge in front of it.
        port: port to listen on, of the same.
        socket: Unix socket on which the service listens instead, for an edge in front of it and nobody else.
        workers: processes that serve; above one, a parent watches over them and replaces those that die.
        plain_http: speak plain HTTP instead of TLS; on loopback only.
        tls_certificate: PEM file with the server's certificate chain; when not set, one for loopback is made in the
            home folder.
        tls_key: PEM file with its private key.
        client_ca: PEM file with the authorities that sign client certificates; the edge verifies them.
        authentication: how clients prove who they are.
        certificate_principals: TOML file that says which client certificate is which principal.
        provider: the identity provider whose tokens are taken.
        provider_file: TOML file with what differs from that provider's usual form: where limits stand, what its scopes
            and roles mean here, further audiences.
        require_limits: columns of which nobody sees anything without a limit of its own, or ``true`` for all that
            tables are limited by; when not set, all with an identity provider and none without.
        issuer: issuer that tokens must name.
        audience: audience that tokens must name.
        keys: file with the public keys (JWKS) that verify tokens; in the home folder when not set.
        keys_url: https address of an identity provider's JWKS, in place of that file.
        keys_url_ca: PEM file with the authority of that address; the system's when not set.
        keys_url_proxy: http address of a proxy by which that address is reached.
        keys_refresh_seconds: how often that address is asked.
        algorithms: signature algorithms accepted: ``EdDSA``, ``ES256``, ``RS256``; the provider's when not set.
        revoked: file with the revoked tokens and keys; beside ``keys`` when not set.
        signing_key: file with the private key (PEM) that signs tokens; only the ``token`` command reads it.
        public_documentation: whether the OpenAPI document and its page are served without a token.
        rate_per_second: requests that one principal may send, over all workers; ``burst`` of them at once.
        burst: see ``rate_per_second``.
        concurrency: requests of one principal that one worker answers at a time.
        connections: clients' connections of one of the edge's processes; beyond them those idle longest are closed.
        connections_per_address: requests of one address that the edge has under way; many clients may share one.
        max_body_bytes: largest body of a request that the edge takes.
        max_header_bytes: largest head of a request.
        header_seconds: within which the edge must have a handshake, and the head of a request.
        body_seconds: how long it waits for the next part of a body.
        request_seconds: within which it must be answered.
        drain_seconds: how long a service that is told to end says so at ``/health/ready`` before it stops listening.
        traces_url: address (OTLP over HTTP) to which traces are sent; needs the extra ``tracing``.
        inference_log: folder of what models answered and what came of it, of those that take outcomes; in the home
            folder when not set.
        inference_log_days: how long the log of a day stays there.
        inference_log_free_bytes: of its disk, what answers leave free: with less they are not logged, and counted.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8089, ge=0, le=65535)
    socket: Path | None = None
    workers: int = Field(default=1, ge=1, le=64)
    plain_http: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    authentication: Authentication = Authentication.TOKEN
    certificate_principals: Path | None = None
    provider: Provider = Provider.OWN
    provider_file: Path | None = None
    require_limits: bool | tuple[str, ...] | None = None
    issuer: str = "mlops-assets"
    audience: str = "mlops-assets-service"
    keys: Path | None = None
    keys_url: str | None = None
    keys_url_ca: Path | None = None
    keys_url_proxy: str | None = None
    keys_refresh_seconds: float = Field(default=60.0, ge=1)
    algorithms: tuple[str, ...] = ()
    revoked: Path | None = None
    signing_key: Path | None = None
    public_documentation: bool = False
    rate_per_second: float = Field(default=1000.0, gt=0)
    burst: int = Field(default=2000, ge=1)
    concurrency: int = Field(default=64, ge=1)
    connections: int = Field(default=4096, ge=16)
    connections_per_address: int = Field(default=1024, ge=1)
    max_body_bytes: int = Field(default=1_048_576, ge=0)
    max_header_bytes: int = Field(default=16_384, ge=1024)
    header_seconds: float = Field(default=10.0, gt=0)
    body_seconds: float = Field(default=20.0, gt=0)
    request_seconds: float = Field(default=30.0, gt=0)
    drain_seconds: float = Field(default=2.0, ge=0)
    traces_url: str | None = None
    inference_log: Path | None = None
    inference_log_days: int = Field(default=90, ge=1)
    inference_log_free_bytes: int = Field(default=2**30, ge=0)

    @field_validator("require_limits", mode="before")
    @classmethod
    def _require_columns(cls, given: object) -> object:
        columns = isinstance(given, list | tuple) and all(
            isinstance(each, str) and is_identifier(each) for each in given
        )
        if given is None or columns or str(given).lower() in {"true", "false"}:
            return given
        raise ValueError('it is neither true nor false nor a list of columns such as ["territory"]')

    @property
    def has_identity_provider(self) -> bool:
        """Whether tokens come from an identity provider, and not from the ``token`` command."""
        return self.provider is not Provider.OWN or self.keys_url is not None


class ModelSettings(_Group):
    """Signing of models.

    Attributes:
        signing_key: file with the private key (PEM) that signs models and exports; only modeling reads it. When not
            set, a key in the home folder, made on first use.
        keys: file with the public keys (JWKS) whose models and exports are believed; in the home folder when not set.
    """

    signing_key: Path | None = None
    keys: Path | None = None


class EngineSettings(_Group):
    """What DuckDB may take of the machine, for each process that works with lakes.

    Attributes:
        memory: most memory for rows, such as ``2GB``; four fifths of what the machine or container has when not set.
        scratch: most disk for rows that do not fit into it, such as ``20GB``; nine tenths of what is free when not set.
    """

    memory: str | None = None
    scratch: str | None = None

    @field_validator("memory", "scratch")
    @classmethod
    def _require_amount(cls, amount: str | None) -> str | None:
        if amount is not None and _AMOUNT.fullmatch(amount) is None:
            raise ValueError("it is no amount such as 2GB or 512MiB")
        return amount


class EntryAction(StrEnum):
    """What an entry event does to the features made from the data that it is in."""

    WARN = "warn"
    BLOCK = "block"


class EntryPolicy(_Group):
    """Which entry events warn and which keep features from being made, until somebody rejects the event.

    The last three are no events: they say that two partitions cannot be compared, and keep the comparison from being
    made until the partition is loaded right, or the policy lets it pass.

    Attributes:
        repeated: records that were loaded more than once; wrangling counts each once.
        recoded: codes that changed while their class stayed.
        reclassed: codes whose class changed, so that counts by class do not mean what they meant.
        detected: entry changes detected in aggregates.
        re_keyed: identifiers that were reissued, all or a part, or that hardly link.
        partly_loaded: units that lost or gained most of their entities at once.
        readdressed: addresses that changed for nearly all entities at once.
    """

    repeated: EntryAction = EntryAction.WARN
    recoded: EntryAction = EntryAction.WARN
    reclassed: EntryAction = EntryAction.BLOCK
    detected: EntryAction = EntryAction.WARN
    re_keyed: EntryAction = EntryAction.BLOCK
    partly_loaded: EntryAction = EntryAction.BLOCK
    readdressed: EntryAction = EntryAction.BLOCK


class _SecretFiles(NestedSecretsSettingsSource):
    """The files of a folder of secrets that are named like settings; others there are the sources' own."""

    @classmethod
    def load_secrets(cls, path: Path) -> dict[str, str]:
        """Their texts by name."""
        found = {}
        for file in cls._iter_secret_files(path):
            name = str(file.relative_to(path))
            if name.upper().startswith(PREFIX):
                try:
                    found[name] = file.read_text(encoding="utf-8").strip()
                except (OSError, UnicodeDecodeError) as error:
                    reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
                    raise SecretsFolderError(f"{name} in it cannot be read ({reason})") from None
        return found


def _keep_out_of_version_control(home: Path) -> None:
    """Let git pass over a home folder that lies in the project: it holds secrets and persons."""
    ignored = home / ".gitignore"
    if home == _HOME and home.is_dir() and not ignored.exists():
        with suppress(OSError):
            ignored.write_text("*\n", encoding="utf-8")


class Settings(BaseSettings):
    """All settings. Nested ones are set with two underscores: ``MLOPS_ASSETS_SOURCES__HOUSE_RETURNS_URL``.

    A secret may also be a file named like its variable in lower case, in the folder ``MLOPS_ASSETS_SECRETS_DIR``, or in
    ``secrets`` in the home folder where that is not set.

    Attributes:
        home: folder for everything that has no place of its own: embedded lakes, landing folder, exports, keys.
        lakes: by name where lakes are (``MLOPS_ASSETS_LAKES__CURATED__CATALOG``); others are in the home folder.
        engine: what DuckDB may take of the machine.
        entry_policy: what entry events do to features.
        reports_address: address under which the folder of reports is served; links lead to the files when not set.
        pseudonym_key: key of the pseudonyms, at least 32 characters.
        environment: digest of the image or hash of the lock that the code runs in; read from the lock when not set.

    Example:
        >>> import mlops_assets as ma
        >>> ma.Settings(home="/data/shop").exports.as_posix()
        '/data/shop/exports'
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_nested_delimiter="__",
        # A compose file can pass a variable on, but not leave out one that is not set.
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = _HOME
    lakes: dict[str, LakeSettings] = {}
    sources: SourceSettings = SourceSettings()
    alerts: AlertSettings = AlertSettings()
    service: ServiceSettings = ServiceSettings()
    models: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    entry_policy: EntryPolicy = EntryPolicy()
    reports_address: str | None = None
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
        files = _SecretFiles(file_secret_settings, secrets_dir_missing="error")
        return init_settings, env_settings, dotenv_settings, files

    @classmethod
    def load(cls) -> Self:
        """Read the settings from environment, ``.env`` and secret files.

        Raises:
            SettingsError: a value is missing or wrong; the message names the variable, never its value.
        """
        folder = os.environ.get(SECRETS_FOLDER)
        try:
            if not folder and (in_home := cls(_secrets_dir=None).home / "secrets").is_dir():  # type: ignore[call-arg]
                folder = str(in_home)
            cls._refuse_misspelt()
            settings = cls(_secrets_dir=folder)  # type: ignore[call-arg]
        except ValidationError as error:
            errors = error.errors(include_input=False, include_url=False)
            # What is misspelt may be what is missing.
            first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
            name = PREFIX + "__".join(str(part) for part in first["loc"]).upper()
            if first["type"] == "extra_forbidden":
                raise SettingsError(
                    source=name,
                    culprit="there is no setting of that name.",
                    remedy=f"Beside it are known: {', '.join(_beside(cls, first['loc']))}.",
                ) from None
            culprit = str(first["msg"]).removeprefix("Value error, ")
            raise SettingsError(source=name, culprit=f"{culprit}.", remedy="Correct the setting.") from None
        except SecretsFolderError as error:
            raise SettingsError(
                source=SECRETS_FOLDER,
                culprit=f"{error}.",
                remedy="Name the folder that holds the secret files, as texts.",
            ) from None
        _keep_out_of_version_control(settings.home)
        return settings

    @classmethod
    def _refuse_misspelt(cls) -> None:
        """Refuse variables that differ from a setting's name by a slip; others with the prefix may be somebody else's.

        Raises:
            SettingsError: there is one.
        """
        known = {name.upper() for name in cls.model_fields}
        given = {*os.environ, *DotEnvSettingsSource(cls).env_vars}
        for variable in sorted(name.upper() for name in given if name.upper().startswith(PREFIX)):
            first, *rest = variable.removeprefix(PREFIX).split("__")
            near = difflib.get_close_matches(first, known - {first}, n=1, cutoff=0.7)
            if near and first not in known:
                meant = "__".join([PREFIX + near[0], *rest])
                raise SettingsError(
                    source=variable,
                    culprit="there is no setting of that name.",
                    remedy=f"Did you mean {meant}?",
                )

    def lake(self, name: str) -> LakeSettings:
        """Where that lake is: as set, else in the home folder."""
        return self.lakes.get(name, _IN_HOME)

    @property
    def lake_names(self) -> list[str]:
        """The lakes whose catalog is set to lie elsewhere, and those that are there in the home folder."""
        elsewhere = (name for name, lake in self.lakes.items() if lake.catalog != _IN_HOME.catalog)
        there = (file.parent.name for file in (self.home / "lakes").glob(f"*/{_CATALOG_FILE}"))
        return sorted({*elsewhere, *there})

    def lake_data_path(self, name: str) -> Path:
        """The folder of that lake's Parquet files.

        Raises:
            SettingsError: what is named is no folder but a URL or a file.
        """
        path = self.lake(name).data_path or self.home / "lakes" / name / "data"
        if path.parts[:1] and path.parts[0].endswith(":"):
            raise SettingsError(
                source=f"Lake {name}",
                culprit=f"its data_path is a URL ({path.parts[0]}//...).",
                remedy="Name a folder, such as one of a file system that all runs mount.",
            )
        if path.is_file():
            raise SettingsError(
                source=f"Lake {name}",
                culprit=f"its data_path {path} is a file.",
                remedy="Name a folder; it is made where there is none.",
            )
        return path.absolute()

    def lake_catalog_path(self, name: str) -> Path:
        """The file of that lake's embedded catalog."""
        return (self.home / "lakes" / name / _CATALOG_FILE).absolute()

    @property
    def landing(self) -> Path:
        """The landing folder."""
        return (self.sources.landing or self.home / "landing").absolute()

    @property
    def reports(self) -> Path:
        """The folder of the reports on what changed."""
        return (self.home / "reports").absolute()

    @property
    def inference_log(self) -> Path:
        """The folder of what models answered in the service, and what came of it."""
        return (self.service.inference_log or self.home / "inference_log").absolute()

    @property
    def exports(self) -> Path:
        """The folder of the service's exports."""
        return (self.home / "exports").absolute()

    @property
    def errors(self) -> Path:
        """The folder of what unexpected exceptions said, which only its owner may read."""
        return (self.home / "errors").absolute()

    @property
    def alert_log(self) -> Path:
        """The file to which alerts are appended."""
        return (self.alerts.log or self.home / "alerts.jsonl").absolute()

    @property
    def token_keys(self) -> Path:
        """The file with the public keys that verify tokens."""
        return (self.service.keys or self.home / "keys" / "jwks.json").absolute()

    @property
    def revoked(self) -> Path:
        """The file with the revoked tokens and keys."""
        return (self.service.revoked or self.token_keys.with_name("revoked.json")).absolute()

    @property
    def service_tls(self) -> Path:
        """The folder of the certificate that the service makes for itself on loopback."""
        return (self.home / "tls").absolute()

    @property
    def token_signing_key(self) -> Path:
        """The file with the private key that signs tokens."""
        return (self.service.signing_key or self.home / "keys" / "signing.pem").absolute()

    @property
    def model_keys(self) -> Path:
        """The file with the public keys whose models and exports are believed."""
        return (self.models.keys or self.home / "keys" / "models.json").absolute()

    @property
    def model_signing_key(self) -> Path:
        """The file with the private key that signs models and exports."""
        return (self.models.signing_key or self.home / "keys" / "models.pem").absolute()

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


def _beside(settings: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The names of the settings that are known where that one is not."""
    found: Any = settings
    for part in path[:-1]:
        found = get_args(found)[-1] if get_args(found) else found.model_fields[part].annotation
    return sorted(name.upper() for name in found.model_fields)
