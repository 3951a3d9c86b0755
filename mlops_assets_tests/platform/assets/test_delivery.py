"""Delivery of alerts to receivers that refuse, are slow, or are away."""

from __future__ import annotations

import json
import logging
import socket
from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform.assets import delivery
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.assets.alerting import HOUR, LATE, Receiver, Watch, harvest, logged, rotten

if TYPE_CHECKING:
    import dagster as dg


@pytest.fixture
def watch(instance: dg.DagsterInstance) -> Watch:
    return Watch(instance)


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
    assert (refused["kind"], refused["problem"], refused["route"]) == ("refused", f"HTTP {status}", "*")
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


def test_a_tick_that_ends_while_it_delivers_repeats_no_alert_and_tries_the_others_first(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    harvest(instance, "w1", rotten("w1"))
    orchard.pick("w2", [orchard.yields], instance=instance)

    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(delivery, "_post", ended)
        with pytest.raises(KeyboardInterrupt):
            watch.tick()
    watch.tick()
    assert [alert["asset"] for alert in receiver.alerts] == ["wrangled/yields"]
    watch.tick_after(HOUR)
    assert [alert["asset"] for alert in receiver.alerts] == ["wrangled/yields", "raw/harvest"]
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


def test_the_address_of_a_webhook_is_told_nowhere(
    receiver: Receiver, watch: Watch, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
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


@pytest.mark.parametrize(
    "address", ["no address", "http://[", "https://\u2024.example/s3cret", "ftp://127.0.0.1/s3cret"]
)
def test_an_address_that_is_none_stops_no_other_webhook_and_is_not_told(
    address: str,
    pickers: Receiver,
    watch: Watch,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_ALERTS__WEBHOOK_URL", address)
    orchard.pick("w1", [orchard.harvest], instance=instance)
    watch.tick()
    assert len(pickers.alerts) == 1
    assert [line["kind"] for line in logged()] == ["run_failed", "refused"]
    assert "s3cret" not in json.dumps(logged())
