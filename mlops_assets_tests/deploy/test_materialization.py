"""A materialization through the whole deployment: asked for in a browser, run in a container that then is gone."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.demo.waiting import wait_until
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.sources import generate
from mlops_assets_tests.browser import browser_page, require_chromium
from mlops_assets_tests.deploy.signed_in import signed_in
from mlops_assets_tests.deploy.stack import PAGES, PROJECT, SERVICE, TAG, Stack, deliver, docker, token
from mlops_assets_tests.docker_engine import ROOT
from mlops_assets_tests.webserver import LAUNCH, launch_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets_tests.browser import Page

pytestmark = [pytest.mark.docker, pytest.mark.chromium]

PICTURES = ROOT / "screenshots"
VOTERS = 600
OK = 200
_REMEDY = "Look at the logs of the deployment's containers."
_PUBLISHED = """
import json
from mlops_assets.contracts import raw
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
with LakeSession(Settings.load()) as session:
    entries = ledger.current(session, raw.VOTER_FILE, ["2021-07|NC"])
print(json.dumps({key: entry.record.rows for key, entry in entries.items()}))
"""
# The years before: a person would let the schedules bring them. It runs beside the deployment, with wrangling's
# accounts and an instance of its own, since the reaper ends runs that have no container.
_HISTORY = """
import pathlib, tempfile
import dagster as dg
from mlops_assets.demo.history import Batch, load
from mlops_assets.demo.surroundings import applied
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.servers import FolderServer
from mlops_assets.simulation.sources import generate
folder = pathlib.Path(tempfile.mkdtemp())
systems = generate(SimulationConfig(seed=1, voters_per_state=600, months=1), folder)
held = [str(year) for year in range(2010, 2024, 2)]
instance = dg.DagsterInstance.local_temp(tempfile.mkdtemp(), overrides={"telemetry": {"enabled": False}})
with FolderServer(systems.house_returns.parent) as server:
    with applied({"MLOPS_ASSETS_SOURCES__HOUSE_RETURNS_URL": f"{server.url}/{systems.house_returns.name}"}):
        load([
            Batch("returns", ["raw/house_returns", "wrangled/house_results"], held),
            Batch("features", ["features/district_election"], [*held, "2024"]),
        ], instance, lambda *_: None)
"""


_SELECTOR = {
    "repositoryLocationName": "modeling",
    "repositoryName": "__repository__",
    "sensorName": "modeling_automation",
}
_SENSOR = """
query Sensor($of: SensorSelector!) { sensorOrError(sensorSelector: $of) { ... on Sensor { sensorState { id } } } }
"""
_STOP = """
mutation Stop($id: String!) { stopSensor(id: $id) { ... on StopSensorMutationResult { instigationState { status } } } }
"""
_START = """
mutation Start($of: SensorSelector!) { startSensor(sensorSelector: $of) { ... on Sensor { sensorState { status } } } }
"""


@contextmanager
def _models_by_hand(stack: Stack, clients: Path) -> Iterator[None]:
    """Stop the automation of models: one trained on part of the history would be what the whole is measured by."""

    def ask(query: str, variables: dict[str, Any]) -> Any:  # noqa: ANN401  the answer's JSON
        with stack.client(clients, PAGES, "a.modeler") as client:
            return client.post("/graphql", json={"query": query, "variables": variables}).json()["data"]

    sensor = ask(_SENSOR, {"of": _SELECTOR})["sensorOrError"]["sensorState"]["id"]
    assert ask(_STOP, {"id": sensor})["stopSensor"]["instigationState"]["status"] == "STOPPED"
    try:
        yield
    finally:
        assert ask(_START, {"of": _SELECTOR})["startSensor"]["sensorState"]["status"] == "RUNNING"


def _load_history(stack: Stack) -> None:
    inside = stack.containers["code-wrangling"]
    mounts = [mount for mount in inside["Mounts"] if mount["Destination"] != "/run/code/wrangling"]
    docker(
        *("run", "--rm", "--network", f"{PROJECT}_runs", "--tmpfs", "/tmp:rw,mode=1777"),  # noqa: S108  the container's own
        *(word for entry in inside["Config"]["Env"] for word in ("--env", entry)),
        *(word for mount in mounts for word in ("--volume", f"{mount['Name']}:{mount['Destination']}")),
        *(f"mlops-assets-runs:{TAG}", "python3", "-c", _HISTORY),
    )


def _ask(page: Page, query: str, variables: dict[str, Any]) -> Any:  # noqa: ANN401  the answer's JSON
    """What the UI's own address answers to the page; what is no answer, as the errors of one."""
    body = json.dumps({"query": query, "variables": variables})
    return page.run(
        "fetch('/graphql', {method: 'POST', headers: {'Content-Type': 'application/json'}, "
        f"body: {json.dumps(body)}}}).then(answer => answer.text().then(text => "
        "{ try { return JSON.parse(text) } catch { return {errors: [answer.status, text]} } }))"
        ".catch(error => ({errors: [String(error)]}))"
    )


