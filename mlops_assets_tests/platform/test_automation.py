"""The automation condition: what wakes an asset, and what holds it back."""

from __future__ import annotations

import dagster as dg
import pytest

from mlops_assets.platform.automation import on_new_data
from mlops_assets_tests.platform import orchard


class Farm:
    """The orchard's assets on one instance, with a condition sensor that remembers its last tick."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.defs = dg.Definitions(assets=list(orchard.ASSETS))
        self.cursor: dg.AutomationConditionCursor | None = None

    def tick(self) -> dict[str, set[str | None]]:
        """What one tick requests: for each asset its partitions."""
        result = dg.evaluate_automation_conditions(
            defs=self.defs, instance=self.instance, cursor=self.cursor, asset_selection=dg.AssetSelection.all()
        )
        self.cursor = result.cursor
        requested: dict[str, set[str | None]] = {}
        for asset in orchard.ASSETS:
            keys = result.get_requested_partitions(asset.key)
            if keys:
                requested[asset.key.to_user_string()] = set(keys)
        return requested

    def harvest(self, week: str, trees: int = 3, kilos: float = 1.0) -> bool:
        rows = [{**row, "kilos": kilos} for row in orchard.good_rows(week, trees)]
        orchard.weigh(week, rows)
        return orchard.pick(week, [orchard.harvest], instance=self.instance).success


@pytest.fixture
def farm(instance: dg.DagsterInstance) -> Farm:
    farm = Farm(instance)
    farm.tick()
    return farm


def test_new_data_wakes_its_consumers_one_after_the_other(farm: Farm) -> None:
    farm.harvest("w3")
    assert farm.tick() == {"wrangled/yields": {"w3"}}
    assert orchard.pick("w3", [orchard.yields], instance=farm.instance).success
    assert farm.tick() == {"features/season": {None}}


def test_a_late_old_partition_is_picked_up_too(farm: Farm) -> None:
    farm.harvest("w3")
    farm.tick()
    assert orchard.pick("w3", [orchard.yields], instance=farm.instance).success
    farm.tick()
    farm.harvest("w1")
    assert farm.tick()["wrangled/yields"] == {"w1"}


def test_nothing_new_wakes_nothing(farm: Farm) -> None:
    farm.harvest("w1")
    farm.tick()
    assert orchard.pick("w1", [orchard.yields], instance=farm.instance).success
    assert dg.materialize([orchard.season], instance=farm.instance).success
    farm.tick()
    assert farm.tick() == {}


def test_equal_rows_published_again_wake_nobody(farm: Farm) -> None:
    farm.harvest("w1")
    farm.tick()
    assert orchard.pick("w1", [orchard.yields], instance=farm.instance).success
    farm.tick()
    farm.harvest("w1")
    assert "wrangled/yields" not in farm.tick()


def test_a_failed_blocking_check_holds_consumers_back_until_it_passes(farm: Farm) -> None:
    farm.harvest("w1")
    farm.tick()
    assert orchard.pick("w1", [orchard.yields], instance=farm.instance).success
    farm.tick()
    assert not farm.harvest("w1", kilos=-1.0)
    assert "wrangled/yields" not in farm.tick()
    assert farm.harvest("w1", kilos=2.0)
    assert farm.tick()["wrangled/yields"] == {"w1"}


def test_a_step_waits_for_what_it_is_judged_by_to_follow_the_same_news(instance: dg.DagsterInstance) -> None:
    days = dg.StaticPartitionsDefinition(["monday", "tuesday"])
    week = dg.StaticPartitionsDefinition(["week"])
    whole_week = dg.StaticPartitionMapping({"monday": "week", "tuesday": "week"})

    @dg.asset(partitions_def=days)
    def letters() -> None: ...

    @dg.asset(partitions_def=days, deps=[letters], automation_condition=on_new_data())
    def opinions() -> None: ...

    @dg.asset(
        partitions_def=week,
        deps=[dg.AssetDep(letters, partition_mapping=whole_week), dg.AssetDep(opinions, partition_mapping=whole_week)],
        automation_condition=on_new_data(after=[opinions.key]),
    )
    def answers() -> None: ...

    defs = dg.Definitions(assets=[letters, opinions, answers])
    cursor = None

    def requested() -> list[dg.AssetKey]:
        nonlocal cursor
        result = dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=cursor)
        cursor = result.cursor
        return [definition.key for definition in (opinions, answers) if result.get_requested_partitions(definition.key)]

    def make(definition: dg.AssetsDefinition) -> None:
        instance.report_runless_asset_event(dg.AssetMaterialization(definition.key, partition="monday"))

    requested()
    make(letters)
    assert requested() == [opinions.key]
    make(opinions)
    assert requested() == [answers.key]
