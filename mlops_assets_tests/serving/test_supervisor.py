"""Tests of the parent of workers, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import os, signal, sys, time
from mlops_assets.serving import supervisor
from mlops_assets.serving.supervisor import Supervisor

vars(supervisor).update(_HUNG_SECONDS=1.0)
over = []

def work(alive):
    signal.signal(signal.SIGTERM, lambda *_: over.append(True))
    os.write(1, f"started {{os.getpid()}}\\n".encode())
    {body}

sys.exit(Supervisor(2, work, grace_seconds=2.0).run())
"""
OBEDIENT = "while not over: alive(); time.sleep(0.05)"
STUBBORN = "while True: alive(); time.sleep(0.05)"
HANGING = "time.sleep(60)"
BROKEN = "raise RuntimeError('cannot start')"


def supervised(body: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def started(parent: subprocess.Popen[str], count: int) -> list[int]:
    """Process ids of that many workers, as they start."""
    assert parent.stdout is not None
    return [int(parent.stdout.readline().split()[1]) for _ in range(count)]


def is_gone(process_id: int) -> bool:
    """Whether the process ends within five seconds; one that nobody collects any more has ended too."""
    state = Path(f"/proc/{process_id}/stat")
    for _ in range(100):
        try:
            if state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_killed_worker_is_replaced_and_all_end_with_their_parent() -> None:
    with supervised(OBEDIENT) as parent:
        first, second = started(parent, 2)
        os.kill(first, signal.SIGKILL)
        (third,) = started(parent, 1)
        assert third not in (first, second)
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(timeout=10) == 0
    assert is_gone(second)
    assert is_gone(third)


def test_workers_end_when_their_parent_was_killed() -> None:
    with supervised(OBEDIENT) as parent:
        workers = started(parent, 2)
        parent.kill()
        parent.wait(timeout=10)
        assert all(is_gone(worker) for worker in workers)


def test_a_worker_that_does_not_end_is_killed_when_its_time_is_over() -> None:
    with supervised(STUBBORN) as parent:
        workers = started(parent, 2)
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(timeout=15) == 0
        assert all(is_gone(worker) for worker in workers)


def test_a_hanging_worker_is_replaced() -> None:
    with supervised(HANGING) as parent:
        assert len(set(started(parent, 4))) == 4
        parent.send_signal(signal.SIGTERM)
        parent.wait(timeout=15)


def test_workers_that_cannot_start_are_given_up() -> None:
    with supervised(BROKEN) as parent:
        assert parent.wait(timeout=20) == 1
