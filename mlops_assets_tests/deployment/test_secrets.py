"""Secrets of a deployment: made once, closed to others, renewed by parts, and each reader has what it needs."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from mlops_assets.deployment import certificates, secrets
from mlops_assets.deployment.certificates import Authority, Purpose
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
        "service": {"jwks.json", "revoked.json", "models.json", "server.crt", "server.key", "services.crt"},
        "tokens": {"jwks.json", "signing.pem"},
        "proxy": {"server.crt", "server.key", "services.crt", "viewers.crt", "operators.crt", "everybody.crt"},
        "clients": {"services.crt"}
        | {f"{role}.{kind}" for role in ("viewer", "operator") for kind in ("crt", "key", "p12")},
    }  # fmt: skip


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
    assert "authority/services.key" in kept
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
    before = contents(folder)
    secrets.rotate(folder, parts=[secrets.Part.AUTHORITIES])
    after = contents(folder)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name in before if name.endswith((".crt", ".key", ".p12"))}


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
    with pytest.raises(secrets.SecretsError, match="others than its owner"):
        secrets.create(folder)


def test_nothing_is_rotated_where_nothing_was_created(tmp_path: Path) -> None:
    with pytest.raises(secrets.SecretsError, match="holds no secrets"):
        secrets.rotate(tmp_path / "empty")


def test_a_certificate_is_renewed_before_it_ends(folder: Path) -> None:
    authority = Authority.read(
        (folder / "authority" / "services.crt").read_bytes(), (folder / "authority" / "services.key").read_bytes()
    )
    ending = authority.issue(["postgres"], Purpose.SERVER, lifetime=timedelta(days=29))
    (folder / "postgres" / "server.crt").write_bytes(ending.certificate_pem)
    (folder / "postgres" / "server.key").write_bytes(ending.key_pem)
    assert {file.name for file in secrets.create(folder)} == {"server.crt", "server.key"}
    renewed = (folder / "postgres" / "server.crt").read_bytes()
    assert not certificates.is_due(renewed)
    assert certificates.is_due(renewed, now=datetime.now(UTC) + timedelta(days=370))


@pytest.mark.parametrize(
    ("file", "authority", "purpose", "accepted"),
    [
        ("proxy/server.crt", "clients/services.crt", "sslserver", True),
        ("service/server.crt", "proxy/services.crt", "sslserver", True),
        ("proxy/server.crt", "clients/services.crt", "sslclient", False),
        ("clients/operator.crt", "proxy/operators.crt", "sslclient", True),
        ("clients/operator.crt", "proxy/viewers.crt", "sslclient", False),
        ("clients/viewer.crt", "proxy/operators.crt", "sslclient", False),
        ("clients/viewer.crt", "proxy/viewers.crt", "sslserver", False),
    ],
)
def test_openssl_accepts_a_certificate_for_its_purpose_and_of_its_authority_only(
    folder: Path, file: str, authority: str, purpose: str, *, accepted: bool
) -> None:
    result = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", folder / authority, folder / file],
        check=False,
        capture_output=True,
    )
    assert (result.returncode == 0) is accepted, result.stderr
