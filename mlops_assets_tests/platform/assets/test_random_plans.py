"""A few plans of the campaign ``make chaos NAME=plans``."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from mlops_assets_tests.docker_engine import ROOT


def test_random_plans_of_single_and_many_partitions_end_in_the_same_content_hashes() -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "chaos" / "plans.py")],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PLANS": "2", "PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(ended.stdout)
    assert told["plans"] == 2
    assert told["wrong"] == []
