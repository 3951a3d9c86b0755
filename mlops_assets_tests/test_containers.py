"""Runs in containers: the image builds, and a run launched through DockerRunLauncher publishes one partition."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts import raw
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.sources import generate
from mlops_assets_tests.docker_engine import CONTAINER_UID, IMAGE, ROOT, build_image, require_engine
from mlops_assets_tests.webserver import web_server

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.docker]

INSTANCE = """
telemetry:
  enabled: false
run_coordinator:
  module: dagster._core.run_coordinator
  class: DefaultRunCoordinator
run_launcher:
  module: dagster_docker
  class: DockerRunLauncher
  config:
    image: {image}
    env_vars: [MLOPS_ASSETS_HOME, DAGSTER_HOME]
    networks: [none]
    container_kwargs:
      user: "{uid}:{uid}"
      init: true
      read_only: true
      cap_drop: [ALL]
      security_opt: [no-new-privileges]
      tmpfs: {{/tmp: "rw,size=512m,mode=1777"}}
      volumes: ["{folder}:{folder}"]
"""


@pytest.fixture(scope="module")
def image() -> str:
    require_engine()
    return build_image()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder at the same path inside and outside of the container, owned by the container's user."""
    # Not below pytest's own folders: those are closed to other users.
    folder = Path("/var/tmp") / f"mlops-assets-test-{os.getpid()}"  # noqa: S108  unguessable names matter less here
    (folder / "dagster").mkdir(parents=True)
    yield folder
    # What the container wrote belongs to its user.
    subprocess.run(
        ["docker", "run", "--rm", "--user", "0", "-v", f"{folder}:{folder}", IMAGE, "rm", "-rf", str(folder / "home")],
        check=False,
    )
    shutil.rmtree(folder, ignore_errors=True)


def hand_over(folder: Path) -> None:
    """Give everything in the folder to the container's user, and keep it open for this one."""
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, CONTAINER_UID, CONTAINER_UID)
        path.chmod(0o777 if path.is_dir() else 0o666)


def test_the_image_runs_as_an_ordinary_user_and_knows_the_command(image: str) -> None:
    result = subprocess.run(
        [
            "docker",
            "run",
            "--rm",
            "--network",
            "none",
            "--read-only",
            image,
            "sh",
            "-c",
            "id -u; mlops-assets --version",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stdout.split() == [str(CONTAINER_UID), "0.1.0"]


def test_a_run_launched_in_a_container_publishes_one_partition(
    image: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = folder / "home"
    systems = generate(SimulationConfig(seed=1, voters_per_state=600, months=1), folder / "sources")
    systems.drop("NC", "2021-07", home / "landing")
    instance = INSTANCE.format(image=image, uid=CONTAINER_UID, folder=folder)
    (folder / "dagster" / "dagster.yaml").write_text(instance, encoding="utf-8")
    environment = {"MLOPS_ASSETS_HOME": str(home), "DAGSTER_HOME": str(folder / "dagster")}
    hand_over(folder)
    with web_server(ROOT / "workspace.yaml", environment, folder / "webserver.log") as server:
        hand_over(folder)
        run_id = server.launch("plumbing", ["raw", "voter_file"], "2021-07|NC")
        hand_over(folder)
        status = server.outcome(run_id)
    containers = subprocess.run(
        ["docker", "ps", "-a", "-q", "--filter", f"label=dagster/run_id={run_id}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    logs = "".join(
        subprocess.run(["docker", "logs", name], check=True, capture_output=True, text=True).stderr
        for name in containers
    )
    for name in containers:
        subprocess.run(["docker", "rm", "-f", name], check=True, capture_output=True)
    assert status == "SUCCESS", logs[-4000:] + (folder / "webserver.log").read_text(encoding="utf-8")[-4000:]
    assert len(containers) == 1, "the run had a container of its own"
    hand_over(folder)
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(home))
    with LakeSession(Settings.load()) as session:
        entry = ledger.current(session, raw.VOTER_FILE, ["2021-07|NC"])["2021-07|NC"]
    assert entry.record.rows == 600
    assert entry.record.run_id == run_id
