"""Fixtures of the platform's tests: a home of its own with lakes on each kind of catalog, and an instance."""

from __future__ import annotations

import shutil
from importlib.resources import files
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets_tests.postgres import PostgresDatabase


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home folder that the settings point to."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def settings(home: Path) -> Settings:
    """The settings of that home."""
    settings = Settings.load()
    assert settings.home == home
    return settings


@pytest.fixture(scope="session")
def empty_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an instance without runs: to copy it takes a fifth of the time of making one."""
    folder = tmp_path_factory.mktemp("instance")
    shutil.copyfile(str(files("mlops_assets.demo") / "instance.yaml"), folder / "dagster.yaml")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DAGSTER_HOME", str(folder))
        dg.DagsterInstance.from_config(str(folder)).dispose()
    return folder


@pytest.fixture
def instance(empty_instance: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance on disk, which other processes can use too."""
    folder = tmp_path / "dagster"
    shutil.copytree(empty_instance, folder)
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def on_each_catalog(request: pytest.FixtureRequest, home: object, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with empty lakes, the curated one on each kind of catalog."""
    assert home
    if request.param == "postgresql":
        database: PostgresDatabase = request.getfixturevalue("postgres_database")
        monkeypatch.setenv("MLOPS_ASSETS_LAKES__CURATED__CATALOG", database.dsn)
        monkeypatch.setenv("MLOPS_ASSETS_LAKES__CURATED__PASSWORD", database.password)
    return Settings.load()
