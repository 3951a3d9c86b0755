"""The deployment under test: brought up from this checkout by its own command, looked into, taken down.

Put here how tests reach the running deployment. Keep out assertions.
"""

from __future__ import annotations

import io
import json
import os
import ssl
import subprocess
import tarfile
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import httpx

from mlops_assets_tests.docker_engine import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PROJECT: Final = os.environ.get("COMPOSE_PROJECT_NAME", "mlops-assets")
TAG: Final = "latest" if PROJECT == "mlops-assets" else PROJECT
PAGES: Final = int(os.environ.get("MLOPS_ASSETS_PORT", "8443"))
REPORTS: Final = PAGES + 1
SERVICE: Final = PAGES + 2

ROLES: Final = ("plumber", "wrangler", "modeler", "architect", "viewer")
"""Those of deploy/roles.toml."""

PLATFORM_IMAGES: Final = ("mlops-assets-runs", "mlops-assets-web", "mlops-assets-service")
IMAGES: Final = (*PLATFORM_IMAGES, "mlops-assets-postgres", "mlops-assets-proxy", "mlops-assets-egress")


def docker(*words: str, check: bool = True) -> str:
    """What a Docker command printed."""
    result = subprocess.run(["docker", *words], check=False, capture_output=True, text=True)
    assert not check or result.returncode == 0, f"docker {' '.join(words)[:300]}: {result.stdout}{result.stderr}"
    return result.stdout


def make(*words: str) -> str:
    """Run one of the Makefile's targets; what it printed."""
    result = subprocess.run(["make", *words], check=False, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return result.stdout


def refused(*words: str) -> str:
    """What one of the Makefile's targets says that refuses."""
    result = subprocess.run(["make", *words], check=False, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0
    return result.stderr


def secrets_command(*words: str) -> None:
    """Run a command on the deployment's secrets, as docs/deployment.md says."""
    command = ["deploy/compose", "run", "--rm", "secrets", "mlops-assets", "secrets", *words, "--folder", "/secrets"]
    result = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def take_down() -> None:
    """Remove the deployment, with all networks that the engine lets go.

    An engine may say for ever that a network has endpoints while it names no container on it: it loses track where one
    is removed that is just starting. Only its restart ends that, and it says nothing of the deployment.
    """
    result = subprocess.run(["make", "down", "DATA=delete"], check=False, cwd=ROOT, capture_output=True, text=True)
    if result.returncode and "has active endpoints" in result.stderr:
        for name in _networks():
            docker("network", "rm", name, check=False)
        if not leftovers():
            return
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]


def _networks() -> list[str]:
    names = docker("network", "ls", "--format", "{{.Name}}").splitlines()
    return [name for name in names if name.startswith(f"{PROJECT}_")]


def leftovers() -> list[str]:
    """Containers and volumes of the deployment that exist now, and its networks with containers on them.

    An empty network holds nothing of anybody, and the next deployment takes it as it is.
    """
    containers = docker("ps", "--all", "--format", "{{.Names}} {{.Labels}}").splitlines()
    volumes = docker("volume", "ls", "--format", "{{.Name}}").splitlines()
    return [
        *(line for line in containers if f"project={PROJECT}" in line or f"deployment={PROJECT}" in line),
        *(name for name in volumes if name.startswith(f"{PROJECT}_")),
        *(name for name in _networks() if _occupied(name)),
    ]


def _occupied(network: str) -> bool:
    members = docker("network", "inspect", "--format", "{{len .Containers}}", network, check=False)
    return members.strip() not in {"", "0"}


def in_container(
    program: str,
    *,
    network: str = "none",
    volumes: Sequence[str] = (),
    image: str = "mlops-assets-web",
    arguments: Sequence[str] = (),
) -> str:
    """What a Python program printed in a throw-away container."""
    mounts = [word for volume in volumes for word in ("--volume", volume)]
    return docker(
        *("run", "--rm", "--network", network, *mounts, f"{image}:{TAG}", "python3", "-c", program, *arguments)
    )


class Stack:
    """The running deployment."""

    @cached_property
    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine says about each service's container."""
        names = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
        found = json.loads(docker("inspect", *names))
        return {entry["Config"]["Labels"]["com.docker.compose.service"]: entry for entry in found}

    @property
    def running(self) -> dict[str, dict[str, Any]]:
        """Those that stay: all but the ones that make the secrets and the storage's tables."""
        return {name: entry for name, entry in self.containers.items() if name not in {"secrets", "storage"}}

    def address(self, service: str, network: str) -> str:
        """The service's address on that network."""
        networks = self.containers[service]["NetworkSettings"]["Networks"]
        return str(networks[f"{PROJECT}_{network}"]["IPAddress"])

    def members(self, network: str) -> set[str]:
        """The services that are on that network."""
        return {
            name
            for name, entry in self.running.items()
            if f"{PROJECT}_{network}" in entry["NetworkSettings"]["Networks"]
        }

    def client(self, folder: Path, port: int, person: str | None) -> httpx.Client:
        """A client of the reverse proxy that verifies it, and signs in as that person, whose file is in ``folder``."""
        context = ssl.create_default_context(cafile=str(folder / "services.crt"))
        if person is not None:
            context.load_cert_chain(folder / f"{person}.pem")
        return httpx.Client(base_url=f"https://localhost:{port}", verify=context, timeout=60, trust_env=False)


def token(name: str) -> str:
    """A bearer token of the deployment's service for that application."""
    return docker(
        *("run", "--rm", "--network", "none", "--volume", f"{PROJECT}_secrets-tokens:/t:ro"),
        *("--env", "MLOPS_ASSETS_SERVICE__KEYS=/t/jwks.json"),
        *("--env", "MLOPS_ASSETS_SERVICE__SIGNING_KEY=/t/signing.pem"),
        *(f"mlops-assets-service:{TAG}", "mlops-assets", "token", name, "--scope", "predictions:read"),
    ).strip()


def copy_volume(volume: str, folder: Path) -> Path:
    """Copy what is in one of the deployment's volumes."""
    command = ["docker", "run", "--rm", "--network", "none", "--volume", f"{PROJECT}_{volume}:/volume:ro"]
    packed = subprocess.run(
        [*command, f"mlops-assets-web:{TAG}", "tar", "-C", "/volume", "-c", "."], check=True, capture_output=True
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def deliver(folder: Path) -> None:
    """Put the files of a landing folder into the deployment's, as a sender does."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(folder, arcname=".")
    subprocess.run(
        [
            *("docker", "run", "--rm", "--interactive", "--network", "none", "--user", "10001:10001"),
            *("--volume", f"{PROJECT}_landing:/landing", f"mlops-assets-web:{TAG}"),
            *("tar", "-C", "/landing", "--no-same-owner", "--no-overwrite-dir", "--touch", "-x"),
        ],
        input=packed.getvalue(),
        check=True,
    )
