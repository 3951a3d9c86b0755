"""What a container for every run costs: launch to success against a subprocess, many runs at once, memory, builds.

The deployment is brought up, and taken down at the end. One asset, one small partition, the same file in both: launched
over GraphQL, timed by the runs' own records from creation to end. Sensors and schedules are stopped first, so that
nothing else runs. Then ``RUNS`` are launched at once (100), over 36 partitions; ``COLD=1`` times an image build without
any cached layer as well.
"""

from __future__ import annotations

import collections
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.demo import live
from mlops_assets.demo.surroundings import Surroundings
from mlops_assets.demo.waiting import StalledError, wait_until
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.sources import generate
from mlops_assets_tests.deploy.stack import (
    PAGES,
    PROJECT,
    Stack,
    copy_volume,
    deliver,
    docker,
    leftovers,
    make,
    secrets_command,
)
from mlops_assets_tests.docker_engine import ROOT, copy_of_checkout
from mlops_assets_tests.webserver import ENDED, LAUNCH, launch_parameters, web_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx

    Ask = Callable[[str, dict[str, Any]], Any]

SINGLE = 10
MANY = int(os.environ.get("RUNS", "100"))
STATES = ("NC", "GA")
LAST_TICK_SECONDS = 20.0
_TIMES = """
query Runs($ids: [String!]) { runsOrError(filter: {runIds: $ids}) { ... on Runs { results {
    id status creationTime endTime } } } }
"""
_INSTIGATORS = """
{ repositoriesOrError { ... on RepositoryConnection { nodes {
    sensors { sensorState { id } } schedules { scheduleState { id } } } } } }
"""
_STOP_SENSOR = """
mutation Stop($id: String!) { stopSensor(id: $id) { ... on StopSensorMutationResult { instigationState { status } } } }
"""
_STOP_SCHEDULE = """
mutation Stop($id: String!) { stopRunningSchedule(id: $id) { ... on ScheduleStateResult { scheduleState { status } } } }
"""
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def launch(ask: Ask, partition: str) -> str:
    """Launch a run; returns its id."""
    answer = ask(LAUNCH, {"params": launch_parameters("plumbing", ["raw", "voter_file"], partition)})
    return str(answer["launchPipelineExecution"]["run"]["runId"])


def ended(ask: Ask, runs: Sequence[str]) -> dict[str, tuple[str, float]]:
    """Status and seconds from creation to end of each run, once all have ended.

    Raises:
        StalledError: none of them moves any more.
    """
    told = wait_until(
        lambda seen: [run["status"] in ENDED and bool(run["endTime"]) for run in seen] == [True] * len(runs),
        lambda: ask(_TIMES, {"ids": runs})["runsOrError"]["results"],
        what="The end of runs",
        remedy="Look at the runs in the UI.",
        pause=0.5,
    )
    return {run["id"]: (run["status"], run["endTime"] - run["creationTime"]) for run in told}


def one_by_one(ask: Ask, partition: str) -> list[float]:
    """Seconds of runs launched one after the other."""
    times = []
    for _ in range(SINGLE + 1):
        [(status, seconds)] = ended(ask, [launch(ask, partition)]).values()
        if status != "SUCCESS":
            sys.exit(f"a run ended as {status}")
        times.append(seconds)
    # The first one warms up what both keep.
    return times[1:]


def stop_automation(ask: Ask) -> None:
    """Stop every sensor and schedule: what is delivered from now on starts nothing by itself."""
    stopped = []
    for repository in ask(_INSTIGATORS, {})["repositoriesOrError"]["nodes"]:
        for sensor in repository["sensors"]:
            answer = ask(_STOP_SENSOR, {"id": sensor["sensorState"]["id"]})["stopSensor"]
            stopped.append(answer["instigationState"]["status"])
        for schedule in repository["schedules"]:
            answer = ask(_STOP_SCHEDULE, {"id": schedule["scheduleState"]["id"]})["stopRunningSchedule"]
            stopped.append(answer["scheduleState"]["status"])
    if set(stopped) != {"STOPPED"}:
        sys.exit(f"sensors and schedules could not be stopped: {stopped}")
    # A tick that is under way still launches what it finds.
    time.sleep(LAST_TICK_SECONDS)


def memory() -> float:
    """MiB that the deployment's containers use, page cache left out as Docker does."""
    names = docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
    used = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", *names).split("\n")
    found = [re.match(r"([\d.]+)(B|KiB|MiB|GiB)", line) for line in used if line]
    return sum(float(each[1]) * _UNITS[each[2]] for each in found if each) / 2**20


