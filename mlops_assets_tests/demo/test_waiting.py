"""Waiting by signs of life: slow is no fault, stuck is one, and the error names it."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from mlops_assets.demo.waiting import (
    StalledError,
    WorkWatch,
    patience,
    title_of,
    wait_for,
    wait_for_process,
    wait_until,
)
from mlops_assets.platform.assets.ranges import RANGE_END, RANGE_START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STARTED = dg.DagsterRunStatus.STARTED
QUIET_SECONDS = 0.2


@dg.asset
def harvest() -> None:
    """Fails for a reason of its own."""
    try:
        int("no apples")
    except ValueError as error:
        raise RuntimeError("nothing was picked") from error


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def watch(instance: dg.DagsterInstance, *, quiet: float = QUIET_SECONDS, after_failure: float = 60) -> WorkWatch:
    """A watch over all runs, with that much patience in seconds."""
    since = datetime.now(tz=UTC) - timedelta(days=1)
    return WorkWatch(instance, since, quiet_seconds=quiet, after_failure_seconds=after_failure)


def run_of(instance: dg.DagsterInstance, asset: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """A run in that state that makes the asset's partition of 2024."""
    run: dg.DagsterRun = create_run_for_test(
        instance, status=status, asset_selection={dg.AssetKey(asset)}, tags={"dagster/partition": "2024"}
    )
    return run


def test_a_run_that_moves_slowly_is_waited_for_beyond_the_quiet_limit(instance: dg.DagsterInstance) -> None:
    run = run_of(instance, "cider", STARTED)
    begun = time.monotonic()

    def over() -> bool:
        instance.report_engine_event("a step further", run)
        return time.monotonic() - begun > 3 * QUIET_SECONDS

    assert watch(instance).wait_for(over, what="The cider", pause=0.01) > QUIET_SECONDS


def test_what_is_stuck_is_named_with_what_there_is_to_see(tmp_path: Path) -> None:
    log = tmp_path / "mill.log"
    log.write_text("no water on the wheel", encoding="utf-8")
    give_up = patience("The mill", "Look for a dam.", seen=log.read_text, seconds=QUIET_SECONDS)
    with pytest.raises(StalledError, match=r"The mill: nothing .* \(no water on the wheel\)\. Look for a dam\."):
        wait_for(lambda: False, signs=lambda: log.stat().st_size, give_up=give_up, pause=0.01)


def test_looking_ends_with_what_was_waited_for() -> None:
    baskets = iter(range(9))
    assert wait_until(lambda seen: seen == 3, lambda: next(baskets), what="Three", remedy="Pick.", pause=0.01) == 3


def test_a_process_that_ends_before_it_is_ready_is_named_with_its_last_words_at_once(tmp_path: Path) -> None:
    log = tmp_path / "mill.log"
    with log.open("wb") as out:
        mill = subprocess.Popen([sys.executable, "-c", "raise SystemExit('no grain')"], stderr=out)
    with pytest.raises(StalledError, match=r"The mill: it ended with exit code 1 \(no grain\)\. Look at"):
        wait_for_process(lambda: False, mill, name="The mill", log=log)


def test_what_a_process_did_before_its_end_counts(tmp_path: Path) -> None:
    log = tmp_path / "mill.log"
    with log.open("wb") as out:
        mill = subprocess.Popen([sys.executable, "-c", "print('flour')"], stdout=out)
    wait_for_process(lambda: "flour" in log.read_text(encoding="utf-8"), mill, name="The mill", log=log)
    mill.wait()


def test_a_run_that_is_stuck_is_named_with_its_partition(instance: dg.DagsterInstance) -> None:
    run_of(instance, "cider", STARTED)
    with pytest.raises(StalledError, match=r"The feast: nothing has moved .*working on cider \(2024\)"):
        watch(instance).wait_for(lambda: False, what="The feast", pause=0.01)


def test_a_failed_run_with_nothing_else_under_way_is_named_with_its_step_and_innermost_reason(
    instance: dg.DagsterInstance,
) -> None:
    failed = dg.materialize([harvest], instance=instance, raise_on_error=False)
    said = rf"The feast: run {failed.run_id} of \S+ failed: step harvest: ValueError: .*'no apples'"
    with pytest.raises(StalledError, match=said):
        watch(instance, quiet=3600, after_failure=0).wait_for(lambda: False, what="The feast", pause=0.01)


def test_a_failed_run_ends_no_wait_while_another_is_under_way(instance: dg.DagsterInstance) -> None:
    dg.materialize([harvest], instance=instance, raise_on_error=False)
    run_of(instance, "cider", STARTED)
    with pytest.raises(StalledError, match=r"nothing has moved .*1 of them failed, working on cider"):
        watch(instance, after_failure=0).wait_for(lambda: False, what="The feast", pause=0.01)


def test_a_run_that_failed_among_the_rest_is_named_when_all_have_ended(instance: dg.DagsterInstance) -> None:
    watch(instance).wait_for_rest(what="The feast")
    dg.materialize([harvest], instance=instance, raise_on_error=False)
    with pytest.raises(StalledError, match=r"The feast: run .* step harvest: .*'no apples'"):
        watch(instance).wait_for_rest(what="The feast")


def test_the_rest_is_waited_for_while_a_run_is_under_way(instance: dg.DagsterInstance) -> None:
    run_of(instance, "cider", STARTED)
    with pytest.raises(StalledError, match=r"The feast: nothing has moved .*working on cider"):
        watch(instance).wait_for_rest(what="The feast")


def test_a_run_of_many_partitions_is_told_by_the_first_and_the_last() -> None:
    tags = {RANGE_START: "2024-01", RANGE_END: "2024-12"}
    run = dg.DagsterRun("feast", asset_selection=frozenset({dg.AssetKey("cider"), dg.AssetKey("ale")}), tags=tags)
    assert title_of(run) == "ale and 1 more (2024-01 to 2024-12)"


def test_what_is_told_changes_when_runs_do_and_only_then(instance: dg.DagsterInstance) -> None:
    told: list[str] = []
    looks = iter(range(8))
    run = run_of(instance, "cider", dg.DagsterRunStatus.STARTING)

    def over() -> bool:
        look = next(looks)
        if look == 2:
            started = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name)
            instance.report_dagster_event(started, run.run_id)
        if look == 4:
            instance.report_run_failed(run)
        return look == 7

    watch(instance, quiet=3600).wait_for(over, what="The feast", tell=told.append, pause=0.01)
    assert told == [
        "0 runs done, 1 queued",
        "0 runs done, working on cider (2024)",
        "1 runs done, 1 of them failed",
    ]
