"""Alerts: one for each fault when it begins and when it has ended, to whom it concerns."""

from __future__ import annotations

import errno
import json
import time
import warnings

import dagster as dg
import pyarrow as pa
import pytest
from dagster._utils.warnings import PreviewWarning

from mlops_assets.platform.assets import alerts
from mlops_assets.platform.assets.addition import add
from mlops_assets.platform.assets.reconciler import reconcile
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.assets.alerting import HOUR, Receiver, Watch, harvest, logged, rotten


@pytest.fixture
def watch(instance: dg.DagsterInstance) -> Watch:
    return Watch(instance)


def test_a_failed_check_is_told_once_with_asset_partition_rule_count_and_owner(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    harvest(instance, "w1", rotten("w1"))
    watch.tick()
    watch.tick()
    [alert] = receiver.alerts
    assert alert["kind"] == "check_failed"
    assert (alert["asset"], alert["partition"], alert["rules"]) == ("raw/harvest", "w1", ["values"])
    assert (alert["rows"], alert["owner"], alert["severity"]) == (1, "team:pickers", "error")
    assert alert["message"] == (
        "raw/harvest in partition w1 failed its checks (values: kilos greater_than_or_equal_to(0), broken by 1 rows); "
        "nothing was published, the last good data stands, and what is made from it waits until it passes."
    )
    assert "Secret Name" not in json.dumps(alert)
    assert logged() == [alert]


def test_rules_of_a_partition_that_are_broken_together_are_one_alert(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    harvest(instance, "w1", rotten("w1"), rotten("w1", tree=8, kilos=None))
    watch.tick()
    [alert] = receiver.alerts
    assert alert["rules"] == ["nulls", "values"]
    assert alert["rows"] == 2
    told = "nulls: kilos is not null, broken by 1 rows; values: kilos greater_than_or_equal_to(0), broken by 1 rows"
    assert told in alert["message"]


def test_a_wrong_shape_is_one_alert_that_names_nothing_delivered(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    orchard.weigh("w1", [{"week": "w1", "tree": 1, "Secret Name": "x"}])
    orchard.pick("w1", instance=instance)
    watch.tick()
    [alert] = receiver.alerts
    assert (alert["rules"], alert["rows"]) == (["shape"], None)
    assert "failed its checks (shape: other columns or types than the contract's)" in alert["message"]
    assert "Secret Name" not in json.dumps(alert)


def test_a_warning_is_told_as_such(receiver: Receiver, watch: Watch, instance: dg.DagsterInstance) -> None:
    assert harvest(instance, "w1", rotten("w1", kilos=500.0))
    watch.tick()
    watch.tick()
    [alert] = receiver.alerts
    assert (alert["rules"], alert["severity"]) == (["no_windfall"], "warning")
    assert "the data flowed on" in alert["message"]


def test_an_empty_partition_is_told_with_both_numbers_and_the_remedy(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    harvest(instance, "w1")
    orchard.weigh("w1", [])
    orchard.pick("w1", [orchard.harvest], instance=instance)
    watch.tick()
    [alert] = receiver.alerts
    assert (alert["rules"], alert["rows"], alert["severity"]) == (["volume"], None, "error")
    assert "volume: 0 rows, 4 in the last good publish; there must be some" in alert["message"]
    assert "mlops_assets/accept_rows=0" in alert["message"]


def test_rows_that_were_set_aside_are_a_warning_and_news_after_an_error_of_the_same_rule(
    receiver: Receiver, instance: dg.DagsterInstance
) -> None:
    sensor = alerts.alert_sensor("sorting", orchard.sorted_harvest.specs)
    for rejects in (9, 1):
        rows = [rotten("w1", tree=tree) for tree in range(10, 10 + rejects)]
        orchard.weigh("w1", [*orchard.good_rows("w1"), *rows])
        orchard.pick("w1", [orchard.sorted_harvest], instance=instance)
        sensor(dg.build_sensor_context(instance=instance))
    stopped, flowed = receiver.alerts
    assert (stopped["severity"], stopped["rules"], stopped["rows"]) == ("error", ["values", "quarantine_refused"], 9)
    assert "4 of 13 rows keep every rule, fewer than the share of 0.5" in stopped["message"]
    assert (flowed["severity"], flowed["rules"], flowed["rows"]) == ("warning", ["quarantine"], 1)
    assert "quarantine: kilos greater_than_or_equal_to(0) (values), broken by 1 rows" in flowed["message"]
    assert flowed["fault"] == stopped["fault"]


def test_a_run_that_fails_otherwise_is_told_once_with_its_reason(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    orchard.pick("w2", [orchard.yields], instance=instance)
    watch.tick()
    watch.tick()
    [alert] = receiver.alerts
    assert alert["kind"] == "run_failed"
    assert (alert["asset"], alert["partition"], alert["owner"]) == ("wrangled/yields", "w2", "team:farm")
    assert "raw/harvest" in alert["message"]
    assert "Materialize it first" in alert["message"]


def test_what_a_failed_step_keeps_from_being_made_is_no_fault_of_its_own(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    orchard.pick("w1", instance=instance)
    watch.tick()
    [alert] = receiver.alerts
    assert (alert["asset"], alert["owner"]) == ("raw/harvest", "team:pickers")


def test_a_run_that_ends_without_a_word_is_told_with_all_it_was_to_make(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    job = dg.Definitions(assets=[orchard.harvest, orchard.yields]).resolve_implicit_global_asset_job_def()
    killed = instance.create_run_for_job(job, tags={"dagster/partition": "w1"})
    instance.report_run_failed(killed)
    watch.tick()
    [alert] = receiver.alerts
    assert (alert["asset"], alert["owner"]) == ("raw/harvest, wrangled/yields", "team:farm, team:pickers")
    assert "killed, or never started" in alert["message"]


def unplanned(instance: dg.DagsterInstance, tags: dict[str, str], *assets: dg.AssetsDefinition) -> dg.DagsterRun:
    """A run that failed before anything of what it was to make was written."""
    job = dg.Definitions(assets=assets).resolve_implicit_global_asset_job_def()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(instance.event_log_storage, "store_event", lambda *_: None)
        patched.setattr(instance.event_log_storage, "store_event_batch", lambda *_: None)
        run = instance.create_run_for_job(job, tags=tags)
    instance.report_run_failed(run)
    return run


def test_a_table_without_partitions_is_told_as_such_where_the_plans_were_not_written(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    assert orchard.pick("w1", instance=instance).success
    unplanned(instance, {"dagster/partition": "w1"}, orchard.season)
    watch.tick()
    assert dg.materialize([orchard.season], instance=instance).success
    watch.tick()
    begun, ended = receiver.alerts
    assert (begun["asset"], begun["partition"]) == (orchard.SEASON.key.to_user_string(), None)
    assert ended["kind"] == "resolved"


def test_a_range_whose_plans_were_not_written_ends_when_its_first_and_last_are_published(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    ends = {"dagster/asset_partition_range_start": "w1", "dagster/asset_partition_range_end": "w3"}
    unplanned(instance, ends, orchard.harvest)
    watch.tick()
    harvest(instance, "w3")
    watch.tick()
    assert [alert["kind"] for alert in receiver.alerts] == ["run_failed"]
    harvest(instance, "w1")
    watch.tick()
    assert [alert["kind"] for alert in receiver.alerts] == ["run_failed", "resolved"]


def test_a_run_whose_plan_is_gone_keeps_no_other_from_being_told(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    unplanned(instance, {"dagster/partition": "w1"}, orchard.harvest)
    monkeypatch.setattr(instance.run_storage, "get_execution_plan_snapshot", lambda _: None)
    harvest(instance, "w2", rotten("w2"))
    watch.tick()
    assert [alert["partition"] for alert in receiver.alerts] == ["w2"]


@pytest.mark.parametrize("planned", ["by its plan", "by its selection"])
def test_a_run_whose_plans_could_not_be_written_is_told_with_what_it_was_to_make(
    planned: str, receiver: Receiver, watch: Watch, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if planned == "by its plan":
        job = dg.Definitions(assets=[orchard.harvest]).resolve_implicit_global_asset_job_def()
        with monkeypatch.context() as patched:
            patched.setattr(instance.event_log_storage, "store_event", full)
            patched.setattr(instance.event_log_storage, "store_event_batch", full)
            with pytest.raises(OSError, match="No space left"):
                instance.create_run_for_job(job, tags={"dagster/partition": "w1"})
        [run] = instance.get_runs()
    else:
        # As a schedule does where the code location cannot tell the plan.
        run = dg.DagsterRun(
            "__ASSET_JOB", asset_selection=frozenset([orchard.HARVEST.key]), tags={"dagster/partition": "w1"}
        )
        instance.add_run(run)
    instance.report_run_failed(run)
    watch.tick()
    harvest(instance, "w1")
    watch.tick()
    begun, ended = receiver.alerts
    assert (begun["kind"], begun["asset"], begun["partition"]) == ("run_failed", "raw/harvest", "w1")
    assert (ended["kind"], ended["fault"]) == ("resolved", begun["fault"])


def test_the_text_of_an_unexpected_error_is_not_told(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    orchard.scale_file("w1").write_text('{"picker": "Secret Name', encoding="utf-8")
    orchard.pick("w1", [orchard.harvest], instance=instance)
    watch.tick()
    [alert] = receiver.alerts
    assert "JSONDecodeError" in alert["message"]
    assert "Secret Name" not in json.dumps(alert)


def test_a_fault_that_lasts_is_not_told_again_and_its_end_is(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    for _ in range(2):
        harvest(instance, "w1", rotten("w1"))
        watch.tick()
    assert len(receiver.alerts) == 1
    harvest(instance, "w2")
    watch.tick()
    assert len(receiver.alerts) == 1, "another partition does not end it"
    harvest(instance, "w1")
    watch.tick()
    watch.tick()
    [began, ended] = receiver.alerts
    assert (ended["kind"], ended["partition"], ended["owner"]) == ("resolved", "w1", "team:pickers")
    assert ended["fault"] == began["fault"] == began["id"]
    assert ended["id"] != began["id"]


def test_a_warning_that_turns_into_an_error_is_told_as_the_same_fault(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    for row in (rotten("w1", kilos=500.0), rotten("w1")):
        harvest(instance, "w1", row)
        watch.tick()
    assert [alert["severity"] for alert in receiver.alerts] == ["warning", "error"]
    assert len({alert["fault"] for alert in receiver.alerts}) == 1


def test_a_fault_ends_by_a_publish_outside_any_run(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    harvest(instance, "w1", rotten("w1"))
    watch.tick()
    row = pa.table({"week": ["w1"], "tree": [1], "picker": ["Picker"], "kilos": [1.0]})
    with LakeSession(Settings.load()) as session:
        add(session, orchard.HARVEST, "w1", lambda _: row)
        reconcile(session, instance, [orchard.HARVEST], {}, now=time.time())
    watch.tick()
    assert [alert["kind"] for alert in receiver.alerts] == ["check_failed", "resolved"]


def test_an_alert_goes_to_the_role_that_owns_the_table_and_to_the_common_webhook(
    receiver: Receiver, pickers: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    harvest(instance, "w1", rotten("w1"))
    orchard.pick("w2", [orchard.yields], instance=instance)
    watch.tick()
    assert [alert["asset"] for alert in pickers.alerts] == ["raw/harvest"]
    assert [alert["asset"] for alert in receiver.alerts] == ["raw/harvest", "wrangled/yields"]


def test_a_webhook_for_errors_gets_no_warnings(
    receiver: Receiver, pickers: Receiver, watch: Watch, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_ALERTS__WEBHOOKS__PICKERS__LEAST", "error")
    harvest(instance, "w1", rotten("w1", kilos=500.0))
    watch.tick()
    assert pickers.alerts == []
    assert len(receiver.alerts) == 1
    for row in (rotten("w1"), None):
        harvest(instance, "w1", *([row] if row else []))
        watch.tick()
    assert [alert["kind"] for alert in pickers.alerts] == ["check_failed", "resolved"]


def test_a_lost_cursor_repeats_nothing(receiver: Receiver, watch: Watch, instance: dg.DagsterInstance) -> None:
    harvest(instance, "w1", rotten("w1"))
    watch.tick()
    watch.cursor = None
    watch.tick()
    assert len(receiver.alerts) == 1


def test_a_sensor_that_remembers_nothing_looks_back_no_further_than_its_window(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    harvest(instance, "w1", rotten("w1"))
    watch.tick_after(alerts.WINDOW_SECONDS + 2 * HOUR)
    assert receiver.alerts == []


def test_success_is_silent(receiver: Receiver, watch: Watch, instance: dg.DagsterInstance) -> None:
    assert harvest(instance, "w1")
    watch.tick()
    assert receiver.alerts == []
    assert logged() == []


def test_partitions_that_fail_alike_in_one_run_are_one_alert_that_ends_with_the_last(
    receiver: Receiver, instance: dg.DagsterInstance
) -> None:
    rotten_weeks = {"w1", "w2"}
    key = dg.AssetKey("crates")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PreviewWarning)
        check = dg.AssetCheckSpec("whole", asset=key, blocking=True, partitions_def=orchard.PARTITIONS)

    @dg.asset(
        key=key,
        owners=["team:farm"],
        partitions_def=orchard.PARTITIONS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[check],
        output_required=False,
    )
    def crates(context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  Dagster reads the annotation
        for week in context.partition_keys:
            passed = week not in rotten_weeks
            if passed:
                yield dg.AssetMaterialization(key, partition=week)
            yield dg.AssetCheckEvaluation(
                asset_key=key, check_name="whole", passed=passed, blocking=True, partition=week
            )

    def make(first: str, last: str) -> None:
        span = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        dg.materialize([crates], instance=instance, tags=span, raise_on_error=False)
        sensor(dg.build_sensor_context(instance=instance))

    sensor = alerts.alert_sensor("crates", crates.specs)
    make("w1", "w3")
    [alert] = receiver.alerts
    assert (alert["partition"], alert["rules"]) == ("w1, w2", ["whole"])
    rotten_weeks.remove("w1")
    make("w1", "w2")
    assert len(receiver.alerts) == 1
    rotten_weeks.clear()
    make("w2", "w3")
    assert [alert["kind"] for alert in receiver.alerts] == ["check_failed", "resolved"]