def run_containers() -> list[str]:
    """Ids of the containers of runs."""
    return docker("ps", "--all", "--quiet", "--filter", f"label=mlops_assets/deployment={PROJECT}").split()


def built(folder: Path, *flags: str) -> float:
    """Seconds that building the image of runs takes."""
    started = time.monotonic()
    subprocess.run(
        ["docker", "build", "--quiet", "--target", "runs", "--tag", "mlops-assets-bench", *flags, str(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.monotonic() - started


def builds() -> dict[str, float]:
    """Seconds of a build after a change of code, and of a cold one if asked for."""
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_checkout(Path(folder) / "copy")
        cold = {"cold": built(copy, "--no-cache")} if os.environ.get("COLD") else {}
        built(copy)
        with (copy / "mlops_assets" / "plumbing" / "definitions.py").open("a", encoding="utf-8") as file:
            file.write("\n# changed\n")
        return {**cold, "after a change of code": built(copy)}


def in_subprocesses(folder: Path, landing: Path, partition: str) -> list[float]:
    """Seconds of runs of the embedded instance: a daemon, a web server, and a process for each run."""
    surroundings = Surroundings(folder / "home")
    surroundings.prepare(["PSEUDONYM_KEY"])
    environment = surroundings.environment({})
    with (
        live.daemon(surroundings, environment),
        web_server(ROOT / "workspace.yaml", environment, surroundings.logs / "web.log") as server,
    ):

        def ask(query: str, variables: dict[str, Any]) -> Any:  # noqa: ANN401  the answer's JSON
            return server.ask(query, **variables)

        stop_automation(ask)
        shutil.copytree(landing, surroundings.home / "landing", dirs_exist_ok=True)
        return one_by_one(ask, partition)


def main() -> None:
    """Measure and print."""
    if found := leftovers():
        sys.exit(f"a deployment is on this engine already (make down removes it): {found[:5]}")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        systems = generate(SimulationConfig(seed=1, voters_per_state=600), folder / "sources")
        partitions = [(month, state) for month in systems.months for state in STATES]
        for month, state in partitions:
            systems.drop(state, month, folder / "landing")
        names = [f"{month}|{state}" for month, state in partitions]
        subprocesses = in_subprocesses(folder, folder / "landing", names[0])
        print(f"subprocesses: {subprocesses}", flush=True)
        try:
            figures = in_containers(folder, names)
        finally:
            make("down", "DATA=delete")
        figures |= {
            "subprocess_seconds": round(statistics.median(subprocesses), 2),
            "ratio": round(figures["container_seconds"] / statistics.median(subprocesses), 3),
            "build_seconds": {name: round(seconds, 1) for name, seconds in builds().items()},
        }
    for name, value in figures.items():
        print(f"{name:24} {value}")
    print(json.dumps(figures))


def in_containers(folder: Path, partitions: Sequence[str]) -> dict[str, Any]:
    """The figures of the deployment: runs one after the other, all at once, what is left of them, memory at rest."""
    make("up")
    stack = Stack()
    for role in ("plumber", "architect"):
        secrets_command("person", f"a.{role}", "--role", role)
    clients = copy_volume("secrets-clients", folder / "clients")
    with stack.client(clients, PAGES, "a.plumber") as plumber, stack.client(clients, PAGES, "a.architect") as architect:

        def asking(client: httpx.Client) -> Ask:
            client.timeout = 300
            return lambda query, variables: client.post(
                "/graphql", json={"query": query, "variables": variables}
            ).json()["data"]

        stop_automation(asking(architect))
        ask = asking(plumber)
        idle = memory()
        deliver(folder / "landing")
        containers = one_by_one(ask, partitions[0])
        print(f"containers: {containers}", flush=True)
        begun = time.monotonic()
        outcomes = ended(ask, [launch(ask, partitions[n % len(partitions)]) for n in range(MANY)])
        wall = time.monotonic() - begun
    with suppress(StalledError):
        wait_until(
            lambda left: not left, run_containers, what="The containers' end", remedy="Look at the reaper's log."
        )
    return {
        "container_seconds": round(statistics.median(containers), 2),
        "runs_at_once": MANY,
        "runs_at_once_seconds": round(wall, 1),
        "runs_at_once_states": dict(collections.Counter(status for status, _ in outcomes.values())),
        "containers_left": len(run_containers()),
        "idle_memory_mib": round(idle),
    }


if __name__ == "__main__":
    main()
