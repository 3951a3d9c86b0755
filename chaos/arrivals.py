"""Files that arrive while everything is killed: does every partition hold the last whole delivery, once?

A real ``dagster-daemon`` with the sensors of a file source and of files over HTTP, and the schedules of a SQL source
and of a REST source that is asked for changes alone. Files are delivered, corrected, sent twice and left half written,
those over HTTP are replaced and break off, and the months of a PostgreSQL table and of the service change; meanwhile a
run, the code server, the daemon with all that it has started, or PostgreSQL is killed at random moments (SIGKILL;
PostgreSQL ends at once and starts again). A reader looks all the time: each partition that it sees holds all rows of
one whole delivery, of changes all rows as they were after one of them. At the end each must hold the last one, nothing
is doubled, and every publish has its event.

That a run's process is gone is told by the code server that started it; where that is gone, too, this campaign tells
it, as the reaper does in the deployment.

``make chaos NAME=arrivals``; KILLS (200), SEED (1) and TABLES (``filed booked fetched changed``) are read from the
environment. Prints one line of JSON; exits with 1 if anything is wrong, and leaves the folder to look into.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.plumbing.sources.faults import arriving
from mlops_assets_tests.plumbing.sources.faults.arriving import (
    BOOKED,
    CHANGED,
    FETCHED,
    FILED,
    KEYS,
    TABLES,
    Sender,
    Servers,
)
from mlops_assets_tests.postgres import running_server

if TYPE_CHECKING:
    from mlops_assets_tests.postgres import PostgresServer

KILLS = int(os.environ.get("KILLS", "200"))
SEED = int(os.environ.get("SEED", "1"))
VICTIMS = ("run",) * 14 + ("database",) * 4 * ("booked" in TABLES) + ("daemon and all", "code server")
CONTRACTS = tuple(each for each in (FILED, BOOKED, FETCHED, CHANGED) if each.table in TABLES)
MOST_SECONDS = 420.0
"""How long the last deliveries may take, a schedule of three minutes and runs that had to be tried again among them."""
_LOST_SECONDS = 20.0
_LONGEST_AWAITED = 12.0
_PROCESS = re.compile(r"\(pid: (\d+)\)")


class Daemon:
    """Dagster's daemon over the location, and every process that came of it."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "daemon.log"
        self._workspace = folder / "workspace.yaml"
        self._workspace.write_text(f"load_from:\n  - python_module: {arriving.__name__}\n", encoding="utf-8")
        self._sessions: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.process is not None and self.process.poll() is None:
            return
        program = Path(sys.executable).with_name("dagster-daemon")
        with self._log.open("ab") as out:
            self.process = subprocess.Popen(
                [program, "run", "-w", self._workspace], stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._sessions.append(self.process.pid)

    def processes(self, role: str) -> list[int]:
        """Those of a role that live: ``run``, ``code server``, or all."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                line = (folder / "cmdline").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            if int(fields[3]) not in self._sessions or fields[0] == "Z":
                continue
            is_run, is_server = "spawn_main" in line, "grpc" in line
            if role == "all" or (role == "run" and is_run) or (role == "code server" and is_server and not is_run):
                found.append(int(folder.name))
        return found

    def await_run(self) -> None:
        """Wait for a run, but not long: perhaps there is nothing to do."""
        until = time.monotonic() + _LONGEST_AWAITED
        while not self.processes("run") and time.monotonic() < until:
            time.sleep(0.1)

    def kill(self, role: str, chance: random.Random) -> bool:
        """Kill one of that role, or all; whether there was any."""
        found = self.processes(role)
        for process in found if role == "all" else [chance.choice(found)] if found else []:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if role == "all" and self.process is not None:
            self.process.wait()
        return bool(found)


class Reader(threading.Thread):
    """Looks at all partitions until told to stop."""

    def __init__(self, sender: Sender) -> None:
        super().__init__(daemon=True)
        self._sender = sender
        self.over = threading.Event()
        self.reads = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        """Look, and write down what is wrong."""
        while not self.over.wait(0.5):
            try:
                found = held()
            except (duckdb.Error, PlatformError) as error:
                if "does not exist" not in str(error) and "has never been" not in str(error):
                    self.wrong.append(f"unreadable: {error}"[:300])
                continue
            self.reads += 1
            for (table, month), (rows, distinct, numbers, total) in found.items():
                if (rows, distinct, numbers, total) != self._sender.wanted(int(numbers[0])):
                    self.wrong.append(f"{table} {month}: {rows} rows, {distinct} distinct, of deliveries {numbers[:5]}")


def held() -> dict[tuple[str, str], tuple[int, int, list[str], int]]:
    """Of each partition its rows, how many are distinct, the deliveries that they came with, and the sum of those.

    Of changes the last one stands for all.
    """
    found = {}
    with LakeSession(Settings.load()) as session:
        session.attach("shop")
        for contract in CONTRACTS:
            if not ledger.current(session, contract, list(KEYS)):
                continue
            numbers = "[max_by(who, small)]" if contract is CHANGED else "list(DISTINCT who)"
            counted = (
                f"SELECT month, count(*), count(DISTINCT visit), {numbers}, sum(who::BIGINT)::BIGINT FROM shop.raw"  # noqa: S608  ours
            )
            rows = session.connection.execute(f"{counted}.{contract.table} GROUP BY month").fetchall()
            found.update({(contract.table, month): tuple(others) for month, *others in rows})
    return found


def settle(instance: dg.DagsterInstance) -> None:
    """Tell of runs whose process is gone and whose code server was, too."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(NOT_FINISHED_STATUSES))):
        run = record.dagster_run
        age = time.time() - record.update_timestamp.timestamp()
        if run.status in {dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED} or age < _LOST_SECONDS:
            continue
        told = " ".join(entry.message + str(entry.user_message) for entry in instance.all_logs(run.run_id))
        if not any(Path(f"/proc/{number}").exists() for number in _PROCESS.findall(told)):
            instance.report_run_failed(run, "Its process is gone.")


def campaign(folder: Path, server: PostgresServer, daemon: Daemon, servers: Servers) -> dict[str, Any]:
    """All kills, and what was found."""
    chance = random.Random(SEED)
    database = server.create_database()
    database.run(
        "CREATE TABLE visits (month text, visit bigint, who text, day date, at timestamp, seen timestamptz, "
        "amount float8, price numeric(12, 2), small smallint, paid boolean)"
    )
    os.environ.update(
        {arriving.FOLDER: str(folder / "delivered"), arriving.DSN: database.dsn, arriving.PASSWORD: database.password}
    )
    os.environ.update(
        {
            arriving.EXPORTS: f"{servers.exports.url}/{{month}}.csv",
            arriving.CHANGES: f"{servers.changes.url}/changes",
        }
    )
    (folder / "delivered").mkdir()
    sender = Sender(folder / "delivered", database, chance, servers)
    known = {"filed": sender.file, "booked": sender.book, "fetched": sender.export, "changed": sender.change}
    sends = [known[table] for table in known if table in TABLES]
    for month in KEYS:
        for send in sends:
            send(month)
    reader, kinds, kills = Reader(sender), Counter[str](), Counter[str]()
    daemon.start()
    reader.start()
    began = time.monotonic()
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        while sum(kills.values()) < KILLS:
            time.sleep(chance.uniform(0.2, 4.0))
            for _ in range(chance.randint(0, 3)):
                kinds[chance.choice(sends)(chance.choice(KEYS))] += 1
            victim = chance.choice(VICTIMS)
            if victim == "database":
                server.stop()
                time.sleep(chance.uniform(0, 1))
                server.start()
                kills[victim] += 1
            elif victim == "daemon and all":
                kills[victim] += daemon.kill("all", chance)
            else:
                daemon.await_run()
                time.sleep(chance.uniform(0, 3.0) * (victim == "run"))
                kills[victim] += daemon.kill(victim, chance)
            settle(instance)
            daemon.start()
        sender.finish()
        seconds = time.monotonic() - began
        left = until_all_is_there(sender, instance)
        reader.over.set()
        reader.join()
        wrong = [*left, *reader.wrong]
        runs = Counter(str(run.status.value) for run in instance.get_runs())
        with LakeSession(Settings.load()) as session:
            publishes = [entry.record for entry in ledger.since(session, "shop", 0)]
        told = {
            str(record.asset_materialization.metadata["publish_id"].value)
            for contract in CONTRACTS
            for record in instance.fetch_materializations(contract.key, limit=10_000).records
            if record.asset_materialization
        }
        if untold := [each.publish_id for each in publishes if each.publish_id not in told]:
            wrong.append(f"{len(untold)} publishes have no event")
        if len({each.publish_id for each in publishes}) < len(publishes):
            wrong.append("a publish is recorded twice")
    return {
        "kills": dict(kills),
        "deliveries": dict(kinds),
        "runs": dict(runs),
        "publishes": len(publishes),
        "reads": reader.reads,
        "seconds": round(seconds),
        "seconds to the end": round(time.monotonic() - began - seconds),
        "wrong": wrong[:20],
    }


def until_all_is_there(sender: Sender, instance: dg.DagsterInstance) -> list[str]:
    """Wait until each partition holds the last whole delivery; what does not."""
    until = time.monotonic() + MOST_SECONDS
    while True:
        settle(instance)
        found = held()
        left = [
            f"{table} {month} holds {found.get((table, month))}, the last was {number} with {sender.rows[number]} rows"
            for (table, month), number in sender.last.items()
            if found.get((table, month)) != sender.wanted(number)
        ]
        busy = instance.get_runs(dg.RunsFilter(statuses=list(NOT_FINISHED_STATUSES)))
        if time.monotonic() > until or not (left or busy):
            return left
        time.sleep(1)


def main() -> int:
    """The campaign; returns the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="mlops-assets-arrivals-"))
    (folder / "dagster").mkdir()
    shutil.copy(str(files("mlops_assets.demo") / "instance.yaml"), folder / "dagster" / "dagster.yaml")
    os.environ.update(
        MLOPS_ASSETS_HOME=str(folder), DAGSTER_HOME=str(folder / "dagster"), PYTHONPATH=os.pathsep.join(sys.path)
    )
    servers = Servers()
    with running_server() as server, servers.exports, servers.changes:
        daemon = Daemon(folder)
        try:
            result = campaign(folder, server, daemon, servers)
        finally:
            daemon.kill("all", random.Random(SEED))
    print(json.dumps(result), flush=True)
    if result["wrong"]:
        print(f"All of it is left in {folder}; what was printed is in its daemon.log.", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
