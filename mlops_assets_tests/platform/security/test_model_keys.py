"""Keys of model signatures: made on first use in development, never elsewhere."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform.security.model_keys import signing_key, trusted_keys
from mlops_assets.platform.security.token_keys import KeyFileError, key_id_of
from mlops_assets.platform.settings import ModelSettings, Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_the_first_use_makes_a_key_that_only_its_owner_may_read_and_that_is_trusted(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    key = signing_key(settings)
    assert stat.S_IMODE(settings.model_signing_key.stat().st_mode) == 0o600
    assert set(trusted_keys(settings)) == {key_id_of(key.public_key())}
    assert key_id_of(signing_key(settings).public_key()) == key_id_of(key.public_key())


def test_first_uses_at_once_make_one_key(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: key_id_of(signing_key(settings).public_key()), range(8)))
    assert set(found) == set(trusted_keys(settings))


def test_where_a_place_is_set_no_key_is_made(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, models=ModelSettings(signing_key=tmp_path / "absent.pem"))
    with pytest.raises(KeyFileError, match="cannot be read"):
        signing_key(settings)


def test_without_trusted_keys_nothing_is_trusted_and_the_remedy_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="MLOPS_ASSETS_MODELS__KEYS"):
        trusted_keys(Settings(home=tmp_path))


def test_keys_of_models_are_not_those_of_tokens(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert settings.model_signing_key != settings.token_signing_key
    assert settings.model_keys != settings.token_keys
