"""Dagster's own commands in a fresh checkout, where no variable is set."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import httpx
import pytest

from mlops_assets.definitions import definitions
from mlops_assets.demo.live import free_port
from mlops_assets.demo.waiting import wait_for_process
from mlops_assets.deployment.instance import VARIABLES
from mlops_assets_tests.demo.test_processes import HEARING
from mlops_assets_tests.docker_engine import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = """
{
  workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } }
  assetNodes { assetKey { path } }
}
"""


def unset() -> dict[str, str]:
    """This process's environment without anything of Dagster's or ours."""
    return {name: value for name, value in os.environ.items() if not re.match("DAGSTER_|MLOPS_ASSETS_", name)}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What of a checkout Dagster's commands read."""
    for name in ("pyproject.toml", "dg.toml", "workspace.yaml", "dagster.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "mlops_assets").symlink_to(ROOT / "mlops_assets")
    return tmp_path


def shown(command: Sequence[str], folder: Path) -> dict[str, Any]:
    """What the web server that this command starts says of locations and assets; whatever was started is ended."""
    port = free_port()
    log = folder / "printed.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*HEARING, str(Path(sys.executable).with_name(command[0])), *command[1:], "--port", str(port)],
            cwd=folder,
            env=unset(),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    answer: dict[str, Any] = {}

    def answered() -> bool:
        nonlocal answer
        try:
            answer = httpx.post(f"http://127.0.0.1:{port}/graphql", json={"query": _SHOWN}, timeout=60).json()["data"]
        except httpx.TransportError:
            return False
        # Locations load one after the other.
        return len(answer["workspaceOrError"]["locationEntries"]) > 0 and all(
            entry["locationOrLoadError"] is not None for entry in answer["workspaceOrError"]["locationEntries"]
        )

    try:
        wait_for_process(answered, process, name=" ".join(command), log=log)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
    return answer


def keys() -> set[str]:
    """The keys of all assets that the pipelines make."""
    assets = definitions().assets or ()
    return {key.to_user_string() for asset in assets if isinstance(asset, dg.AssetsDefinition) for key in asset.keys}


@pytest.mark.parametrize(
    ("command", "locations"),
    [
        (("dagster", "dev"), {"plumbing", "wrangling", "modeling"}),
        (("dg", "dev", "--workspace", "workspace.yaml"), {"plumbing", "wrangling", "modeling"}),
        # dg knows one project in a checkout: the super-pipeline.
        (("dg", "dev"), {"mlops_assets"}),
    ],
    ids=["dagster-dev", "dg-dev-workspace", "dg-dev"],
)
def test_the_user_interface_opens_without_any_variable(
    checkout: Path, command: tuple[str, ...], locations: set[str]
) -> None:
    answer = shown(command, checkout)
    entries = {
        entry["name"]: entry["locationOrLoadError"]["__typename"]
        for entry in answer["workspaceOrError"]["locationEntries"]
    }
    assert entries == dict.fromkeys(locations, "RepositoryLocation")
    assert {"/".join(node["assetKey"]["path"]) for node in answer["assetNodes"]} >= keys()
    # What it keeps is where the demonstration keeps it.
    assert (checkout / ".mlops_assets" / "dagster" / "history" / "runs.db").exists()


def test_definitions_are_validated_without_any_variable(checkout: Path) -> None:
    for command in (("dagster", "definitions", "validate", "-w", "workspace.yaml"), ("dg", "check", "defs")):
        result = subprocess.run(
            [str(Path(sys.executable).with_name(command[0])), *command[1:]],
            check=False,
            cwd=checkout,
            env=unset(),
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_a_deployment_whose_variables_are_incomplete_does_not_open_the_embedded_instance(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLOPS_ASSETS_DEPLOYMENT", "test")
    with (
        pytest.raises(Exception, match="MLOPS_ASSETS_PG_URL"),
        dg.DagsterInstance.from_config(str(checkout)) as instance,
    ):
        instance.get_runs()
