"""Tests of answers as of a past version, against a running service."""

from __future__ import annotations

import asyncio
import gc
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.security.token_keys import _write_keys, key_id_of, read_keys
from mlops_assets.serving.exports.past import PastExports
from mlops_assets.serving.exports.trust import Trust
from mlops_assets_tests.serving.sample import TABLE, export_predictions, trust_models
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx


class Versions:
    """A service with three exports, the first retired, and the times at which each was current."""

    def __init__(self, folder: Path) -> None:
        self.service = Service(folder)
        self.service.create_keys()
        self.before = self.now()
        self.ids: dict[str, str] = {}
        self.times: dict[str, str] = {}
        for version in ("v1", "v2", "v3"):
            self.ids[version] = export_predictions(self.service.config.exports, version, keep=2).export_id
            self.times[version] = self.now()

    @staticmethod
    def now() -> str:
        time.sleep(0.02)
        moment = datetime.now(UTC).isoformat()
        time.sleep(0.02)
        return moment


@pytest.fixture(name="versions", scope="module")
def _versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Versions]:
    versions = Versions(tmp_path_factory.mktemp("versions"))
    with versions.service:
        yield versions


@pytest.fixture(name="asking", scope="module")
def _asking(versions: Versions) -> Iterator[httpx.Client]:
    with versions.service.client(versions.service.token()) as client:
        yield client


PATHS = ("/v1/tables/predictions", "/v1/tables/predictions/NC/12/turnout")


def model_version(answer: httpx.Response) -> str:
    body = answer.raise_for_status().json()
    (version,) = {item["model_version"] for item in body.get("items") or [body["row"]]}
    return str(version)


@pytest.mark.parametrize("path", PATHS)
def test_a_kept_version_answers_by_its_id_and_by_its_time(asking: httpx.Client, versions: Versions, path: str) -> None:
    assert model_version(asking.get(path)) == "v3"
    for version in ("v2", "v3"):
        for as_of in (versions.ids[version], versions.times[version]):
            answer = asking.get(path, params={"as_of": as_of})
            assert model_version(answer) == version
            assert answer.json()["export_id"] == versions.ids[version]


@pytest.mark.parametrize("path", PATHS)
def test_a_version_that_is_not_kept_is_gone_and_not_answered_from_another(
    asking: httpx.Client, versions: Versions, path: str
) -> None:
    for as_of in (versions.ids["v1"], versions.times["v1"]):
        assert asking.get(path, params={"as_of": as_of}).status_code == 410
    for as_of in (versions.before, "0" * 32):
        assert asking.get(path, params={"as_of": as_of}).status_code == 404


@pytest.mark.parametrize(
    ("as_of", "status"),
    [
        ("yesterday", 400),
        ("2024-01-01", 400),
        ("2024-01-01T00:00:00", 400),
        ("../" * 8, 400),
        ("2024-13-01T00:00:00Z", 400),
        ("2023-02-29T00:00:00Z", 400),
        ("2024-01-01T00:00:00+02:00", 404),
    ],
)
def test_only_ids_and_times_with_a_zone_are_taken(asking: httpx.Client, as_of: str, status: int) -> None:
    answer = asking.get("/v1/tables/predictions", params={"as_of": as_of})
    assert answer.status_code == status
    if status != 404:
        assert answer.json()["errors"][0]["parameter"] == "as_of"


