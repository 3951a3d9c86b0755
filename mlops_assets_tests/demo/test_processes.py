"""What the demonstrations start ends with them, however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# A command that starts a program of two processes and waits for it, as `mlops-assets dev` does.
_COMMAND = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
from pathlib import Path
from mlops_assets import cli
from mlops_assets.demo.surroundings import process

folder = Path(sys.argv[1])

def waits():
    nested = "import os, subprocess, sys; subprocess.Popen(['sleep', '600']); open('started', 'w').close(); " \\
             "os.execvp('sleep', ['sleep', '600'])"
    with process([sys.executable, "-c", nested], {}, folder / "log", folder) as child:
        (folder / "group").write_text(str(child.pid))
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
    with subprocess.Popen([sys.executable, "-c", _COMMAND, str(tmp_path)], stderr=subprocess.DEVNULL) as command:
        deadline = time.monotonic() + 30
        while not ((tmp_path / "started").exists() and (tmp_path / "group").exists()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        group = int((tmp_path / "group").read_text())
        assert _group_lives(group)
        command.send_signal(number)
        command.wait(timeout=30)
        assert not _group_lives(group)
