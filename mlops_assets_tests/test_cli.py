"""The command line: what it prints, how it exits, and how little it loads before it knows what to do."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import jwt
import pytest
from typer.testing import CliRunner

from mlops_assets import __version__, cli
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.security.token_keys import read_keys, rotate_keys
from mlops_assets.platform.settings import Settings
from mlops_assets.serving.identity.scopes import Scope
from mlops_assets_tests.canary import CANARY, told_in
from mlops_assets_tests.serving.sample import export_predictions

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

_HEAVY = ("dagster", "pandera", "ibis", "duckdb", "pandas", "sklearn", "litestar")
READ = ("--scope", "predictions:read")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli._app, arguments)


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlops_assets", *arguments], capture_output=True, text=True, check=False
    )


def test_help_comes_before_anything_heavy_is_imported() -> None:
    code = f"import sys, mlops_assets.cli; print([name for name in {_HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_the_service_imports_neither_dagster_nor_a_lake() -> None:
    code = f"import sys, mlops_assets.serving.server; print([n for n in {_HEAVY[:-1]} if n in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_without_a_command_it_lists_its_commands() -> None:
    shown = _run().output
    assert all(command in shown for command in ("demo", "demo-real", "dev", "serve", "token", "keys", "lake"))


def test_version_is_printed() -> None:
    assert _run("--version").output.strip() == __version__


def test_a_wrong_option_exits_with_2(home: Path) -> None:
    assert _run("token", "dashboard", "--hours", "none").exit_code == 2
    assert not any(home.iterdir())


def test_an_id_that_begins_with_a_dash_is_an_id_and_no_option(home: Path) -> None:  # noqa: ARG001  where keys are
    assert _run("keys", "rotate").exit_code == 0
    told = _run("keys", "retire", "-fUi76VhFLydaFm-iumGRNwXylk8VDf6DVdVPWcG4Rk")
    assert "it holds no key -fUi76VhFLydaFm-iumGRNwXylk8VDf6DVdVPWcG4Rk" in str(told.exception)


def test_the_first_token_makes_the_key_and_a_rotated_key_can_be_retired(home: Path) -> None:
    first = _run("token", "dashboard", *READ, "--limit", "state=NC,GA", "--limit", "state=VA")
    assert first.exit_code == 0
    assert first.output.strip().count(".") == 2
    assert any(home.rglob("*.pem"))
    older, newer = (_run("keys", "rotate").output.strip() for _ in range(2))
    assert older != newer
    assert _run("keys", "retire", older).exit_code == 0


def test_a_key_of_models_is_retired_once_there_is_another(home: Path) -> None:
    signing, keys = home / "keys" / "models.pem", home / "keys" / "models.json"
    older, newer = rotate_keys(signing, keys), rotate_keys(signing, keys)
    assert _run("keys", "retire", "--models", older).exit_code == 0
    assert set(read_keys(keys)) == {newer}
    assert _run("keys", "retire", "--models", newer).exit_code == 1


def test_a_token_is_revoked_by_itself_or_by_its_id(home: Path) -> None:
    token = _run("token", "dashboard", *READ).output.strip()
    revoked = _run("token", "revoke", token)
    assert revoked.exit_code == 0
    again = _run("token", "revoke", "0123-4567-89ab-cdef")
    assert again.exit_code == 0
    listed = json.loads((home / "keys" / "revoked.json").read_text(encoding="utf-8"))["tokens"]
    assert set(listed) == {revoked.output.strip(), "0123-4567-89ab-cdef"}


def test_a_providers_token_that_is_revoked_by_its_id_stays_so_longer_than_ours_live(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_SERVICE__KEYS_URL", "https://login.example/keys")
    listed_in = home / "keys" / "revoked.json"
    # With a provider's keys nothing tells the first start from a lost list.
    assert _run("token", "revoke", "0123-4567-89ab-cdef").exit_code == 1
    assert _run("keys", "begin-revocations").output.strip() == str(listed_in)
    assert _run("token", "revoke", "0123-4567-89ab-cdef").exit_code == 0
    listed = json.loads(listed_in.read_text(encoding="utf-8"))["tokens"]
    assert listed["0123-4567-89ab-cdef"] > time.time() + timedelta(days=3600).total_seconds()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("text", ["a.b.c", "no id", ""])
def test_what_is_no_token_cannot_be_revoked(text: str) -> None:
    refused = _command("token", "revoke", text)
    assert (refused.returncode, refused.stderr[:7]) == (1, "Failed.")


@pytest.mark.usefixtures("home")
def test_a_token_cannot_be_bound_to_what_is_no_certificate(tmp_path: Path) -> None:
    assert _run("token", "dashboard", *READ).exit_code == 0
    refused = _command("token", "dashboard", *READ, "--certificate", str(tmp_path / "missing.crt"))
    assert refused.returncode == 1
    assert "cannot be read as a certificate" in refused.stderr


@pytest.mark.usefixtures("home")
def test_retiring_an_unknown_key_is_refused() -> None:
    assert _run("token", "dashboard", *READ).exit_code == 0
    refused = _command("keys", "retire", "unknown")
    assert (refused.returncode, refused.stderr[:7]) == (1, "Failed.")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("scope", ["foo", "Customers:read", "models:read:all"])
def test_a_scope_that_nothing_demands_is_refused_in_one_sentence_with_those_that_are_known(scope: str) -> None:
    refused = _command("token", "dashboard", *READ, "--scope", scope)
    assert refused.returncode == 1
    assert f"nothing demands the scope {scope}. Choose among exports:read, models:infer" in refused.stderr
    assert (refused.stdout, "Traceback" in refused.stderr) == ("", False)


def test_a_token_is_not_issued_before_somebody_says_what_it_may_do(home: Path) -> None:
    asked = _run("token", "dashboard")
    assert asked.exit_code == 2
    assert all(scope in asked.output for scope in Scope)
    assert not any(home.iterdir())


@pytest.mark.usefixtures("home")
def test_a_scope_that_a_table_may_declare_is_issued() -> None:
    token = _run("token", "dashboard", "--scope", "customers:read").output.strip()
    assert jwt.decode(token, options={"verify_signature": False})["scope"] == "customers:read"


def test_a_limit_of_a_column_that_no_table_has_is_refused(home: Path) -> None:
    limits = ("--limit", "state=NC", "--limit", "county=001")
    assert _run("token", "dashboard", *READ, *limits).exit_code == 0
    export_predictions(home / "exports")
    refused = _command("token", "dashboard", *READ, *limits)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no table that is exported has the column county" in refused.stderr
    issued = _command("token", "dashboard", "--scope", "orders:read", "--limit", "state=NC")
    assert issued.stderr == "Nothing that is exported demands orders:read: that allows nothing yet.\n"
    assert jwt.decode(issued.stdout.strip(), options={"verify_signature": False})["limits"] == {"state": ["NC"]}


@pytest.mark.parametrize(
    "variable", ["MLOPS_ASSETS_SERVICE__PROVIDER=okta", "MLOPS_ASSETS_SERVICE__KEYS_URL=https://login.example/keys"]
)
def test_no_token_is_issued_where_those_of_a_provider_are_taken(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(*variable.split("=", 1))
    refused = _command("token", "dashboard", *READ)
    assert refused.returncode == 1
    assert "takes tokens of an identity provider" in refused.stderr
    assert not (home / "keys").exists()


@pytest.mark.usefixtures("home")
def test_a_failure_is_told_as_it_is_whatever_brackets_it_has() -> None:
    assert _run("token", "dashboard", *READ).exit_code == 0
    assert "[/red]" in _command("token", "dashboard", *READ, "--certificate", "[/red]missing.crt").stderr


def test_an_unexpected_error_ends_it_with_type_place_and_id_and_its_text_can_be_shown(home: Path) -> None:
    with LakeSession(Settings.load()) as session:
        session.attach("curated")
    with closing(sqlite3.connect(home / "lakes" / "curated" / "catalog.sqlite")) as catalog, catalog:
        record = json.dumps({"asset": [CANARY]})
        catalog.execute("INSERT INTO mlops_assets_ledger VALUES (1, 'a', '', 'p', 'h', ?)", [record])
    ended = _command("lake", "publishes", "curated")
    assert ended.returncode == 1
    assert not told_in(ended.stdout + ended.stderr)
    assert "Failed. mlops-assets: unexpected pydantic_core" in ended.stderr
    assert "ledger.py:" in ended.stderr
    shown = _command("error", ended.stderr.split()[-1])
    assert shown.returncode == 0
    assert told_in(shown.stdout)
    assert (home / "errors").is_dir()


@pytest.mark.parametrize("error_id", ["0123456789ab", "../keys/signing.pem", "x"])
def test_a_text_that_is_not_kept_is_told_so(error_id: str, home: Path) -> None:
    ended = _command("error", error_id)
    assert ended.returncode == 1
    assert "no text of it is in" in ended.stderr
    assert list(home.iterdir()) == []
