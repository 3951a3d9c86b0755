"""A small export of predictions: two states, two elections, two measures.

Put here the rows that the service's tests share. Keep out anything that needs the lake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mlops_assets.platform.export import write_export
from mlops_assets.serving.predictions import KEY, TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.platform.export_manifest import ExportManifest

DISTRICTS = {"NC": [f"{number:02}" for number in range(1, 15)], "GA": [f"{number:02}" for number in range(1, 15)]}
ELECTIONS = ("2020", "2022")
MEASURES = ("total_votes", "turnout")
ROWS = len(ELECTIONS) * len(MEASURES) * sum(len(numbers) for numbers in DISTRICTS.values())


def predictions(model_version: str = "v1") -> pa.Table:
    """Rows as the export of predictions holds them."""
    rows = [
        {
            "election": election,
            "state": state,
            "district": district,
            "measure": measure,
            "value": 0.5,
            "lower": 0.4,
            "upper": 0.6,
            "coverage": 0.9,
            "basis": None if measure == "turnout" else 500_000.0,
            "model_name": f"district_{measure}",
            "model_version": model_version,
            "features_version": f"features-{election}-{state}",
        }
        for election in ELECTIONS
        for state, districts in DISTRICTS.items()
        for district in districts
        for measure in MEASURES
    ]
    return pa.Table.from_pylist(rows)


def export_predictions(folder: Path, model_version: str = "v1") -> ExportManifest:
    """Make an export of them current."""
    return write_export(
        folder, {TABLE: predictions(model_version)}, {"lake_snapshot": 7, "model": model_version}, keys={TABLE: KEY}
    )
