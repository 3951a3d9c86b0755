"""What ``make demo`` costs from an empty clone, and whether what it says holds whatever the seed.

Put here the timing and the seeds. Keep out what the demonstration does.

``make bench NAME=demo`` runs ``make demo`` RUNS (5) times, each in a fresh clone, installation included: wall and
processor seconds of everything it started. BUSY=1 keeps both processors busy with other programs meanwhile; CORES=0
lets it have only that one. ``SEEDS=1,2,3`` loads the history of those seeds instead, with VOTERS (10000) in each state,
and tells which events do not match the truth and each model's error beside the best naive guess. Prints a line for each
and, last, one line of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
RUNS = int(os.environ.get("RUNS", "5"))
SEEDS = [int(word) for word in os.environ.get("SEEDS", "").split(",") if word]
VOTERS = int(os.environ.get("VOTERS", "10000"))


@contextmanager
def other_work() -> Iterator[None]:
    """Two programs that keep a processor busy each, where that is asked for."""
    spinning = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spinning) for _ in range(2 if os.environ.get("BUSY") else 0)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def timed() -> dict[str, float]:
    """One ``make demo`` in a fresh clone."""
    pinned = ["taskset", "-c", cores] if (cores := os.environ.get("CORES")) else []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), folder], check=True)
        log = Path(folder, "printed.log")
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        with log.open("wb") as out:
            ended = subprocess.run([*pinned, "make", "demo"], check=False, cwd=folder, stdout=out, stderr=out)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        printed = log.read_text(encoding="utf-8").splitlines()
    if ended.returncode:
        print("\n".join(printed[-30:]))
    return {
        "seconds": round(wall, 1),
        "processor": round(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, 1),
        "exit": ended.returncode,
    }


def told(seed: int) -> dict[str, Any]:
    """What the demonstration of one seed would say; in a process of its own."""
    from rich.console import Console  # noqa: PLC0415  the other bench runs without the project

    from mlops_assets.demo import report  # noqa: PLC0415
    from mlops_assets.demo.simulated import loaded, show_events  # noqa: PLC0415
    from mlops_assets.simulation.configuration import SimulationConfig  # noqa: PLC0415

    silent = Console(file=StringIO())
    with (
        tempfile.TemporaryDirectory() as folder,
        loaded(SimulationConfig(seed=seed, voters_per_state=VOTERS), Path(folder), silent, whole=True) as made,
    ):
        row: dict[str, Any] = {"seed": seed, "wrong events": show_events(made, silent)}
        for compared in report.show_models(made.settings, silent):
            row[compared.model] = (round(compared.error, 4), round(compared.naive[1], 4))
        return row


def main() -> None:
    """Measure, or try the seeds."""
    rows: list[dict[str, Any]] = []
    if SEEDS:
        with ProcessPoolExecutor(max_workers=1, max_tasks_per_child=1) as processes:
            for row in processes.map(told, SEEDS):
                rows.append(row)
                print(json.dumps(row), flush=True)
        result: dict[str, Any] = {"voters": VOTERS, "seeds": rows}
    else:
        with other_work():
            for _ in range(RUNS):
                rows.append(timed())
                print(json.dumps(rows[-1]), flush=True)
        medians = {name: median(row[name] for row in rows) for name in ("seconds", "processor")}
        result = {"runs": rows, "median": medians, "failed": sum(bool(row["exit"]) for row in rows)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
