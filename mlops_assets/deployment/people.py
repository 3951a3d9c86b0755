"""People: a certificate for each, which names the person and the role, and the list of those that are revoked.

Put here who may sign in to the pages of a deployment. Keep out what a role may do there (``pages``) and how
applications sign in to the service.

The register beside the authority is what counts: a certificate is noted there before anybody can have it, and the list
of revoked ones, which the reverse proxy follows, is made of it. A register that was lost does not come back empty: it
would let in whoever was shut out.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from mlops_assets.deployment.certificates import Purpose
from mlops_assets.deployment.secret_files import AUTHORITY, SecretFiles, SecretsError

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.deployment.certificates import Authority

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_PEOPLE: Final = "people"
_REGISTER: Final = "people.json"
_CLIENTS: Final = "clients"
_PROXY: Final = "proxy"


class Certified(BaseModel):
    """One certificate that a person was given.

    Attributes:
        name: the person: common name of the certificate.
        role: organizational unit of the certificate.
        serial: its serial number, in hexadecimal digits.
        authority: fingerprint of the authority that signed it.
        issued_at: when it was made.
        ends_at: when it ends.
        written: whether its files were written: where that was cut off, the person has no certificate yet.
        revoked_at: when it was revoked; ``None`` if it was not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    role: str
    serial: str
    authority: str
    issued_at: datetime
    ends_at: datetime
    written: bool = False
    revoked_at: datetime | None = None

    def revoked(self) -> Certified:
        """The same, revoked now unless it was before."""
        return self if self.revoked_at else self.model_copy(update={"revoked_at": datetime.now(UTC)})


class _Register(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    certificates: tuple[Certified, ...] = ()


def admit(folder: Path, name: str, role: str) -> list[Path]:
    """Give a person a certificate for that role. One that the person had before is revoked.

    Args:
        folder: the folder of the secrets, which ``secrets.create`` made.
        name: the person, such as ``ada.lovelace``.
        role: one of the deployment's (``pages.roles``): what the person is there for.

    Returns:
        The files made, those to hand over among them: ``clients/NAME.p12`` for browsers, ``clients/NAME.pem`` for
        programs.

    Raises:
        SecretsError: the name cannot be used, there are no secrets yet, or the folder cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise SecretsError(
            source=f"Person {name[:80]!r}",
            culprit="it is no name of a person here.",
            remedy="Give small letters, digits, dots, hyphens and underscores, 64 at most: ada.lovelace.",
        )
    files = SecretFiles(folder)
    with files.held():
        files.demand()
        held = _read(files)
        _admit(files, held, files.authority(_PEOPLE), name, role)
    return sorted(files.written)


def revoke(folder: Path, name: str) -> list[Certified]:
    """Revoke every certificate of that person; the reverse proxy refuses them within a minute.

    Returns:
        Those that were valid until now.

    Raises:
        SecretsError: nobody of that name has a certificate, or the folder cannot be used.
    """
    files = SecretFiles(folder)
    with files.held():
        files.demand()
        held = _read(files)
        valid = [each for each in held if each.name == name and each.revoked_at is None]
        if not valid:
            known = ", ".join(sorted({each.name for each in held if each.revoked_at is None})) or "nobody"
            raise SecretsError(
                source=f"Person {name[:80]!r}",
                culprit="no valid certificate is of that name.",
                remedy=f"Name one of those who have one: {known}.",
            )
        _write(files, [each.revoked() if each.name == name else each for each in held], files.authority(_PEOPLE))
    return valid


def listed(folder: Path) -> list[Certified]:
    """Every certificate that a person was ever given, by name and age.

    Raises:
        SecretsError: there are no secrets yet, or the folder cannot be used.
    """
    files = SecretFiles(folder)
    with files.held():
        files.demand()
        return sorted(_read(files), key=lambda each: (each.name, each.issued_at))


def complete(files: SecretFiles) -> None:
    """Make what the reverse proxy needs to know people: their authority, and the list of revoked certificates.

    Who has a certificate of an authority that is no more gets a new one, and so does who was never given it.

    Args:
        files: the folder of the secrets, held.

    Raises:
        SecretsError: the register was lost, or is damaged.
    """
    held = _read(files)
    # Before the authority: one without a register is one whose register was lost.
    if not held:
        files.write(AUTHORITY, _REGISTER, _json([]))
    authority = files.authority(_PEOPLE)
    for each in held:
        if each.revoked_at is None and not (each.written and each.authority == authority.fingerprint):
            _admit(files, _read(files), authority, each.name, each.role)
    _write(files, _read(files), authority)


def _admit(files: SecretFiles, held: list[Certified], authority: Authority, name: str, role: str) -> None:
    issued = authority.issue([name], Purpose.CLIENT, unit=role)
    new = Certified(
        name=name,
        role=role,
        serial=issued.serial,
        authority=authority.fingerprint,
        issued_at=datetime.now(UTC),
        ends_at=issued.ends_at,
    )
    # Noted first: nobody can have a certificate that cannot be revoked.
    others = [each.revoked() if each.name == name else each for each in held]
    _write(files, [*others, new], authority)
    files.write(_CLIENTS, f"{name}.pem", issued.key_pem + issued.certificate_pem)
    files.write(_CLIENTS, f"{name}.p12", issued.pkcs12(name))
    _write(files, [*others, new.model_copy(update={"written": True})], authority)


def _read(files: SecretFiles) -> list[Certified]:
    file = files.reader(AUTHORITY) / _REGISTER
    if not file.exists() and not (files.reader(AUTHORITY) / f"{_PEOPLE}.pem").exists():
        return []
    try:
        return list(_Register.model_validate_json(file.read_bytes()).certificates)
    except (FileNotFoundError, ValidationError) as error:
        raise SecretsError(
            source=str(file),
            culprit="the register of people's certificates is lost or damaged, and with it who was shut out.",
            remedy="Restore it from a backup; or shut everybody out: remove it and people.pem beside it, and make "
            "certificates anew (mlops-assets secrets person).",
        ) from error


def _write(files: SecretFiles, held: list[Certified], authority: Authority) -> None:
    files.write(AUTHORITY, _REGISTER, _json(held))
    files.write(_PROXY, "people.crt", authority.certificate_pem)
    serials = [each.serial for each in held if each.revoked_at and each.authority == authority.fingerprint]
    crl = files.reader(_PROXY) / "people.crl"
    if not crl.exists() or not authority.lists(crl.read_bytes(), serials):
        files.write(_PROXY, crl.name, authority.revocation_list(serials))


def _json(held: list[Certified]) -> bytes:
    return _Register(certificates=tuple(held)).model_dump_json(indent=2).encode()
