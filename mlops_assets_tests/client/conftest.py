"""A service of both domains, and the client that is generated of it.

Put here what is costly to make and not changed by a test. Keep out what is asked.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from mlops_assets import cli
from mlops_assets_tests.serving.sample import EVERYTHING, export_everything
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result


def generated(service: Service, folder: Path, *, token: str | None = None) -> Result:
    """What the command says that writes the client of a service into a folder."""
    file = service.folder / "client.token"
    file.write_text(f"{token or service.token(scopes=EVERYTHING)}\n", encoding="utf-8")
    return CliRunner().invoke(cli._app, ["client", str(folder), "--url", service.url, "--token-file", str(file)])


@pytest.fixture(name="running", scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service of both domains; tests only read from it."""
    service = Service(tmp_path_factory.mktemp("service"))
    service.create_keys()
    export_everything(service.config.exports)
    with service, service.client() as client:
        service.wait_for(lambda: client.get("/health/ready").is_success)
        yield service


@pytest.fixture(name="acme", scope="session")
def _acme(tmp_path_factory: pytest.TempPathFactory, running: Service) -> Iterator[Path]:
    """The folder of a generated package ``acme``, from which it can be imported."""
    folder = tmp_path_factory.mktemp("generated")
    done = generated(running, folder / "acme")
    assert done.exit_code == 0, done.output
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
