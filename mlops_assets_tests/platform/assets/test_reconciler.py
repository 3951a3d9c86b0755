"""The reconciler: what it reports of lost events, and what it must not."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
import pytest

from mlops_assets.platform.assets import reconciler
from mlops_assets.platform.assets.addition import add
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests import processes
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake.test_publishing import publish_often, publish_rows

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract


class Watch:
    """The reconciler of the orchard, ticking by hand."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.sensor = reconciler.reconciler("watch", [orchard.HARVEST, orchard.YIELDS])
        self.cursor: str | None = None

    def tick(self) -> str:
        """One tick; what it says."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        said = self.sensor(context)
        self.cursor = context.cursor
        assert isinstance(said, dg.SkipReason)
        return str(said.skip_message)

    def told(self, contract: Contract, week: str) -> list[object]:
        """The publishes that Dagster was told of, newest first."""
        found = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(contract.key, asset_partitions=[week]), limit=100
        )
        events = [record.asset_materialization for record in found.records]
        return [event.metadata["publish_id"].value for event in events if event is not None]


class Followers:
    """The automation of the orchard, with its memory of the last tick."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._cursor: dg.AutomationConditionCursor | None = None
        self._defs = dg.Definitions(assets=list(orchard.ASSETS))
        self.tick()

    def tick(self) -> set[str | None]:
        """The weeks whose yields one tick asks for."""
        result = dg.evaluate_automation_conditions(
            defs=self._defs, instance=self._instance, cursor=self._cursor, asset_selection=dg.AssetSelection.all()
        )
        self._cursor = result.cursor
        return set(result.get_requested_partitions(orchard.YIELDS.key))


@pytest.fixture
def watch(instance: dg.DagsterInstance) -> Watch:
    return Watch(instance)


def add_by_hand(week: str, tree: int) -> None:
    """Add one tree to the harvest of that week, outside any run."""

    def rows(_: ir.Table) -> pa.Table:
        return pa.table({"week": [week], "tree": [tree], "picker": ["Picker"], "kilos": [1.0]})

    with LakeSession(Settings.load()) as session:
        add(session, orchard.HARVEST, week, rows)


def current(contract: Contract, week: str) -> str:
    with LakeSession(Settings.load()) as session:
        return ledger.current(session, contract, [week])[week].record.publish_id


def check_states(instance: dg.DagsterInstance) -> dict[str, list[str]]:
    """For each check of the harvest the states of its results, newest first."""
    return {
        key.name: [
            record.status.value
            for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
        ]
        for key in orchard.harvest.check_keys
    }


def test_an_overtaken_publish_is_not_reported_after_the_newer_one(watch: Watch, instance: dg.DagsterInstance) -> None:
    publish_rows(Settings.load(), "w1", [1], "lost")
    orchard.weigh("w1", orchard.good_rows("w1"))
    assert orchard.pick("w1", instance=instance).success
    watch.tick()
    assert watch.told(orchard.YIELDS, "w1") == [current(orchard.YIELDS, "w1")]


def test_of_many_lost_publishes_of_a_partition_only_the_current_one_is_reported(watch: Watch) -> None:
    for number in range(3):
        publish_rows(Settings.load(), "w1", [1], f"lost-{number}")
    watch.tick()
    assert watch.told(orchard.YIELDS, "w1") == ["lost-2"]


