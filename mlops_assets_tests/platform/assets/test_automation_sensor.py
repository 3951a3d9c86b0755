"""The automation sensor: what came at one tick is followed by few runs, and each partition by its own end."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.automation_sensor import AutomationSensor
from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.assets.ranges import RANGE_END, RANGE_START
from mlops_assets.platform.contracts import rules
from mlops_assets_tests.platform.assets import mill
from mlops_assets_tests.platform.assets.mill import FLOUR, MONTHS, SACKS, STOCK
from mlops_assets_tests.platform.assets.test_many_partitions import BAD, checks, versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

    from mlops_assets.platform.assets.step import Partition

GOOD = [month for month in MONTHS if month != BAD]


class Watch:
    """The automation sensor of these assets, its memory of the last tick, and runs of what it asks for."""

    def __init__(self, instance: dg.DagsterInstance, *assets: dg.AssetsDefinition) -> None:
        self._instance = instance
        self._location = build_defs(assets, name="mill").get_repository_def()
        self.sensor = self._location.get_sensor_def("mill_automation")
        self._cursor: str | None = None
        self.tick()

    def tick(self) -> list[dg.RunRequest]:
        """The runs that are asked for now."""
        found = self.evaluated()
        self._cursor = found.cursor
        return list(found.run_requests or ())

    def evaluated(self) -> Any:  # noqa: ANN401  no public class
        """What the daemon is given at a tick."""
        with dg.SensorEvaluationContext(
            instance_ref=self._instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=self._cursor,
            log_key=["mill", "automation", "tick"],
            repository_name="__repository__",
            repository_def=self._location,
            sensor_name=self.sensor.name,
        ) as context:
            return self.sensor.evaluate_tick(context)

    def follow(self) -> list[tuple[str, ...]]:
        """Run what each tick asks for until one asks for nothing; of each run its assets and its partitions."""
        history: list[tuple[str, ...]] = []
        for _ in range(9):
            asked = self.tick()
            if not asked:
                return history
            history += [told(each) for each in asked]
            for each in asked:
                self._run(each)
        raise AssertionError(f"The automation does not come to rest: {history}")

    def _run(self, request: dg.RunRequest) -> None:
        chosen = frozenset(request.asset_selection or ())
        job = self._location.get_job(request.job_name or "__ASSET_JOB").get_subset(asset_selection=chosen)
        run = self._instance.create_run_for_job(job, asset_selection=chosen, tags=request.tags)
        execute_run(InMemoryJob(job), run, self._instance, raise_on_error=False)


def told(request: dg.RunRequest) -> tuple[str, ...]:
    """The assets of a request, then its partition or the first and the last one."""
    names = sorted(key.path[-1] for key in request.asset_selection or ())
    if request.partition_key is not None:
        return (*names, request.partition_key)
    return (*names, request.tags[RANGE_START], request.tags[RANGE_END])


@asset(contract=FLOUR, ins={"sacks": In(SACKS)}, automation_condition=on_new_data())
def spilt_flour(partition: Partition, sacks: ir.Table) -> ir.Table:
    """What was ground, of which one month breaks a rule."""
    return sacks.mutate(kilos=sacks.kilos * (-1.0 if partition.key == BAD else 0.8))


@asset(contract=STOCK, ins={"flour": In(FLOUR)}, automation_condition=on_new_data())
def store(flour: ir.Table) -> ir.Table:
    """What is in store of a month."""
    return flour.group_by("month").aggregate(kilos=flour.kilos.sum())


def test_twelve_months_that_come_at_once_are_followed_by_one_run_in_which_each_has_its_own_end(
    instance: dg.DagsterInstance,
) -> None:
    watch = Watch(instance, mill.sacks, mill.flour)
    mill.deliver()
    assert mill.year(instance).success
    assert watch.follow() == [("flour", MONTHS[0], MONTHS[-1])]
    assert versions(instance, FLOUR) == mill.hashes(FLOUR)
    assert list(mill.kilos(FLOUR)) == list(MONTHS)
    assert checks(instance, FLOUR, rules.CONTRACT) == dict.fromkeys(MONTHS, "SUCCEEDED")


def test_what_was_asked_for_is_not_asked_for_again_however_its_run_ends(instance: dg.DagsterInstance) -> None:
    watch = Watch(instance, mill.sacks, mill.flour)
    mill.deliver()
    mill.year(instance)
    assert len(watch.tick()) == 1
    assert watch.tick() == []


def test_months_that_did_not_come_are_not_made(instance: dg.DagsterInstance) -> None:
    watch = Watch(instance, mill.sacks, mill.flour)
    mill.deliver(GOOD)
    mill.year(instance)
    assert watch.follow() == [("flour", MONTHS[0], "2024-04"), ("flour", "2024-06", MONTHS[-1])]


def test_a_late_month_is_asked_for_as_one_partition(instance: dg.DagsterInstance) -> None:
    watch = Watch(instance, mill.sacks, mill.flour)
    mill.deliver([BAD])
    mill.year(instance, first=BAD, last=BAD)
    [asked] = watch.tick()
    assert asked.partition_key == BAD
    assert asked.tags["dagster/partition"] == BAD


def test_one_that_stops_in_a_range_keeps_none_of_what_follows_from_the_others_back(
    instance: dg.DagsterInstance,
) -> None:
    watch = Watch(instance, mill.sacks, spilt_flour, store)
    mill.deliver()
    mill.year(instance)
    assert watch.follow() == [
        ("flour", MONTHS[0], MONTHS[-1]),
        ("stock", MONTHS[0], "2024-04"),
        ("stock", "2024-06", MONTHS[-1]),
    ]
    assert list(mill.kilos(STOCK)) == GOOD


def test_a_month_that_was_mended_is_followed_alone(instance: dg.DagsterInstance) -> None:
    watch = Watch(instance, mill.sacks, mill.flour)
    mill.deliver()
    mill.deliver([BAD], kilos=-1.0)
    mill.year(instance)
    watch.follow()
    mill.deliver()
    mill.year(instance)
    assert watch.follow() == [("flour", BAD)]


def test_the_checks_of_a_table_that_another_code_location_makes_hold_back_too(instance: dg.DagsterInstance) -> None:
    watch = Watch(instance, mill.flour)
    mill.deliver()
    mill.year(instance)
    mill.deliver([BAD], kilos=-1.0)
    mill.year(instance, first=BAD, last=BAD)
    assert [told(each) for each in watch.tick()] == [("flour", MONTHS[0], "2024-04"), ("flour", "2024-06", MONTHS[-1])]
    mill.deliver([BAD])
    mill.year(instance, first=BAD, last=BAD)
    assert [told(each) for each in watch.tick()] == [("flour", BAD)]


def test_a_check_that_the_other_location_does_not_have_yet_holds_nobody_back(instance: dg.DagsterInstance) -> None:
    newer = dataclasses.replace(SACKS, judged={"weighed": "Was it weighed?"})

    @asset(contract=FLOUR, ins={"sacks": In(newer)}, automation_condition=on_new_data())
    def ground(sacks: ir.Table) -> ir.Table:
        return sacks.mutate(kilos=sacks.kilos * 0.8)

    watch = Watch(instance, ground)
    mill.deliver()
    assert dg.materialize([mill.sacks], instance=instance, tags={RANGE_START: MONTHS[0], RANGE_END: MONTHS[-1]}).success
    assert watch.follow() == [("flour", MONTHS[0], MONTHS[-1])]


def test_no_log_is_kept_of_a_tick(instance: dg.DagsterInstance) -> None:
    assert Watch(instance, mill.sacks, mill.flour).evaluated().log_key is None


def test_it_stays_what_it_is_with_other_metadata(instance: dg.DagsterInstance) -> None:
    sensor = Watch(instance, mill.flour).sensor.with_attributes(metadata={"team": "mill"})
    assert isinstance(sensor, AutomationSensor)
    assert sensor.metadata["team"].value == "mill"
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


@pytest.mark.parametrize("assets", [(), (mill.sacks,)])
def test_it_asks_for_nothing_where_nothing_is_automated(
    instance: dg.DagsterInstance, assets: Sequence[dg.AssetsDefinition]
) -> None:
    assert Watch(instance, *assets).tick() == []
