"""The automation condition: what wakes an asset, and what holds it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets_tests.platform import orchard

if TYPE_CHECKING:
    from collections.abc import Callable


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


class Post:
    """A letter and its answer on one instance; while an answer is written, ``meanwhile`` happens."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.meanwhile: Callable[[], object] = lambda: None
        self.cursor: dg.AutomationConditionCursor | None = None

        @dg.asset
        def letter() -> None: ...

        @dg.asset(deps=[letter], automation_condition=on_new_data())
        def answer() -> None:
            self.meanwhile()

        @dg.asset(deps=[answer], automation_condition=on_new_data())
        def stamp() -> None:
            self.meanwhile()

        @dg.asset(deps=[letter, answer], automation_condition=on_new_data(after=[answer.key]))
        def filed() -> None: ...

        self.letter, self.answer, self.stamp, self.filed = letter, answer, stamp, filed
        self.defs = dg.Definitions(assets=[letter, answer, stamp, filed], executor=dg.in_process_executor)

    def requested(self) -> set[str]:
        """What the next tick requests."""
        result = dg.evaluate_automation_conditions(defs=self.defs, instance=self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        assets = (self.letter, self.answer, self.stamp, self.filed)
        return {asset.key.to_user_string() for asset in assets if result.get_requested_partitions(asset.key)}

    def arrives(self, text: str) -> None:
        tags = {"dagster/data_version": text}
        self.instance.report_runless_asset_event(dg.AssetMaterialization(self.letter.key, tags=tags))

    def write(self, *assets: dg.AssetsDefinition) -> None:
        """One run of these assets, recorded as the user interface and the daemon launch it."""
        chosen = {asset.key for asset in assets}
        job = self.defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=chosen)
        run = self.instance.create_run_for_job(job, asset_selection=frozenset(chosen))
        assert execute_run(InMemoryJob(job), run, self.instance).success


@pytest.fixture
def post(instance: dg.DagsterInstance) -> Post:
    post = Post(instance)
    post.requested()
    return post


def test_an_input_that_changes_while_its_consumer_is_made_wakes_it_again(post: Post) -> None:
    post.arrives("first")
    assert post.requested() >= {"answer", "stamp"}

    def another() -> None:
        assert post.requested() == set()
        post.arrives("second")

    post.meanwhile = another
    post.write(post.answer)
    post.meanwhile = lambda: None
    assert "answer" in post.requested()


def test_an_input_that_changes_right_after_a_request_wakes_its_consumer_again(post: Post) -> None:
    post.arrives("first")
    post.requested()
    post.arrives("second")
    assert "answer" in post.requested()


def test_a_consumer_made_in_the_run_of_its_input_is_made_once_more_at_most(post: Post) -> None:
    post.arrives("first")
    assert post.requested() >= {"answer", "stamp"}
    post.meanwhile = post.requested
    post.write(post.answer, post.stamp, post.filed)
    post.meanwhile = lambda: None
    post.requested()
    post.write(post.stamp, post.filed)
    assert post.requested() == set()
    assert post.requested() == set()


def test_a_consumer_made_by_hand_has_followed_what_came_before(post: Post) -> None:
    post.arrives("first")
    post.write(post.answer, post.stamp, post.filed)
    assert post.requested() == set()


def test_a_step_does_not_wait_for_what_was_made_in_the_run_of_its_input(post: Post) -> None:
    post.arrives("first")
    post.requested()
    post.meanwhile = post.requested
    post.write(post.letter, post.answer)
    post.meanwhile = lambda: None
    asked = [post.requested() for _ in range(2)]
    assert "filed" in set().union(*asked)


def test_a_consumer_that_failed_in_the_run_of_its_input_is_asked_for_again(post: Post) -> None:
    def fails() -> None:
        post.requested()
        raise ValueError("no ink")

    post.meanwhile = fails
    with pytest.raises(AssertionError):
        post.write(post.letter, post.answer)
    post.meanwhile = lambda: None
    assert "answer" in post.requested()
