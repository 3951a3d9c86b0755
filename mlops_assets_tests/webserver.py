"""A real Dagster web server for tests, and the few GraphQL calls that its users make.

Put here starting and asking. Keep out assertions.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from mlops_assets_tests.postgres import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_READY_SECONDS: Final = 120.0

LAUNCH: Final = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
_STATUS: Final = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


def launch_parameters(location: str, asset: list[str], partition: str | None, *also: list[str]) -> dict[str, Any]:
    """The parameters of `LAUNCH` for the materialization of assets, all of one partition or all without any."""
    tags = [] if partition is None else [{"key": "dagster/partition", "value": partition}]
    return {
        "selector": {
            "repositoryLocationName": location,
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": path} for path in (asset, *also)],
            "assetCheckSelection": None,
        },
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": tags},
    }


class WebServer:
    """The server's address and its GraphQL interface.

    Attributes:
        url: base address.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """The ``data`` of a GraphQL answer."""
        response = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60)
        body: dict[str, Any] = response.json()
        assert "errors" not in body, body
        data: dict[str, Any] = body["data"]
        return data

    def launch(self, location: str, asset: list[str], partition: str) -> str:
        """Launch the materialization of one partition, as the UI's button does; returns the run id."""
        params = launch_parameters(location, asset, partition)
        launched = self.ask(LAUNCH, params=params)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def outcome(self, run_id: str, *, seconds: float) -> str:
        """The final status of a run, waiting at most so long; its last status if it does not end."""
        deadline = time.monotonic() + seconds
        status = "NOT_STARTED"
        while time.monotonic() < deadline:
            status = str(self.ask(_STATUS, id=run_id)["runOrError"]["status"])
            if status in {"SUCCESS", "FAILURE", "CANCELED"}:
                break
            time.sleep(0.3)
        return status


@contextmanager
def web_server(workspace: Path, environment: Mapping[str, str], log: Path) -> Iterator[WebServer]:
    """A web server over that workspace, ready for requests; ended at the end."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("dagster-webserver")),
                *("-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)),
            ],
            env={**os.environ, **environment},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            try:
                if httpx.get(f"{url}/server_info", timeout=2).is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.3)
        yield WebServer(url)
    finally:
        process.terminate()
        process.wait(timeout=30)
