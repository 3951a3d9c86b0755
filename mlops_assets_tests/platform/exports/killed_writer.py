"""Kills a writer of exports before each of its file operations in turn, with SIGKILL.

Put here the killing. Keep out the judging of what is left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path

import pyarrow as pa

from mlops_assets.platform.exports.export import write_export

OPERATIONS = {
    "fcntl.flock",
    "open",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "shutil.rmtree",
    "sqlite3.connect",
}


def new_tables() -> dict[str, pa.Table]:
    """What the killed writer tries to export."""
    return {"items": pa.table({"name": ["a", "b", "c"], "amount": [1.5, 2.5, 3.5]})}


def write_new(folder: Path) -> str:
    """The write that is killed; it also retires the old export."""
    return write_export(folder, new_tables(), {"attempt": "new"}, keys={"items": ["name"]}, keep=1).export_id


def die_before(operation_number: int, folder: Path) -> None:
    """From now on, kill this process just before its n-th operation on files of that folder."""
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event not in OPERATIONS or (event == "open" and not str(arguments[0]).startswith(str(folder))):
            return
        seen += 1
        if seen == operation_number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main() -> None:
    """Copy the seed folder for each operation, and kill a fork of this process there; prints the folders as JSON."""
    seed, cases = Path(sys.argv[1]), Path(sys.argv[2])
    # Arrow imports pandas when it first converts: once here instead of seconds in every fork.
    write_new(cases / "warm")
    killed: list[str] = []
    for number in count(1):
        case = cases / f"{number:03}"
        shutil.copytree(seed, case)
        child = os.fork()
        if child == 0:
            die_before(number, case)
            write_new(case)
            os._exit(0)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if exit_code != -signal.SIGKILL:
            sys.stdout.write(json.dumps({"killed": killed, "exit_code": exit_code}))
            return
        killed.append(str(case))


if __name__ == "__main__":
    main()
