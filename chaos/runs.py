"""Runs of the whole deployment while its parts are killed at random: does every run end in a true state?

Brings the deployment up (or uses the one that is up), lets files of many partitions arrive, launches runs, and kills
run containers, code servers, daemon and PostgreSQL until all have ended. Then it looks whether every run ended and says
why it failed, every published partition is whole, every publish has its event, and nothing is left: no container, no
staged file. Prints a table and, last, one JSON line; exits with 1 if anything is wrong.

RUNS (300), SEED (1) and EVERY (4, seconds between two kills) are read from the environment.
"""

from __future__ import annotations

import collections
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

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
from mlops_assets_tests.webserver import ENDED, LAUNCH, launch_parameters

if TYPE_CHECKING:
    from collections.abc import Collection

VOTERS = 500
MONTHS = 6
STATES = ("NC", "GA")
SHARE_OF_RUNS = 0.6
SERVICES = ("code-plumbing", "code-plumbing", "daemon", "postgres", "reaper", "docker-proxy")
_RUNS = """
query Runs($cursor: String) {
  runsOrError(cursor: $cursor, limit: 500) { ... on Runs { results { runId status } } }
}
"""
# Runs inside of the deployment, where the lakes and the storage are; sweeps staged files only if it is told to.
_JUDGE = """
import json, sys
from dagster import AssetKey, DagsterInstance, DagsterEventType
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.platform.lake.stage import sweep

with LakeSession(Settings.load()) as session:
    publishes = [entry.record for entry in ledger.since(session, "restricted", 0)]
    staged = sweep(session, "restricted", older_than_seconds=0) if "sweep" in sys.argv else []
with DagsterInstance.get() as instance:
    told = set()
    for record in instance.fetch_materializations(AssetKey(["raw", "voter_file"]), limit=5000).records:
        told.add(record.asset_materialization.metadata["publish_id"].value)
    reasons = {}
    for run in instance.get_runs():
        failed = instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_FAILURE)
        reasons[run.run_id] = [str(entry.message)[:120] for entry in failed]
print(json.dumps({
    "rows": {p.partition: p.rows for p in publishes},
    "contents": {
        key: len({p.content_hash for p in publishes if p.partition == key}) for key in {p.partition for p in publishes}
    },
    "publishes": len(publishes),
    "doubled": len(publishes) - len({p.publish_id for p in publishes}),
    "untold": [p.publish_id for p in publishes if p.publish_id not in told],
    "staged": [str(folder) for folder in staged],
    "reasons": reasons,
}))
"""


