"""The raw layer as a test sees it: materializing one partition, and reading what the lake shows afterwards.

Put here what tests of several raw assets do. Keep out sources.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.plumbing.sources.source import Source


def materialize(
    source: Source | dg.AssetsDefinition, partition_key: str, tags: Mapping[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    """One partition, without raising on failure, and without the pauses of a run that tries again."""
    asset = source if isinstance(source, dg.AssetsDefinition) else source.model_copy(update={"retries": 0}).asset()
    return dg.materialize([asset], partition_key=partition_key, raise_on_error=False, tags=tags)


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the failed step says."""
    (event,) = result.get_step_failure_events()
    failed = event.step_failure_data.user_failure_data
    assert failed is not None
    return str(failed.description)


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Whether each check passed."""
    return {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}


def facts(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    """The metadata of the one materialization."""
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def visible(contract: Contract, columns: str) -> list[tuple[object, ...]]:
    """Those columns of all rows that a reader of the lake sees now, sorted."""
    with LakeSession(Settings.load()) as session:
        catalog = session.attach(contract.lake.name)
        table = session.connection.table(f"{catalog}.{contract.layer}.{contract.table}")
        return sorted(table.project(columns).fetchall())
