"""Loading history: materializing many partitions of the production assets, in order and in this process.

Put here the order and the loop. Keep out what an asset does.
"""

from __future__ import annotations

import signal
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from mlops_assets.definitions import definitions
from mlops_assets.demo.waiting import reason_of
from mlops_assets.platform.assets.ranges import RANGE_END, RANGE_START, key_ranges, partitions_in_a_run
from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Batch:
    """Partitions of some assets, each run with as many as the assets take at once.

    Attributes:
        title: what a person sees while it runs.
        assets: keys of the assets of each run, as text.
        partitions: partition keys, in the order of their definition; ``(None,)`` for unpartitioned assets.
        before: called with a partition key before its run, one run ahead in a thread of its own.
        at_once: how many partitions a run may have at most, so that a person sees how far it is; as many as the assets
            take when not given.
    """

    title: str
    assets: Sequence[str]
    partitions: Sequence[str | None]
    before: Callable[[str], None] | None = None
    at_once: int | None = None


class LoadError(PlatformError):
    """A partition of the history could not be materialized."""


@contextmanager
def loading_instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of that folder, without files for what steps print.

    Dagster starts four processes for each run to keep those, which takes longer than many a run.
    """
    nowhere = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    reference = InstanceRef.from_dir(str(folder), overrides={"compute_logs": nowhere})
    with dg.DagsterInstance.from_ref(reference) as instance:
        yield instance


def load(batches: Sequence[Batch], instance: dg.DagsterInstance, progress: Callable[[str, int, int], None]) -> int:
    """Materialize the batches in order; returns the number of runs.

    Args:
        batches: what to materialize.
        instance: the instance that records the runs.
        progress: called with title, partitions done and partitions in all of the batch.

    Raises:
        LoadError: a run failed; the message names asset, partition and reason.
    """
    defined = list(definitions().assets or ())
    assets = {key: asset for asset in defined if isinstance(asset, dg.AssetsDefinition) for key in asset.keys}
    by_hand = {spec.key: spec for spec in defined if isinstance(spec, dg.AssetSpec)}
    runs = 0
    # Dagster's runs in one process cannot overlap (each sets up logging anew), but the sources need not wait for them.
    with ThreadPoolExecutor(max_workers=1) as ahead, _signals_seen() as told_to_end:
        for batch in batches:
            job = _job(batch, assets, by_hand)
            total = len(batch.partitions)
            ranges = _ranges(batch, [assets[dg.AssetKey.from_user_string(name)] for name in batch.assets])
            prepared = _prepare(batch, ranges, 0, ahead)
            done = 0
            for number, keys in enumerate(ranges):
                progress(batch.title, done, total)
                prepared.result()
                prepared = _prepare(batch, ranges, number + 1, ahead)
                result = job.execute_in_process(
                    partition_key=keys[0] if len(keys) == 1 else None,
                    tags={RANGE_START: str(keys[0]), RANGE_END: str(keys[-1])} if len(keys) > 1 else None,
                    instance=instance,
                    raise_on_error=False,
                    run_config=_QUIET,
                )
                if told_to_end():
                    # Dagster makes a failed run of it, or nothing at all.
                    raise KeyboardInterrupt
                if not result.success:
                    which = str(keys[0]) if len(keys) == 1 else f"{keys[0]} to {keys[-1]}"
                    raise LoadError(
                        source=f"Run {result.run_id} of {', '.join(batch.assets)} ({which})",
                        culprit=reason_of(result.all_events),
                        remedy="Look at the run in the Dagster UI (make dev).",
                    )
                done += len(keys)
            progress(batch.title, total, total)
            runs += len(ranges)
    return runs


@contextmanager
def _signals_seen() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether this process was told to end since it was asked last.

    Dagster takes the signals while a run is under way, and forgets one that it meets between two steps.
    """
    if threading.current_thread() is not threading.main_thread():
        # Signals are the main thread's.
        yield lambda: False
        return
    seen, telling = socket.socketpair()
    with seen, telling:
        seen.settimeout(0)
        telling.settimeout(0)
        before = signal.set_wakeup_fd(telling.fileno(), warn_on_full_buffer=False)

        def told_to_end() -> bool:
            try:
                return not set(seen.recv(4096)).isdisjoint((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
            except BlockingIOError:
                return False

        try:
            yield told_to_end
        finally:
            signal.set_wakeup_fd(before)


def _ranges(batch: Batch, assets: Sequence[dg.AssetsDefinition]) -> list[Sequence[str | None]]:
    """The partitions of each run.

    Assets that are made from one another are together, unlike in the automation's ranges: nothing may fail here.
    """
    keys = [key for key in batch.partitions if key is not None]
    at_most = min([*(partitions_in_a_run(asset) for asset in assets), *([batch.at_once] if batch.at_once else [])])
    partitions_def = assets[0].partitions_def
    if partitions_def is None or at_most == 1 or not keys:
        return [[key] for key in batch.partitions]
    return [
        partitions_def.get_partition_keys_in_range(dg.PartitionKeyRange(start, end))
        for start, end in key_ranges(partitions_def, keys, at_most=at_most)
    ]


def _prepare(
    batch: Batch, ranges: Sequence[Sequence[str | None]], number: int, ahead: ThreadPoolExecutor
) -> Future[None]:
    keys = ranges[number] if number < len(ranges) and batch.before is not None else []

    def prepare() -> None:
        for key in keys:
            if batch.before is not None and key is not None:
                batch.before(key)

    return ahead.submit(prepare)


def _job(
    batch: Batch, assets: Mapping[dg.AssetKey, dg.AssetsDefinition], by_hand: Mapping[dg.AssetKey, dg.AssetSpec]
) -> dg.JobDefinition:
    chosen = [assets[dg.AssetKey.from_user_string(name)] for name in batch.assets]
    made = {key for asset in chosen for key in asset.keys}
    upstream = {dep.asset_key for asset in chosen for spec in asset.specs for dep in spec.deps}
    partitions = {key: (assets[key] if key in assets else by_hand[key]).partitions_def for key in upstream - made}
    stubs = [dg.AssetSpec(key=key, partitions_def=partitions[key]) for key in sorted(partitions)]
    return dg.Definitions(assets=[*chosen, *stubs]).resolve_implicit_global_asset_job_def()
