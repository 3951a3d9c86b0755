"""Many partitions in one run: one bad one keeps none back, and whatever happens the end is that of single runs."""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from mlops_assets.platform.assets.alerts import tell
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.reconciler import reconcile
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import sweep
from mlops_assets_tests import processes
from mlops_assets_tests.platform.assets import mill
from mlops_assets_tests.platform.assets.mill import MONTHS

if TYPE_CHECKING:
    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.settings import Settings

BAD = "2024-05"


def versions(instance: dg.DagsterInstance, contract: Contract) -> dict[str | None, str]:
    """For each partition the data version that Dagster knows."""
    found: dict[str | None, str] = {}
    for record in reversed(instance.fetch_materializations(contract.key, limit=1000).records):
        materialization = record.asset_materialization
        assert materialization is not None
        tags = materialization.tags or {}
        found[record.partition_key] = tags["dagster/data_version"]
    return found


def checks(instance: dg.DagsterInstance, contract: Contract, name: str) -> dict[str | None, str]:
    """For each partition what became last of that check."""
    key = dg.AssetCheckKey(contract.key, name)
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=1000)
    return {record.partition: record.status.value for record in reversed(records)}


def failure(result: dg.ExecuteInProcessResult) -> str:
    [failed] = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data is not None
    return str(data.description)


