"""Secrets of a deployment: made once, closed to others, renewed by parts, and each reader has what it needs."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from mlops_assets.deployment import certificates, people, secret_files, secrets
from mlops_assets.deployment.certificates import Authority, Purpose
from mlops_assets.deployment.secret_files import SecretsError
from mlops_assets.platform.durable_files import replace_durably
from mlops_assets.platform.security.token_keys import read_keys

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    secrets.create(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_nobody_else_can_read_them(folder: Path) -> None:
    modes = {path: path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items())


def test_each_reader_gets_what_it_needs_and_no_more(folder: Path) -> None:
    given = {reader.name: {file.name for file in reader.iterdir()} for reader in folder.iterdir()}
    del given["authority"]
    assert given == {
        "postgres": {
            "server.crt",
            "server.key",
            "services.crt",
            "storage.password",
            "restricted.password",
            "curated.password",
        },
        "storage": {"services.crt", "pgpass"},
        "plumbing": {"mlops_assets_lakes__restricted__password"},
        "wrangling": {
            "mlops_assets_lakes__restricted__password",
            "mlops_assets_lakes__curated__password",
            "mlops_assets_pseudonym_key",
        },
        "modeling": {"mlops_assets_lakes__curated__password", "models.pem", "models.json"},
        "reaper": {"mlops_assets_lakes__restricted__password", "mlops_assets_lakes__curated__password"},
        "service": {"jwks.json", "revoked.json", "models.json"},
        "tokens": {"jwks.json", "signing.pem"},
        "proxy": {"server.crt", "server.key", "services.crt", "people.crt", "people.crl"},
        "clients": {"services.crt"},
    }


def test_a_second_start_makes_nothing_anew(folder: Path) -> None:
    before = contents(folder)
    assert secrets.create(folder) == []
    assert contents(folder) == before


def test_a_lost_file_is_replaced_and_the_others_stay(folder: Path) -> None:
    before = contents(folder)
    (folder / "modeling" / "mlops_assets_lakes__curated__password").unlink()
    made = secrets.create(folder)
    assert made == [folder / "modeling" / "mlops_assets_lakes__curated__password"]
    assert contents(folder) == before


def test_the_usual_rotation_renews_everything_but_authorities_and_pseudonyms(folder: Path) -> None:
    before = contents(folder)
    secrets.rotate(folder)
    after = contents(folder)
    kept = {name for name in before if before[name] == after[name]}
    assert {name.split("/")[0] for name in kept} <= {
        "authority",
        "wrangling",
        "postgres",
        "storage",
        "service",
        "proxy",
        "clients",
    }
    assert "wrangling/mlops_assets_pseudonym_key" in kept
    assert "authority/services.pem" in kept
    assert not any(name.endswith(("password", "server.key", "pgpass", "signing.pem", "jwks.json")) for name in kept)
    assert secrets.create(folder) == []


def test_a_lost_list_of_revocations_does_not_come_back_empty(folder: Path) -> None:
    (folder / "service" / "revoked.json").unlink()
    assert secrets.create(folder) == []
    secrets.rotate(folder, parts=[secrets.Part.TOKENS])
    assert not (folder / "service" / "revoked.json").exists()


def test_tokens_of_the_old_key_stay_valid_after_a_rotation(folder: Path) -> None:
    old = set(read_keys(folder / "service" / "jwks.json"))
    secrets.rotate(folder, parts=[secrets.Part.TOKENS])
    assert old < set(read_keys(folder / "service" / "jwks.json"))


def test_new_authorities_renew_every_certificate(folder: Path) -> None:
    people.admit(folder, "ada", "plumber")
    before = contents(folder)
    secrets.rotate(folder, parts=[secrets.Part.AUTHORITIES])
    after = contents(folder)
    changed = {name for name in before if before[name] != after[name]}
    of_certificates = {name for name in before if name.endswith((".crt", ".key", ".crl", ".p12"))}
    assert changed == of_certificates | {
        "authority/services.pem",
        "authority/people.pem",
        "authority/people.json",
        "clients/ada.pem",
    }


def test_the_pseudonym_key_is_renewed_only_when_it_is_named(folder: Path) -> None:
    key = folder / "wrangling" / "mlops_assets_pseudonym_key"
    before = key.read_bytes()
    secrets.rotate(folder, parts=[part for part in secrets.Part if part is not secrets.Part.PSEUDONYMS])
    assert key.read_bytes() == before
    secrets.rotate(folder, parts=[secrets.Part.PSEUDONYMS])
    assert key.read_bytes() != before


def test_further_names_of_the_proxy_are_certified_and_kept(folder: Path) -> None:
    secrets.create(folder, names=["mlops.example.org"])
    assert secrets.create(folder) == []
    secrets.rotate(folder, parts=[secrets.Part.CERTIFICATES])
    certificate = x509.load_pem_x509_certificate((folder / "proxy" / "server.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "proxy", "mlops.example.org"]


def test_a_folder_open_to_others_is_refused(folder: Path) -> None:
    folder.chmod(0o750)
    with pytest.raises(SecretsError, match="others than its owner"):
        secrets.create(folder)


def test_nothing_is_rotated_where_nothing_was_created(tmp_path: Path) -> None:
    with pytest.raises(SecretsError, match="holds no secrets"):
        secrets.rotate(tmp_path / "empty")


def test_a_certificate_is_renewed_before_it_ends(folder: Path) -> None:
    authority = Authority.read((folder / "authority" / "services.pem").read_bytes())
    ending = authority.issue(["postgres"], Purpose.SERVER, lifetime=timedelta(days=29))
    (folder / "postgres" / "server.crt").write_bytes(ending.certificate_pem)
    (folder / "postgres" / "server.key").write_bytes(ending.key_pem)
    assert {file.name for file in secrets.create(folder)} == {"server.crt", "server.key"}
    renewed = (folder / "postgres" / "server.crt").read_bytes()
    assert not certificates.is_due(renewed)
    assert certificates.is_due(renewed, now=datetime.now(UTC) + timedelta(days=370))


@pytest.mark.parametrize("reader", ["postgres", "proxy"])
@pytest.mark.parametrize("renewed", ["server.key", "server.crt"])
def test_a_rotation_that_was_cut_between_key_and_certificate_is_repaired(
    folder: Path, reader: str, renewed: str
) -> None:
    issued = Authority.read((folder / "authority" / "services.pem").read_bytes()).issue(["x"], Purpose.SERVER)
    part = issued.key_pem if renewed.endswith("key") else issued.certificate_pem
    (folder / reader / renewed).write_bytes(part)
    assert {file.relative_to(folder / reader).name for file in secrets.create(folder)} == {"server.crt", "server.key"}
    certificate, key = ((folder / reader / f"server.{kind}").read_bytes() for kind in ("crt", "key"))
    assert certificates.is_pair(certificate, key)
    assert secrets.create(folder) == []


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_server_certificate_that_cannot_be_read_is_made_anew(folder: Path, content: bytes) -> None:
    (folder / "proxy" / "server.crt").write_bytes(content)
    assert folder / "proxy" / "server.crt" in secrets.create(folder)
    assert secrets.create(folder) == []


@pytest.mark.parametrize("name", ["services", "people"])
def test_an_authority_that_cannot_be_read_is_not_replaced(folder: Path, name: str) -> None:
    damaged = folder / "authority" / f"{name}.pem"
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(SecretsError, match=f"{name}.pem: it is no authority's key and certificate"):
        secrets.create(folder)


@pytest.mark.parametrize(
    ("file", "authority", "purpose", "accepted"),
    [
        ("proxy/server.crt", "clients/services.crt", "sslserver", True),
        ("postgres/server.crt", "proxy/services.crt", "sslserver", True),
        ("proxy/server.crt", "clients/services.crt", "sslclient", False),
        ("clients/ada.pem", "proxy/people.crt", "sslclient", True),
        ("clients/ada.pem", "proxy/people.crt", "sslserver", False),
        ("clients/ada.pem", "proxy/services.crt", "sslclient", False),
        ("proxy/server.crt", "proxy/people.crt", "sslserver", False),
    ],
)
def test_openssl_accepts_a_certificate_for_its_purpose_and_of_its_authority_only(
    folder: Path, file: str, authority: str, purpose: str, *, accepted: bool
) -> None:
    people.admit(folder, "ada", "plumber")
    result = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", folder / authority, folder / file],
        check=False,
        capture_output=True,
    )
    assert (result.returncode == 0) is accepted, result.stderr


class Killed(BaseException):
    """What ends a process is no error that it handles."""


@pytest.mark.parametrize("parts", [[secrets.Part.AUTHORITIES], list(secrets.USUAL_PARTS)], ids=["authorities", "usual"])
def test_a_rotation_killed_between_any_two_files_is_repaired_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: list[secrets.Part]
) -> None:
    whole = tmp_path / "whole"
    secrets.create(whole)
    people.admit(whole, "ada", "plumber")
    people.admit(whole, "eve", "plumber")
    people.revoke(whole, "eve")
    writes = 0
    while True:
        folder = tmp_path / f"cut-{writes}"
        shutil.copytree(whole, folder)
        left = writes

        def write(file: Path, content: bytes, *, mode: int) -> None:
            nonlocal left
            if not left:
                raise Killed
            left -= 1
            replace_durably(file, content, mode=mode)

        with monkeypatch.context() as patched:
            patched.setattr(secret_files, "replace_durably", write)
            try:
                secrets.rotate(folder, parts=parts)
            except Killed:
                pass
            else:
                break
        secrets.create(folder)
        assert secrets.create(folder) == []
        for reader in ("postgres", "proxy"):
            pem, key = ((folder / reader / f"server.{kind}").read_bytes() for kind in ("crt", "key"))
            authority = Authority.read((folder / "authority" / "services.pem").read_bytes())
            assert certificates.is_pair(pem, key)
            assert certificates.is_issued_by(pem, authority)
            assert (folder / reader / "services.crt").read_bytes() == authority.certificate_pem
        listed = {each.serial for each in people.listed(folder) if each.revoked_at is None}
        ada = x509.load_pem_x509_certificate((folder / "clients" / "ada.pem").read_bytes())
        assert {f"{ada.serial_number:x}"} == listed, writes
        writes += 1
    assert writes > 5
