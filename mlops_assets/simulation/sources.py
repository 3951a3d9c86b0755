"""The one entry: generate all source systems into a folder, then drop files, load databases and serve.

Put here what a demo, a test or a benchmark calls. Keep out how any one source is made.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from mlops_assets.simulation.configuration import MONTHS, STATES, SimulationConfig, SimulationError, month_index
from mlops_assets.simulation.history import hold_elections, load_postgres, write_sqlite
from mlops_assets.simulation.profiles import write_profiles
from mlops_assets.simulation.returns import write_house_returns
from mlops_assets.simulation.servers import Fault, SourceServer
from mlops_assets.simulation.truth import Truth, tell
from mlops_assets.simulation.voter_files import VoterFileWriter, place
from mlops_assets.simulation.world import World, create_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DEMO_KEY: Final = "simulated-census-key"
"""Key of the simulated census API where a caller gives none; it opens nothing else."""

_CONFIG: Final = "simulation.json"


class SourceSystems:
    """The source systems of one simulation, in a folder.

    Attributes:
        config: what they were generated from.
        folder: where they are.
    """

    def __init__(self, config: SimulationConfig, folder: Path, worlds: Mapping[str, World]) -> None:
        """Hold a generated folder and the worlds it was generated from; see ``generate`` and ``reopen``."""
        self.config = config
        self.folder = folder
        self._writers = {state: VoterFileWriter(world) for state, world in worlds.items()}
        self._worlds = worlds

    @property
    def months(self) -> tuple[str, ...]:
        """The months that can be dropped, ``YYYY-MM``, oldest first."""
        return MONTHS[: self.config.months]

    @property
    def history_database(self) -> Path:
        """The SQLite file with the table ``voting_history``."""
        return self.folder / "history" / "voting_history.sqlite"

    @property
    def house_returns(self) -> Path:
        """The CSV file of US House returns."""
        return self.folder / "returns" / "1976-2022-house.csv"

    @property
    def profiles(self) -> Path:
        """The folder of census profiles, one JSON file per year."""
        return self.folder / "profiles"

    @property
    def truth_file(self) -> Path:
        """The truth as JSON, in a folder that no pipeline reads."""
        return self.folder / "truth" / "truth.json"

    @cached_property
    def truth(self) -> Truth:
        """All events and monthly changes of the months that can be dropped."""
        return tell(self.config, self._worlds)

    def drop(self, state: str, month: str, landing: Path) -> Path:
        """Deliver a voter file, as an election office would; return its manifest.

        Places ``landing/<STATE>/<YYYY-MM>/ncvoter.zip`` and, last, ``manifest.json``, each by a rename. A file dropped
        before is replaced by an equal one. Files are made when dropped, 100,000 rows in about 0.7 s of one core.

        Raises:
            SimulationError: the state or the month is not simulated.
        """
        if state not in self._writers:
            raise SimulationError(f"State {state!r} is not simulated. Ask for one of {', '.join(STATES)}.")
        index = month_index(month)
        if index >= self.config.months:
            raise SimulationError(f"Month {month} is not simulated. The last of this simulation is {self.months[-1]}.")
        target = landing / state / month
        target.mkdir(parents=True, exist_ok=True)
        # Inside the landing folder, since a rename is atomic only within one file system.
        with TemporaryDirectory(dir=landing, prefix=".incoming-") as scratch:
            source = Path(scratch)
            return place(self._writers[state].write(index, source), source, target)

    def load_history_postgres(self, dsn: str, *, password: str | None = None) -> int:
        """Copy the voting history into the PostgreSQL database of that libpq string; return the number of rows.

        An existing table ``voting_history`` is replaced. The password may be given apart from the string.
        """
        return load_postgres(self.history_database, dsn, password=password)

    def serve(self, *, port: int = 0, key: str = DEMO_KEY, faults: Iterable[Fault] = ()) -> SourceServer:
        """A server of census profiles and House returns, to be used in a ``with`` statement."""
        return SourceServer(profiles=self.profiles, returns=self.house_returns, key=key, port=port, faults=faults)


def generate(config: SimulationConfig, folder: Path, *, progress: Callable[[str], None] | None = None) -> SourceSystems:
    """Make all source systems and write them into a folder; voter files are made when dropped.

    Args:
        config: seed and size; equal configurations give equal files.
        folder: where to write; files of an earlier simulation there are replaced.
        progress: called with a line of text before each step.
    """
    say = progress or _say_nothing
    worlds = {}
    for state in STATES:
        say(f"{state}: {config.voters_per_state:,} voters and what happens to them")
        worlds[state] = create_world(config, state)
    systems = SourceSystems(config, folder, worlds)
    for file in (systems.history_database, systems.house_returns, systems.truth_file):
        file.parent.mkdir(parents=True, exist_ok=True)
    say("elections")
    elections = {state: hold_elections(config, world) for state, world in worlds.items()}
    say("voting history")
    write_sqlite(config, worlds, elections, systems.history_database)
    say("House returns and census profiles")
    write_house_returns(config, worlds, elections, systems.house_returns)
    write_profiles(config, worlds, systems.profiles)
    say("truth")
    systems.truth_file.write_text(json.dumps(systems.truth.as_json(), indent=1) + "\n", encoding="utf-8")
    (folder / _CONFIG).write_text(json.dumps(asdict(config)) + "\n", encoding="utf-8")
    return systems


def is_generated(folder: Path) -> bool:
    """Whether ``generate`` has written all of a simulation into that folder."""
    return (folder / _CONFIG).is_file()


def reopen(folder: Path) -> SourceSystems:
    """The source systems that ``generate`` wrote into a folder, in another process; makes the worlds anew.

    Raises:
        SimulationError: no finished simulation is in the folder.
    """
    if not is_generated(folder):
        raise SimulationError(f"{folder} holds no finished simulation ({_CONFIG} is missing). Generate one there.")
    config = SimulationConfig(**json.loads((folder / _CONFIG).read_text(encoding="utf-8")))
    return SourceSystems(config, folder, {state: create_world(config, state) for state in STATES})


def _say_nothing(_: str) -> None:
    pass
