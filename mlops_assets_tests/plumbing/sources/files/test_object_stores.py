"""Tests of files in an object store, against a real S3 server."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import threading
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.platform.errors import SettingsError, SourceUnavailableError
from mlops_assets.plumbing.sources.files.places import Place
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Checksum, Manifest, Quiet
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.object_store import running_store
from mlops_assets_tests.plumbing.sources.remote import GOOD, LARGE, ROW, asked, in_mid_copy, look
from mlops_assets_tests.plumbing.sources.shop import SALES, rows, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets_tests.object_store import ObjectStore

pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with running_store() as running:
        yield running


@pytest.fixture
def store(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The server, with its secrets in the environment, and nobody's else."""
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EXPORTS_KEY", server.key)
    monkeypatch.setenv("EXPORTS_SECRET", server.secret)
    return server


@pytest.fixture
def folder(store: ObjectStore, request: pytest.FixtureRequest) -> str:
    """A folder of the test's own, with the file of January."""
    made = f"bucket/{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"
    store.put(f"{made}/2024-01.csv", GOOD.encode())
    return made


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def sales(store: ObjectStore, folder: str, **options: Any) -> FileSource:  # noqa: ANN401  a declaration's
    given: dict[str, Any] = {
        "file": "{month}.csv",
        "options": {"endpoint_url": store.url},
        "secrets": {"key": Secret(env="EXPORTS_KEY"), "secret": Secret(env="EXPORTS_SECRET")},
        "whole": Quiet(seconds=0),
        "retries": 0,
        **options,
    }
    return FileSource(contract=SALES, path=f"s3://{folder}", **given)


def place(store: ObjectStore, folder: str, **options: Any) -> Place:  # noqa: ANN401  of fsspec
    return Place.at(f"s3://{folder}", {**store.options(), **options})


class TestWhatIsRead:
    def test_an_object_becomes_rows(self, store: ObjectStore, folder: str) -> None:
        done = run(sales(store, folder))
        assert done.success, done.told
        assert rows() == [ROW]

    def test_options_may_have_parts_in_a_declaration_of_yaml(self, store: ObjectStore, folder: str) -> None:
        source = FileSource.resolve_from_yaml(
            f"""
            contract: mlops_assets_tests.plumbing.sources.shop.SALES
            path: s3://{folder}
            file: "{{month}}.csv"
            options: {{endpoint_url: "{store.url}", client_kwargs: {{region_name: eu-central-1}}, use_ssl: false}}
            secrets: {{key: {{env: EXPORTS_KEY}}, secret: {{env: EXPORTS_SECRET}}}}
            whole: {{type: quiet, seconds: 0}}
            retries: 0
            """
        )
        done = run(source)
        assert done.success, done.told
        assert rows() == [ROW]

    @pytest.mark.parametrize("name", ["süß ä", "a+b c%20d", "[1]*?", "a#b&c=d", "q'\"<>", "a::b", ".."])
    def test_a_name_is_taken_as_it_is(self, store: ObjectStore, folder: str, name: str) -> None:
        store.put(f"{folder}/odd/{name}.csv", GOOD.encode())
        source = sales(store, folder, file=f"odd/{name}.csv")
        here = place(store, folder)
        assert list(here.matching(source.patterns())) == [f"{folder}/odd/{name}.csv"]
        assert here.start_of(here.path(source.file), 1000) == GOOD.encode()

    def test_it_is_whole_by_a_checksum_beside_it(self, store: ObjectStore, folder: str) -> None:
        source = sales(store, folder, whole=Checksum())
        assert "2024-01.csv.sha256" in run(source).told
        store.put(
            f"{folder}/2024-01.csv.sha256", f"{hashlib.sha256(GOOD.encode()).hexdigest()}  2024-01.csv\n".encode()
        )
        assert run(source).success
        store.put(f"{folder}/2024-01.csv", GOOD.replace("1.5", "2.5").encode())
        assert "its SHA-256 is not the one that was promised" in run(source).told

    def test_it_is_whole_by_a_manifest_beside_it(self, store: ObjectStore, folder: str) -> None:
        store.put(f"{folder}/manifest.json", json.dumps({"bytes": len(GOOD), "rows": 1}).encode())
        assert run(sales(store, folder, whole=Manifest())).success

    def test_it_waits_until_the_object_has_been_quiet(
        self, store: ObjectStore, folder: str, instance: dg.DagsterInstance
    ) -> None:
        assert asked(sales(store, folder, whole=Quiet(seconds=3600)), instance) == []

    def test_a_large_object_does_not_fill_the_memory(self, store: ObjectStore, tmp_path: Path) -> None:
        store.put("bucket/large/zeros", LARGE)
        here = place(store, "bucket/large")
        tracemalloc.start()
        try:
            size, _ = here.copied(here.path("zeros"), tmp_path / "copy")
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size == len(LARGE)
        assert most < 60_000_000


