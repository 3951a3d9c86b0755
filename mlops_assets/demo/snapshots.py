"""The voter files of one state, month by month: the longest part of a simulated history.

Put here the loading of one state. Keep out the rest of the history, which needs all states.

Dagster's runs in one process cannot overlap, so each further state is loaded in a process of its own:
``python -m mlops_assets.demo.snapshots HOME STATE MONTHS``.
"""

from __future__ import annotations

import functools
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlops_assets.demo.history import Batch, load, loading_instance
from mlops_assets.demo.surroundings import Surroundings, process
from mlops_assets.demo.waiting import wait_for_process
from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.settings import Settings
from mlops_assets.simulation.sources import SourceSystems, reopen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from subprocess import Popen

SNAPSHOT_ASSETS: Final = (
    "raw/voter_file",
    "wrangled/voters",
    "wrangled/entry_findings",
    "variance/voter_changes",
    "variance/voter_events",
    "variance/voter_summaries",
    "features/district_demographics",
)


def snapshots(systems: SourceSystems, settings: Settings, state: str, months: int) -> Batch:
    """The runs of a state's first months; each file is dropped before its run."""

    def drop(partition: str) -> None:
        systems.drop(state, partition.split("|", maxsplit=1)[0], settings.landing)

    partitions = [f"{month}|{state}" for month in systems.months[:months]]
    return Batch("voter files, states side by side", SNAPSHOT_ASSETS, partitions, before=drop, at_once=6)


@contextmanager
def loaded_beside(
    surroundings: Surroundings, environment: Mapping[str, str], states: Sequence[str], months: int
) -> Iterator[None]:
    """While the block runs, load these states in processes of their own; they are waited for at its end.

    Raises:
        StalledError: a process failed, or nothing has moved for long; it shows what it said.
    """
    with ExitStack() as stack:
        children = []
        for state in states:
            log = surroundings.logs / f"voter-files-{state}.log"
            command = [sys.executable, "-m", __name__, str(surroundings.home), state, str(months)]
            child = stack.enter_context(process(command, environment, log, surroundings.home))
            children.append((state, log, child))
        yield
        for state, log, child in children:
            wait_for_process(_ended_well(child), child, name=f"Loading the voter files of {state}", log=log)


def _ended_well(child: Popen[bytes]) -> Callable[[], bool]:
    return lambda: child.poll() == 0


def main(home: Path, state: str, months: int) -> int:
    """Load a state; returns the exit code."""
    # Each line at once: they are signs of life.
    told = functools.partial(print, flush=True)
    surroundings = Surroundings(home)
    systems = reopen(home / "sources")
    with loading_instance(surroundings.dagster_home) as instance:
        try:
            load([snapshots(systems, Settings.load(), state, months)], instance, told)
        except PlatformError as error:
            told(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
