"""Secrets of a deployment: which there are, who gets them, and how they are made and renewed.

Put here the table of secrets and what makes them. Keep out certificates' making (``certificates``) and secrets that
other people give out, such as keys of source systems.

Every reader has a folder of its own, so that a container mounts what it needs and nothing else. The pseudonym key is
never renewed by accident: pseudonyms of another key cannot be linked to those already published.
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from mlops_assets.deployment.certificates import Authority, Purpose, is_due, is_issued_by, names_of
from mlops_assets.platform.durable_files import replace_durably
from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.security import token_keys
from mlops_assets.platform.security.revocations import begin_revocations

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_OTHERS: Final = 0o077
_PASSWORD_BYTES: Final = 32

ACCOUNTS: Final = {
    "storage": ("storage",),
    "restricted": ("plumbing", "wrangling", "reaper"),
    "curated": ("wrangling", "modeling", "reaper"),
}
"""PostgreSQL accounts, each owner of the database of its name, and the folders that get its password."""

_SERVERS: Final = {
    "postgres": ("postgres",),
    "service": ("rest-service",),
    "proxy": ("localhost", "127.0.0.1", "proxy"),
}
"""Folders that hold a server's certificate, and the names it is valid for."""

_MODEL_KEYS: Final = ("models.pem", "models.json")
"""Files of the key that signs models, and of those whose models may be loaded."""

_ROLES: Final = ("viewer", "operator")
"""People sign in with a certificate of their role's own authority."""

_READERS_OF_AUTHORITY: Final = ("storage", "postgres", "service", "proxy", "clients")


class Part(StrEnum):
    """What can be renewed on its own."""

    CERTIFICATES = "certificates"
    PASSWORDS = "passwords"
    TOKENS = "tokens"
    MODELS = "models"
    AUTHORITIES = "authorities"
    PSEUDONYMS = "pseudonyms"


USUAL_PARTS: Final = (Part.CERTIFICATES, Part.PASSWORDS, Part.TOKENS, Part.MODELS)
"""What a rotation renews when no part is named: everything that can be renewed without a loss."""


class SecretsError(PlatformError):
    """The folder of the secrets cannot be used."""


def create(folder: Path, *, names: Sequence[str] = ()) -> list[Path]:
    """Make what is missing, and certificates that end within a month; what is there and valid stays as it is.

    Args:
        folder: the folder of the secrets (0700); each reader's folder is in it (0700, its files 0600).
        names: further host names and addresses by which the reverse proxy is reached.

    Returns:
        The files made or renewed, in order of their names.

    Raises:
        SecretsError: the folder is open to others, or cannot be written.
    """
    try:
        return _Store(folder, names).complete()
    except OSError as error:
        raise _unusable(folder, error) from error


def rotate(folder: Path, *, parts: Collection[Part] = USUAL_PARTS, names: Sequence[str] = ()) -> list[Path]:
    """Renew those parts. Every container that reads them has to be restarted; PostgreSQL takes over passwords then.

    A new key of tokens or models leaves the old one valid until it is retired. New authorities renew all certificates.

    Args:
        folder: the folder that ``create`` made.
        parts: what to renew.
        names: further host names and addresses by which the reverse proxy is reached.

    Returns:
        The files made or renewed, in order of their names.

    Raises:
        SecretsError: there are no secrets yet, or the folder is open to others or cannot be written.
    """
    store = _Store(folder, names)
    if not store.exists():
        raise SecretsError(
            source=f"Secrets folder {folder}", culprit="it holds no secrets.", remedy="Create them before rotating."
        )
    try:
        store.drop(set(parts))
        return store.complete()
    except OSError as error:
        raise _unusable(folder, error) from error


