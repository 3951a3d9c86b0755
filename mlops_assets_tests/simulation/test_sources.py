"""Generating, reopening and dropping: equal configurations give equal bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from mlops_assets.simulation.configuration import SimulationConfig, SimulationError
from mlops_assets.simulation.sources import SourceSystems, generate, reopen

if TYPE_CHECKING:
    from pathlib import Path

_SMALL = 600


def _digests(systems: SourceSystems, landing: Path) -> dict[str, str]:
    """SHA-256 of every generated file and of three dropped ones."""
    for state, month in (("GA", "2021-08"), ("NC", "2021-07"), ("NC", "2021-08")):
        systems.drop(state, month, landing)
    return {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for root in (systems.folder, landing)
        for file in sorted(root.rglob("*"))
        if file.is_file()
    }


def test_equal_configurations_give_equal_bytes_and_another_seed_gives_others(tmp_path: Path) -> None:
    def made(name: str, seed: int) -> dict[str, str]:
        config = SimulationConfig(seed=seed, voters_per_state=_SMALL, months=2)
        return _digests(generate(config, tmp_path / name / "sources"), tmp_path / name / "landing")

    first, same, other = made("first", 1), made("same", 1), made("other", 2)

    assert first == same
    assert first.keys() == other.keys()
    assert not [name for name in first if first[name] == other[name]]


def test_a_dropped_file_does_not_depend_on_the_months_simulated_or_the_order_of_drops(
    systems: SourceSystems, tmp_path: Path
) -> None:
    config = SimulationConfig(seed=systems.config.seed, voters_per_state=systems.config.voters_per_state, months=4)
    short = generate(config, tmp_path / "sources")
    manifests = [each.drop("GA", "2021-10", tmp_path / str(n)) for n, each in enumerate((systems, short))]

    assert manifests[0].read_bytes() == manifests[1].read_bytes()
    assert short.history_database.read_bytes() == systems.history_database.read_bytes()


def test_another_process_can_reopen_a_simulation_and_drop_the_same(systems: SourceSystems, tmp_path: Path) -> None:
    reopened = reopen(systems.folder)
    manifests = [each.drop("NC", "2022-09", tmp_path / str(n)) for n, each in enumerate((systems, reopened))]

    assert manifests[0].read_bytes() == manifests[1].read_bytes()
    assert reopened.truth == systems.truth


def test_an_unfinished_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="holds no finished simulation"):
        reopen(tmp_path)


def test_what_is_not_simulated_is_refused(tmp_path: Path) -> None:
    said: list[str] = []
    config = SimulationConfig(voters_per_state=_SMALL, months=3)
    systems = generate(config, tmp_path / "sources", progress=said.append)

    assert len(said) > 3
    assert systems.months == ("2021-07", "2021-08", "2021-09")
    with pytest.raises(SimulationError, match="The last of this simulation is 2021-09"):
        systems.drop("NC", "2021-10", tmp_path)
    with pytest.raises(SimulationError, match="Ask for one of GA, NC"):
        systems.drop("SC", "2021-07", tmp_path)
    assert systems.truth.events == ()
