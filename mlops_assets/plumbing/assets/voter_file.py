"""Voter files: the asset that publishes one state's file of one month from the landing folder.

Put here the wiring of that asset. Keep out how the file is read (that is its connector).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mlops_assets.contracts.raw import VOTER_FILE
from mlops_assets.platform.assets.asset import asset
from mlops_assets.plumbing.connectors.landing import Landing

if TYPE_CHECKING:
    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.settings import Settings


FILE_SHA256: Final = "file_sha256"
"""Metadata entry with the hash of the delivered file, by which an arrival is known to be published."""


@asset(contract=VOTER_FILE, code_version="1")
def voter_file(partition: Partition, settings: Settings, session: LakeSession) -> dg.MaterializeResult[Any]:
    """Registered voters of one state as its election office published them that month."""
    delivered = Landing(settings.landing).read(
        session.connection,
        session.scratch,
        state=partition.values["state"],
        month=partition.values["month"],
    )
    return dg.MaterializeResult(
        value=delivered.file,
        metadata={
            "file_rows": delivered.manifest.rows,
            "file_bytes": delivered.manifest.size,
            FILE_SHA256: delivered.manifest.sha256,
            "snapshot_date": delivered.manifest.snapshot_date.isoformat(),
            "layout": delivered.layout,
        },
    )
