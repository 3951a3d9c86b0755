"""Fixtures that tests of several packages use, and what holds for all tests.

Put here a fixture whose part is slow to start or is shared. Keep out what only one package needs.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from mlops_assets.demo.live import free_port
from mlops_assets_tests.postgres import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

    from mlops_assets_tests.postgres import PostgresDatabase, PostgresServer

# Hypothesis would fail an example that takes longer than a fifth of a second: on a busy machine that says nothing.
settings.register_profile("mlops_assets", deadline=None)
settings.load_profile("mlops_assets")


# The folders of all tests that use the Docker engine.
_CONTAINERS = ("mlops_assets_tests/deploy/", "mlops_assets_tests/deployment/", "mlops_assets_tests/test_containers.py")


class _ByFile(LoadFileScheduling):  # type: ignore[misc]  # which has no types
    """Gives each file to one process, and all tests of containers to one: they share the engine, and mostly wait."""

    def _split_scope(self, nodeid: str) -> str:
        return "containers" if nodeid.startswith(_CONTAINERS) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """How tests are divided among processes."""
    return _ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test of containers that another process could run beside the others."""
    stray = [
        item.nodeid for item in items if item.get_closest_marker("docker") and not item.nodeid.startswith(_CONTAINERS)
    ]
    if stray:
        raise pytest.UsageError(f"Tests marked docker belong into {', '.join(_CONTAINERS)}: {', '.join(stray)}")


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
