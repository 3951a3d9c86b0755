"""Secrets of a deployment: which there are, who gets them, and how they are made and renewed.

Put here the table of secrets and what makes them. Keep out certificates' making (``certificates``), people's
(``people``), and secrets that others give out, such as keys of source systems.

Every reader has a folder of its own, so that a container mounts what it needs and nothing else. The pseudonym key is
never renewed by accident: pseudonyms of another key cannot be linked to those already published.
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from mlops_assets.deployment import people
from mlops_assets.deployment.certificates import Purpose, is_due, is_issued_by, is_pair, names_of
from mlops_assets.deployment.secret_files import AUTHORITY, FILE_MODE, SecretFiles
from mlops_assets.platform.security import token_keys
from mlops_assets.platform.security.revocations import begin_revocations

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from mlops_assets.deployment.certificates import Authority

_PASSWORD_BYTES: Final = 32

ACCOUNTS: Final = {
    "storage": ("storage",),
    "restricted": ("plumbing", "wrangling", "reaper"),
    "curated": ("wrangling", "modeling", "reaper"),
}
"""PostgreSQL accounts, each owner of the database of its name, and the folders that get its password."""

_SERVERS: Final = {
    "postgres": ("postgres",),
    "proxy": ("localhost", "127.0.0.1", "proxy"),
}
"""Folders that hold a server's certificate, and the names it is valid for."""

_MODEL_KEYS: Final = ("models.pem", "models.json")
"""Files of the key that signs models, and of those whose models may be loaded."""

_READERS_OF_AUTHORITY: Final = ("storage", "postgres", "proxy", "clients")


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
    files = SecretFiles(folder)
    with files.held():
        _Secrets(files, names).complete()
    return sorted(files.written)


def rotate(folder: Path, *, parts: Collection[Part] = USUAL_PARTS, names: Sequence[str] = ()) -> list[Path]:
    """Renew those parts. Every container that reads them has to be restarted; PostgreSQL takes over passwords then.

    A new key of tokens or models leaves the old one valid until it is retired. New authorities renew all certificates,
    people's too, who have to be given theirs anew.

    Args:
        folder: the folder that ``create`` made.
        parts: what to renew.
        names: further host names and addresses by which the reverse proxy is reached.

    Returns:
        The files made or renewed, in order of their names.

    Raises:
        SecretsError: there are no secrets yet, or the folder is open to others or cannot be written.
    """
    files = SecretFiles(folder)
    with files.held():
        files.demand()
        store = _Secrets(files, names)
        store.drop(set(parts))
        store.complete()
    return sorted(files.written)


class _Secrets:
    """What the folder is to hold."""

    def __init__(self, files: SecretFiles, names: Sequence[str]) -> None:
        self._files = files
        self._names = tuple(names)
        self._renewing_certificates = False

    def complete(self) -> None:
        files = self._files
        services = files.authority("services")
        for reader, names in _SERVERS.items():
            self._server(services, reader, (*names, *(self._names if reader == "proxy" else ())))
        for reader in _READERS_OF_AUTHORITY:
            files.write(reader, "services.crt", services.certificate_pem)
        people.complete(files)
        for account, readers in ACCOUNTS.items():
            self._password(account, readers)
        self._pseudonym_key()
        # The service verifies, and cannot sign.
        if not (files.reader("tokens") / "jwks.json").exists():
            # Never later: a list that was lost must not come back empty.
            revoked = files.reader("service") / "revoked.json"
            begin_revocations(revoked)
            revoked.chmod(FILE_MODE)
            files.written.add(revoked)
        self._signing_keys("tokens", "signing.pem", "jwks.json")
        self._signing_keys("modeling", *_MODEL_KEYS)

    def drop(self, parts: set[Part]) -> None:
        """Remove what is to be made anew; the lack is filled in the same call, or the next one."""
        folder = self._files.folder
        if Part.AUTHORITIES in parts:
            parts.add(Part.CERTIFICATES)
            # The register of people stays: they are given certificates of the new authority.
            for file in (folder / AUTHORITY).glob("*.pem"):
                file.unlink()
        self._renewing_certificates = Part.CERTIFICATES in parts
        if Part.PASSWORDS in parts:
            for account in ACCOUNTS:
                self._password_file(account).unlink(missing_ok=True)
        if Part.PSEUDONYMS in parts:
            (folder / "wrangling" / "mlops_assets_pseudonym_key").unlink(missing_ok=True)
        if Part.TOKENS in parts:
            self._rotate_signing_keys("tokens", "signing.pem", "jwks.json")
        if Part.MODELS in parts:
            self._rotate_signing_keys("modeling", *_MODEL_KEYS)

    def _server(self, authority: Authority, reader: str, names: Sequence[str]) -> None:
        certificate, key = (self._files.reader(reader) / f"server.{kind}" for kind in ("crt", "key"))
        pem, key_pem = (file.read_bytes() if file.exists() else b"" for file in (certificate, key))
        held = names_of(pem)
        # Whoever is killed between the two files leaves a key of one pair and a certificate of another.
        sound = is_pair(pem, key_pem) and is_issued_by(pem, authority) and not is_due(pem)
        if sound and set(names) <= set(held) and not self._renewing_certificates:
            return
        # Names given once stay: the next start does not repeat them.
        issued = authority.issue(list(dict.fromkeys([*names, *held])), Purpose.SERVER)
        self._files.write(reader, key.name, issued.key_pem)
        self._files.write(reader, certificate.name, issued.certificate_pem)

    def _password_file(self, account: str) -> Path:
        return self._files.folder / "postgres" / f"{account}.password"

    def _password(self, account: str, readers: Sequence[str]) -> None:
        file = self._password_file(account)
        if not file.exists():
            self._files.write("postgres", file.name, secrets.token_urlsafe(_PASSWORD_BYTES).encode())
        password = file.read_bytes()
        for reader in readers:
            if account == "storage":
                self._files.write(reader, "pgpass", b"*:*:storage:storage:" + password + b"\n")
            else:
                self._files.write(reader, f"mlops_assets_lakes__{account}__password", password)

    def _pseudonym_key(self) -> None:
        if not (self._files.reader("wrangling") / "mlops_assets_pseudonym_key").exists():
            key = secrets.token_urlsafe(_PASSWORD_BYTES).encode()
            self._files.write("wrangling", "mlops_assets_pseudonym_key", key)

    def _signing_keys(self, reader: str, private: str, public: str) -> None:
        signing, keys = self._files.reader(reader) / private, self._files.reader(reader) / public
        if not signing.exists():
            token_keys.create_keys(signing, keys)
            self._files.written.update({signing, keys})
        keys.chmod(FILE_MODE)
        self._files.write("service", keys.name, keys.read_bytes())

    def _rotate_signing_keys(self, reader: str, private: str, public: str) -> None:
        signing, keys = self._files.reader(reader) / private, self._files.reader(reader) / public
        if signing.exists():
            token_keys.rotate_keys(signing, keys)
            self._files.written.update({signing, keys})