class _Store:
    """The folder, and what was written into it so far."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._names = tuple(names)
        self._written: set[Path] = set()
        self._renewing_certificates = False

    def exists(self) -> bool:
        return (self._folder / "authority" / "services.key").exists()

    def complete(self) -> list[Path]:
        self._demand_closed()
        services = self._authority("services")
        for reader, names in _SERVERS.items():
            extra = self._names if reader == "proxy" else ()
            self._certificate(services, reader, "server", names=(*names, *extra), purpose=Purpose.SERVER)
        for reader in _READERS_OF_AUTHORITY:
            self._write(reader, "services.crt", services.certificate_pem)
        for role in _ROLES:
            people = self._authority(f"{role}s")
            self._write("proxy", f"{role}s.crt", people.certificate_pem)
            self._certificate(people, "clients", role, names=(role,), purpose=Purpose.CLIENT)
        # Operators may look as well.
        both = b"".join(self._authority(f"{role}s").certificate_pem for role in _ROLES)
        self._write("proxy", "everybody.crt", both)
        for account, readers in ACCOUNTS.items():
            self._password(account, readers)
        self._pseudonym_key()
        # The service verifies, and cannot sign.
        if not (self._reader("tokens") / "jwks.json").exists():
            # Never later: a list that was lost must not come back empty.
            revoked = self._reader("service") / "revoked.json"
            begin_revocations(revoked)
            revoked.chmod(_FILE_MODE)
            self._written.add(revoked)
        self._signing_keys("tokens", "signing.pem", "jwks.json")
        self._signing_keys("modeling", *_MODEL_KEYS)
        return sorted(self._written)

    def drop(self, parts: set[Part]) -> None:
        """Remove what is to be made anew; the lack is filled in the same call."""
        if Part.AUTHORITIES in parts:
            parts.add(Part.CERTIFICATES)
            for file in (self._folder / "authority").iterdir():
                file.unlink()
        self._renewing_certificates = Part.CERTIFICATES in parts
        if Part.PASSWORDS in parts:
            for account in ACCOUNTS:
                self._password_file(account).unlink(missing_ok=True)
        if Part.PSEUDONYMS in parts:
            (self._folder / "wrangling" / "mlops_assets_pseudonym_key").unlink(missing_ok=True)
        if Part.TOKENS in parts:
            self._rotate_signing_keys("tokens", "signing.pem", "jwks.json")
        if Part.MODELS in parts:
            self._rotate_signing_keys("modeling", *_MODEL_KEYS)

    def _demand_closed(self) -> None:
        self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        if self._folder.stat().st_mode & _OTHERS:
            raise SecretsError(
                source=f"Secrets folder {self._folder}",
                culprit="others than its owner may enter it.",
                remedy="Set its mode to 0700, and rotate what was in it.",
            )

    def _reader(self, reader: str) -> Path:
        folder = self._folder / reader
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        # A volume mounted here brings a mode of its own.
        folder.chmod(_FOLDER_MODE)
        return folder

    def _write(self, reader: str, name: str, content: bytes) -> None:
        file = self._reader(reader) / name
        if not file.exists() or file.read_bytes() != content:
            replace_durably(file, content, mode=_FILE_MODE)
            self._written.add(file)

    def _authority(self, name: str) -> Authority:
        folder = self._reader("authority")
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        if not (certificate.exists() and key.exists()) or is_due(certificate.read_bytes()):
            made = Authority.create(f"mlops-assets {name}")
            self._write("authority", key.name, made.key_pem)
            self._write("authority", certificate.name, made.certificate_pem)
        return Authority.read(certificate.read_bytes(), key.read_bytes())

    def _certificate(
        self, authority: Authority, reader: str, name: str, *, names: Sequence[str], purpose: Purpose
    ) -> None:
        certificate, key = (self._reader(reader) / f"{name}.{kind}" for kind in ("crt", "key"))
        wanted = list(names)
        if certificate.exists() and key.exists():
            pem = certificate.read_bytes()
            held = names_of(pem)
            known = set(names) <= set(held)
            if known and not self._renewing_certificates and not is_due(pem) and is_issued_by(pem, authority):
                return
            # Names given once stay: the next start does not repeat them.
            wanted = list(dict.fromkeys([*names, *held]))
        issued = authority.issue(wanted, purpose)
        self._write(reader, key.name, issued.key_pem)
        self._write(reader, certificate.name, issued.certificate_pem)
        if purpose is Purpose.CLIENT:
            # The form that browsers import.
            self._write(reader, f"{name}.p12", issued.pkcs12(name))

    def _password_file(self, account: str) -> Path:
        return self._folder / "postgres" / f"{account}.password"

    def _password(self, account: str, readers: Sequence[str]) -> None:
        file = self._password_file(account)
        if not file.exists():
            self._write("postgres", file.name, secrets.token_urlsafe(_PASSWORD_BYTES).encode())
        password = file.read_bytes()
        for reader in readers:
            if account == "storage":
                self._write(reader, "pgpass", b"*:*:storage:storage:" + password + b"\n")
            else:
                self._write(reader, f"mlops_assets_lakes__{account}__password", password)

    def _pseudonym_key(self) -> None:
        if not (self._reader("wrangling") / "mlops_assets_pseudonym_key").exists():
            self._write("wrangling", "mlops_assets_pseudonym_key", secrets.token_urlsafe(_PASSWORD_BYTES).encode())

    def _signing_keys(self, reader: str, private: str, public: str) -> None:
        signing, keys = self._reader(reader) / private, self._reader(reader) / public
        if not signing.exists():
            token_keys.create_keys(signing, keys)
            self._written.update({signing, keys})
        keys.chmod(_FILE_MODE)
        self._write("service", keys.name, keys.read_bytes())

    def _rotate_signing_keys(self, reader: str, private: str, public: str) -> None:
        signing, keys = self._reader(reader) / private, self._reader(reader) / public
        if signing.exists():
            token_keys.rotate_keys(signing, keys)
            self._written.update({signing, keys})


def _unusable(folder: Path, error: OSError) -> SecretsError:
    return SecretsError(
        source=f"Secrets folder {folder}",
        culprit=f"{error.filename or 'it'} cannot be read or written ({error.strerror}).",
        remedy="Run as the owner of the folder, and leave room on its disk.",
    )
