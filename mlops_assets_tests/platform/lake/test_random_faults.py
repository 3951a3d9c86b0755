"""A few faults of the campaign ``make chaos NAME=lake``, on each kind of catalog."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mlops_assets_tests.docker_engine import ROOT


@pytest.mark.parametrize("catalog", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_random_faults_show_nothing_bad_and_lose_nothing(catalog: str) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "chaos" / "lake.py")],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "FAULTS": "5", "CATALOGS": catalog, "PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(ended.stdout)
    assert told["reads"] > 0
    assert sum(told["faults"].values()) == 5
