"""Loading history: materializing many partitions of the production assets, in order and in this process.

Put here the order and the loop. Keep out what an asset does.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event
from typing import TYPE_CHECKING, Final, Self

import dagster as dg

from mlops_assets.definitions import definitions
from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dagster import ExecuteInProcessResult

LANES: Final = 2
_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Batch:
    """Partitions of some assets. Those of one lane are materialized one after another, lanes beside each other.

    Attributes:
        title: what a person sees while it runs.
        assets: keys of the assets of each run, as text.
        lanes: partition keys, one run for each; ``None`` for unpartitioned assets.
        before: called with a partition key before its run.
    """

    title: str
    assets: Sequence[str]
    lanes: Sequence[Sequence[str | None]]
    before: Callable[[str], None] | None = None

    @classmethod
    def of(cls, title: str, assets: Sequence[str], partitions: Sequence[str | None]) -> Self:
        """A batch of partitions that do not need each other."""
        return cls(title, assets, [partitions[lane::LANES] for lane in range(LANES)])


class LoadError(PlatformError):
    """A partition of the history could not be materialized."""


def load(batches: Sequence[Batch], instance: dg.DagsterInstance, progress: Callable[[str, int, int], None]) -> int:
    """Materialize the batches in order; returns the number of runs.

    Args:
        batches: what to materialize.
        instance: the instance that records the runs.
        progress: called with title, runs done and runs in all of the batch.

    Raises:
        LoadError: a run failed; the message names asset, partition and reason.
    """
    assets = {
        key: asset
        for asset in definitions().assets or ()
        if isinstance(asset, dg.AssetsDefinition)
        for key in asset.keys
    }
    runs = 0
    for batch in batches:
        job = _job(batch, assets)
        total = sum(len(lane) for lane in batch.lanes)
        progress(batch.title, 0, total)
        # Threads pay although Python runs one at a time: reading, hashing and writing happen in DuckDB.
        with ThreadPoolExecutor(len(batch.lanes)) as lanes:
            finished: SimpleQueue[Exception | None] = SimpleQueue()
            stopping = Event()
            for lane in batch.lanes:
                lanes.submit(_run_lane, batch, lane, job, instance, finished=finished, stopping=stopping)
            for done in range(1, total + 1):
                error = finished.get()
                if error is not None:
                    stopping.set()
                    raise error
                progress(batch.title, done, total)
        runs += total
    return runs


def _job(batch: Batch, assets: Mapping[dg.AssetKey, dg.AssetsDefinition]) -> dg.JobDefinition:
    chosen = [assets[dg.AssetKey.from_user_string(name)] for name in batch.assets]
    made = {key for asset in chosen for key in asset.keys}
    upstream = {dep.asset_key for asset in chosen for spec in asset.specs for dep in spec.deps}
    stubs = [dg.AssetSpec(key=key, partitions_def=assets[key].partitions_def) for key in sorted(upstream - made)]
    return dg.Definitions(assets=[*chosen, *stubs]).resolve_implicit_global_asset_job_def()


def _run_lane(
    batch: Batch,
    lane: Sequence[str | None],
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    *,
    finished: SimpleQueue[Exception | None],
    stopping: Event,
) -> None:
    for partition in lane:
        if stopping.is_set():
            return
        try:
            _run(batch, partition, job, instance)
        except Exception as error:  # noqa: BLE001  handed to the loading thread, which raises it
            finished.put(error)
            return
        finished.put(None)


def _run(batch: Batch, partition: str | None, job: dg.JobDefinition, instance: dg.DagsterInstance) -> None:
    if batch.before is not None and partition is not None:
        batch.before(partition)
    result = job.execute_in_process(partition_key=partition, instance=instance, raise_on_error=False, run_config=_QUIET)
    if not result.success:
        raise LoadError(
            source=f"Run {result.run_id} of {', '.join(batch.assets)} ({partition})",
            culprit=_reason(result),
            remedy="Look at the run in the Dagster UI (make dev).",
        )


def _reason(result: ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None and data.user_failure_data.description:
                return str(data.user_failure_data.description)
            cause = data.error
            while cause is not None and cause.cause is not None:
                cause = cause.cause
            return cause.message.strip() if cause is not None else "the step failed."
    return "the run failed."