def test_each_partition_has_the_version_and_the_rows_of_a_run_of_its_own(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    mill.deliver()
    assert mill.year(instance).success
    together = mill.hashes(mill.SACKS)
    assert versions(instance, mill.SACKS) == together
    assert list(mill.kilos(mill.SACKS)) == list(MONTHS)
    for month in MONTHS:
        assert dg.materialize([mill.sacks], partition_key=month, instance=instance).success
    assert mill.hashes(mill.SACKS) == together
    with LakeSession(settings) as session:
        assert sweep(session, "mill", older_than_seconds=0) == []


def test_one_transaction_publishes_them(instance: dg.DagsterInstance, settings: Settings) -> None:
    mill.deliver()
    assert mill.year(instance).success
    with LakeSession(settings) as session:
        entries = ledger.history(session, "mill")
    assert len(entries) == len(MONTHS)
    assert len({entry.version for entry in entries}) == 1


def test_a_bad_one_stops_alone_is_named_and_told_of_once(instance: dg.DagsterInstance, settings: Settings) -> None:
    mill.deliver()
    mill.deliver([BAD], kilos=-1.0)
    result = mill.year(instance)
    assert not result.success
    assert f"1 of 12 partitions were not published: {BAD} (1 by checks)" in failure(result)
    assert list(mill.kilos(mill.SACKS)) == [month for month in MONTHS if month != BAD]
    assert versions(instance, mill.SACKS) == mill.hashes(mill.SACKS)
    assert checks(instance, mill.SACKS, "contract") == {
        month: "FAILED" if month == BAD else "SUCCEEDED" for month in MONTHS
    }
    assert tell(instance, "alerts", {mill.SACKS.key: ("team:mill",)}, settings, now=time.time()) == 1


def test_what_stopped_each_is_in_the_log_however_many_there_are(instance: dg.DagsterInstance) -> None:
    mill.deliver(MONTHS[:-1], kilos=-100.0)
    result = mill.year(instance)
    assert not result.success
    told = [entry.user_message for entry in instance.all_logs(result.run_id) if entry.level == logging.ERROR]
    for month in MONTHS[:-1]:
        [line] = [each for each in told if each.startswith(f"Partition {month}: ")]
        assert "check contract: values" in line
    assert any(each.startswith(f"Partition {MONTHS[-1]}: ") and "it has not come" in each for each in told)


def test_a_range_that_ends_before_it_begins_fails_and_says_so(instance: dg.DagsterInstance) -> None:
    mill.deliver()
    result = mill.year(instance, first=MONTHS[3], last=MONTHS[1])
    assert not result.success
    assert "the range of this run holds no partition" in failure(result)


def test_the_last_good_partition_stands_where_a_bad_one_came_among_good_ones(instance: dg.DagsterInstance) -> None:
    mill.deliver()
    assert mill.year(instance).success
    before = mill.hashes(mill.SACKS)
    mill.deliver(kilos=60.0)
    mill.deliver([BAD], kilos=-1.0)
    assert not mill.year(instance).success
    after = mill.hashes(mill.SACKS)
    assert after[BAD] == before[BAD]
    assert not {after[month] for month in MONTHS if month != BAD} & set(before.values())


def test_one_without_its_source_stops_alone_and_the_step_may_be_tried_again(instance: dg.DagsterInstance) -> None:
    mill.deliver([month for month in MONTHS if month != BAD])
    result = mill.year(instance, [mill.sacks_tried_twice])
    assert [event for event in result.all_events if event.is_step_restarted]
    assert f"1 of 12 partitions were not published: {BAD}" in failure(result)
    [failed] = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data is not None
    assert "it has not come" in str(data.metadata["cause"].value)
    mill.deliver()
    assert mill.year(instance).success
    assert list(mill.kilos(mill.SACKS)) == list(MONTHS)


def test_a_consumer_of_the_same_run_reads_what_the_run_has_made(instance: dg.DagsterInstance) -> None:
    mill.deliver()
    assert mill.year(instance, [mill.sacks, mill.flour]).success
    assert mill.kilos(mill.FLOUR) == pytest.approx({month: 3 * (50 + n) * 0.8 for n, month in enumerate(MONTHS)})


def test_a_table_that_reads_itself_is_made_in_the_order_of_time(instance: dg.DagsterInstance) -> None:
    mill.deliver()
    assert mill.year(instance, [mill.sacks, mill.flour]).success
    assert mill.year(instance, [mill.stock]).success
    assert mill.kilos(mill.STOCK)["2024-12"] == pytest.approx(sum(mill.kilos(mill.FLOUR).values()))


def test_a_table_that_reads_itself_stops_at_the_first_that_cannot_be_made(instance: dg.DagsterInstance) -> None:
    mill.deliver([month for month in MONTHS if month != BAD])
    mill.year(instance, [mill.sacks])
    mill.year(instance, [mill.flour])
    result = mill.year(instance, [mill.stock])
    assert "8 of 12 partitions were not published: 2024-05, 2024-06" in failure(result)
    assert list(mill.kilos(mill.STOCK)) == list(MONTHS[:4])


def test_a_function_is_called_for_as_many_at_once_as_is_declared(instance: dg.DagsterInstance) -> None:
    both, most, under_way = threading.Barrier(2, timeout=60), 0, 0

    @asset(contract=mill.SACKS, partitions_at_once=2)
    def sacks(partition: Partition) -> pa.Table:
        nonlocal most, under_way
        under_way += 1
        both.wait()
        most = max(most, under_way)
        both.wait()
        under_way -= 1
        return pa.table({"month": [partition.key], "sack": [1], "kilos": [1.0]})

    assert mill.year(instance, [sacks]).success
    assert most == 2
    assert list(mill.kilos(mill.SACKS)) == list(MONTHS)
    assert versions(instance, mill.SACKS) == mill.hashes(mill.SACKS)


def test_of_those_made_at_once_bad_ones_stop_alone_and_are_told(instance: dg.DagsterInstance) -> None:
    mill.deliver([month for month in MONTHS if month != MONTHS[0]])
    mill.deliver([BAD], kilos=-1.0)
    result = mill.year(instance, [mill.sacks_at_once])
    told = failure(result)
    assert f"2 of 12 partitions were not published: {MONTHS[0]}, {BAD} (1 by checks, 1 by errors)" in told
    assert "it has not come" in told
    assert set(mill.kilos(mill.SACKS)) == {*MONTHS} - {MONTHS[0], BAD}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_cancelled_while_some_are_made_at_once_leaves_nothing_half_made(
    sent: signal.Signals, instance: dg.DagsterInstance, settings: Settings
) -> None:
    mill.deliver()
    assert mill.year_and_send("while staging", sent, at_once=True) == 0
    assert len(mill.kilos(mill.SACKS)) == 6
    assert versions(instance, mill.SACKS) == mill.hashes(mill.SACKS)
    with LakeSession(settings) as session:
        assert sweep(session, "mill", older_than_seconds=0) == []


def test_what_the_functions_log_at_once_is_in_the_runs_log(instance: dg.DagsterInstance) -> None:
    @asset(contract=mill.SACKS, partitions_at_once=3)
    def sacks(partition: Partition) -> pa.Table:
        dg.OpExecutionContext.get().log.info(f"ground {partition.key}")
        return pa.table({"month": [partition.key], "sack": [1], "kilos": [1.0]})

    run = mill.year(instance, [sacks]).run_id
    told = [entry.user_message for entry in instance.all_logs(run) if "ground" in (entry.user_message or "")]
    assert sorted(told) == [f"ground {month}" for month in MONTHS]


@pytest.mark.parametrize("at_once", [False, True])
def test_a_cancelled_run_ends_its_queries_and_makes_nothing_more(
    at_once: bool,  # noqa: FBT001
    instance: dg.DagsterInstance,
) -> None:
    began = time.monotonic()
    assert processes.ended(mill.endless_year, at_once) is not None
    assert time.monotonic() - began < 60
    [run] = instance.get_runs()
    assert run.status in {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    assert "RuntimeError" not in str([entry.dagster_event for entry in instance.all_logs(run.run_id)])
    assert mill.hashes(mill.SACKS) == {}


def test_no_number_below_one_is_made_at_once() -> None:
    with pytest.raises(ContractError, match="its partitions_at_once is 0"):
        asset(contract=mill.SACKS, partitions_at_once=0)


@pytest.mark.parametrize(
    "window", ["while staging", "before the commit", "after the commit", "among the events", "among the checks"]
)
def test_a_run_killed_anywhere_and_tried_again_ends_as_one_that_was_not(
    instance: dg.DagsterInstance, settings: Settings, window: str
) -> None:
    mill.deliver()
    assert mill.year_and_send(window, signal.SIGKILL) == -signal.SIGKILL
    seen = mill.kilos(mill.SACKS)
    assert len(seen) in {6, 12}
    assert all(kilos == 3 * (50 + MONTHS.index(month)) for month, kilos in seen.items())
    for run in instance.get_runs():
        if run.status not in FINISHED_STATUSES:
            instance.report_run_failed(run)
    with LakeSession(settings) as session:
        reconcile(session, instance, [mill.SACKS], {}, now=time.time())
        assert reconcile(session, instance, [mill.SACKS], {}, now=time.time()).reported == []
    assert versions(instance, mill.SACKS) == mill.hashes(mill.SACKS)
    for name in rules.check_names(mill.SACKS):
        of_seen = {month: found for month, found in checks(instance, mill.SACKS, name).items() if month in seen}
        assert of_seen == dict.fromkeys(seen, "SUCCEEDED")
    assert len(instance.fetch_materializations(mill.SACKS.key, limit=100).records) == len(seen)
    assert mill.year(instance).success
    assert versions(instance, mill.SACKS) == mill.hashes(mill.SACKS)
    assert list(mill.kilos(mill.SACKS)) == list(MONTHS)
    assert checks(instance, mill.SACKS, "contract") == dict.fromkeys(MONTHS, "SUCCEEDED")


def test_a_cancelled_run_leaves_no_partition_half_made(instance: dg.DagsterInstance, settings: Settings) -> None:
    mill.deliver()
    assert mill.year_and_send("while staging", signal.SIGINT) == 0
    assert len(mill.kilos(mill.SACKS)) == 6
    assert versions(instance, mill.SACKS) == mill.hashes(mill.SACKS)
    with LakeSession(settings) as session:
        assert sweep(session, "mill", older_than_seconds=0) == []


def test_a_function_that_asks_for_the_context_makes_one_in_a_run() -> None:
    def declared(policy: dg.BackfillPolicy | None) -> dg.AssetsDefinition:
        @asset(
            key="mill/visits",
            schema=mill.SackModel,
            lake=mill.MILL,
            partitions_def=mill.SACKS.partitions_def,
            metadata={"partition_expr": "month"},
            backfill_policy=policy,
        )
        def visits(context: Any, partition: Partition) -> pa.Table:  # noqa: ANN401
            return pa.table({"month": [partition.key], "sack": [1], "kilos": [context.partition_key]})

        return visits

    assert declared(None).backfill_policy is None
    assert mill.sacks.backfill_policy == dg.BackfillPolicy.multi_run(100)
    with pytest.raises(ContractError, match="asks for context"):
        declared(dg.BackfillPolicy.single_run())
