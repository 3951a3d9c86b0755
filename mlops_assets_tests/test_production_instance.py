"""The production instance: its file loads, on a real PostgreSQL, with containers as runs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import dagster as dg
import psycopg2.extensions
import pytest

from mlops_assets.deployment.run_launcher import PhoenixRunLauncher
from mlops_assets.deployment.storage import KeptPostgresStorage
from mlops_assets_tests.docker_engine import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.postgres import PostgresDatabase

pytestmark = [pytest.mark.postgres]


def test_the_production_instance_stores_in_postgresql_and_runs_in_containers(
    postgres_database: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = psycopg2.extensions.parse_dsn(postgres_database.dsn)
    passwords = tmp_path / "passwords"
    passwords.write_text(f"*:*:*:*:{postgres_database.password}\n", encoding="utf-8")
    passwords.chmod(0o600)
    place = f"{parts['user']}@{parts['host']}:{parts['port']}/{parts['dbname']}"
    monkeypatch.setenv("MLOPS_ASSETS_PG_URL", f"postgresql+psycopg2://{place}?passfile={passwords}")
    monkeypatch.setenv("MLOPS_ASSETS_DEPLOYMENT", "test")
    monkeypatch.setenv("MLOPS_ASSETS_RUN_NETWORK", "mlops-assets-runs")
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path))
    shutil.copy(ROOT / "dagster.yaml", tmp_path / "dagster.yaml")

    @dg.asset
    def stored() -> int:
        return 1

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.get_ref().storage, KeptPostgresStorage)
        assert isinstance(instance.run_launcher, PhoenixRunLauncher)
        assert instance.run_monitoring_enabled
        assert isinstance(instance.run_coordinator, dg.QueuedRunCoordinator)
        assert instance.run_coordinator.dequeue_interval_seconds == 1
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 8
        result = dg.materialize([stored], instance=instance, resources={"io_manager": dg.mem_io_manager})
        assert instance.get_latest_materialization_event(dg.AssetKey("stored")) is not None
        assert result.success
