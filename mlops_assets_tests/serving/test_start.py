"""Tests of how a service starts: on an export that takes long to verify, or for ever, or that nobody expected."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from mlops_assets.demo.waiting import wait_until
from mlops_assets.platform.exports.export import current_export_id, write_export
from mlops_assets.platform.exports.signature import SIGNATURE, sign_manifest
from mlops_assets.serving.exports import models
from mlops_assets_tests.serving.sample import MODEL_KEY, TABLE, export_predictions
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Callable

HUNG_SECONDS = 3.0


def workers(service: Service) -> list[int]:
    return [line["process_id"] for line in service.log() if line["message"] == "worker started"]


def wait_until_started(service: Service) -> None:
    """Return when both workers answer: of one that is killed before, its parent waits longer for a sign of life."""
    service.wait_for_log("Application startup complete.", count=2)


def restarting(service: Service) -> list[int]:
    """Kill every worker, and hold those that take their places while they verify the export; their process ids."""
    wait_until_started(service)
    killed = workers(service)
    service.hold.touch()
    for process_id in killed:
        os.kill(process_id, signal.SIGKILL)
    service.wait_for_log("worker started", count=2 * len(killed))
    return workers(service)[len(killed) :]


def patient(folder: Path) -> Service:
    """Two workers, each of which ends when its event loop stands for a few seconds."""
    service = Service(folder, changes={"workers": 2}, hung_seconds=HUNG_SECONDS)
    service.create_keys()
    export_predictions(service.config.exports)
    return service


def test_a_worker_is_left_alone_while_it_verifies_an_export_longer_than_it_might_hang(tmp_path: Path) -> None:
    with patient(tmp_path) as service:
        restarting(service)
        time.sleep(2.5 * HUNG_SECONDS)
        service.hold.unlink()
        service.wait_for_log("export served", count=4)
        assert len(workers(service)) == 4
        with service.client(service.token()) as client:
            assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200


def test_a_service_whose_first_export_takes_minutes_listens_and_says_that_it_is_not_ready(tmp_path: Path) -> None:
    with patient(tmp_path) as service:
        restarting(service)
        with service.client(service.token()) as client:
            assert client.get("/health/live").status_code == 200
            assert client.get("/health/ready").status_code == 503
            assert client.get("/v1/tables/predictions").status_code == 503
        service.hold.unlink()
        service.wait_for_log("export served", count=4)


def test_a_worker_whose_event_loop_stands_is_replaced(tmp_path: Path) -> None:
    with patient(tmp_path) as service:
        wait_until_started(service)
        service.standstill.touch()
        service.wait_for_log("worker started", count=3)
        service.wait_for_log("export served", count=3)
        with service.client(service.token()) as client:
            assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with patient(tmp_path) as service:
        assert service.process is not None
        wait_until_started(service)
        left = service.workers
        service.process.kill()
        service.process.wait()
        wait_until(
            lambda alive: not alive,
            lambda: [each for each in left if Path(f"/proc/{each}").exists()],
            what="The workers",
            remedy="They should end by themselves.",
        )


def _without_a_model(exports: Path) -> None:
    """A table of models that holds none, under the name of the predictions."""
    row = dict.fromkeys(("version", "onnx_base64", "inputs", "parameters", "signature", "key_id"), "?")
    tables = {models.TABLE: pa.Table.from_pylist([{"trained_for": "2022", "name": "one", **row}])}
    write_export(exports / TABLE, tables, {}, keys={models.TABLE: models.KEY}, signing_key=MODEL_KEY)


def _signed(exports: Path, manifest: bytes) -> None:
    """Put that in the place of the current export's manifest, signed by the right key."""
    folder = exports / TABLE / current_export_id(exports / TABLE)
    (folder / "manifest.json").write_bytes(manifest)
    (folder / SIGNATURE).write_bytes(sign_manifest(manifest, MODEL_KEY))


def _of_endless_size(exports: Path) -> None:
    manifest = json.loads(export_predictions(exports).to_json())
    manifest["file"]["size"] = float("inf")
    _signed(exports, json.dumps(manifest).encode())


def _too_deep(exports: Path) -> None:
    export_predictions(exports)
    _signed(exports, b'{"format": 2, "provenance": ' + b"[" * 200_000)


@pytest.mark.parametrize("surprise", [_without_a_model, _of_endless_size, _too_deep])
def test_a_service_that_meets_an_unexpected_value_as_it_starts_lives_and_takes_the_next_export(
    tmp_path: Path, surprise: Callable[[Path], None]
) -> None:
    service = Service(tmp_path)
    service.create_keys()
    surprise(service.config.exports)
    with service, service.client(service.token()) as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 503
        refused = service.wait_for_log("export refused")
        assert refused["error"]
        export_predictions(service.config.exports, "v2")
        service.wait_for_log("export served")
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200


def test_a_service_that_meets_unexpected_keys_of_models_as_it_starts_lives(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_keys()
    export_predictions(service.config.exports)
    keys = service.config.model_keys.read_bytes()
    service.config.model_keys.write_bytes(b'{"keys": ' + b"[" * 200_000)
    with service, service.client(service.token()) as client:
        assert client.get("/health/ready").status_code == 503
        service.config.model_keys.write_bytes(keys)
        service.wait_for_log("export served")
