"""Random faults of sources: is every answer the whole truth or one clear error, and does the next one recover?

Each round takes a good delivery of some kind (files of every format, packing and wholeness; pages of REST services;
answers on the wire; tables of databases; outputs of commands; declarations), breaks it at random, and asks for it. What
comes must be complete, judged row by row by a second reading of the same bytes, or one error with source, culprit and
remedy: no other exception, in bounded time, without a secret, and of a table of persons without a value of a row. Then
it is healed, and the next reading must give the right rows. Some rounds go through a run of Dagster.

``make chaos NAME=sources``; ROUNDS (20000), SEED (1), KINDS (all, separated by commas) and JOBS (3) are read from the
environment, or given: ``python chaos/sources.py --rounds 200 --seed 7``. ``--round N`` plays one round alone. Prints a
table, what was wrong and, last, one JSON line; exits with 1 if anything was.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import queue
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets_tests.plumbing.sources.faults.campaign import KINDS, Played, play
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

_MOST_SHOWN = 40


def work(folder: Path, numbers: range, seed: int, kinds: tuple[str, ...], told: Queue[Played | None]) -> None:
    """Play those rounds in a process of its own; what libraries print goes into a file."""
    folder.mkdir()
    with (folder / "printed.log").open("a", encoding="utf-8") as printed, contextlib.redirect_stderr(printed):
        logging.getLogger("dagster").setLevel(logging.ERROR)
        with Bench(folder) as bench:
            for number in numbers:
                told.put(play(seed, number, bench, kinds))
    told.put(None)


def all_rounds(folder: Path, given: argparse.Namespace) -> list[Played]:
    """All rounds, by several processes: many of them wait."""
    context = get_context("spawn")
    told: Queue[Played | None] = context.Queue()
    workers = [
        context.Process(
            target=work, args=(folder / str(job), range(job, given.rounds, given.jobs), given.seed, given.kinds, told)
        )
        for job in range(given.jobs)
    ]
    for worker in workers:
        worker.start()
    played: list[Played] = []
    running = len(workers)
    while running:
        try:
            one = told.get(timeout=120)
        except queue.Empty:
            dead = [worker.exitcode for worker in workers if not worker.is_alive()]
            played.append(
                Played(number=-1, kind="all", fault="a worker", outcome="wrong", wrong=f"silent; ended: {dead}")
            )
            for worker in workers:
                worker.kill()
            break
        if one is None:
            running -= 1
            continue
        played.append(one)
        if one.wrong:
            tell(one, given.seed)
        if len(played) % 2000 == 0:
            print(f"{len(played):,} rounds, {sum(each.wrong is not None for each in played)} wrong", flush=True)
    for worker in workers:
        worker.join()
    return played


def tell(one: Played, seed: int) -> None:
    """What was wrong, and how it is seen again."""
    again = f"python chaos/sources.py --seed {seed} --round {one.number}"
    print(f"WRONG, round {one.number} ({one.kind}: {one.fault}): {one.wrong}\n  again: {again}", flush=True)


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Random faults of sources.")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", "20000")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")))
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("JOBS", "3")))
    parser.add_argument("--kinds", default=os.environ.get("KINDS", ""))
    parser.add_argument("--round", type=int)
    given = parser.parse_args()
    given.kinds = tuple(name for part in given.kinds.split(",") if (name := part.strip()))
    if unknown := [name for name in given.kinds if name not in KINDS]:
        parser.error(f"there is no kind {unknown[0]!r}; there are {', '.join(KINDS)}")
    return given


def main() -> int:
    """All rounds, or the one that is asked for; returns the exit code."""
    given = options()
    folder = Path(tempfile.mkdtemp(prefix="mlops-assets-sources-"))
    began = time.monotonic()
    try:
        if given.round is not None:
            with Bench(folder) as bench:
                one = play(given.seed, given.round, bench, given.kinds)
            print(json.dumps(asdict(one), indent=2))
            return int(one.wrong is not None)
        played = all_rounds(folder, given)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    outcomes = sorted({each.outcome for each in played})
    print(f"{'kind':28}" + "".join(f"{name:>24}" for name in outcomes))
    for kind in KINDS:
        found = Counter(each.outcome for each in played if each.kind == kind)
        print(f"{kind:28}" + "".join(f"{found[name]:24,}" for name in outcomes))
    wrong = [each for each in played if each.wrong]
    figures = {
        "rounds": len(played),
        "seed": given.seed,
        "outcomes": Counter(each.outcome for each in played),
        "seconds": round(time.monotonic() - began),
        "wrong": [each.number for each in wrong][:_MOST_SHOWN],
    }
    print(json.dumps(figures))
    return int(bool(wrong) or len(played) < given.rounds)


if __name__ == "__main__":
    sys.exit(main())
