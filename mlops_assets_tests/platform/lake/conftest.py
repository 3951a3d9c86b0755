"""Fixtures of the lake's tests: settings with a lake on each kind of catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from mlops_assets_tests.postgres import PostgresDatabase


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def on_each_catalog(request: pytest.FixtureRequest, home: object, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with empty lakes, the curated one on each kind of catalog."""
    assert home
    if request.param == "postgresql":
        database: PostgresDatabase = request.getfixturevalue("postgres_database")
        monkeypatch.setenv("MLOPS_ASSETS_LAKES__CURATED__CATALOG", database.dsn)
        monkeypatch.setenv("MLOPS_ASSETS_LAKES__CURATED__PASSWORD", database.password)
    return Settings.load()
