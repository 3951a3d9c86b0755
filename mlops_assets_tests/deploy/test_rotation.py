"""Secrets renewed while the deployment stands: it goes on with the new ones, and the old password is worth nothing."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.deploy.accounts import RIGHT, connected, password
from mlops_assets_tests.deploy.stack import PAGES, REPORTS, SERVICE, copy_volume, token
from mlops_assets_tests.docker_engine import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.deploy.stack import Stack

pytestmark = [pytest.mark.docker]


def compose(*words: str) -> None:
    """The command that docs/deployment.md names."""
    done = subprocess.run(["deploy/compose", *words], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def well() -> None:
    """Wait until everything is up."""
    subprocess.run(["deploy/wait-healthy"], check=True, cwd=ROOT)


def test_the_deployment_goes_on_with_rotated_secrets(stack: Stack, clients: Path, tmp_path: Path) -> None:
    served = {port: ssl.get_server_certificate(("localhost", port)) for port in (PAGES, REPORTS, SERVICE)}
    old_password, old_token = password(), token("before-the-rotation")

    compose("run", "--rm", "secrets", "mlops-assets", "secrets", "rotate", "--folder", "/secrets")
    compose("restart")
    well()
    # Restarted containers may have other addresses.
    vars(stack).pop("containers", None)

    assert all(ssl.get_server_certificate(("localhost", port)) != before for port, before in served.items())
    assert password() != old_password
    assert connected(RIGHT).split()[-1] == "TLSv1.3"
    assert "password authentication failed" in connected(
        RIGHT.replace("passfile=/s/pgpass", f"password={old_password}")
    )
    # People go on with what they were given.
    renewed = copy_volume("secrets-clients", tmp_path)
    assert (renewed / "a.plumber.pem").read_bytes() == (clients / "a.plumber.pem").read_bytes()
    with stack.client(renewed, PAGES, "a.plumber") as client:
        locations = client.post("/graphql", json={"query": "{ workspaceOrError { ... on Workspace { locationEntries { "
                                                  "name loadStatus } } } }"})  # fmt: skip
        assert {entry["loadStatus"] for entry in locations.json()["data"]["workspaceOrError"]["locationEntries"]} == {
            "LOADED"
        }
    with stack.client(renewed, SERVICE, None) as client:
        # Until its key is retired a token of the old key holds.
        for bearer in (old_token, token("after-the-rotation")):
            answer = client.get("/v1/tables", headers={"Authorization": f"Bearer {bearer}"})
            assert answer.status_code in {200, 503}