def test_the_kept_versions_are_listed_with_the_times_at_which_they_became_current(
    asking: httpx.Client, versions: Versions
) -> None:
    answer = asking.get("/v1/exports/predictions").raise_for_status()
    listed = answer.json()
    assert listed["current"] == versions.ids["v3"]
    assert [export["export_id"] for export in listed["exports"]] == [versions.ids["v2"], versions.ids["v3"]]
    (since,) = listed["exports"][0]["current_since"]
    assert versions.times["v1"] < since.replace("Z", "+00:00") < versions.times["v2"]
    assert asking.get("/v1/exports/predictions", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_a_past_version_is_limited_to_the_states_of_the_token(versions: Versions) -> None:
    with versions.service.client(versions.service.token(states=["NC"])) as client:
        as_of = versions.ids["v2"]
        items = client.get("/v1/tables/predictions", params={"as_of": as_of, "limit": 500}).json()["items"]
        assert {item["state"] for item in items} == {"NC"}
        assert client.get("/v1/tables/predictions/GA/01/turnout", params={"as_of": as_of}).status_code == 403


def test_pages_of_one_version_stay_of_it_after_a_swap(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_keys()
    first_id = export_predictions(service.config.exports).export_id
    with service, service.client(service.token()) as client:
        first = client.get("/v1/tables/predictions", params={"limit": 100}).json()
        export_predictions(service.config.exports, "v2")
        service.wait_for_log("export served", count=2)
        query = {"limit": 100, "cursor": first["next_cursor"], "as_of": first["export_id"]}
        second = client.get("/v1/tables/predictions", params=query).json()
    assert first["export_id"] == second["export_id"] == first_id
    assert {item["model_version"] for item in second["items"]} == {"v1"}


def test_a_damaged_past_version_is_refused_for_all_who_ask_at_once_while_the_current_one_answers(
    tmp_path: Path,
) -> None:
    service = Service(tmp_path)
    service.create_keys()
    damaged = export_predictions(service.config.exports).export_id
    export_predictions(service.config.exports, "v2")
    data = service.config.exports / TABLE / damaged / "data.sqlite"
    data.write_bytes(data.read_bytes()[:-1] + b"x")
    with service, service.client(service.token()) as client, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.get("/v1/tables/predictions", params={"as_of": damaged}), range(8)))
        assert {answer.status_code for answer in answers} == {503}
        assert client.get("/v1/tables/predictions").status_code == 200
        refusals = [line for line in service.log() if line["message"] == "past export refused"]
    # Read once: asking often must not make the service read a large file often.
    assert len(refusals) == 1
    assert "SHA-256" in refusals[0]["error"]


def test_an_export_that_fails_when_nobody_waits_any_more_is_logged_once_and_not_as_a_lost_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trust_models(tmp_path / "keys.json")
    damaged = export_predictions(tmp_path / "exports").export_id
    (tmp_path / "exports" / TABLE / damaged / "data.sqlite").write_bytes(b"")
    lost: list[dict[str, object]] = []

    async def ask_and_go_away() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
        past = PastExports(tmp_path / "exports" / TABLE, TABLE, Trust(tmp_path / "keys.json"))
        asking = asyncio.create_task(past.by_id(damaged))
        await asyncio.sleep(0)
        opening = list(past._opening.values())
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait(opening)
        del opening
        gc.collect()
        with pytest.raises(ArtifactError):
            await past.by_id(damaged)

    asyncio.run(ask_and_go_away())
    gc.collect()
    assert lost == []
    # Threads of other tests may yet have something to say.
    assert [message for message in caplog.messages if "export" in message] == ["past export refused"]


def test_a_past_version_is_not_answered_once_the_key_that_signed_it_was_withdrawn(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_keys()
    newer = Ed25519PrivateKey.generate()
    trusted = read_keys(service.config.model_keys)
    both = {**trusted, key_id_of(newer.public_key()): newer.public_key()}
    _write_keys(service.config.model_keys, both)
    past = export_predictions(service.config.exports).export_id
    export_predictions(service.config.exports, "v2", key=newer)
    with service, service.client(service.token()) as client:
        assert model_version(client.get("/v1/tables/predictions", params={"as_of": past})) == "v1"
        _write_keys(service.config.model_keys, {name: key for name, key in both.items() if name not in trusted})
        time.sleep(1)
        assert client.get("/v1/tables/predictions", params={"as_of": past}).status_code == 503
        assert model_version(client.get("/v1/tables/predictions")) == "v2"
        assert past not in {export["export_id"] for export in client.get("/v1/exports/predictions").json()["exports"]}
        _write_keys(service.config.model_keys, both)
        time.sleep(1)
        assert model_version(client.get("/v1/tables/predictions", params={"as_of": past})) == "v1"