def _run_containers() -> list[str]:
    """Ids of the runs that have a container."""
    shown = ("--format", '{{.Label "dagster/run_id"}}')
    return docker("ps", "--all", *shown, "--filter", f"label=mlops_assets/deployment={PROJECT}").split()


def _materialize(page: Page, address: str, location: str, asset: str, partition: str | None, *also: str) -> None:
    """Materialize from the asset's page, look at the run's page until it has succeeded and its container is gone."""
    page.open(f"{address}/assets/{asset}")
    page.wait_for("Materialize")
    params = launch_parameters(location, asset.split("/"), partition, *(name.split("/") for name in also))
    # A code server that is busy with much else is told as an error, and answers a moment later.
    launched = wait_until(
        lambda told: "errors" not in told,
        lambda: _ask(page, LAUNCH, {"params": params}),
        what=f"A run of {asset}",
        remedy=_REMEDY,
    )
    run_id = launched["data"]["launchPipelineExecution"]["run"]["runId"]
    page.open(f"{address}/runs/{run_id}")
    page.wait_for("RUN_SUCCESS")
    # The reaper's last word, after which the container is gone.
    page.wait_for("ended with exit code 0")
    wait_until(lambda found: run_id not in found, _run_containers, what=f"The end of run {run_id}", remedy=_REMEDY)


def test_a_materialization_asked_for_in_the_browser_runs_in_a_container_that_is_gone_afterwards(
    stack: Stack, clients: Path, tmp_path: Path
) -> None:
    require_chromium()
    systems = generate(SimulationConfig(seed=1, voters_per_state=VOTERS, months=1), tmp_path / "sources")
    systems.drop("NC", "2021-07", tmp_path / "landing")
    deliver(tmp_path / "landing")
    with signed_in(clients, PAGES, "a.plumber") as address, browser_page("--ignore-certificate-errors") as page:
        _materialize(page, address, "plumbing", "raw/voter_file", "2021-07|NC")
        page.picture(PICTURES / "deployment-run.png")
    published = json.loads(docker("exec", f"{stack.containers['code-plumbing']['Id']}", "python3", "-c", _PUBLISHED))
    assert published == {"2021-07|NC": VOTERS}
    scratch = f"{PROJECT}_scratch-plumbing"
    # The run's temporary files were on a disk of its role's own, and are gone.
    assert docker("volume", "ls", "--quiet", "--filter", f"name={scratch}").split() == [scratch]
    left = (
        "run",
        "--rm",
        "--network",
        "none",
        "--volume",
        f"{scratch}:/s:ro",
        f"mlops-assets-web:{TAG}",
        "ls",
        "-A",
        "/s",
    )
    assert not docker(*left)


def test_models_and_predictions_asked_for_in_the_browser_are_served_to_a_client(stack: Stack, clients: Path) -> None:
    require_chromium()
    with (
        _models_by_hand(stack, clients),
        signed_in(clients, PAGES, "a.modeler") as address,
        browser_page("--ignore-certificate-errors") as page,
    ):
        _load_history(stack)
        before = ("training/district_elections", "models/district_votes_evaluation")
        _materialize(page, address, "modeling", "models/district_votes", "2024", *before)
        _materialize(page, address, "modeling", "predictions/district_votes", "2024")
        _materialize(page, address, "modeling", "served/predictions", None)
        page.picture(PICTURES / "deployment-export.png")
    headers = {"Authorization": f"Bearer {token('test-application')}"}

    def asked() -> tuple[int, Any]:
        answer = client.get("/v1/tables/predictions?state=NC&election=2024", headers=headers)
        return answer.status_code, answer.json().get("items", answer.reason_phrase)

    with stack.client(clients, SERVICE, None) as client:
        _, items = wait_until(lambda answer: answer[0] == OK, asked, what="Predictions", remedy=_REMEDY)
    first = items[0]
    assert first["lower"] <= first["value"] <= first["upper"]
    assert first["model_version"]
