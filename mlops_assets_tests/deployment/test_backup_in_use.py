"""A backup of a lake that is published into and expired meanwhile: what was restored has every row of its ledger.

The catalog is a real PostgreSQL, dumped and restored by its own programs, as in ``deploy/backup`` and ``restore``.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import threading
from typing import TYPE_CHECKING

import psycopg2.extensions
import pytest

from mlops_assets.deployment import backup
from mlops_assets.deployment.backup import BackupError
from mlops_assets.platform.lake import expiry, stage
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake import upkeep

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.postgres import PostgresDatabase, PostgresServer

pytestmark = pytest.mark.postgres


def program(name: str, database: PostgresDatabase, *words: str, given: bytes = b"") -> bytes:
    """What one of PostgreSQL's programs printed about that database."""
    parts = psycopg2.extensions.parse_dsn(database.dsn)
    done = subprocess.run(
        [name, "--host", parts["host"], "--port", parts["port"], "--username", parts["user"], *words, parts["dbname"]],
        check=False,
        capture_output=True,
        input=given,
        env={"PATH": os.environ["PATH"], "PGPASSWORD": database.password},
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def dumped(database: PostgresDatabase) -> io.BytesIO:
    """A tar of the catalog's dump."""
    dump = program("pg_dump", database, "--compress", "6", "--no-owner")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("curated.sql.gz")
        entry.size = len(dump)
        archive.addfile(entry, io.BytesIO(dump))
    packed.seek(0)
    return packed


def use(monkeypatch: pytest.MonkeyPatch, database: PostgresDatabase) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_LAKES__CURATED__CATALOG", database.dsn)
    monkeypatch.setenv("MLOPS_ASSETS_LAKES__CURATED__PASSWORD", database.password)


@pytest.fixture
def volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of volumes, with the lake's data among them."""
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLOPS_ASSETS_LAKES__CURATED__DATA_PATH", str(tmp_path / "volumes" / "curated"))
    (tmp_path / "volumes" / "curated").mkdir(parents=True)
    return tmp_path / "volumes"


def packed(database: PostgresDatabase, folder: Path) -> bytes:
    archive = io.BytesIO()
    backup.pack(dumped(database), archive, folder=folder, volumes=["curated"], deployment="d")
    return archive.getvalue()


def test_what_was_backed_up_while_runs_published_is_restored_whole(
    volumes: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = postgres_server.create_database()
    use(monkeypatch, old)
    upkeep.week("w1", [1, 2, 3])
    ended, failed = threading.Event(), []

    def publish() -> None:
        number = 1
        try:
            while not ended.is_set():
                number += 1
                upkeep.week(orchard.WEEKS[number % 3], list(range(1, 2 + number % 7)))
        except Exception as error:  # noqa: BLE001  told by the test
            failed.append(error)

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        archives = [packed(old, volumes) for _ in range(5)]
    finally:
        ended.set()
        publisher.join()
    assert failed == []

    (volumes / "curated").rename(volumes / "lost")
    for archive in archives:
        new = postgres_server.create_database()
        shutil.rmtree(volumes / "curated", ignore_errors=True)
        (volumes / "curated").mkdir()
        backup.verify(io.BytesIO(archive), into=volumes)
        with tarfile.open(fileobj=io.BytesIO(archive)) as held:
            dump = held.extractfile("dumps/curated.sql.gz")
            assert dump is not None
            text = subprocess.run(["gunzip"], check=True, capture_output=True, input=dump.read()).stdout
        program("psql", new, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--single-transaction", given=text)
        use(monkeypatch, new)
        with LakeSession(Settings.load()) as session:
            stage.sweep(session, "curated", older_than_seconds=0)
        assert upkeep.faults(hashes=True) == []
        assert upkeep.published_weeks()
    # It goes on from there.
    upkeep.week("w1", [9])
    assert upkeep.faults(hashes=True) == []


def test_a_file_that_an_expiry_took_after_the_dump_is_no_backup(
    volumes: Path, postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, postgres_database)
    for trees in ([1], [1, 2], [1, 2, 3]):
        upkeep.week("w1", trees)
    early = dumped(postgres_database)
    upkeep.made_earlier(days=2)
    with LakeSession(Settings.load()) as session:
        versions = expiry.expirable(session, "curated", older_than_seconds=0, pins=lambda _: {})
        assert expiry.expire(session, "curated", versions).files
    with pytest.raises(BackupError, match=r"are gone or cut, as .*/part-0\.parquet\. Was an expiry at work"):
        backup.pack(early, io.BytesIO(), folder=volumes, volumes=["curated"], deployment="d")
    assert backup.verify(io.BytesIO(packed(postgres_database, volumes))).files
