"""Real counties and registrations to which known things happened: what is named, and what is left unnamed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from mlops_assets.variance.panel.detection import detect
from mlops_assets.variance.panel.panels import Columns, read_panel
from mlops_assets_tests.variance.panel.county_world import Atoms, Happenings, happen, presidential, south_dakota

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.real_data

SEEDS = (11, 12)


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the public files are."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    found = Path(os.environ.get("MLOPS_ASSETS_TEST_DATA", str(beside)))
    if not (found / "county-president").exists():
        pytest.skip(f"the public files are not there: {found} (set MLOPS_ASSETS_TEST_DATA)")
    return found


def _pairs(atoms: Atoms, happenings: Happenings, seeds: Iterable[int] = SEEDS) -> list[tuple[str, str]]:
    """The true cause, with its kind, and the named one of every group and time."""
    columns = Columns(unit="unit", group="group", time="time", measures=atoms.measures)
    pairs: list[tuple[str, str]] = []
    for seed in seeds:
        table, truth = happen(atoms, happenings, seed)
        rows = detect(read_panel(duckdb.from_arrow(table), columns)).to_pylist()
        pairs += [(truth.get((row["group"], row["time"]), "none"), row["cause"]) for row in rows]
    return pairs


def _found(pairs: list[tuple[str, str]], cause: str) -> float:
    named = [name == cause for true, name in pairs if true.partition(":")[0] == cause]
    return sum(named) / len(named)


def test_elections_that_realigned_the_counties_of_all_states_are_no_event(folder: Path) -> None:
    pairs = _pairs(presidential(folder), Happenings(events=0))
    assert sum(name != "none" for _, name in pairs) <= 0.01 * len(pairs)


def test_counties_put_together_anew_are_boundaries_in_a_wave(folder: Path) -> None:
    pairs = _pairs(presidential(folder), Happenings(events=0, wave=True, exchanged=0.3))
    assert _found(pairs, "boundary") >= 0.9


def test_labels_exchanged_between_units_of_counties_are_renumbered(folder: Path) -> None:
    pairs = _pairs(south_dakota(folder), Happenings(causes=("renumbering",)), SEEDS[:1])
    assert _found(pairs, "renumbering") >= 0.8


def test_entries_into_real_tables_are_told_from_maps_and_people(folder: Path) -> None:
    pairs = _pairs(presidential(folder), Happenings(causes=("entry",)))
    assert _found(pairs, "entry") >= 0.8
    assert sum(name == "boundary" for true, name in pairs if true.startswith("entry")) <= 1


def test_regions_that_grew_unevenly_are_population_as_their_totals_are_not_conserved(folder: Path) -> None:
    pairs = _pairs(south_dakota(folder), Happenings(causes=("population",), events=0.06), SEEDS[:1])
    assert _found(pairs, "population") >= 0.8
