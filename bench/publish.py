"""How long a publish takes, and whether any is lost when many processes publish at once.

Uncontended: 200 publishes of a small partition on an embedded catalog, the time of the publish alone (lock, adoption
check, transaction, record). Contended: 8 processes of 50 publishes each, counting lost, doubled and failed ones.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import duckdb
import pyarrow as pa

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.frames import as_ibis
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import lease, stage
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake.test_publishing import record

from mlops_assets.platform.lake.publish import OvertakenError, Replacement, publish  # isort: skip

PUBLISHES = 200
PROCESSES = 8
EACH = 50


def timed_publish(settings: Settings, week: str, publish_id: str) -> float:
    """Stage one row and publish it; returns the seconds of the publish alone."""
    contract = orchard.YIELDS
    with LakeSession(settings) as session, lease(session, contract.lake.name) as attempt:
        columns = rules.columns_of(contract)
        table = as_ibis(session, pa.table({"week": [week], "tree": [1], "kilos": [1.0]}), columns)
        staged = stage(session, contract, table, attempt=attempt)
        made = record(week, publish_id, staged)
        began = time.perf_counter()
        while True:
            replaced = ledger.current_version(session, contract, week)
            with suppress(OvertakenError):
                whole = Replacement(partition={"week": week}, staged=staged, record=made, instead_of=replaced)
                publish(session, contract, whole)
                return time.perf_counter() - began


def worker(name: str) -> None:
    """Publish many times; a failure ends the process with an error."""
    settings = Settings.load()
    for turn in range(EACH):
        timed_publish(settings, orchard.WEEKS[turn % len(orchard.WEEKS)], f"{name}-{turn}")


def main() -> None:
    """Measure, print a table and, last, one JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLOPS_ASSETS_HOME"] = str(Path(folder) / "alone")
        settings = Settings.load()
        timed_publish(settings, "w1", "warm-up")
        seconds = sorted(timed_publish(settings, "w1", f"alone-{turn}") for turn in range(PUBLISHES))

        os.environ["MLOPS_ASSETS_HOME"] = str(Path(folder) / "many")
        began = time.perf_counter()
        processes = [subprocess.Popen([sys.executable, __file__, f"p{number}"]) for number in range(PROCESSES)]
        failed = sum(process.wait() != 0 for process in processes)
        wall = time.perf_counter() - began
        with LakeSession(Settings.load()) as session:
            ids = [entry.record.publish_id for entry in ledger.since(session, "curated", 0)]
    expected = {f"p{number}-{turn}" for number in range(PROCESSES) for turn in range(EACH)}
    result = {
        "bench": "publish",
        "publish_p50_ms": round(statistics.median(seconds) * 1000, 1),
        "publish_p99_ms": round(seconds[int(len(seconds) * 0.99)] * 1000, 1),
        "processes": PROCESSES,
        "publishes_each": EACH,
        "wall_seconds": round(wall, 1),
        "lost": len(expected - set(ids)),
        "duplicated": len(ids) - len(set(ids)),
        "failed_processes": failed,
        "duckdb": duckdb.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    for name, value in result.items():
        print(f"{name:>18}  {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        worker(sys.argv[1])
    else:
        main()
