"""Lakes as declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.platform.contracts.lake import Lake, placed
from mlops_assets.platform.errors import ContractError, SettingsError
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_a_lake_that_says_nothing_of_its_place_is_where_the_settings_say(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_LAKES__SALES__CATALOG", "host=db dbname=sales user=sales")
    [place] = placed(Settings.load(), [Lake("sales")]).lakes.values()
    assert place.catalog == "host=db dbname=sales user=sales"
    assert settings.lake("sales").catalog == "sqlite"


def test_a_lake_may_say_by_variables_and_secret_files_where_it_is(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALES_CATALOG", "host=db dbname=sales user=sales")
    (tmp_path / "password").write_text("a word\n")
    lake = Lake(
        "sales",
        catalog=dg.EnvVar("SALES_CATALOG"),
        password_file=str(tmp_path / "password"),
        data_path=str(tmp_path / "sales"),
    )
    found = placed(settings, [lake.process_config_and_initialize()])
    place = found.lake("sales")
    assert place.catalog == "host=db dbname=sales user=sales"
    assert place.password is not None
    assert place.password.get_secret_value() == "a word"
    assert found.lake_data_path("sales") == tmp_path / "sales"


def test_a_password_file_that_cannot_be_read_is_named_by_its_lake(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Lake sales: the file of its password cannot be read"):
        placed(settings, [Lake("sales", password_file=str(tmp_path / "nothing"))])


def test_a_lakes_name_is_an_identifier() -> None:
    with pytest.raises(ContractError, match="Rename it"):
        Lake("Sales lake")


def test_the_lakes_of_a_deployment_are_those_set_and_those_in_its_home(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_LAKES__SALES__CATALOG", "host=db dbname=sales user=sales")
    there = settings.lake_catalog_path("curated")
    there.parent.mkdir(parents=True)
    there.touch()
    assert Settings.load().lake_names == ["curated", "sales"]


def test_a_misspelt_field_is_told_with_what_was_meant() -> None:
    with pytest.raises(ContractError, match=r"datapath=: there is no such field. Did you mean data_path\?"):
        Lake("shop", datapath="/elsewhere")


def test_the_path_of_a_file_is_no_catalog() -> None:
    with pytest.raises(ContractError, match="neither 'sqlite' nor a connection string"):
        Lake("shop", catalog="/somewhere/catalog.sqlite")


@pytest.mark.parametrize(
    "catalog", ["host=db dbname=shop user=me password=hunter2", "postgresql://me:hunter2@db/shop?sslmode=require"]
)
def test_a_catalog_that_holds_a_password_is_refused_without_showing_it(
    catalog: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ContractError, match="holds a password") as declared:
        Lake("shop", catalog=catalog)
    with pytest.raises(SettingsError, match="holds a password") as named:
        placed(settings, [Lake("shop").model_copy(update={"catalog": catalog})])
    monkeypatch.setenv("MLOPS_ASSETS_LAKES__SHOP__CATALOG", catalog)
    with pytest.raises(SettingsError, match="LAKES__SHOP__CATALOG: it holds a password") as set_:
        Settings.load()
    assert not [found for found in (declared, named, set_) if "hunter2" in str(found.value)]


def test_a_file_is_no_folder_for_files(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    settings = placed(Settings.load(), [Lake("curated", data_path=str(tmp_path / "data"))])
    with pytest.raises(SettingsError, match=r"its data_path .*/data is a file"):
        settings.lake_data_path("curated")


@pytest.mark.parametrize("url", ["s3://bucket/lake", "https://example.org/lake"])
def test_a_url_is_no_folder_for_files(url: str) -> None:
    settings = placed(Settings.load(), [Lake("curated", data_path=url)])
    with pytest.raises(SettingsError, match="Lake curated: its data_path is a URL"):
        settings.lake_data_path("curated")
