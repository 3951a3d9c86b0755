"""Ctrl-C at ten moments of the demonstration, in a fresh clone: nothing is left running, and the next one ends well.

Put here the interrupting and the looking. Keep out what the demonstration does.

``make chaos NAME=demo``; ``MOMENTS="1 5 30"`` names other moments, in seconds after ``make demo`` was typed. The first
ones meet the installation. At the end the demonstration runs undisturbed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOMENTS = [float(word) for word in os.environ.get("MOMENTS", "1 4 8 12 16 22 40 70 110 150").split()]
MOST_SECONDS_TO_END = 20.0
"""For what was started by what was started; the terminal is free earlier."""
MARK = "MLOPS_ASSETS_CHAOS_MARK"


def processes(mark: str) -> list[str]:
    """The processes with that mark in their environment, by id and command."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(
                    f"{folder.name} {(folder / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()[:100]}"
                )
        except OSError:
            continue
    return found


def demo(clone: Path, log: Path, seconds: float | None) -> dict[str, object]:
    """One demonstration, interrupted after so many seconds; what it left and how it ended."""
    mark = uuid.uuid4().hex
    with log.open("wb") as out:
        began = time.monotonic()
        process = subprocess.Popen(
            ["make", "demo"],
            cwd=clone,
            env={**os.environ, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            # A terminal sends it to every process of the foreground.
            os.killpg(process.pid, signal.SIGINT)
        told = time.monotonic()
        code = process.wait()
    text = log.read_text(encoding="utf-8")
    while (left := processes(mark)) and time.monotonic() - told < MOST_SECONDS_TO_END:
        time.sleep(0.2)
    return {
        "interrupted after": seconds,
        "exit code": code,
        "seconds until it had ended": round(time.monotonic() - (told if seconds else began), 1),
        "left running": left,
        "told as a failure": "Traceback" in text or "Failed." in text,
        "last line": text.strip().splitlines()[-1:],
    }


def main() -> int:
    """Interrupt, look, and run once more; returns the exit code."""
    # A shell's background ignores it, and so would all that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        clone, log = Path(folder, "clone"), Path(folder, "printed.log")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        rows = []
        for seconds in [*MOMENTS, None]:
            rows.append(demo(clone, log, seconds))
            print(json.dumps(rows[-1]), flush=True)
        print(log.read_text(encoding="utf-8")[-1500:])
    *interrupted, last = rows
    wrong = [row for row in interrupted if row["left running"] or row["told as a failure"]]
    print(json.dumps({"interrupted": len(interrupted), "wrong": len(wrong), "then": last["exit code"]}))
    return int(bool(wrong) or last["exit code"] != 0)


if __name__ == "__main__":
    sys.exit(main())
