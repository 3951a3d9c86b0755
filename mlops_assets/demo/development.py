"""The Dagster UI on a demonstration's instance, with the simulated sources running beside it.

Put here what ``mlops-assets dev`` starts. Keep out the demonstration itself.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from mlops_assets.demo.simulated import sources
from mlops_assets.demo.surroundings import Surroundings, applied

if TYPE_CHECKING:
    from collections.abc import Mapping


def run(*, home: Path, port: int) -> None:
    """Serve the simulated sources of that home folder and open Dagster's UI and daemon until interrupted."""
    surroundings = Surroundings(home)
    surroundings.prepare(["PSEUDONYM_KEY"])
    with sources(surroundings) as environment, applied(environment):
        Console().print(f"Dagster's UI: [bold]http://127.0.0.1:{port}[/bold]   (Ctrl-C stops it)")
        _dagster_dev(surroundings, environment, port)


def _dagster_dev(surroundings: Surroundings, environment: Mapping[str, str], port: int) -> None:
    del environment
    command = [str(Path(sys.executable).with_name("dagster")), "dev", "-w", str(surroundings.workspace)]
    subprocess.run([*command, "-h", "127.0.0.1", "-p", str(port)], cwd=surroundings.home, check=False)  # noqa: S603
