"""The asset ``serving/export``: the predictions as the service reads them.

Put here its wiring. Keep out reading and writing, which are in `mlops_assets.modeling.export` and the platform.
"""

from __future__ import annotations

import dagster as dg

from mlops_assets.contracts.models import MODELERS
from mlops_assets.modeling.export import EXPORTED, TABLE, export_predictions
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings


@dg.asset(
    key=["serving", "export"],
    deps=[dg.AssetDep(contract.key, partition_mapping=dg.AllPartitionMapping()) for contract in EXPORTED],
    automation_condition=on_new_data(),
    owners=list(MODELERS),
    group_name="serving",
    kinds={"sqlite"},
    code_version="1",
)
@told_plainly("Asset serving/export", owners=MODELERS)
def export() -> dg.MaterializeResult[None]:
    """All predictions as one verified, immutable export, which the service follows."""
    with LakeSession(Settings.load()) as session:
        manifest = export_predictions(session)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(manifest.export_id),
        metadata={"export_id": manifest.export_id, "rows": manifest.tables[TABLE].rows},
    )
