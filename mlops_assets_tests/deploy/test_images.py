"""The images: what is in them and what is not; section 4 of the CIS Docker Benchmark where an image can show it."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from mlops_assets_tests.deploy.stack import IMAGES, PLATFORM_IMAGES, TAG, docker, in_container
from mlops_assets_tests.docker_engine import ROOT

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("images"),
]

_BYTES: Final = {"mlops-assets-runs": 880e6, "mlops-assets-web": 300e6, "mlops-assets-service": 400e6}
"""What docs/deployment.md says, and a little more; it explains the one above 600 MB."""

_PORTS: Final = {
    "mlops-assets-postgres",
    "mlops-assets-proxy",
    "mlops-assets-egress",
}


def inspected(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("image", "inspect", f"{image}:{TAG}"))[0]
    return found


def shell(image: str, command: str) -> str:
    return docker("run", "--rm", "--network", "none", "--user", "0", f"{image}:{TAG}", "sh", "-c", command)


@pytest.mark.parametrize("image", IMAGES)
def test_4_1_an_image_runs_as_an_unprivileged_user(image: str) -> None:
    assert inspected(image)["Config"]["User"] == "10001:10001"


@pytest.mark.parametrize("image", PLATFORM_IMAGES)
def test_4_3_an_image_holds_no_compiler_and_no_package_installer_of_python(image: str) -> None:
    packages = "/opt/mlops-assets/lib/python*/site-packages"
    found = shell(image, f"command -v gcc cc g++ make ld uv; ls -d {packages}/pip* {packages}/uv {packages}/uv-*; true")
    assert found == ""


@pytest.mark.parametrize("image", IMAGES)
def test_no_cache_of_a_package_manager_is_left(image: str) -> None:
    found = shell(
        image,
        "find /var/lib/apt/lists /root/.cache /var/cache/apt -type f ! -name lock 2>/dev/null | head; true",
    )
    assert found == ""


@pytest.mark.parametrize("image", IMAGES)
def test_4_6_an_image_that_serves_a_port_says_how_its_health_is_checked(image: str) -> None:
    config = inspected(image)["Config"]
    assert bool(config.get("ExposedPorts")) is (image in _PORTS)
    # The service and the pages have no port: their sockets are asked.
    assert bool(config.get("Healthcheck")) is (image in {*_PORTS, "mlops-assets-service", "mlops-assets-web"})


@pytest.mark.parametrize("image", IMAGES)
def test_4_8_no_file_of_an_image_gives_its_caller_the_rights_of_another(image: str) -> None:
    assert shell(image, "find / -xdev -type f -perm /6000 2>/dev/null") == ""


@pytest.mark.parametrize("image", IMAGES)
def test_4_10_no_secret_is_in_an_image(image: str) -> None:
    variables = {entry.partition("=")[0] for entry in inspected(image)["Config"]["Env"]}
    assert not {name for name in variables if any(word in name for word in ("PASSWORD", "TOKEN", "SECRET", "KEY"))}
    assert shell(image, "find /run/secrets /secrets -type f 2>/dev/null; true") == ""
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", f"{image}:{TAG}").lower()
    assert "password=" not in history


@pytest.mark.parametrize("image", IMAGES)
def test_4_9_files_are_copied_and_never_added_from_an_address(image: str) -> None:
    assert " add " not in docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", f"{image}:{TAG}").lower()


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_says_what_it_is_made_of(image: str) -> None:
    labels = inspected(image)["Config"]["Labels"]
    assert {"title", "licenses", "version", "revision", "source"} <= {name.rsplit(".", 1)[-1] for name in labels}
    assert labels["org.opencontainers.image.version"] == "0.1.0"


@pytest.mark.parametrize("image", PLATFORM_IMAGES)
def test_an_image_is_not_larger_than_the_documents_say(image: str) -> None:
    assert inspected(image)["Size"] < _BYTES[image]


def test_the_service_image_has_no_dagster_and_starts_its_application() -> None:
    program = """
import importlib.util, mlops_assets.serving.server
print([name for name in ("dagster", "duckdb", "docker") if importlib.util.find_spec(name)])
"""
    assert in_container(program, image="mlops-assets-service").strip() == "[]"


def test_the_runs_image_loads_every_code_location() -> None:
    program = """
import mlops_assets.plumbing.definitions, mlops_assets.wrangling.definitions, mlops_assets.modeling.definitions
for module in (mlops_assets.plumbing, mlops_assets.wrangling, mlops_assets.modeling):
    print(len(list(module.definitions.definitions().resolve_all_asset_specs())) > 0)
"""
    assert in_container(program, image="mlops-assets-runs").split() == ["True"] * 3


def test_a_run_finds_its_modules_compiled() -> None:
    # Its disk is read-only: what is not compiled in the image is compiled again by every run.
    program = """
import os, sys, dagster as dg
import dagster._cli.api, mlops_assets.deployment.storage, mlops_assets.variance.report.reports
import mlops_assets.plumbing.definitions, mlops_assets.wrangling.definitions, mlops_assets.modeling.definitions
for module in (mlops_assets.plumbing, mlops_assets.wrangling, mlops_assets.modeling):
    dg.Definitions.validate_loadable(module.definitions.definitions())
@dg.asset
def nothing(): pass
dg.materialize([nothing])
compiled = {name: cached for name, module in sys.modules.items() if (cached := getattr(module, "__cached__", None))}
print(len(compiled) > 1000)
print([name for name, cached in compiled.items() if cached.endswith(".pyc") and not os.path.exists(cached)])
"""
    assert in_container(program, image="mlops-assets-runs").splitlines() == ["True", "[]"]


def test_a_location_that_draws_nothing_loads_no_drawing() -> None:
    program = """
import sys, mlops_assets.plumbing.definitions, mlops_assets.wrangling.definitions, mlops_assets.modeling.definitions
print([name for name in ("matplotlib", "sklearn", "scipy") if name in sys.modules])
"""
    assert in_container(program, image="mlops-assets-runs").strip() == "[]"


def test_the_build_needs_nothing_beyond_the_old_builder() -> None:
    for file in [ROOT / "Dockerfile", *(ROOT / "deploy").glob("*/Dockerfile")]:
        text = file.read_text(encoding="utf-8")
        assert "# syntax" not in text
        assert "--link" not in text
        assert "RUN --" not in text
