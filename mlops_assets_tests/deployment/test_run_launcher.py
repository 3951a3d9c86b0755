"""Which container is a run's: the one whose label says so, whatever the run's tags say. The engine is a small one."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.test_utils import create_run_for_test

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMITS = {"memory": "512m", "cpus": 1.0, "pids": 100}


class Engine(http.server.BaseHTTPRequestHandler):
    """Tells of one running container, and notes who is stopped."""

    protocol_version = "HTTP/1.1"
    label: ClassVar[str] = ""
    stopped: ClassVar[list[str]] = []

    def address_string(self) -> str:
        return ""

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        if self.path.endswith("/version"):
            self._say({"ApiVersion": "1.41", "MinAPIVersion": "1.12"})
        else:
            labels = {"dagster/run_id": self.label}
            self._say({"Id": "c" * 64, "State": {"Status": "running"}, "Config": {"Labels": labels}})

    def do_POST(self) -> None:
        self.stopped.append(self.path)
        self._say({})

    def _say(self, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture(name="instance")
def _instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    monkeypatch.setattr(Engine, "stopped", [])
    launcher = {"deployment": "test", "image": "runs", "limits": LIMITS, "ceiling": LIMITS}
    settings = {
        "telemetry": {"enabled": False},
        "run_launcher": {
            "module": "mlops_assets.deployment.run_launcher",
            "class": "PhoenixRunLauncher",
            "config": launcher,
        },
    }
    (tmp_path / "dagster.yaml").write_text(json.dumps(settings), encoding="utf-8")
    with _Server(str(tmp_path / "engine.sock"), Engine) as server, dg.DagsterInstance.from_config(str(tmp_path)) as own:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield own
        server.shutdown()


@pytest.mark.parametrize("own", [True, False])
def test_a_run_is_ended_by_its_own_container_and_no_other_that_its_tags_name(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, *, own: bool
) -> None:
    tags = {"docker/container_id": "test-run-11111111-2222-3333-4444-555555555555"}
    run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags=tags)
    monkeypatch.setattr(Engine, "label", run.run_id if own else "11111111-2222-3333-4444-555555555555")
    health = instance.run_launcher.check_run_worker_health(run)
    assert health.status is (WorkerStatus.RUNNING if own else WorkerStatus.NOT_FOUND)
    assert instance.run_launcher.terminate(run.run_id) is own
    assert bool(Engine.stopped) is own
