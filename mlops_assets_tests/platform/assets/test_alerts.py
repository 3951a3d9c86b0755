"""Alerts: one for each failed run and each failed check, delivered to a real receiver."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.platform.assets.alerts import alert_sensor
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard

if TYPE_CHECKING:
    from collections.abc import Iterator


class Receiver:
    """A webhook receiver on loopback; ``answers`` holds the status codes of the next requests."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answers.pop(0) if receiver.answers else 200
                if status == 200:
                    receiver.alerts.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    receiver = Receiver()
    monkeypatch.setenv("MLOPS_ASSETS_ALERTS__WEBHOOK_URL", receiver.url)
    yield receiver
    receiver.server.shutdown()


class Watch:
    """The alert sensor of the orchard, ticking by hand."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.sensor = alert_sensor("watch", [spec for asset in orchard.ASSETS for spec in asset.specs])
        self.cursor: str | None = None

    def tick(self) -> None:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        self.sensor(context)
        self.cursor = context.cursor


@pytest.fixture
def watch(instance: dg.DagsterInstance) -> Watch:
    return Watch(instance)


def logged() -> list[dict[str, Any]]:
    file = Settings.load().alert_log
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def test_a_failed_check_is_told_once_with_asset_partition_rule_count_and_owner(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    orchard.weigh("w1", [{"week": "w1", "tree": 1, "picker": "Secret Name", "kilos": -1.0}])
    orchard.pick("w1", instance=instance)
    watch.tick()
    watch.tick()
    [alert] = receiver.alerts
    assert alert["kind"] == "check_failed"
    assert (alert["asset"], alert["partition"], alert["rule"]) == ("raw/harvest", "w1", "values")
    assert (alert["rows"], alert["owner"], alert["severity"]) == (1, "team:pickers", "error")
    assert "the last good data stands" in alert["message"]
    assert "Secret Name" not in json.dumps(alert)
    assert logged() == [alert]


def test_a_warning_is_told_as_such(receiver: Receiver, watch: Watch, instance: dg.DagsterInstance) -> None:
    orchard.weigh("w1", [{"week": "w1", "tree": 1, "picker": "P", "kilos": 500.0}])
    assert orchard.pick("w1", [orchard.harvest], instance=instance).success
    watch.tick()
    [alert] = receiver.alerts
    assert (alert["rule"], alert["severity"]) == ("no_windfall", "warning")


def test_a_run_that_fails_otherwise_is_told_once_with_its_reason(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    orchard.pick("w2", [orchard.yields], instance=instance)
    watch.tick()
    watch.tick()
    [alert] = receiver.alerts
    assert alert["kind"] == "run_failed"
    assert (alert["asset"], alert["partition"], alert["owner"]) == ("wrangled/yields", "w2", "team:farm")
    assert "raw/harvest" in alert["message"]
    assert "Materialize it first" in alert["message"]


def test_the_text_of_an_unexpected_error_is_not_told(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    orchard.scale_file("w1").write_text('{"picker": "Secret Name', encoding="utf-8")
    orchard.pick("w1", [orchard.harvest], instance=instance)
    watch.tick()
    [alert] = receiver.alerts
    assert "JSONDecodeError" in alert["message"]
    assert "Secret Name" not in json.dumps(alert)


def test_an_alert_waits_for_a_receiver_that_is_away_and_is_logged_once(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    receiver.answers = [503] * 3
    orchard.pick("w2", [orchard.yields], instance=instance)
    watch.tick()
    assert receiver.alerts == []
    assert len(logged()) == 1
    watch.tick()
    assert len(receiver.alerts) == 1
    assert len(logged()) == 1


def test_success_is_silent(receiver: Receiver, watch: Watch, instance: dg.DagsterInstance) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    orchard.pick("w1", instance=instance)
    watch.tick()
    assert receiver.alerts == []
    assert logged() == []
