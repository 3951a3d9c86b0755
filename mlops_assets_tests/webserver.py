"""A real Dagster web server for tests, and the few GraphQL calls that its users make.

Put here starting and asking. Keep out assertions.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from mlops_assets.demo.live import free_port
from mlops_assets.demo.waiting import StalledError, wait_for_process, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENDED: Final = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
"""States of a run in which nothing follows."""

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
_RUN: Final = """
query Run($id: ID!, $after: String) {
  runOrError(runId: $id) { ... on Run { status eventConnection(afterCursor: $after) { cursor } } }
}
"""


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

    def outcome(self, run_id: str) -> str:
        """The status of a run that has ended, or does not move any more: neither its status nor its events."""
        status, cursor = "NOT_STARTED", None

        def look() -> tuple[str, str | None]:
            nonlocal status, cursor
            run = self.ask(_RUN, id=run_id, after=cursor)["runOrError"]
            status, cursor = run["status"], run["eventConnection"]["cursor"]
            return status, cursor

        with suppress(StalledError):
            wait_until(lambda seen: seen[0] in ENDED, look, what=f"Run {run_id}", remedy="Look at its events.")
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

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/server_info", timeout=60).is_success
        except httpx.TransportError:
            return False

    try:
        wait_for_process(ready, process, name="dagster-webserver", log=log)
        yield WebServer(url)
    finally:
        process.terminate()
        process.wait()
