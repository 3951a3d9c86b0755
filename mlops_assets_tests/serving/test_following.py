"""Tests of a service whose exports and keys change while it runs."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mlops_assets.platform.exports.export import current_export_id, pointer_path, withdraw_exports
from mlops_assets.platform.exports.manifest import ServedAs
from mlops_assets.platform.security.token_keys import read_keys, retire_key, rotate_keys
from mlops_assets_tests.serving.sample import (
    CUSTOMERS_SERVED,
    EVERYTHING,
    TABLE,
    export_customers,
    export_predictions,
    predictions,
)
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
        return str(client.get("/v1/exports/predictions").raise_for_status().json()["current"])


def wait_until_served(service: Service, export_id: str) -> None:
    with service.client(service.token()) as client:
        service.wait_for(
            lambda: client.get("/v1/exports/predictions").json().get("current") == export_id,
            f"A service of {export_id}",
        )


def test_a_service_without_export_is_alive_but_not_ready_until_there_is_one(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_keys()
    with service, service.client(service.token()) as client:
        assert client.get("/health/live").status_code == 200
        for path in ("/health/ready", "/v1/tables/predictions", "/v1/tables/predictions/NC/12/turnout"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["retry-after"] == "5"
        export_predictions(service.config.exports)
        service.wait_for_log("export served")
        assert client.get("/health/ready").status_code == 200
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200


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
                rows = body.get("items") or [body["row"]]
                answers.append((answer.status_code, body["export_id"], rows[0]["model_version"]))
                if len(answers) == 1:
                    started.wait(timeout=30)
        return answers

    with ThreadPoolExecutor(4) as pool:
        paths = [
            "/v1/tables/predictions/NC/12/turnout",
            "/v1/tables/predictions?limit=500",
            "/v1/tables/predictions/GA/01/turnout",
            "/v1/tables/predictions",
        ]
        asking = [pool.submit(ask, path) for path in paths]
        try:
            versions = {current_export_id(own.config.exports / TABLE): "v1"}
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
        etag = client.get("/v1/tables/predictions/NC/12/turnout").headers["etag"]
        wait_until_served(own, export_predictions(own.config.exports, "v2").export_id)
        answer = client.get("/v1/tables/predictions/NC/12/turnout", headers={"If-None-Match": etag})
        assert answer.status_code == 200
        assert answer.headers["etag"] != etag


def test_pages_go_on_after_a_swap(own: Service) -> None:
    with own.client(own.token()) as client:
        first = client.get("/v1/tables/predictions", params={"limit": 100}).json()
        wait_until_served(own, export_predictions(own.config.exports, "v2").export_id)
        second = client.get("/v1/tables/predictions", params={"limit": 100, "cursor": first["next_cursor"]}).json()
    assert first["export_id"] != second["export_id"]
    assert len(first["items"]) + len(second["items"]) == len(predictions())


def _point_to(service: Service, export_id: str) -> None:
    staged = service.config.exports / TABLE / "pointer.new"
    staged.write_text(f"{export_id}\n", encoding="ascii")
    staged.replace(pointer_path(service.config.exports / TABLE))


def _corrupt(service: Service) -> None:
    """A published export whose data was damaged on the disk before the service looked at it."""
    exports = service.config.exports / TABLE
    old = current_export_id(exports)
    elsewhere = service.folder / "elsewhere"
    new = export_predictions(elsewhere, "v2").export_id
    data = elsewhere / TABLE / new / "data.sqlite"
    with sqlite3.connect(data) as connection:
        connection.execute("UPDATE predictions SET value = 0.55")
    connection.close()
    shutil.copytree(elsewhere / TABLE / new, exports / new)
    assert new != old
    _point_to(service, new)


def _of_another_signer(service: Service) -> None:
    export_predictions(service.config.exports, "v2", key=Ed25519PrivateKey.generate())


def _absent(service: Service) -> None:
    _point_to(service, "0" * 32)


def _pointer_damaged(service: Service) -> None:
    _point_to(service, "../../etc")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_corrupt, "the SHA-256 of data.sqlite differs"),
        (_of_another_signer, "not among the 1 trusted"),
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


def test_a_file_that_is_altered_after_it_was_verified_is_not_answered_from(own: Service) -> None:
    export_id = served_export(own)
    data = own.config.exports / TABLE / export_id / "data.sqlite"
    with own.client(own.token()) as client:
        assert client.get("/v1/tables/predictions/NC/12/turnout").json()["row"]["value"] == 0.5
        with data.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 503
        assert own.wait_for_log("export given up")["reason"] == "altered"
        assert "SHA-256" in own.wait_for_log("export refused")["error"]
    wait_until_served(own, export_predictions(own.config.exports, "v2").export_id)


def test_a_link_to_the_file_or_other_permissions_leave_it_served_without_a_word(own: Service) -> None:
    data = own.config.exports / TABLE / served_export(own) / "data.sqlite"
    row = "/v1/tables/predictions/NC/12/turnout"
    with own.client(own.token()) as client:
        for number in range(5):
            os.link(data, own.folder / f"copy-{number}")
            assert client.get(row).status_code == 200
            data.chmod(0o600 + number)
            assert client.get(row).status_code == 200
            assert client.get("/health/ready").status_code == 200
    assert not [line for line in own.log() if line["message"] in {"export given up", "export refused"}]


def test_a_file_whose_times_are_set_back_after_it_was_altered_is_not_answered_from(own: Service) -> None:
    data = own.config.exports / TABLE / served_export(own) / "data.sqlite"
    times = data.stat()
    with own.client(own.token()) as client:
        with data.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
        os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 503
    assert own.wait_for_log("export given up")["reason"] == "altered"


def test_a_table_of_another_name_is_served_without_a_restart(own: Service) -> None:
    with own.client(own.token(scopes=EVERYTHING)) as client:
        assert client.get("/v1/tables/customers").status_code == 404
        export_customers(own.config.exports)
        own.wait_for(lambda: client.get("/v1/tables/customers").is_success, "A service of customers")
        assert client.get("/v1/tables/customers/1").json()["row"]["customer"] == 1


def test_a_limit_that_is_declared_later_holds_for_past_versions_too(own: Service) -> None:
    past = export_customers(own.config.exports, served=ServedAs(scope=CUSTOMERS_SERVED.scope)).export_id
    limited = own.token(scopes=EVERYTHING, limits={"territory": ["north"]})
    with own.client(own.token(scopes=EVERYTHING)) as client:
        own.wait_for(lambda: client.get("/v1/tables/customers").is_success, "A service of customers")
        now = export_customers(own.config.exports, months=3).export_id
        own.wait_for(
            lambda: client.get("/v1/tables/customers").json()["export_id"] == now, "A service of limited customers"
        )
    with own.client(limited) as client:
        items = (
            client.get("/v1/tables/customers", params={"as_of": past, "limit": 500}).raise_for_status().json()["items"]
        )
        assert {item["territory"] for item in items} == {"north"}
        assert client.get("/v1/tables/customers/1,2", params={"as_of": past}).status_code == 404


def test_a_withdrawn_table_is_gone_within_a_second_and_its_files_too(own: Service) -> None:
    export_customers(own.config.exports)
    with own.client(own.token(scopes=EVERYTHING)) as client:
        own.wait_for(lambda: client.get("/v1/tables/customers").is_success, "A service of customers")
        withdraw_exports(own.config.exports / "customers")
        own.wait_for(lambda: client.get("/v1/tables/customers").status_code == 404, "A service without customers")
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
        assert not list((own.config.exports / "customers").glob("*/data.sqlite"))
        export_customers(own.config.exports)
        own.wait_for(lambda: client.get("/v1/tables/customers").is_success, "A service of customers again")


def test_a_large_export_that_is_still_verified_keeps_no_other_waiting(own: Service) -> None:
    own.hold.touch()
    export_predictions(own.config.exports, "v2")
    time.sleep(0.5)
    with own.client(own.token(scopes=EVERYTHING)) as client:
        assert client.get("/v1/tables/predictions/NC/12/turnout").json()["row"]["model_version"] == "v1"
    own.hold.unlink()
    own.wait_for_log("export served", count=2)


def test_the_old_export_stays_when_the_whole_folder_goes_away(own: Service) -> None:
    old = served_export(own)
    shutil.rmtree(own.config.exports)
    own.wait_for_log("export refused")
    assert served_export(own) == old


def test_rotated_and_retired_keys_are_followed(own: Service) -> None:
    old_token = own.token()
    (old_key_id,) = read_keys(own.config.keys)
    with own.client(old_token) as old, own.client() as anyone:
        assert old.get("/v1/exports").status_code == 200
        rotate_keys(own.signing_key, own.config.keys)
        new = {"Authorization": f"Bearer {own.token()}"}
        time.sleep(1.1)
        assert anyone.get("/v1/exports", headers=new).status_code == 200
        assert old.get("/v1/exports").status_code == 200
        retire_key(own.config.keys, old_key_id)
        time.sleep(1.1)
        assert anyone.get("/v1/exports", headers=new).status_code == 200
        assert old.get("/v1/exports").status_code == 401


def test_nobody_is_let_in_while_the_keys_are_missing(own: Service) -> None:
    with own.client(own.token()) as client:
        assert client.get("/v1/exports").status_code == 200
        content = own.config.keys.read_bytes()
        own.config.keys.unlink()
        time.sleep(1.1)
        answer = client.get("/v1/exports")
        assert (answer.status_code, answer.json()["detail"]) == (503, "Tokens cannot be verified at the moment.")
        own.config.keys.write_bytes(content)
        assert client.get("/v1/exports").status_code == 200


def test_an_unexpected_failure_is_a_problem_document_without_a_trace(tmp_path: Path) -> None:
    own = Service(tmp_path, damaged=True)
    own.create_keys()
    export_predictions(own.config.exports)
    with own, own.client(own.token()) as client:
        answer = client.get("/v1/tables/predictions/NC/12/turnout")
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
