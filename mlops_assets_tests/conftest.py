"""Fixtures that tests of several packages use, and what holds for all tests.

Put here a fixture whose part is slow to start or is shared. Keep out what only one package needs.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from mlops_assets.demo.live import free_port
from mlops_assets_tests.postgres import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets_tests.postgres import PostgresDatabase, PostgresServer

# Hypothesis would fail an example that takes longer than a fifth of a second: on a busy machine that says nothing.
settings.register_profile("mlops_assets", deadline=None)
settings.load_profile("mlops_assets")


def pytest_configure() -> None:
    """Look for garbage less often: expressions are made of so many objects that it takes a quarter of many tests."""
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests of a session; mark a test that uses it ``postgres``."""
    with running_server() as server:
        yield server


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> PostgresDatabase:
    """An empty database on that server."""
    return postgres_server.create_database()


@pytest.fixture
def unused_port() -> int:
    """A loopback port that nothing listens on."""
    return free_port()
