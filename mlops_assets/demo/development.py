"""The Dagster UI on a demonstration's instance, with the simulated sources running beside it.

Put here what ``mlops-assets dev`` starts. Keep out the demonstration itself.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from mlops_assets.demo.live import LiveError
from mlops_assets.demo.simulated import sources
from mlops_assets.demo.surroundings import Surroundings, applied, process
from mlops_assets.simulation.sources import is_generated


def run(*, home: Path, port: int) -> None:
    """Serve the simulated sources of that home folder and open Dagster's UI and daemon until interrupted.

    An empty home folder opens as well: the three code locations without data.

    Raises:
        SettingsError: the folder holds what no demonstration has made.
        LiveError: Dagster ended by itself.
    """
    surroundings = Surroundings(home)
    surroundings.require_own()
    console = Console()
    loaded = is_generated(home / "sources")
    if not loaded:
        console.print(f"Nothing has been loaded into {home} yet: [bold]make demo[/bold] fills it.", soft_wrap=True)
    surroundings.prepare(["PSEUDONYM_KEY"])
    dagster = str(Path(sys.executable).with_name("dagster"))
    command = [dagster, "dev", "-w", str(surroundings.workspace), "-h", "127.0.0.1", "-p", str(port)]
    with (
        sources(surroundings) if loaded else nullcontext(surroundings.environment({})) as environment,
        applied(environment),
        process(command, environment, None, surroundings.home) as child,
    ):
        console.print(f"Dagster's UI: [bold]http://127.0.0.1:{port}[/bold] in half a minute (Ctrl-C stops it)")
        try:
            code = child.wait()
        except KeyboardInterrupt:
            return
    raise LiveError(
        source="dagster dev",
        culprit=f"it ended by itself with exit code {code}.",
        remedy=f"Look at what it printed above; is port {port} taken? Choose another with --port.",
    )
