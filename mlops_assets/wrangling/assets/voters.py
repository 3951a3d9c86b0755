"""The asset ``wrangled/voters``.

Put here its wiring. Keep out the transform, which is `mlops_assets.wrangling.voters`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.contracts import raw, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import voters as transform

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.settings import Settings


@asset(
    contract=wrangled.VOTERS,
    ins={"voter_file": In(raw.VOTER_FILE)},
    code_version="1",
    automation_condition=on_new_data(),
)
def voters(voter_file: ir.Table, settings: Settings, partition: Partition) -> dg.MaterializeResult[ir.Table]:
    """Registered persons of one state and month; what was mended is counted in the metadata."""
    key = settings.secret(settings.pseudonym_key, "PSEUDONYM_KEY")
    counts: dict[str, int] = transform.mended(voter_file).to_pyarrow().to_pylist()[0]
    transform.require_districts(counts, partition=str(partition.key))
    return dg.MaterializeResult(value=transform.voters(voter_file, pseudonym_key=key), metadata=dict(counts))
