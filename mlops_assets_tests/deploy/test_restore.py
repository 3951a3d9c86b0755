"""A backup made while runs publish, restored beside the deployment under another name: whole, and with the same rows.

The names of two deployments, and what `make down` leaves, are tried on the way: both stand on one engine.
"""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any, Final

import pytest

from mlops_assets.demo.waiting import wait_until
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.sources import generate
from mlops_assets_tests.deploy.stack import IMAGES, PAGES, PROJECT, Stack, deliver, docker, make, refused
from mlops_assets_tests.webserver import LAUNCH, launch_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.docker]

OTHER: Final = "mlops-assets-again"
PORT: Final = 18443
MONTHS: Final = ("2021-07", "2021-08", "2021-09", "2021-10")
_REMEDY: Final = "Look at the logs of the deployment's containers."
_PUBLISHED: Final = """
import json
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
with LakeSession(Settings.load()) as session:
    records = [entry.record for entry in ledger.since(session, "restricted", 0)]
print(json.dumps({record.publish_id: record.content_hash for record in records}))
"""
_RUNS: Final = "{ runsOrError { ... on Runs { results { runId status } } } }"


def published(project: str) -> dict[str, str]:
    """The content hash of each publish of the restricted lake."""
    container = docker(
        *("ps", "--quiet", "--filter", f"label=com.docker.compose.project={project}"),
        *("--filter", "label=com.docker.compose.service=code-plumbing"),
    ).strip()
    found: dict[str, str] = json.loads(docker("exec", container, "python3", "-c", _PUBLISHED))
    return found


def runs(stack: Stack, clients: Path, port: int) -> dict[str, str]:
    """The state of each run, as the pages at that port tell it."""
    with stack.client(clients, port, "a.viewer") as client:
        results = client.post("/graphql", json={"query": _RUNS}).json()["data"]["runsOrError"]["results"]
    return {each["runId"]: each["status"] for each in results}


def launch(stack: Stack, clients: Path, month: str) -> str:
    """A run of the voter file of that month; its id."""
    params = launch_parameters("plumbing", ["raw", "voter_file"], f"{month}|NC")
    with stack.client(clients, PAGES, "a.plumber") as client:

        def told() -> Any:  # noqa: ANN401  the answer's JSON
            return client.post("/graphql", json={"query": LAUNCH, "variables": {"params": params}}).json()

        launched = wait_until(lambda answer: "errors" not in answer, told, what="A run", remedy=_REMEDY)
    return str(launched["data"]["launchPipelineExecution"]["run"]["runId"])


@pytest.fixture(name="again")
def _again() -> Iterator[str]:
    """The name of the deployment beside, which is gone afterwards."""
    try:
        yield OTHER
    finally:
        make("down", f"NAME={OTHER}", "DATA=delete")
        # A second name of the same images.
        docker("image", "rm", *(f"{image}:{OTHER}" for image in IMAGES), check=False)


def test_a_backup_made_while_runs_publish_is_restored_under_another_name(
    stack: Stack, clients: Path, tmp_path: Path, again: str
) -> None:
    systems = generate(SimulationConfig(seed=1, voters_per_state=600, months=len(MONTHS)), tmp_path / "sources")
    for month in MONTHS:
        systems.drop("NC", month, tmp_path / "landing")
    deliver(tmp_path / "landing")
    file = tmp_path / "backup.tar"
    launched = [launch(stack, clients, month) for month in MONTHS]
    # Some have published by then, and some are at it.
    wait_until(bool, lambda: published(PROJECT), what="The first publish", remedy=_REMEDY)
    make("backup", f"FILE={file}")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    assert "is there already" in refused("restore", f"FILE={file}")
    told = make("restore", f"NAME={again}", f"PORT={PORT}", f"FILE={file}")
    assert "No faults." in told
    make("up", f"NAME={again}", f"PORT={PORT}")

    wait_until(
        lambda seen: all(seen[run] == "SUCCESS" for run in launched),
        lambda: runs(stack, clients, PAGES),
        what="The runs that were under way",
        remedy=_REMEDY,
    )
    restored, original = published(again), published(PROJECT)
    assert restored
    assert restored.items() <= original.items()
    # Whoever is known there is known here; and the runs of one are nothing to the other's reaper.
    assert set(launched) <= set(runs(stack, clients, PORT))

    make("down", f"NAME={again}", f"PORT={PORT}")
    make("up", f"NAME={again}", f"PORT={PORT}")
    assert published(again).items() >= restored.items()
    assert set(launched) <= set(runs(stack, clients, PORT))