class TestTheSensor:
    def test_notices_a_new_object_and_a_replaced_one(
        self, store: ObjectStore, folder: str, instance: dg.DagsterInstance
    ) -> None:
        source = sales(store, folder)
        assert asked(source, instance) == ["2024-01"]
        assert run(source, instance=instance).success
        assert asked(source, instance) == []
        store.put(f"{folder}/2024-02.csv", GOOD.replace("2024-01", "2024-02").encode())
        assert asked(source, instance) == ["2024-02"]
        assert run(source, "2024-02", instance=instance).success
        store.put(f"{folder}/2024-01.csv", GOOD.replace("1.5", "2.5").encode())
        assert asked(source, instance) == ["2024-01"]

    def test_takes_the_same_object_again_for_nothing_new(
        self, store: ObjectStore, folder: str, instance: dg.DagsterInstance
    ) -> None:
        source = sales(store, folder)
        assert run(source, instance=instance).success
        store.put(f"{folder}/2024-01.csv", GOOD.encode())
        assert asked(source, instance) == []

    def test_tells_that_the_folder_is_not_there(
        self, store: ObjectStore, folder: str, instance: dg.DagsterInstance
    ) -> None:
        told = look(sales(store, f"{folder}/none"), instance).skip_reason
        assert f"Files at s3://{folder}/none: it cannot be read (No such file or directory)." in str(told)


class TestWhatIsRefused:
    """One error says why, and holds no secret."""

    def test_a_wrong_secret(self, store: ObjectStore, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EXPORTS_SECRET", "not the secret")
        told = run(sales(store, folder)).told
        assert f"File 2024-01.csv at s3://{folder}: it cannot be read (PermissionError)" in told
        assert "not the secret" not in told
        assert store.key not in told

    def test_a_wrong_key_where_another_was_right_before(self, store: ObjectStore, folder: str) -> None:
        assert place(store, folder).info(f"{folder}/2024-01.csv").size == len(GOOD)
        with pytest.raises(SourceUnavailableError):
            place(store, folder, key="another").info(f"{folder}/2024-01.csv")

    def test_a_bucket_that_is_not_there(self, store: ObjectStore) -> None:
        assert "Files at s3://nobody/exports: the folder is not there." in run(sales(store, "nobody/exports")).told

    @pytest.mark.parametrize("options", [{"regoin": "x"}, {"client_kwargs": {"regoin": "x"}}])
    def test_an_option_that_it_does_not_know(self, store: ObjectStore, folder: str, options: dict[str, Any]) -> None:
        with pytest.raises(SettingsError, match="Correct the options beside the address"):
            place(store, folder, **options).info(f"{folder}/2024-01.csv")

    def test_a_server_that_is_down(self, store: ObjectStore, folder: str, unused_port: int) -> None:
        told = run(sales(store, folder, options={"endpoint_url": f"http://127.0.0.1:{unused_port}"})).told
        assert f"File 2024-01.csv at s3://{folder}: it cannot be read (EndpointConnectionError)" in told

    def test_a_server_that_ends_in_mid_read(self, store: ObjectStore, tmp_path: Path) -> None:
        store.put("bucket/broken/zeros", LARGE)
        here = place(store, "bucket/broken")
        try:
            with (
                in_mid_copy(tmp_path / "copy", store.kill),
                pytest.raises(SourceUnavailableError, match="File zeros at s3://bucket/broken: it cannot be read"),
            ):
                here.copied(here.path("zeros"), tmp_path / "copy")
        finally:
            store.start()

    def test_an_object_that_is_replaced_in_mid_read(self, store: ObjectStore, tmp_path: Path) -> None:
        store.put("bucket/replaced/zeros", LARGE)
        here = place(store, "bucket/replaced")
        with (
            in_mid_copy(tmp_path / "copy", lambda: store.put("bucket/replaced/zeros", b"\1" * len(LARGE))),
            pytest.raises(SourceUnavailableError, match="FileExpired"),
        ):
            here.copied(here.path("zeros"), tmp_path / "copy")


def test_nothing_of_a_look_is_left(store: ObjectStore, folder: str) -> None:
    def left_after(looks: int) -> tuple[int, int]:
        for _ in range(looks):
            place(store, folder).info(f"{folder}/2024-01.csv")
        gc.collect()
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    threads, files = left_after(1)
    threads_then, files_then = left_after(20)
    assert threads_then <= threads
    # A socket may still be closing.
    assert files_then <= files + 1
