"""One small simulation that all tests of this package look at.

Put here what is slow to make and never changed. Keep out anything that a test alters.
"""

from __future__ import annotations

import pytest

from mlops_assets.simulation.configuration import STATES, SimulationConfig
from mlops_assets.simulation.history import Election, hold_elections
from mlops_assets.simulation.sources import SourceSystems, generate
from mlops_assets.simulation.world import World, create_world
from mlops_assets_tests.simulation.dropped_files import DroppedFiles


@pytest.fixture(scope="session")
def config() -> SimulationConfig:
    """2,000 voters per state, all months."""
    return SimulationConfig(seed=7, voters_per_state=2000)


@pytest.fixture(scope="session")
def systems(config: SimulationConfig, tmp_path_factory: pytest.TempPathFactory) -> SourceSystems:
    """The source systems; drop files elsewhere."""
    return generate(config, tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def dropped(systems: SourceSystems, tmp_path_factory: pytest.TempPathFactory) -> DroppedFiles:
    """Their voter files, dropped when first read."""
    return DroppedFiles(systems, tmp_path_factory.mktemp("landing"))


@pytest.fixture(scope="session")
def worlds(config: SimulationConfig) -> dict[str, World]:
    """The worlds behind them."""
    return {state: create_world(config, state) for state in STATES}


@pytest.fixture(scope="session")
def large_world() -> World:
    """North Carolina with 40,000 voters, for shares and tendencies."""
    return create_world(SimulationConfig(seed=3, voters_per_state=40_000), "NC")


@pytest.fixture(scope="session")
def large_elections(large_world: World) -> list[Election]:
    """Its elections."""
    return hold_elections(SimulationConfig(seed=3, voters_per_state=40_000), large_world)
