"""A backfill that somebody asks the running web server for, and what follows it: few runs, each partition's own end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dagster._core.storage.dagster_run import FINISHED_STATUSES

from mlops_assets.demo.waiting import wait_for_process
from mlops_assets.platform.assets.alerts import tell
from mlops_assets.platform.assets.ranges import RANGE_START
from mlops_assets.platform.contracts import rules
from mlops_assets_tests.platform.assets import mill
from mlops_assets_tests.platform.assets.mill import MONTHS
from mlops_assets_tests.platform.assets.test_many_partitions import BAD, checks, versions
from mlops_assets_tests.webserver import web_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dagster as dg
    import pytest

    from mlops_assets.platform.settings import Settings

_BACKFILL: Final = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


@contextmanager
def daemon(workspace: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon over that workspace; ended at the end."""
    program = str(Path(sys.executable).with_name("dagster-daemon"))
    with log.open("wb") as out:
        process = subprocess.Popen([program, "run", "-w", str(workspace)], stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def test_it_is_one_run_of_which_the_bad_partition_stops_alone_and_consumers_follow_the_others(
    instance: dg.DagsterInstance, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mill.deliver()
    mill.deliver([BAD], kilos=-1.0)
    good = [month for month in MONTHS if month != BAD]
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text(f"load_from:\n  - python_module: {mill.__name__}\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    log = tmp_path / "daemon.log"
    with web_server(workspace, {}, tmp_path / "webserver.log") as server, daemon(workspace, log) as process:
        params = {
            "assetSelection": [{"path": list(mill.SACKS.key.path)}],
            "partitionNames": list(MONTHS),
            "fromFailure": False,
            "allPartitions": False,
        }
        told = server.ask(_BACKFILL, params=params)["launchPartitionBackfill"]
        assert told["__typename"] == "LaunchBackfillSuccess", told

        def followed() -> bool:
            backfill = instance.get_backfill(told["backfillId"])
            ended = backfill is not None and backfill.status.value.startswith("COMPLETED")
            return ended and set(versions(instance, mill.FLOUR)) == set(good)

        wait_for_process(followed, process, name="dagster-daemon", log=log)
    [run] = [run for run in instance.get_runs() if run.tags.get("dagster/backfill") == told["backfillId"]]
    assert run.status in FINISHED_STATUSES
    assert list(versions(instance, mill.SACKS)) == good
    assert versions(instance, mill.SACKS) == mill.hashes(mill.SACKS)
    for name in rules.check_names(mill.SACKS):
        found = checks(instance, mill.SACKS, name)
        assert set(found) == set(MONTHS)
        assert "PLANNED" not in found.values()
    assert tell(instance, "alerts", {mill.SACKS.key: ("team:mill",)}, settings, now=time.time()) == 1
    assert list(mill.kilos(mill.FLOUR)) == good
    following = [run for run in instance.get_runs() if mill.FLOUR.key in (run.asset_selection or ())]
    # Two at best, one on each side of the gap; a tick may fall among the events of the backfill.
    assert 2 <= len(following) < len(good)
    assert {run.tags["dagster/from_automation_condition"] for run in following} == {"true"}
    assert sum(RANGE_START in run.tags for run in following) > 0
    assert len(instance.fetch_materializations(mill.FLOUR.key, limit=100).records) == len(good)
