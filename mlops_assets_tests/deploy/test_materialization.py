"""A materialization through the whole deployment: asked for in a browser, run in a container that then is gone."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.sources import generate
from mlops_assets_tests.browser import browser_page, require_chromium
from mlops_assets_tests.deploy.signed_in import signed_in
from mlops_assets_tests.deploy.stack import OPERATOR, PROJECT, Stack, deliver, docker
from mlops_assets_tests.docker_engine import ROOT
from mlops_assets_tests.webserver import LAUNCH, launch_parameters

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.browser import Page

pytestmark = [
    pytest.mark.docker,
    pytest.mark.chromium,
    pytest.mark.timeout(1500),
]

PICTURES = ROOT / "screenshots"
VOTERS = 600
_PUBLISHED = """
import json
from mlops_assets.contracts import raw
from mlops_assets.platform import ledger
from mlops_assets.platform.lake import LakeSession
from mlops_assets.platform.settings import Settings
with LakeSession(Settings.load()) as session:
    entries = ledger.current(session, raw.VOTER_FILE, ["2021-07|NC"])
print(json.dumps({key: entry.record.rows for key, entry in entries.items()}))
"""


def _ask(page: Page, query: str, variables: dict[str, Any]) -> Any:  # noqa: ANN401  the answer's JSON
    """What the UI's own address answers to the page."""
    body = json.dumps({"query": query, "variables": variables})
    return page.run(
        "fetch('/graphql', {method: 'POST', headers: {'Content-Type': 'application/json'}, "
        f"body: {json.dumps(body)}}}).then(answer => answer.json())"
    )


def _run_containers() -> list[str]:
    """Ids of the runs that have a container."""
    shown = ("--format", '{{.Label "dagster/run_id"}}')
    return docker("ps", "--all", *shown, "--filter", f"label=mlops_assets/deployment={PROJECT}").split()


def test_a_materialization_asked_for_in_the_browser_runs_in_a_container_that_is_gone_afterwards(
    stack: Stack, clients: Path, tmp_path: Path
) -> None:
    require_chromium()
    systems = generate(SimulationConfig(seed=1, voters_per_state=VOTERS, months=1), tmp_path / "sources")
    systems.drop("NC", "2021-07", tmp_path / "landing")
    deliver(tmp_path / "landing")
    with signed_in(clients, OPERATOR, "operator") as address, browser_page("--ignore-certificate-errors") as page:
        page.open(f"{address}/assets/raw/voter_file")
        page.wait_for("Materialize", seconds=120)
        launched = _ask(page, LAUNCH, {"params": launch_parameters("plumbing", ["raw", "voter_file"], "2021-07|NC")})
        run_id = launched["data"]["launchPipelineExecution"]["run"]["runId"]
        page.open(f"{address}/runs/{run_id}")
        page.wait_for("RUN_SUCCESS", seconds=180)
        # The reaper's last word, after which the container is gone.
        page.wait_for("ended with exit code 0", seconds=60)
        page.picture(PICTURES / "deployment-run.png")
    deadline = time.monotonic() + 60
    while run_id in _run_containers():
        assert time.monotonic() < deadline, "the run's container is still there"
        time.sleep(0.5)
    published = json.loads(docker("exec", f"{stack.containers['code-plumbing']['Id']}", "python3", "-c", _PUBLISHED))
    assert published == {"2021-07|NC": VOTERS}
