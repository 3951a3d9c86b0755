"""What the demonstrations start ends with them, however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mlops_assets.demo.waiting import wait_for_process

if TYPE_CHECKING:
    from pathlib import Path

HEARING = ("env", "--default-signal=INT,TERM,HUP")
"""Before a command: it hears what tells it to end, also where the tests run in the background of a script."""

# A command that starts a program of two processes and waits for it, as `mlops-assets dev` does.
_COMMAND = """
import sys
from pathlib import Path
from mlops_assets import cli
from mlops_assets.demo.surroundings import process

folder = Path(sys.argv[1])

def waits():
    nested = "import os, subprocess, sys; subprocess.Popen(['sleep', '600']); open('started', 'w').close(); " \\
             "os.execvp('sleep', ['sleep', '600'])"
    with process([sys.executable, "-c", nested], {}, folder / "log", folder) as child:
        (folder / "written").write_text(str(child.pid))
        (folder / "written").rename(folder / "group")
        child.wait()

cli._app = waits
cli.main()
"""


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_is_told_to_end_ends_what_it_started(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "printed.log"
    with (
        log.open("wb") as out,
        subprocess.Popen([*HEARING, sys.executable, "-c", _COMMAND, str(tmp_path)], stderr=out) as command,
    ):
        wait_for_process(
            lambda: (tmp_path / "started").exists() and (tmp_path / "group").exists(),
            command,
            name="The command",
            log=log,
            pause=0.05,
        )
        group = int((tmp_path / "group").read_text())
        assert _group_lives(group)
        command.send_signal(number)
        command.wait()
        assert not _group_lives(group)
