"""The web server of the pages as a process, before code servers that are processes too, and people who ask it.

Put here starting and asking. Keep out assertions on what a role may do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import httpx

from mlops_assets.demo.waiting import wait_for_process
from mlops_assets_tests.docker_engine import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOCATIONS: Final = ("plumbing", "wrangling", "modeling")
EVERYTHING: Final = "everything"
"""A role of the tests' own, which may do all there is: it makes what others then ask about."""

_DEFINITIONS: Final = "mlops_assets_tests.deployment.pages.locations"


@dataclass(frozen=True)
class Person:
    """Somebody at the pages.

    Attributes:
        socket: the web server's.
        headers: what the reverse proxy says of the person.
    """

    socket: Path
    headers: tuple[tuple[str, str], ...]

    def client(self) -> httpx.Client:
        """A client of the web server."""
        transport = httpx.HTTPTransport(uds=str(self.socket))
        return httpx.Client(base_url="http://pages", transport=transport, headers=self.headers, timeout=120)

    def ask(self, document: str, **variables: object) -> dict[str, Any]:
        """A GraphQL answer as it is, errors too."""
        with self.client() as client:
            answer = client.post("/graphql", json={"query": document, "variables": variables})
        body: dict[str, Any] = answer.json()
        return body

    def asked(self, document: str, **variables: object) -> Any:  # noqa: ANN401  whatever the one field gives
        """What the one field of a GraphQL document gives."""
        body = self.ask(document, **variables)
        assert "errors" not in body, body
        [value] = body["data"].values()
        return value


@dataclass(frozen=True)
class Served:
    """The web server and its instance.

    Attributes:
        socket: where it listens.
        instance: the same instance, for what no mutation makes.
    """

    socket: Path
    instance: dg.DagsterInstance

    def person(self, role: str) -> Person:
        """Somebody with that role."""
        return Person(self.socket, (("X-Role", role),))

    @property
    def everything(self) -> Person:
        """Somebody who may do all there is."""
        return self.person(EVERYTHING)


@contextmanager
def served_pages(folder: Path) -> Iterator[Served]:
    """The web server with the shipped roles and one more, in that empty folder; all is ended at the end."""
    settings = {
        "telemetry": {"enabled": False},
        # No daemon runs here: what is launched stays in the queue, where it can be ended.
        "run_coordinator": {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"},
    }
    (folder / "dagster.yaml").write_text(json.dumps(settings), encoding="utf-8")
    shipped = (ROOT / "deploy" / "roles.toml").read_text(encoding="utf-8")
    roles = f"{shipped}\n[{EVERYTHING}]\noperates = {list(LOCATIONS)}\noversees = true\n"
    (folder / "roles.toml").write_text(roles, encoding="utf-8")
    sockets = {name: folder / f"{name}.sock" for name in LOCATIONS}
    servers = [{"grpc_server": {"location_name": name, "socket": str(own)}} for name, own in sockets.items()]
    (folder / "workspace.yaml").write_text(json.dumps({"load_from": servers}), encoding="utf-8")
    with dg.DagsterInstance.from_config(str(folder)) as instance, ExitStack() as stack:
        # Its tables are made before others come: several that make them at once fail.
        started = [
            (own, stack.enter_context(_process(folder, name, ["dagster", *_code_server(name, own)])))
            for name, own in sockets.items()
        ]
        for own, process in started:
            wait_for_process(own.exists, process, name=own.stem, log=folder / f"{own.stem}.log")
        served = Served(folder / "pages.sock", instance)
        command = ["mlops-assets", "pages", "--workspace", "workspace.yaml", "--roles", "roles.toml"]
        process = stack.enter_context(_process(folder, "pages", [*command, "--listen", str(served.socket)]))
        wait_for_process(lambda: _answers(served), process, name="pages", log=folder / "pages.log")
        yield served


def _code_server(name: str, own: Path) -> Sequence[str]:
    return ("api", "grpc", "--socket", str(own), "--location-name", name, "-m", _DEFINITIONS, "--attribute", name)


@contextmanager
def _process(folder: Path, name: str, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    program = str(Path(sys.executable).with_name(command[0]))
    environment = {**os.environ, "DAGSTER_HOME": str(folder), "PYTHONPATH": str(ROOT)}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([program, *command[1:]], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _answers(served: Served) -> bool:
    try:
        with served.everything.client() as client:
            return client.get("/server_info").is_success
    except httpx.TransportError:
        return False
