"""Other ways to build the images than the deployment's own: BuildKit, and a folder of wheels in place of a network.

Put here that a build succeeds and that what it made starts. Keep out what is in an image: see ``test_images``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from mlops_assets import __version__
from mlops_assets_tests.deploy.stack import docker
from mlops_assets_tests.docker_engine import ROOT, copy_of_checkout, require_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]

_TAG: Final = "mlops-assets-offline:test"
_WITHOUT_NETWORK: Final = ("--network", "none", "--build-arg", "PIP_ARGS=--no-index --find-links /wheelhouse")
_LAST_WITH_BUILDKIT_INSIDE: Final = 22
"""Later major versions of Docker's command need its plugin buildx."""


@pytest.fixture(name="checkout", scope="module")
def _checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout with a wheelhouse, filled as the documentation says."""
    require_engine()
    folder = copy_of_checkout(tmp_path_factory.mktemp("offline"))
    lock = folder / "requirements-runtime.lock"
    fill = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    # The image's Python, whichever the one of the tests is.
    fill += [
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--python-version",
        "3.11",
        "-r",
        str(lock),
        "-d",
        str(folder / "wheelhouse"),
    ]
    subprocess.run(fill, check=True)
    return folder


@pytest.fixture(name="buildkit", scope="module")
def _buildkit() -> str:
    """A Docker command that can build with BuildKit."""
    for folder in os.get_exec_path():
        command = shutil.which("docker", path=folder)
        if command is None:
            continue
        version = subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout
        plugin = subprocess.run([command, "buildx", "version"], check=False, capture_output=True)
        if plugin.returncode == 0 or int(version.split()[2].partition(".")[0]) <= _LAST_WITH_BUILDKIT_INSIDE:
            return command
    pytest.skip("no docker command here can build with BuildKit: install the plugin buildx")


@pytest.fixture(autouse=True)
def _no_image_is_left() -> Iterator[None]:
    yield
    docker("image", "rm", _TAG, check=False)


@pytest.mark.parametrize("builder", ["legacy", "BuildKit"])
def test_an_image_is_built_from_a_wheelhouse_without_a_network(
    checkout: Path, builder: str, request: pytest.FixtureRequest
) -> None:
    command = "docker" if builder == "legacy" else request.getfixturevalue("buildkit")
    result = subprocess.run(
        [command, "build", "--quiet", *_WITHOUT_NETWORK, "--target", "web", "--tag", _TAG, checkout],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "DOCKER_BUILDKIT": "0" if builder == "legacy" else "1"},
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert docker("run", "--rm", "--network", "none", _TAG, "mlops-assets", "--version").strip().endswith(__version__)
    # A time of the build, in or on a file, would make every build's layers differ.
    dated = ("find", "/opt/mlops-assets/lib", "-newermt", "1970-01-02", "-o", "-name", "uv_*.json")
    assert docker("run", "--rm", "--network", "none", _TAG, *dated) == ""


def test_the_documented_command_fills_the_wheelhouse() -> None:
    documented = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    command = "pip download --no-deps --require-hashes --only-binary :all: --python-version 3.11"
    assert f"{command} -r requirements-runtime.lock -d wheelhouse" in documented
