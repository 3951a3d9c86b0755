"""The Docker engine for tests: whether one answers, and the image under test.

Put here what container tests share. Keep out assertions.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
IMAGE: Final = "mlops-assets:test"
CONTAINER_UID: Final = 10001
"""The user of the image, who must own what a run writes."""


def require_engine() -> None:
    """Skip the test, saying why, where no engine answers; fail where the environment demands one."""
    answers = shutil.which("docker") is not None and (
        subprocess.run(["docker", "info"], check=False, capture_output=True).returncode == 0
    )
    if answers:
        return
    reason = "no Docker engine answers: start one (see .ci/docker-engine) to run the container tests"
    if "docker" in os.environ.get("MLOPS_ASSETS_TEST_REQUIRE", ""):
        pytest.fail(reason)
    pytest.skip(reason)


def build_image() -> str:
    """Build the image from this checkout; returns its name."""
    result = subprocess.run(
        ["docker", "build", "--quiet", "--tag", IMAGE, str(ROOT)], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return IMAGE


def copy_of_checkout(folder: Path) -> Path:
    """Copy the files of this checkout that are under version control, as they are now; returns where they are."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


def base_image() -> str:
    """The image that ours is built on; the engine has it, as the script that starts an engine sees to it."""
    return os.environ.get("BASE_IMAGE", "python:3.11-slim-bookworm")
