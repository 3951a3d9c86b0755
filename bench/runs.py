"""What a container for every run costs: launch to success against a subprocess, many runs at once, memory, builds.

The deployment is brought up (or the one that is up is used). One asset, one small partition, the same file in both:
launched over GraphQL, timed by the runs' own records from creation to end. ``RUNS``
are launched at once (100); ``COLD=1`` times an image build without any cached layer as well.
"""

from __future__ import annotations

import collections
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.demo import live
from mlops_assets.demo.surroundings import Surroundings
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.sources import generate
from mlops_assets_tests.deploy.stack import OPERATOR, PROJECT, Stack, copy_volume, deliver, docker, leftovers, make
from mlops_assets_tests.docker_engine import ROOT, copy_of_checkout
from mlops_assets_tests.webserver import LAUNCH, launch_parameters, web_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Ask = Callable[[str, dict[str, Any]], Any]

SINGLE = 10
MANY = int(os.environ.get("RUNS", "100"))
MONTHS = 2
STATE = "NC"
PARTITION = f"2021-07|{STATE}"
QUIET_SECONDS = 60.0
_TIMES = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status creationTime endTime } } }"
_UNDER_WAY = """
{ runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED, CANCELING]}, limit: 1) {
    ... on Runs { results { runId } } } }
"""
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def launch(ask: Ask, partition: str) -> str:
    """Launch a run; returns its id."""
    answer = ask(LAUNCH, {"params": launch_parameters("plumbing", ["raw", "voter_file"], partition)})
    return str(answer["launchPipelineExecution"]["run"]["runId"])


def ended(ask: Ask, runs: Sequence[str], seconds: float) -> dict[str, tuple[str, float]]:
    """Status and seconds from creation to end of each run, once all have ended."""
    deadline = time.monotonic() + seconds
    found: dict[str, tuple[str, float]] = {}
    while len(found) < len(runs) and time.monotonic() < deadline:
        for run in runs:
            if run in found:
                continue
            told = ask(_TIMES, {"id": run})["runOrError"]
            if told["status"] in {"SUCCESS", "FAILURE", "CANCELED"} and told["endTime"]:
                found[run] = told["status"], told["endTime"] - told["creationTime"]
        time.sleep(0.5)
    return found


def one_by_one(ask: Ask) -> list[float]:
    """Seconds of runs launched one after the other."""
    times = []
    for _ in range(SINGLE + 1):
        [(status, seconds)] = ended(ask, [launch(ask, PARTITION)], 180).values()
        if status != "SUCCESS":
            sys.exit(f"a run ended as {status}")
        times.append(seconds)
    # The first one warms up what both keep.
    return times[1:]


def idle_again(ask: Ask, *, since: float) -> None:
    """Wait until no run is under way and none has been for as long as a sensor takes to notice something."""
    quiet_from = since
    while time.monotonic() - quiet_from < QUIET_SECONDS:
        if ask(_UNDER_WAY, {})["runsOrError"]["results"]:
            quiet_from = time.monotonic()
        time.sleep(2)


def memory() -> float:
    """MiB that the deployment's containers use, page cache left out as Docker does."""
    names = docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
    used = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", *names).split("\n")
    found = [re.match(r"([\d.]+)(B|KiB|MiB|GiB)", line) for line in used if line]
    return sum(float(each[1]) * _UNITS[each[2]] for each in found if each) / 2**20


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
        with (copy / "mlops_assets" / "__init__.py").open("a", encoding="utf-8") as file:
            file.write("\n# changed\n")
        return {**cold, "after a change of code": built(copy)}


def main() -> None:
    """Measure and print."""
    started_here = not leftovers()
    if started_here:
        make("up")
    stack = Stack()
    with tempfile.TemporaryDirectory() as folder:
        surroundings = Surroundings(Path(folder) / "home")
        surroundings.prepare(["PSEUDONYM_KEY"])
        systems = generate(SimulationConfig(seed=1, voters_per_state=600), Path(folder) / "sources")
        landing = surroundings.home / "landing"
        months = systems.months[:MONTHS]
        for month in months:
            systems.drop(STATE, month, landing)
        idle = memory()
        environment = surroundings.environment({})
        with (
            live.daemon(surroundings, environment),
            web_server(ROOT / "workspace.yaml", environment, surroundings.logs / "web.log") as server,
        ):

            def ask_here(query: str, variables: dict[str, Any]) -> Any:  # noqa: ANN401  the answer's JSON
                return server.ask(query, **variables)

            # Sensor and automation carry on what was delivered.
            idle_again(ask_here, since=time.monotonic())
            subprocesses = one_by_one(ask_here)
        deliver(landing)
        with stack.client(copy_volume("secrets-clients", Path(folder) / "clients"), OPERATOR, "operator") as client:

            def ask(query: str, variables: dict[str, Any]) -> Any:  # noqa: ANN401  the answer's JSON
                return client.post("/graphql", json={"query": query, "variables": variables}).json()["data"]

            idle_again(ask, since=time.monotonic())
            containers = one_by_one(ask)
            begun = time.monotonic()
            runs = [launch(ask, f"{months[n % MONTHS]}|{STATE}") for n in range(MANY)]
            outcomes = ended(ask, runs, 3600)
            wall = time.monotonic() - begun
    time.sleep(10)
    left = docker("ps", "--all", "--quiet", "--filter", f"label=mlops_assets/deployment={PROJECT}").split()
    image = builds()
    figures = {
        "subprocess_seconds": round(statistics.median(subprocesses), 2),
        "container_seconds": round(statistics.median(containers), 2),
        "ratio": round(statistics.median(containers) / statistics.median(subprocesses), 3),
        "runs_at_once": MANY,
        "runs_at_once_seconds": round(wall, 1),
        "runs_at_once_states": dict(collections.Counter(status for status, _ in outcomes.values())),
        "containers_left": len(left),
        "idle_memory_mib": round(idle),
        "build_seconds": {name: round(seconds, 1) for name, seconds in image.items()},
    }
    for name, value in figures.items():
        print(f"{name:24} {value}")
    if started_here:
        make("down")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
