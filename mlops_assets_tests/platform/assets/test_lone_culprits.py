"""Of many partitions in a run one alone pays for what only it has: whatever raises, wherever, and however it ends."""

from __future__ import annotations

import logging
import re
import signal
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis.expr.datatypes as dt
import pandas as pd
import pandera.ibis as pandera
import pytest
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.reconciler import reconcile
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.errors import SourceUnavailableError
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import sweep
from mlops_assets.platform.withheld import kept_text
from mlops_assets_tests.platform.assets import mill
from mlops_assets_tests.platform.assets.mill import MONTHS
from mlops_assets_tests.platform.assets.test_many_partitions import BAD, checks, failure, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.settings import Settings

KEYS: Final = ("a", "b", "c", "d")
JARS: Final = dg.AssetKey(["pantry", "jars"])


class JarModel(pandera.DataFrameModel):
    """One row per jar, whose label is a number above 0."""

    shelf: dt.String
    label: dt.String

    class Config:
        """Keyed by both."""

        unique = ("shelf", "label")

    @pandera.check("label", name="label_counts")
    @classmethod
    def _counts(cls, data: Any) -> Any:  # noqa: ANN401  pandera's data and Ibis' values are untyped
        return data.table[data.key].cast("int64") > 0


class Panic(BaseException):
    """As an engine in another language raises it."""


def rows(shelf: str | None, label: str = "1") -> pd.DataFrame:
    return pd.DataFrame({"shelf": [shelf], "label": [label]})


def jars(make: Callable[[Partition], Any], **declared: Any) -> dg.AssetsDefinition:  # noqa: ANN401
    @asset(
        key=JARS,
        schema=JarModel,
        lake=Lake("pantry"),
        partitions_def=dg.StaticPartitionsDefinition(KEYS),
        metadata={"partition_expr": "shelf"},
        **declared,
    )
    def made(partition: Partition) -> Any:  # noqa: ANN401
        return make(partition)

    return made


def run(instance: dg.DagsterInstance, made: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    job = dg.Definitions(assets=[made]).resolve_implicit_global_asset_job_def()
    tags = {ASSET_PARTITION_RANGE_START_TAG: KEYS[0], ASSET_PARTITION_RANGE_END_TAG: KEYS[-1]}
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def published(instance: dg.DagsterInstance) -> list[str]:
    records = instance.fetch_materializations(JARS, limit=100).records
    return sorted(str(record.partition_key) for record in records)


def _unreadable(partition: Partition) -> pd.DataFrame:
    return rows(partition.key, "plums" if partition.key == "b" else "1")


def _panicking(partition: Partition) -> pd.DataFrame:
    if partition.key == "b":
        raise Panic("plums")
    return rows(partition.key)


def _exiting(partition: Partition) -> pd.DataFrame:
    if partition.key == "b":
        raise SystemExit("plums")
    return rows(partition.key)


@pytest.mark.parametrize("make", [_unreadable, _panicking, _exiting], ids=["a rule", "a panic", "an exit with a text"])
def test_what_raises_on_one_partition_stops_it_alone_and_is_told_without_its_text(
    instance: dg.DagsterInstance, settings: Settings, make: Callable[[Partition], Any]
) -> None:
    result = run(instance, jars(make))
    assert "1 of 4 partitions were not published: b" in failure(result)
    assert published(instance) == ["a", "c", "d"]
    assert "plums" not in str(result.all_events)
    with LakeSession(settings) as session:
        assert sweep(session, "pantry", older_than_seconds=0) == []


def test_the_error_of_each_partition_is_told_and_its_text_kept(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    def three_errors(partition: Partition) -> pd.DataFrame:
        if partition.key == "b":
            raise SourceUnavailableError(source="Shelf b", culprit="it is away.", remedy="Wait.")
        if partition.key == "c":
            raise KeyError("plums")
        if partition.key == "d":
            raise dg.Failure("The cellar is flooded.")
        return rows(partition.key)

    result = run(instance, jars(three_errors))
    assert "The first error, of b: Shelf b: it is away. Wait." in failure(result)
    logged = [entry.message for entry in instance.all_logs(result.run_id) if entry.level == logging.ERROR]
    [b, c, d] = [message for message in logged if message.startswith("Partition ")]
    assert b == "Partition b: Shelf b: it is away. Wait."
    assert d == "Partition d: The cellar is flooded."
    assert "plums" not in c
    [error_id] = re.findall(r"mlops-assets error (\w+)", c)
    assert "KeyError: 'plums'" in kept_text(settings.errors, error_id)


def test_a_record_that_cannot_be_kept_stops_its_partition_alone(instance: dg.DagsterInstance) -> None:
    def make(partition: Partition) -> dg.MaterializeResult[pd.DataFrame]:
        told = dg.AssetCheckResult(passed=True, check_name="ripe", description="\0" if partition.key == "b" else "Yes.")
        return dg.MaterializeResult(value=rows(partition.key), check_results=[told])

    result = run(instance, jars(make, check_specs=[dg.AssetCheckSpec("ripe", asset=JARS)]))
    assert "1 of 4 partitions were not published: b" in failure(result)
    assert published(instance) == ["a", "c", "d"]


@pytest.mark.parametrize("again", [True, False])
def test_a_failure_raised_on_purpose_is_tried_again_only_where_it_says_so(
    instance: dg.DagsterInstance, *, again: bool
) -> None:
    called: list[str | None] = []

    def make(partition: Partition) -> pd.DataFrame:
        called.append(partition.key)
        if partition.key == "b":
            raise dg.Failure("No plums.", allow_retries=again)
        return rows(partition.key)

    run(instance, jars(make, retry_policy=dg.RetryPolicy(max_retries=1)))
    assert called == [*KEYS, *(KEYS if again else ())]


@pytest.mark.parametrize("raises", [False, True])
def test_no_frame_outlives_the_partition_it_was_made_for(instance: dg.DagsterInstance, *, raises: bool) -> None:
    frames: list[weakref.ref[pd.DataFrame]] = []
    most = 0

    def make(partition: Partition) -> pd.DataFrame:
        nonlocal most
        most = max(most, sum(frame() is not None for frame in frames))
        made = rows(partition.key)
        frames.append(weakref.ref(made))
        if raises:
            raise ValueError
        return made

    run(instance, jars(make))
    assert len(frames) == len(KEYS)
    assert most == 0


def test_a_range_of_one_partition_leaves_no_check_planned(instance: dg.DagsterInstance) -> None:
    mill.deliver()
    assert mill.year(instance, first=BAD, last=BAD).success
    assert checks(instance, mill.SACKS, "contract") == {BAD: "SUCCEEDED"}


@pytest.mark.parametrize("window", ["among the events", "among the checks"])
def test_a_kill_leaves_no_more_than_one_partition_told_whose_checks_are_not(
    instance: dg.DagsterInstance, settings: Settings, window: str
) -> None:
    mill.deliver()
    assert mill.year_and_send(window, signal.SIGKILL) == -signal.SIGKILL
    for each in instance.get_runs():
        if each.status not in FINISHED_STATUSES:
            instance.report_run_failed(each)
    with LakeSession(settings) as session:
        reconcile(session, instance, [mill.SACKS], {}, now=time.time())
    assert list(versions(instance, mill.SACKS)) == list(MONTHS)
    for name in rules.check_names(mill.SACKS):
        assert list(checks(instance, mill.SACKS, name).values()).count("PLANNED") <= 1
