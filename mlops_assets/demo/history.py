"""Loading history: materializing many partitions of the production assets, in order and in this process.

Put here the order and the loop. Keep out what an asset does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.definitions import definitions
from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dagster import ExecuteInProcessResult

_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Batch:
    """Partitions that are materialized one after another.

    Attributes:
        title: what a person sees while it runs.
        assets: keys of the assets of each run, as text.
        partitions: one run for each; ``(None,)`` for unpartitioned assets.
        before: called with a partition key before its run.
    """

    title: str
    assets: Sequence[str]
    partitions: Sequence[str | None]
    before: Callable[[str], None] | None = None


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
    defs = definitions()
    assets = {key: asset for asset in defs.assets or () if isinstance(asset, dg.AssetsDefinition) for key in asset.keys}
    runs = 0
    for batch in batches:
        chosen = [assets[dg.AssetKey.from_user_string(name)] for name in batch.assets]
        upstream = {dep.asset_key for asset in chosen for spec in asset.specs for dep in spec.deps}
        stubs = [
            dg.AssetSpec(key=key, partitions_def=assets[key].partitions_def)
            for key in sorted(upstream - {key for asset in chosen for key in asset.keys})
        ]
        job = dg.Definitions(assets=[*chosen, *stubs]).resolve_implicit_global_asset_job_def()
        for done, partition in enumerate(batch.partitions):
            progress(batch.title, done, len(batch.partitions))
            if batch.before is not None and partition is not None:
                batch.before(partition)
            result = job.execute_in_process(
                partition_key=partition, instance=instance, raise_on_error=False, run_config=_QUIET
            )
            runs += 1
            if not result.success:
                raise LoadError(
                    source=f"Run {result.run_id} of {', '.join(batch.assets)} ({partition})",
                    culprit=_reason(result),
                    remedy="Look at the run in the Dagster UI (make dev).",
                )
        progress(batch.title, len(batch.partitions), len(batch.partitions))
    return runs


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
