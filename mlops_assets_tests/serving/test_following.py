"""Tests of a service whose exports and keys change while it runs."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from mlops_assets.platform.exports.export import current_export_id, pointer_path, write_export
from mlops_assets.platform.security.token_keys import read_keys, retire_key, rotate_keys
from mlops_assets.serving.exports.predictions import KEY, TABLE
from mlops_assets_tests.serving.sample import MODEL_KEY, export_predictions, predictions
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="own")
def _own(tmp_path: Path) -> Iterator[Service]:
    """A running service that the test may damage."""
    service = Service(tmp_path)
    service.create_keys()
    export_predictions(service.config.exports)
    with service:
        yield service


def served_export(service: Service) -> str:
    with service.client(service.token()) as client:
        return str(client.get("/v1/export").raise_for_status().json()["export_id"])


def wait_until_served(service: Service, export_id: str) -> None:
    for _ in range(200):
        if served_export(service) == export_id:
            return
        time.sleep(0.05)
    raise AssertionError(f"{export_id} is not served")


def test_a_service_without_export_is_alive_but_not_ready_until_there_is_one(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_keys()
    with service, service.client(service.token()) as client:
        assert client.get("/health/live").status_code == 200
        for path in ("/health/ready", "/v1/predictions", "/v1/predictions/NC/12", "/v1/export"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["retry-after"] == "5"
        assert "no export has been written yet" in service.wait_for_log("export refused")["error"]
        export_predictions(service.config.exports)
        service.wait_for_log("export served")
        assert client.get("/health/ready").status_code == 200
        assert client.get("/v1/predictions/NC/12").status_code == 200


def test_exports_are_swapped_under_load_without_a_failed_request(own: Service) -> None:
    stop = Event()
    token = own.token()
    started = Barrier(5)

    def ask(path: str) -> list[tuple[int, str, str]]:
        answers: list[tuple[int, str, str]] = []
        with own.client(token) as client:
            while not stop.is_set():
                answer = client.get(path)
                body = answer.json()
                rows = body.get("items") or body.get("predictions")
                answers.append((answer.status_code, body["export_id"], rows[0]["model_version"]))
                if len(answers) == 1:
                    started.wait(timeout=30)
        return answers

    with ThreadPoolExecutor(4) as pool:
        paths = ["/v1/predictions/NC/12", "/v1/predictions?limit=500", "/v1/predictions/GA/01", "/v1/predictions"]
        asking = [pool.submit(ask, path) for path in paths]
        try:
            versions = {current_export_id(own.config.exports): "v1"}
            # Everybody has an answer of the first export before the first swap.
            started.wait(timeout=30)
            for number in range(2, 8):
                manifest = export_predictions(own.config.exports, f"v{number}")
                versions[manifest.export_id] = f"v{number}"
                wait_until_served(own, manifest.export_id)
        finally:
            stop.set()
        answers = [answer for future in asking for answer in future.result()]
    assert {status for status, _, _ in answers} == {200}
    assert {export_id for _, export_id, _ in answers} == set(versions)
    assert all(versions[export_id] == version for _, export_id, version in answers)


def test_a_new_export_changes_the_version_of_an_answer(own: Service) -> None:
    with own.client(own.token()) as client:
        etag = client.get("/v1/predictions/NC/12").headers["etag"]
        wait_until_served(own, export_predictions(own.config.exports, "v2").export_id)
        answer = client.get("/v1/predictions/NC/12", headers={"If-None-Match": etag})
        assert answer.status_code == 200
        assert answer.headers["etag"] != etag


def test_pages_go_on_after_a_swap(own: Service) -> None:
    with own.client(own.token()) as client:
        first = client.get("/v1/predictions", params={"limit": 100}).json()
        wait_until_served(own, export_predictions(own.config.exports, "v2").export_id)
        second = client.get("/v1/predictions", params={"limit": 100, "cursor": first["next_cursor"]}).json()
    assert first["export_id"] != second["export_id"]
    assert len(first["items"]) + len(second["items"]) == len(predictions())


def _point_to(service: Service, export_id: str) -> None:
    staged = service.config.exports / "pointer.new"
    staged.write_text(f"{export_id}\n", encoding="ascii")
    staged.replace(pointer_path(service.config.exports))


def _corrupt(service: Service) -> None:
    """A published export whose data was damaged on the disk before the service looked at it."""
    exports = service.config.exports
    old = current_export_id(exports)
    elsewhere = service.folder / "elsewhere"
    new = export_predictions(elsewhere, "v2").export_id
    data = elsewhere / new / "data.sqlite"
    with sqlite3.connect(data) as connection:
        connection.execute("UPDATE predictions SET value = 0.55")
    connection.close()
    shutil.copytree(elsewhere / new, exports / new)
    assert new != old
    _point_to(service, new)


def _without_table(service: Service) -> None:
    write_export(service.config.exports, {"others": pa.table({"a": [1]})}, {}, signing_key=MODEL_KEY)


def _without_column(service: Service) -> None:
    table = predictions().drop_columns(["coverage"])
    write_export(service.config.exports, {TABLE: table}, {}, keys={TABLE: KEY}, signing_key=MODEL_KEY)


def _without_key(service: Service) -> None:
    write_export(service.config.exports, {TABLE: predictions()}, {}, signing_key=MODEL_KEY)


def _without_rows(service: Service) -> None:
    nothing = {TABLE: predictions().slice(0, 0)}
    write_export(service.config.exports, nothing, {}, keys={TABLE: KEY}, signing_key=MODEL_KEY)


def _absent(service: Service) -> None:
    _point_to(service, "0" * 32)


def _pointer_damaged(service: Service) -> None:
    _point_to(service, "../../etc")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_corrupt, "the SHA-256 of data.sqlite differs"),
        (_without_table, "no table predictions"),
        (_without_column, "no table predictions with the columns"),
        (_without_key, "has the key []"),
        (_without_rows, "is empty"),
        (_absent, "it has no manifest.json"),
        (_pointer_damaged, "does not hold an export id"),
    ],
)
def test_a_bad_export_is_refused_and_logged_while_the_old_one_stays(own: Service, damage: object, reason: str) -> None:
    old = served_export(own)
    damage(own)  # type: ignore[operator]  # one of the functions above
    refused = own.wait_for_log("export refused")
    assert reason in refused["error"]
    assert refused["serving"] == old
    assert served_export(own) == old
    with own.client() as client:
        assert client.get("/health/ready").status_code == 200
    # The next good export is taken over all the same.
    wait_until_served(own, export_predictions(own.config.exports, "v3").export_id)
    assert len([line for line in own.log() if line["message"] == "export refused"]) == 1


def test_the_old_export_stays_when_the_whole_folder_goes_away(own: Service) -> None:
    old = served_export(own)
    shutil.rmtree(own.config.exports)
    own.wait_for_log("export refused")
    assert served_export(own) == old


def test_rotated_and_retired_keys_are_followed(own: Service) -> None:
    old_token = own.token()
    (old_key_id,) = read_keys(own.config.keys)
    with own.client(old_token) as old, own.client() as anyone:
        assert old.get("/v1/export").status_code == 200
        rotate_keys(own.signing_key, own.config.keys)
        new = {"Authorization": f"Bearer {own.token()}"}
        time.sleep(1.1)
        assert anyone.get("/v1/export", headers=new).status_code == 200
        assert old.get("/v1/export").status_code == 200
        retire_key(own.config.keys, old_key_id)
        time.sleep(1.1)
        assert anyone.get("/v1/export", headers=new).status_code == 200
        assert old.get("/v1/export").status_code == 401


def test_nobody_is_let_in_while_the_keys_are_missing(own: Service) -> None:
    with own.client(own.token()) as client:
        assert client.get("/v1/export").status_code == 200
        content = own.config.keys.read_bytes()
        own.config.keys.unlink()
        time.sleep(1.1)
        answer = client.get("/v1/export")
        assert (answer.status_code, answer.json()["detail"]) == (503, "Tokens cannot be verified at the moment.")
        own.config.keys.write_bytes(content)
        assert client.get("/v1/export").status_code == 200


def test_an_unexpected_failure_is_a_problem_document_without_a_trace(tmp_path: Path) -> None:
    own = Service(tmp_path, damaged=True)
    own.create_keys()
    export_predictions(own.config.exports)
    with own, own.client(own.token()) as client:
        answer = client.get("/v1/predictions")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "sqlite" not in answer.text.lower()
    assert "Traceback" not in answer.text
    line = own.wait_for_log("request failed")
    assert line["request_id"] == answer.json()["request_id"]
    assert "Traceback" in line["exception"]


def test_the_request_path_needs_no_orchestrator_and_no_lake() -> None:
    program = (
        "import sys, mlops_assets.serving.server, mlops_assets.serving.identity.credentials;"
        "print([m for m in ('dagster', 'duckdb', 'ibis', 'pandera', 'pyarrow', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
