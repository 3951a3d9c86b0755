"""What ``make up`` looks for before it starts anything: each missing part is named, with how to get it.

Put here parts that are really missing: a PATH without them, a socket that nobody listens on or may use, a port in use.
Keep out what happens once all are there.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from mlops_assets_tests.deploy.stack import docker
from mlops_assets_tests.docker_engine import ROOT, base_image, require_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADDRESS: Final = "127.84.43.1"
"""A loopback address on which nobody else listens."""
_NOBODY: Final = 65534
_NEEDED: Final = "sh awk cat cut df dirname find git head id make sed stat tr"


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    """A folder that is all of a PATH, with neither Docker's command nor docker-compose."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in _NEEDED.split():
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    return folder


def missing(target: str, **environment: str) -> str:
    """What ``make`` of that target says is missing; it fails, and nothing was built or started."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "MAKE"))}
    others["MLOPS_ASSETS_ADDRESS"] = _ADDRESS
    make = shutil.which("make")
    assert make is not None
    result = subprocess.run(
        [make, target], check=False, cwd=ROOT, capture_output=True, text=True, env=others | environment
    )
    assert result.returncode != 0
    assert result.stdout == ""
    assert f"make {target} needs what this machine does not have:" in result.stderr
    return result.stderr


def require_client() -> str:
    """Docker's command; the test is skipped where there is none."""
    command = shutil.which("docker")
    if command is None:
        pytest.skip("no docker command is on the PATH")
    return command


@pytest.mark.parametrize("target", ["image", "up", "down", "backup", "restore"])
def test_all_that_is_missing_is_told_at_once(target: str, path: Path) -> None:
    said = missing(target, PATH=str(path))
    assert "Docker's command, docker, is not on the PATH." in said
    assert "Neither docker compose (a plugin of Docker's command) nor docker-compose runs here." in said
    assert said.count("Debian, Ubuntu: sudo apt-get install docker") == 2
    assert said.count("on docs.docker.com") == 2


def test_a_missing_docker_compose_is_told_where_docker_is(path: Path) -> None:
    (path / "docker").symlink_to(require_client())
    if subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode == 0:
        pytest.skip("the plugin is in a folder of the machine, where Docker's command finds it whatever the PATH is")
    said = missing("up", PATH=str(path))
    assert "nor docker-compose runs here" in said
    assert "is not on the PATH" not in said


def test_a_docker_compose_that_is_too_old_is_told_with_its_version(path: Path) -> None:
    (path / "docker-compose").write_text("#!/bin/sh\necho 1.25.0\n", encoding="utf-8")
    (path / "docker-compose").chmod(0o755)
    assert "docker-compose 1.25.0 is too old: 1.29 is the first" in missing("image", PATH=str(path))


@pytest.mark.docker
def test_what_compose_says_is_told_where_it_cannot_go_on() -> None:
    require_engine()
    said = missing("down", MLOPS_ASSETS_ADDRESS="no address")
    assert "cannot use this engine or deploy/compose.yaml. It says: " in said
    assert "services.proxy.ports" in said


def test_an_engine_without_its_socket_is_told(tmp_path: Path) -> None:
    require_client()
    said = missing("up", DOCKER_HOST=f"unix://{tmp_path}/docker.sock")
    assert f"No Docker engine answers at unix://{tmp_path}/docker.sock. There is no such socket." in said
    assert "sudo systemctl start docker" in said
    assert "DOCKER_HOST" in said


@pytest.mark.parametrize("variable", ["DOCKER_HOST", "DOCKER_SOCKET"])
def test_a_socket_that_an_ended_engine_left_is_told(variable: str, tmp_path: Path) -> None:
    require_client()
    if variable == "DOCKER_SOCKET":
        require_engine()
    left = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(left))
    said = missing("up", **{variable: f"unix://{left}" if variable == "DOCKER_HOST" else str(left)})
    assert f"No Docker engine answers at unix://{left}." in said
    assert "There is no such socket" not in said


def test_who_may_not_use_the_engine_is_told_the_group() -> None:
    require_client()
    # Root may use every socket. Nobody may not, and may not look into the tests' own folders either.
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX) as engine:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(ROOT / "deploy", folder / "deploy")
        engine.bind(str(folder / "docker.sock"))
        engine.listen()
        (folder / "docker.sock").chmod(0)
        is_root = os.getuid() == 0
        result = subprocess.run(
            [folder / "deploy" / "check", "down"],
            check=False,
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": name, "DOCKER_HOST": f"unix://{folder}/docker.sock"},
            user=_NOBODY if is_root else None,
            group=_NOBODY if is_root else None,
            extra_groups=() if is_root else None,
        )
    assert result.returncode != 0
    assert re.search(rf"\w+ may not use the Docker engine at unix://{folder}/docker.sock.", result.stderr)
    assert "usermod --append --groups docker" in result.stderr
    assert "Linux post-installation steps for Docker Engine" in result.stderr


@pytest.mark.parametrize("address", [_ADDRESS, "0.0.0.0", "::"])  # noqa: S104  what strangers do
def test_a_port_in_use_is_told_with_its_process(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((address, 8444))
        except OSError as error:
            pytest.skip(f"port 8444 of {address} cannot be had here: {error}")
        server.listen()
        said = missing("up")
    assert f"Port 8444 of {_ADDRESS} is in use." in said
    assert f"By process {os.getpid()}, " in said


def test_a_port_of_another_address_is_nobody_s_concern(path: Path) -> None:
    with socket.create_server(("127.84.43.2", 8444)):
        # Something is missing, so that this ends before anything is built.
        assert "Port 8444" not in missing("up", PATH=str(path))


@pytest.fixture(name="container")
def _container(request: pytest.FixtureRequest) -> Iterator[str]:
    """A container that publishes a port of the deployment, with a label of compose's."""
    require_engine()
    name = "mlops-assets-check-test"
    publish = ("--publish", f"{_ADDRESS}:8445:8445", "--label", f"com.docker.compose.project={request.param}")
    docker("run", "--detach", "--rm", "--name", name, *publish, base_image(), "sleep", "infinity")
    yield name
    docker("rm", "--force", name)


@pytest.mark.docker
@pytest.mark.parametrize("container", ["another"], indirect=True)
def test_a_port_of_another_container_is_told_with_its_name(container: str) -> None:
    said = missing("up")
    assert f"Port 8445 of {_ADDRESS} is in use." in said
    assert f"By the container {container}: docker stop {container}" in said


@pytest.mark.docker
@pytest.mark.parametrize("container", ["mlops-assets"], indirect=True)
@pytest.mark.usefixtures("container")
def test_a_port_of_the_running_deployment_is_its_own() -> None:
    assert "Port 8445" not in missing("up", DOCKER_SOCKET="/nonexistent")
