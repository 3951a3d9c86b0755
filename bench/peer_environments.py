"""Environments of the packages that benchmarks compare with.

Put here how a peer's environment comes to be. Keep out what is measured. The requirements stand in ``peers/NAME.txt``,
pinned, and are installed once, beside this project's own environment and never into it.
"""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
VENVS = Path(__file__).parents[1] / ".mlops_assets" / "bench"


def peer(name: str) -> Path:
    """The Python of a peer's environment, which is made if its requirements changed.

    Raises:
        subprocess.CalledProcessError: it cannot be installed.
    """
    requirements, home = PEERS / f"{name}.txt", VENVS / name
    made = home / "requirements.txt"
    if not made.exists() or made.read_text() != requirements.read_text():
        venv.create(home, with_pip=True, clear=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", str(requirements)]
        subprocess.run([home / "bin" / "python", *install], check=True)
        made.write_text(requirements.read_text())
    return home / "bin" / "python"
