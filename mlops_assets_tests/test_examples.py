"""The example projects: each passes its own tests in an environment of its own, with this package from a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).parents[1]
_EXAMPLES: Final = sorted(file.parent.name for file in _ROOT.glob("examples/*/pyproject.toml"))
assert _EXAMPLES
_UV: Final = Path(sys.executable).with_name("uv")


def run(*command: str | Path, folder: Path) -> None:
    """Run a command outside of this environment; what it says is the failure.

    The versions of all packages are those that this package is tested with.
    """
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_ASSETS_", "DAGSTER_"))
    }
    environment = {**inherited, "UV_CONSTRAINT": str(_ROOT / "requirements.lock"), "UV_NO_PROGRESS": "1"}
    for name in ("VIRTUAL_ENV", "PYTHONPATH"):
        environment.pop(name, None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This package as a wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    run(_UV, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, folder=_ROOT)
    [file] = folder.glob("*.whl")
    return file


@pytest.mark.parametrize("example", _EXAMPLES)
def test_an_example_passes_its_tests_with_the_package_from_a_wheel(example: str, wheel: Path, tmp_path: Path) -> None:
    project = tmp_path / example
    shutil.copytree(
        _ROOT / "examples" / example, project, ignore=shutil.ignore_patterns(".*", "__pycache__", "sources")
    )
    run(_UV, "venv", "--python", sys.executable, tmp_path / "venv", folder=project)
    python = tmp_path / "venv" / "bin" / "python"
    run(_UV, "pip", "install", "--python", python, wheel, "--group", "dev", ".", folder=project)
    run(python, "-m", "pytest", "-q", folder=project)
