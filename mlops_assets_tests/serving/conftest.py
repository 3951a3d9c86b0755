"""Services that the tests of this folder share.

Put here what is costly to start and not changed by a test. Keep out services that a test damages: it starts its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.serving.sample import EVERYTHING, export_everything
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


@pytest.fixture(name="service", scope="session")
def _service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service with the sample export; tests only read from it."""
    service = Service(tmp_path_factory.mktemp("service"))
    service.create_keys()
    export_everything(service.config.exports)
    with service:
        yield service


@pytest.fixture(name="client", scope="session")
def _client(service: Service) -> Iterator[httpx.Client]:
    """A client whose token may do everything."""
    with service.client(service.token(scopes=EVERYTHING)) as client:
        yield client


@pytest.fixture(name="nc_client", scope="session")
def _nc_client(service: Service) -> Iterator[httpx.Client]:
    """A client whose token is limited to North Carolina."""
    with service.client(service.token(states=["NC"])) as client:
        yield client


@pytest.fixture(name="stranger", scope="session")
def _stranger(service: Service) -> Iterator[httpx.Client]:
    """A client without a token."""
    with service.client() as client:
        yield client
