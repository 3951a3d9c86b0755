"""People's certificates: one for each, with name and role, revoked by name, and never beyond what can be revoked."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from typer.testing import CliRunner

from mlops_assets import cli
from mlops_assets.deployment import people, secrets
from mlops_assets.deployment.secret_files import SecretsError
from mlops_assets_tests.docker_engine import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    secrets.create(folder)
    return folder


def accepted(folder: Path, name: str) -> bool:
    """Whether OpenSSL takes the person's certificate, as the proxy asks it to."""
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-crl_check_all"]
    proxy = folder / "proxy"
    result = subprocess.run(
        [
            *command,
            "-CAfile",
            proxy / "people.crt",
            "-CRLfile",
            proxy / "people.crl",
            folder / "clients" / f"{name}.pem",
        ],
        check=False,
        capture_output=True,
    )
    return result.returncode == 0


def test_a_certificate_names_the_person_and_the_role(folder: Path) -> None:
    made = people.admit(folder, "ada.lovelace", "modeler")
    assert {file.name for file in made} >= {"ada.lovelace.p12", "ada.lovelace.pem"}
    certificate = x509.load_pem_x509_certificate((folder / "clients" / "ada.lovelace.pem").read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=ada.lovelace,OU=modeler"


def test_only_who_is_revoked_is_refused(folder: Path) -> None:
    people.admit(folder, "ada", "plumber")
    people.admit(folder, "bob", "viewer")
    assert (accepted(folder, "ada"), accepted(folder, "bob")) == (True, True)
    people.revoke(folder, "ada")
    assert (accepted(folder, "ada"), accepted(folder, "bob")) == (False, True)


def test_another_certificate_revokes_the_one_before(folder: Path) -> None:
    people.admit(folder, "ada", "plumber")
    old = (folder / "clients" / "ada.pem").read_bytes()
    people.admit(folder, "ada", "viewer")
    assert accepted(folder, "ada")
    (folder / "clients" / "old.pem").write_bytes(old)
    assert not accepted(folder, "old")
    assert [(each.role, each.revoked_at is None) for each in people.listed(folder)] == [
        ("plumber", False),
        ("viewer", True),
    ]


def test_a_revoked_person_stays_so_over_starts_and_rotations(folder: Path) -> None:
    people.admit(folder, "ada", "plumber")
    people.revoke(folder, "ada")
    (folder / "proxy" / "people.crl").unlink()
    secrets.create(folder)
    secrets.rotate(folder)
    assert not accepted(folder, "ada")


def test_a_new_authority_gives_those_in_good_standing_new_certificates_and_nobody_else(folder: Path) -> None:
    people.admit(folder, "ada", "plumber")
    people.admit(folder, "bob", "viewer")
    people.revoke(folder, "ada")
    secrets.rotate(folder, parts=[secrets.Part.AUTHORITIES])
    assert (accepted(folder, "ada"), accepted(folder, "bob")) == (False, True)
    assert secrets.create(folder) == []


def test_a_register_that_was_lost_does_not_come_back_empty(folder: Path) -> None:
    people.admit(folder, "ada", "plumber")
    people.revoke(folder, "ada")
    (folder / "authority" / "people.json").unlink()
    with pytest.raises(SecretsError, match="the register of people's certificates is lost"):
        secrets.create(folder)
    with pytest.raises(SecretsError, match="the register of people's certificates is lost"):
        people.admit(folder, "bob", "viewer")
    assert not accepted(folder, "ada")


def test_a_certificate_is_noted_before_anybody_can_have_it(folder: Path) -> None:
    (folder / "clients" / "ada.pem").mkdir()
    with pytest.raises(SecretsError, match="cannot be read or written"):
        people.admit(folder, "ada", "plumber")
    assert [each.name for each in people.listed(folder)] == ["ada"]


@pytest.mark.parametrize("name", ["", "Ada", "ada,OU=plumber", "ada/x", "../ada", ".ada", "ada\n", "a" * 65, "ädä"])
def test_a_name_that_could_be_read_as_something_else_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(SecretsError, match="it is no name of a person here"):
        people.admit(folder, name, "plumber")


def test_an_unknown_person_is_told_with_those_who_are_known(folder: Path) -> None:
    people.admit(folder, "ada", "plumber")
    with pytest.raises(SecretsError, match="Name one of those who have one: ada"):
        people.revoke(folder, "bob")


def test_the_commands_admit_list_and_revoke(folder: Path) -> None:
    roles = ["--roles", str(ROOT / "deploy" / "roles.toml")]

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli._app, ["secrets", *words, "--folder", str(folder)])
        assert done.exit_code == 0, done.output
        return done.output

    assert "made clients/ada.p12" in run("person", "ada", "--role", "wrangler", *roles)
    assert "wrangler" in run("people")
    assert "revoked ada (wrangler)" in run("revoke-person", "ada")
    assert "revoked" in run("people")
    asked = ["secrets", "person", "eve", "--role", "root", *roles, "--folder", str(folder)]
    refused = CliRunner().invoke(cli._app, asked)
    assert (refused.exit_code, "viewer" in refused.output) == (2, True)
