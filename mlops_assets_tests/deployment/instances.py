"""Dagster instances that store as a deployment does.

Put here how a test gets such an instance. Keep out what runs on it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.postgres import PostgresDatabase


def instance_on(database: PostgresDatabase, home: Path) -> dg.DagsterInstance:
    """An instance that stores in the database; ``home`` gets its settings, for other processes too."""
    settings = {
        "telemetry": {"enabled": False},
        "storage": {
            "custom": {
                "module": "mlops_assets.deployment.storage",
                "class": "KeptPostgresStorage",
                "config": {"postgres_url": database.url},
            }
        },
    }
    (home / "dagster.yaml").write_text(json.dumps(settings), encoding="utf-8")
    return dg.DagsterInstance.from_config(str(home))