def test_a_publish_that_comes_while_the_reconciler_looks_is_not_followed_by_the_older_one(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_rows(Settings.load(), "w1", [1], "older")
    with monkeypatch.context() as patch:

        def overtaken(instance: dg.DagsterInstance, entry: ledger.Entry, now: float) -> bool:
            patch.undo()
            # In a process of its own, as runs are.
            assert processes.ended(publish_often, "w1", 1) == 0
            told = dg.AssetMaterialization(orchard.YIELDS.key, partition="w1", metadata={"publish_id": "w1-0-0"})
            instance.report_runless_asset_event(told)
            return reconciler._may_yet_report(instance, entry, now)

        patch.setattr(reconciler, "_may_yet_report", overtaken)
        watch.tick()
    assert watch.told(orchard.YIELDS, "w1") == ["w1-0-0"]


def test_a_lost_cursor_invents_no_events(watch: Watch) -> None:
    for number in range(25):
        publish_rows(Settings.load(), "w1", [1], f"publish-{number}")
        watch.tick()
    told = watch.told(orchard.YIELDS, "w1")
    watch.cursor = None
    assert watch.tick() == "No lost publishes."
    assert watch.told(orchard.YIELDS, "w1") == told


def test_every_loss_of_a_partition_releases_its_consumers(watch: Watch, instance: dg.DagsterInstance) -> None:
    followers = Followers(instance)
    for tree in (1, 2, 3):
        add_by_hand("w1", tree)
        assert followers.tick() == set()
        watch.tick()
        assert followers.tick() == {"w1"}
        assert orchard.pick("w1", [orchard.yields], instance=instance).success
        followers.tick()


@pytest.mark.parametrize("run", ["failed", "forgotten"])
def test_the_checks_of_a_killed_run_are_settled(run: str, watch: Watch, instance: dg.DagsterInstance) -> None:
    followers = Followers(instance)
    orchard.weigh("w1", orchard.good_rows("w1"))
    assert orchard.pick_and_send("w1", "before_the_event") == -signal.SIGKILL
    assert watch.tick() == "No lost publishes.", "a run that still lives may yet report by itself"
    [killed] = instance.get_runs()
    instance.report_run_failed(killed)
    if run == "forgotten":
        instance.delete_run(killed.run_id)
    watch.tick()
    assert watch.told(orchard.HARVEST, "w1") == [current(orchard.HARVEST, "w1")]
    assert all(states == ["SUCCEEDED"] for states in check_states(instance).values())
    assert followers.tick() == {"w1"}


def test_a_report_may_be_repeated(watch: Watch, instance: dg.DagsterInstance) -> None:
    add_by_hand("w1", 1)
    with LakeSession(Settings.load()) as session:
        entry = ledger.current(session, orchard.HARVEST, ["w1"])["w1"]
    reconciler.report(instance, orchard.HARVEST, entry)
    reconciler.report(instance, orchard.HARVEST, entry)
    assert all(states == ["SUCCEEDED"] for states in check_states(instance).values())
    assert watch.tick() == "No lost publishes."


def test_a_run_that_still_lives_does_not_hold_back_what_others_lost(
    watch: Watch, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "GRACE_SECONDS", float("inf"))
    job = dg.Definitions(assets=[orchard.yields]).resolve_implicit_global_asset_job_def()
    alive = instance.create_run_for_job(job)
    publish_rows(Settings.load(), "w1", [1], "under way", run_id=alive.run_id)
    publish_rows(Settings.load(), "w2", [1], "untold")
    watch.tick()
    assert watch.told(orchard.YIELDS, "w2") == ["untold"]
    assert watch.told(orchard.YIELDS, "w1") == []
    instance.report_run_failed(alive)
    watch.tick()
    assert watch.told(orchard.YIELDS, "w1") == ["under way"]


def test_more_losses_than_one_tick_reports_are_reported_by_the_next(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "_MOST_REPORTED", 2)
    for week in orchard.WEEKS:
        publish_rows(Settings.load(), week, [1], f"lost-{week}")
    assert watch.tick() == "Reported 2 lost publishes."
    assert watch.tick() == "Reported 1 lost publishes."
    assert watch.tick() == "No lost publishes."


def test_a_lake_that_is_away_does_not_hide_the_losses_of_another(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_rows(Settings.load(), "w1", [1], "lost there")
    add_by_hand("w1", 1)
    with monkeypatch.context() as patch:
        patch.setenv("MLOPS_ASSETS_LAKES__CURATED__CATALOG", "host=127.0.0.1 port=1 dbname=curated user=nobody")
        said = watch.tick()
    assert said.startswith("Reported 1 lost publishes. Lake curated: its catalog cannot be ")
    assert watch.told(orchard.HARVEST, "w1") == [current(orchard.HARVEST, "w1")]
    watch.tick()
    assert watch.told(orchard.YIELDS, "w1") == ["lost there"]