class Vandal(threading.Thread):
    """Kills something every few seconds, as a crash would: the process, not by asking the engine."""

    def __init__(self, every: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.kills: collections.Counter[str] = collections.Counter()
        self.over = threading.Event()
        self._every = every
        self._random = random.Random(seed)

    def run(self) -> None:
        """Kill until told that it is over."""
        while not self.over.wait(self._random.uniform(0.5, 1.5) * self._every):
            if self._random.random() < SHARE_OF_RUNS:
                chosen = docker("ps", "--quiet", "--filter", f"label=mlops_assets/deployment={PROJECT}").split()
                name = "run container"
            else:
                name = self._random.choice(SERVICES)
                labels = ("--filter", f"label=com.docker.compose.service={name}")
                chosen = docker("ps", "--quiet", *labels).split()
            if chosen:
                self.kills[name] += self._kill(self._random.choice(chosen))

    @staticmethod
    def _kill(container: str) -> bool:
        process = int(docker("inspect", "--format", "{{.State.Pid}}", container, check=False) or 0)
        if process <= 1:
            return False
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def ask(client: httpx.Client, query: str, **variables: object) -> dict[str, Any]:
    """The data of a GraphQL answer, asked again while the deployment recovers."""

    def answer() -> dict[str, Any]:
        try:
            body: dict[str, Any] = client.post("/graphql", json={"query": query, "variables": variables}).json()
        except (OSError, ValueError, httpx.HTTPError) as error:
            return {"errors": repr(error)}
        return body

    given = wait_until(lambda body: "errors" not in body, answer, what="The UI", remedy="Look at its log.", pause=1)
    data: dict[str, Any] = given["data"]
    return data


def main() -> None:
    """Launch, kill, wait, judge."""
    wanted, seed = int(os.environ.get("RUNS", "300")), int(os.environ.get("SEED", "1"))
    every = float(os.environ.get("EVERY", "4"))
    chance = random.Random(seed)
    started_here = not leftovers()
    if started_here:
        make("up")
    stack = Stack()
    with tempfile.TemporaryDirectory() as folder:
        secrets_command("person", "a.plumber", "--role", "plumber")
        clients = copy_volume("secrets-clients", Path(folder) / "clients")
        systems = generate(
            SimulationConfig(seed=seed, voters_per_state=VOTERS, months=MONTHS), Path(folder) / "sources"
        )
        for month in systems.months:
            for state in STATES:
                systems.drop(state, month, Path(folder) / "landing")
        deliver(Path(folder) / "landing")
        delivered = {
            f"{file.parent.name}|{file.parents[1].name}": json.loads(file.read_text(encoding="utf-8"))["rows"]
            for file in (Path(folder) / "landing").rglob("manifest.json")
        }
        partitions = [f"{month}|{state}" for month in systems.months for state in STATES]
        begun = time.monotonic()
        with stack.client(clients, PAGES, "a.plumber") as client:
            launched = set()
            vandal = Vandal(every, seed)
            while len(launched) < wanted:
                parameters = launch_parameters("plumbing", ["raw", "voter_file"], chance.choice(partitions))
                answer = ask(client, LAUNCH, params=parameters)["launchPipelineExecution"]
                if answer["__typename"] == "LaunchRunSuccess":
                    launched.add(answer["run"]["runId"])
                else:
                    # The code server is starting again.
                    time.sleep(1)
                if launched and not vandal.is_alive():
                    vandal.start()
            wait(client)
            vandal.over.set()
            vandal.join()
            # What the last kill hit is settled and retried.
            time.sleep(30)
            states = wait(client)
        seconds = time.monotonic() - begun
    with suppress(StalledError):
        wait_until(
            lambda judged: not judged["untold"],
            lambda: judge(stack),
            what="Events of publishes",
            remedy="Look at the reconciler's ticks.",
            pause=5,
        )
    judged = judge(stack, "sweep")
    left = containers_of(states)
    wrong = {
        "launched and unknown": sorted(launched - states.keys()),
        "not ended": sorted(run for run, status in states.items() if status not in ENDED),
        "failed without reason": sorted(
            r for r, s in states.items() if s == "FAILURE" and not judged["reasons"].get(r)
        ),
        "partial partitions": sorted(key for key, rows in judged["rows"].items() if rows != delivered[key]),
        "partitions of two contents": sorted(key for key, contents in judged["contents"].items() if contents > 1),
        "doubled publishes": judged["doubled"],
        "publishes without event": judged["untold"],
        "staged files left": judged["staged"],
        "containers left": left,
    }
    counted = collections.Counter(states.values())
    print(f"{len(states)} runs, {len(launched)} launched here, others by sensor, automation, retry: {seconds:.0f} s")
    print("ended as:", dict(counted), "   killed:", dict(vandal.kills), "   publishes:", judged["publishes"])
    for what, found in wrong.items():
        print(f"  {what:30} {found or 'none'}")
    if started_here:
        make("down", "DATA=delete")
    ok = not any(wrong.values())
    figures = {
        "runs": len(states),
        **counted,
        "kills": vandal.kills,
        "seconds": round(seconds),
        "ok": ok,
        "wrong": wrong,
    }
    print(json.dumps(figures))
    sys.exit(0 if ok else 1)


def judge(stack: Stack, *words: str) -> dict[str, Any]:
    """What lakes and storage hold."""
    told = docker("exec", stack.containers["reaper"]["Id"], "python3", "-c", _JUDGE, *words)
    judged: dict[str, Any] = json.loads(told.splitlines()[-1])
    return judged


def containers_of(ended: Collection[str]) -> list[str]:
    """Runs that have ended and keep their containers; sensors may have launched others."""

    def left() -> list[str]:
        shown = ("--format", '{{.Label "dagster/run_id"}}')
        listed = docker("ps", "--all", *shown, "--filter", f"label=mlops_assets/deployment={PROJECT}").split()
        return sorted(set(listed) & set(ended))

    remedy = "Look at the reaper's log."
    with suppress(StalledError):
        wait_until(lambda found: not found, left, what="The end of containers", remedy=remedy, pause=1)
    return left()


def wait(client: httpx.Client) -> dict[str, str]:
    """Every run's state once none is under way any more, or none moves."""

    def states() -> dict[str, str]:
        return {run["runId"]: run["status"] for run in ask(client, _RUNS)["runsOrError"]["results"]}

    def ended(found: dict[str, str]) -> bool:
        return ENDED.issuperset(found.values())

    with suppress(StalledError):
        wait_until(ended, states, what="The end of runs", remedy="Look at the runs in the UI.", pause=2)
    return states()


if __name__ == "__main__":
    main()
