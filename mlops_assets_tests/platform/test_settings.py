"""Settings: where a value comes from, and what is said when it is missing or wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

KEY = "k" * 40


def test_a_secret_may_be_a_file_also_for_a_nested_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlops_assets_pseudonym_key").write_text(KEY, encoding="utf-8")
    (tmp_path / "mlops_assets_sources__profiles_key").write_text("profiles", encoding="utf-8")
    monkeypatch.setenv("MLOPS_ASSETS_SECRETS_DIR", str(tmp_path))
    settings = Settings.load()
    assert settings.secret(settings.pseudonym_key, "PSEUDONYM_KEY") == KEY
    assert settings.secret(settings.sources.profiles_key, "SOURCES__PROFILES_KEY") == "profiles"


def test_the_environment_wins_over_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("MLOPS_ASSETS_SERVICE__PORT=1111\nMLOPS_ASSETS_SERVICE__ISSUER=file\n")
    monkeypatch.setenv("MLOPS_ASSETS_SERVICE__PORT", "2222")
    service = Settings.load().service
    assert (service.port, service.issuer) == (2222, "file")


def test_a_secret_never_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_PSEUDONYM_KEY", KEY)
    assert KEY not in repr(Settings.load())


def test_a_missing_secret_names_variable_and_remedy() -> None:
    settings = Settings.load()
    with pytest.raises(SettingsError, match="MLOPS_ASSETS_PSEUDONYM_KEY: this secret is not set") as caught:
        settings.secret(settings.pseudonym_key, "PSEUDONYM_KEY")
    assert "mlops_assets_pseudonym_key in the folder" in str(caught.value)


def test_a_wrong_value_names_the_variable_and_not_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_PSEUDONYM_KEY", "tooshort")
    with pytest.raises(SettingsError, match="MLOPS_ASSETS_PSEUDONYM_KEY") as caught:
        Settings.load()
    assert "tooshort" not in str(caught.value)


def test_a_file_of_the_secrets_folder_that_is_no_text_is_named_if_it_is_a_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keystore.p12").write_bytes(b"\xff\xfe\x00")
    monkeypatch.setenv("MLOPS_ASSETS_SECRETS_DIR", str(tmp_path))
    Settings.load()
    (tmp_path / "mlops_assets_pseudonym_key").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="mlops_assets_pseudonym_key in it cannot be read"):
        Settings.load()


def test_a_secrets_folder_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_SECRETS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match="MLOPS_ASSETS_SECRETS_DIR"):
        Settings.load()


def test_a_role_s_webhook_may_be_a_secret_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlops_assets_alerts__webhooks__plumbing__url").write_text(
        "https://example.org/s3cret", encoding="utf-8"
    )
    monkeypatch.setenv("MLOPS_ASSETS_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("MLOPS_ASSETS_ALERTS__WEBHOOKS__PLUMBING__LEAST", "error")
    webhook = Settings.load().alerts.webhooks["plumbing"]
    assert (webhook.url.get_secret_value(), webhook.least) == ("https://example.org/s3cret", "error")
    assert "s3cret" not in repr(Settings.load())


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("MLOPS_ASSETS_HOEM", "MLOPS_ASSETS_HOME"),
        ("MLOPS_ASSETS_LAKE__CURATED__CATALOG", "MLOPS_ASSETS_LAKES__CURATED__CATALOG"),
        ("MLOPS_ASSETS_SOURCES__ATTEMPT", "ATTEMPTS"),
        ("MLOPS_ASSETS_LAKES__CURATED__CATALOGUE", "CATALOG"),
        ("MLOPS_ASSETS_ALERTS__WEBHOOKS__FARM__URI", "URL"),
    ],
)
@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_misspelt_variable_is_told_with_what_was_meant(
    variable: str, meant: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "environment":
        monkeypatch.setenv(variable, "canary")
    else:
        (tmp_path / ".env").write_text(f"{variable}=canary\n", encoding="utf-8")
    with pytest.raises(SettingsError) as told:
        Settings.load()
    assert variable in str(told.value)
    assert meant in told.value.remedy
    assert "canary" not in str(told.value)


def test_a_variable_of_another_program_with_the_prefix_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MLOPS_ASSETS_COMMIT", "MLOPS_ASSETS_ORDERS_KEY", "MLOPS_ASSETS_DEPLOYMENT"):
        monkeypatch.setenv(variable, "1")
    assert Settings.load().home.name == "home"
