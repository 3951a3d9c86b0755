"""Tests of code location 1: what it has, and that Dagster can load it."""

from __future__ import annotations

import dagster as dg
import pytest

from mlops_assets.contracts import raw
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.plumbing.definitions import definitions, defs


@pytest.fixture(scope="module")
def location() -> dg.Definitions:
    return definitions()


def test_the_location_loads(location: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(location)


def test_loading_is_lazy_and_gives_the_same_assets(location: dg.Definitions) -> None:
    loaded = defs()
    assert isinstance(loaded, dg.Definitions)
    assert {spec.key for spec in loaded.resolve_all_asset_specs()} == {
        spec.key for spec in location.resolve_all_asset_specs()
    }


def test_it_makes_every_raw_table_and_nothing_else(location: dg.Definitions) -> None:
    contracts = [value for value in vars(raw).values() if isinstance(value, Contract)]
    made = {key for asset in location.assets or [] if isinstance(asset, dg.AssetsDefinition) for key in asset.keys}
    assert made == {contract.key for contract in contracts}


def test_it_watches_the_landing_folder_and_the_calendar(location: dg.Definitions) -> None:
    assert "raw_voter_file_arrivals" in {sensor.name for sensor in location.sensors or []}
    assert {schedule.name for schedule in location.schedules or []} == {
        "raw_voter_file_due",
        "raw_voting_history_due",
        "raw_house_returns_due",
        "raw_district_profiles_due",
    }
