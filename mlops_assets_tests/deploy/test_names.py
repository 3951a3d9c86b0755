"""Deployments side by side: nothing of one is named like anything of another, and the policy follows the name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]  # its types are a package of their own

from mlops_assets.deployment.docker_proxy.policy import Policy, PolicyError
from mlops_assets_tests.docker_engine import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LOCATIONS = ("plumbing", "wrangling", "modeling")
IMAGE = "sha256:" + "7" * 64
POLICY = ROOT / "deploy" / "docker-policy.json"


def configuration(tmp_path: Path, **environment: str) -> Any:  # noqa: ANN401  what compose makes of its file
    """What compose reads in its file for a deployment."""
    if shutil.which("docker-compose") is None and shutil.which("docker") is None:
        pytest.skip("neither docker compose nor docker-compose is installed")
    result = subprocess.run(
        ["deploy/compose", "config"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
    )
    if result.returncode and "unknown command" in result.stderr + result.stdout:
        pytest.skip("neither docker compose nor docker-compose is installed")
    assert result.returncode == 0, result.stderr
    return yaml.safe_load(result.stdout)


def ports(config: Any) -> list[str]:  # noqa: ANN401
    """The ports of this machine that it takes."""
    told = [port for service in config["services"].values() for port in service.get("ports", ())]
    return sorted(str(each["published"]) if isinstance(each, dict) else each.split(":")[1] for each in told)


def test_two_deployments_share_no_volume_network_port_or_image(tmp_path: Path) -> None:
    one = configuration(tmp_path)
    other = configuration(tmp_path, COMPOSE_PROJECT_NAME="staging", MLOPS_ASSETS_PORT="9443")
    assert (ports(one), ports(other)) == (["8443", "8444", "8445"], ["9443", "9444", "9445"])
    # Without a name of their own they begin with the project's.
    fixed = [
        entry["name"]
        for kind in ("volumes", "networks")
        for entry in other[kind].values()
        if entry and not entry.get("name", "staging_").startswith("staging_")
    ]
    assert fixed == []
    assert {service["image"] for service in one["services"].values()}.isdisjoint(
        service["image"] for service in other["services"].values()
    )
    assert "mlops-assets_" not in json.dumps(other)


def test_what_runs_are_given_is_what_the_policy_allows_whatever_the_name(tmp_path: Path) -> None:
    policy = Policy.read(POLICY, deployment="staging", image=IMAGE)
    services = configuration(tmp_path, COMPOSE_PROJECT_NAME="staging")["services"]
    instance = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))["run_launcher"]["config"]["env_vars"]
    assert policy.label == ("mlops_assets/deployment", "staging")
    for location in LOCATIONS:
        environment = services[f"code-{location}"]["environment"]
        asked = json.loads(environment["DAGSTER_CONTAINER_CONTEXT"])["docker"]
        profile = policy.profiles[location]
        assert environment["MLOPS_ASSETS_DEPLOYMENT"] == "staging"
        assert frozenset(asked["container_kwargs"]["volumes"]) == profile.binds
        assert {environment["MLOPS_ASSETS_RUN_NETWORK"], *asked.get("networks", ())} == profile.networks
        assert {each.split("=")[0] for each in asked["env_vars"]} | set(instance) == profile.environment


def test_code_servers_runs_and_policy_have_the_same_image(tmp_path: Path) -> None:
    services = configuration(tmp_path)["services"]
    images = {services[f"code-{location}"]["environment"]["DAGSTER_CURRENT_IMAGE"] for location in LOCATIONS}
    assert images == {services["docker-proxy"]["environment"]["DAGSTER_CURRENT_IMAGE"]}


@pytest.mark.parametrize(
    ("deployment", "image"), [("", IMAGE), ("staging", ""), ('a","b', IMAGE), ("staging", "a b"), ("${IMAGE}", IMAGE)]
)
def test_a_policy_that_names_what_is_not_given_is_refused(deployment: str, image: str) -> None:
    with pytest.raises(PolicyError, match="it is no policy"):
        Policy.read(POLICY, deployment=deployment, image=image)


@pytest.mark.parametrize(
    "wrong",
    [
        {"COMPOSE_PROJECT_NAME": "Staging"},
        {"COMPOSE_PROJECT_NAME": "a_b"},
        {"COMPOSE_PROJECT_NAME": "-a"},
        {"COMPOSE_PROJECT_NAME": "a b"},
        {"MLOPS_ASSETS_PORT": "x"},
        {"MLOPS_ASSETS_PORT": "1234567"},
    ],
)
def test_a_name_or_port_that_could_be_mistaken_is_refused(wrong: dict[str, str]) -> None:
    result = subprocess.run(
        ["deploy/compose", "config"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **wrong},
    )
    assert result.returncode == 2
    assert next(iter(wrong.values())) in result.stderr
