"""Alerts: one for each fault when it begins and when it has ended, delivered to real receivers."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pytest

from mlops_assets.platform.assets import alerts, delivery
from mlops_assets.platform.assets.addition import add
from mlops_assets.platform.assets.reconciler import reconcile
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.platform.settings import WebhookSettings

HOUR = 3600.0
LATE = -1
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
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook-s3cret"

    def close(self) -> None:
        """Answer no more."""
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    receiver = Receiver()
    monkeypatch.setenv("MLOPS_ASSETS_ALERTS__WEBHOOK_URL", receiver.url)
    yield receiver
    receiver.close()


@pytest.fixture
def pickers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """The receiver of the role that owns the harvest."""
    receiver = Receiver()
    monkeypatch.setenv("MLOPS_ASSETS_ALERTS__WEBHOOKS__PICKERS__URL", receiver.url)
    yield receiver
    receiver.close()


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


@pytest.fixture
def watch(instance: dg.DagsterInstance) -> Watch:
    return Watch(instance)


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


def test_a_failed_check_is_told_once_with_asset_partition_rule_count_and_owner(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    harvest(instance, "w1", rotten("w1"))
    watch.tick()
    watch.tick()
    [alert] = receiver.alerts
    assert alert["kind"] == "check_failed"
    assert (alert["asset"], alert["partition"], alert["rules"]) == ("raw/harvest", "w1", ["values"])
    assert (alert["rows"], alert["owner"], alert["severity"]) == (1, "team:pickers", "error")
    assert "the last good data stands, and what is made from it waits" in alert["message"]
    assert "Secret Name" not in json.dumps(alert)
    assert logged() == [alert]


def test_checks_of_a_partition_that_fail_together_are_one_alert(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    harvest(instance, "w1", rotten("w1"), rotten("w1", tree=8, kilos=None))
    watch.tick()
    [alert] = receiver.alerts
    assert alert["rules"] == ["nulls", "values"]


def test_a_wrong_shape_is_one_alert_that_names_nothing_delivered(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    orchard.weigh("w1", [{"week": "w1", "tree": 1, "Secret Name": "x"}])
    orchard.pick("w1", instance=instance)
    watch.tick()
    [alert] = receiver.alerts
    assert alert["rules"] == ["shape"]
    assert "Secret Name" not in json.dumps(alert)


def test_a_warning_is_told_as_such(receiver: Receiver, watch: Watch, instance: dg.DagsterInstance) -> None:
    assert harvest(instance, "w1", rotten("w1", kilos=500.0))
    watch.tick()
    watch.tick()
    [alert] = receiver.alerts
    assert (alert["rules"], alert["severity"]) == (["no_windfall"], "warning")
    assert "the data flowed on" in alert["message"]


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


def test_what_a_failed_step_keeps_from_being_made_is_no_fault_of_its_own(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    orchard.pick("w1", instance=instance)
    watch.tick()
    [alert] = receiver.alerts
    assert (alert["asset"], alert["owner"]) == ("raw/harvest", "team:pickers")


def test_a_run_that_ends_without_a_word_is_told_with_all_it_was_to_make(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    job = dg.Definitions(assets=[orchard.harvest, orchard.yields]).resolve_implicit_global_asset_job_def()
    killed = instance.create_run_for_job(job, tags={"dagster/partition": "w1"})
    instance.report_run_failed(killed)
    watch.tick()
    [alert] = receiver.alerts
    assert (alert["asset"], alert["owner"]) == ("raw/harvest, wrangled/yields", "team:farm, team:pickers")
    assert "killed, or never started" in alert["message"]


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


def test_a_fault_that_lasts_is_not_told_again_and_its_end_is(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    for _ in range(2):
        harvest(instance, "w1", rotten("w1"))
        watch.tick()
    assert len(receiver.alerts) == 1
    harvest(instance, "w2")
    watch.tick()
    assert len(receiver.alerts) == 1, "another partition does not end it"
    harvest(instance, "w1")
    watch.tick()
    watch.tick()
    [began, ended] = receiver.alerts
    assert (ended["kind"], ended["partition"], ended["owner"]) == ("resolved", "w1", "team:pickers")
    assert ended["fault"] == began["fault"] == began["id"]
    assert ended["id"] != began["id"]


def test_a_warning_that_turns_into_an_error_is_told_as_the_same_fault(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    for row in (rotten("w1", kilos=500.0), rotten("w1")):
        harvest(instance, "w1", row)
        watch.tick()
    assert [alert["severity"] for alert in receiver.alerts] == ["warning", "error"]
    assert len({alert["fault"] for alert in receiver.alerts}) == 1


def test_a_fault_ends_by_a_publish_outside_any_run(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    harvest(instance, "w1", rotten("w1"))
    watch.tick()
    row = pa.table({"week": ["w1"], "tree": [1], "picker": ["Picker"], "kilos": [1.0]})
    with LakeSession(Settings.load()) as session:
        add(session, orchard.HARVEST, "w1", lambda _: row)
        reconcile(session, instance, [orchard.HARVEST], {}, now=time.time())
    watch.tick()
    assert [alert["kind"] for alert in receiver.alerts] == ["check_failed", "resolved"]


def test_an_alert_goes_to_the_role_that_owns_the_table_and_to_the_common_webhook(
    receiver: Receiver, pickers: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    harvest(instance, "w1", rotten("w1"))
    orchard.pick("w2", [orchard.yields], instance=instance)
    watch.tick()
    assert [alert["asset"] for alert in pickers.alerts] == ["raw/harvest"]
    assert [alert["asset"] for alert in receiver.alerts] == ["raw/harvest", "wrangled/yields"]


def test_a_webhook_for_errors_gets_no_warnings(
    receiver: Receiver, pickers: Receiver, watch: Watch, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_ALERTS__WEBHOOKS__PICKERS__LEAST", "error")
    harvest(instance, "w1", rotten("w1", kilos=500.0))
    watch.tick()
    assert pickers.alerts == []
    assert len(receiver.alerts) == 1


@pytest.mark.parametrize("status", [404, 503])
def test_a_refused_alert_blocks_no_other_is_logged_and_offered_after_growing_pauses(
    status: int, receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    receiver.answers = [status, 200, status, status]
    harvest(instance, "w1", rotten("w1"))
    orchard.pick("w2", [orchard.yields], instance=instance)
    watch.tick()
    assert [alert["asset"] for alert in receiver.alerts] == ["wrangled/yields"]
    refused = logged()[-1]
    assert (refused["kind"], refused["problem"], refused["route"]) == ("refused", f"HTTP {status}", "common")
    watch.tick()
    assert len(receiver.answers) == 2, "not before a pause"
    watch.tick_after(15)
    watch.tick_after(30)
    assert len(receiver.answers) == 1, "the second pause is longer"
    watch.tick_after(60)
    watch.tick_after(HOUR)
    watch.tick_after(2 * HOUR)
    assert [alert["asset"] for alert in receiver.alerts] == ["wrangled/yields", "raw/harvest"]
    assert len(logged()) == 3


def test_an_alert_waits_for_a_receiver_that_is_closed(
    watch: Watch, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("MLOPS_ASSETS_ALERTS__WEBHOOK_URL", f"http://127.0.0.1:{port}/")
    harvest(instance, "w1", rotten("w1"))
    watch.tick()
    assert logged()[-1]["problem"] == "ConnectError"
    receiver = Receiver()
    monkeypatch.setenv("MLOPS_ASSETS_ALERTS__WEBHOOK_URL", receiver.url)
    watch.tick_after(HOUR)
    receiver.close()
    assert len(receiver.alerts) == 1


def test_a_receiver_that_answers_late_gets_that_alert_again_with_the_same_id_and_no_other(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answers = [LATE]
    harvest(instance, "w1", rotten("w1"))
    orchard.pick("w2", [orchard.yields], instance=instance)
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "SEND_SECONDS", 1.0)
        watch.tick()
    watch.tick_after(HOUR)
    watch.tick_after(2 * HOUR)
    assert [alert["asset"] for alert in receiver.alerts] == ["raw/harvest", "wrangled/yields", "raw/harvest"]
    assert receiver.keys[0] == receiver.keys[2] == receiver.alerts[0]["id"]


def test_a_slow_webhook_leaves_the_rest_for_the_next_tick(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    harvest(instance, "w1", rotten("w1"))
    orchard.pick("w2", [orchard.yields], instance=instance)
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "TICK_SECONDS", 0.0)
        watch.tick()
    assert receiver.alerts == []
    watch.tick()
    assert len(receiver.alerts) == 2


def test_a_tick_that_is_killed_while_it_delivers_repeats_at_most_the_alert_under_way(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    harvest(instance, "w1", rotten("w1"))
    orchard.pick("w2", [orchard.yields], instance=instance)
    post = delivery._post

    def killed(alert: delivery.Alert, webhook: WebhookSettings) -> str | None:
        if receiver.alerts:
            raise KeyboardInterrupt
        return post(alert, webhook)

    with monkeypatch.context() as patch:
        patch.setattr(delivery, "_post", killed)
        with pytest.raises(KeyboardInterrupt):
            watch.tick()
    watch.tick()
    assert [alert["asset"] for alert in receiver.alerts] == ["raw/harvest", "wrangled/yields"]
    assert len(logged()) == 2


def test_an_alert_that_nobody_takes_for_a_week_is_given_up_and_logged(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    receiver.answers = [404, 404]
    harvest(instance, "w1", rotten("w1"))
    watch.tick()
    watch.tick_after(8 * 24 * HOUR)
    watch.tick_after(16 * 24 * HOUR)
    assert receiver.alerts == []
    assert [line["kind"] for line in logged()] == ["check_failed", "refused", "given_up"]


def test_a_lost_cursor_repeats_nothing(receiver: Receiver, watch: Watch, instance: dg.DagsterInstance) -> None:
    harvest(instance, "w1", rotten("w1"))
    watch.tick()
    watch.cursor = None
    watch.tick()
    assert len(receiver.alerts) == 1


def test_a_sensor_that_remembers_nothing_looks_back_no_further_than_its_window(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    harvest(instance, "w1", rotten("w1"))
    watch.tick_after(alerts.WINDOW_SECONDS + 2 * HOUR)
    assert receiver.alerts == []


def test_the_address_of_a_webhook_is_told_nowhere(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    receiver.answers = [404]
    harvest(instance, "w1", rotten("w1"))
    watch.tick()
    watch.tick_after(HOUR)
    assert len(receiver.alerts) == 1
    assert "s3cret" not in caplog.text + json.dumps(logged()) + repr(Settings.load())


def test_an_alert_log_that_cannot_be_written_does_not_silence_the_webhook(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance
) -> None:
    Settings.load().alert_log.mkdir()
    harvest(instance, "w1", rotten("w1"))
    watch.tick()
    assert len(receiver.alerts) == 1


def test_success_is_silent(receiver: Receiver, watch: Watch, instance: dg.DagsterInstance) -> None:
    assert harvest(instance, "w1")
    watch.tick()
    assert receiver.alerts == []
    assert logged() == []
