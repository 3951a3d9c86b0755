"""Alerting: receivers of alerts, and the orchard's alert sensor ticking by hand.

Put here what tests of alerts share. Keep out what they expect.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import dagster as dg

from mlops_assets.platform.assets import alerts
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard

HOUR: Final = 3600.0
LATE: Final = -1
"""An answer that does not come in time."""


class Receiver:
    """A webhook receiver on loopback; ``answers`` holds the status codes of the next requests."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.answers: list[int] = []
        self.closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answers.pop(0) if receiver.answers else 200
                if status in {200, LATE}:
                    receiver.alerts.append(json.loads(body))
                    receiver.keys.append(self.headers["Idempotency-Key"])
                if status == LATE:
                    receiver.closing.wait()
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook-s3cret"

    def close(self) -> None:
        """Answer no more."""
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


class Watch:
    """The alert sensor of the orchard, ticking by hand."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.specs = [spec for asset in orchard.ASSETS for spec in asset.specs]
        self.sensor = alerts.alert_sensor("watch", self.specs)
        self.cursor: str | None = None

    def tick(self) -> None:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        self.sensor(context)
        self.cursor = context.cursor

    def tick_after(self, seconds: float) -> None:
        """A tick that comes that much later than now."""
        owners = {spec.key: tuple(spec.owners) for spec in self.specs}
        alerts.tell(self.instance, "watch", owners, Settings.load(), now=time.time() + seconds)


def logged() -> list[dict[str, Any]]:
    file = Settings.load().alert_log
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def harvest(instance: dg.DagsterInstance, week: str, *rows: orchard.Row) -> bool:
    """Harvest good rows and these in that week."""
    orchard.weigh(week, [*orchard.good_rows(week), *rows])
    return orchard.pick(week, [orchard.harvest], instance=instance).success


def rotten(week: str, **other: object) -> orchard.Row:
    """A row whose kilos are impossible."""
    return {"week": week, "tree": 9, "picker": "Secret Name", "kilos": -1.0, **other}
