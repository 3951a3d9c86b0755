"""Backups: an archive has whatever its catalogs name, is proven by its checksums, and is laid out where nothing is."""

from __future__ import annotations

import gzip
import io
import tarfile
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.deployment import backup
from mlops_assets.deployment.backup import BackupError
from mlops_assets.serving import inference_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VOLUMES = ("curated", "exports", "secrets-proxy")
EXPORT = "0" * 31 + "7"


def dump(*files: tuple[str, int]) -> bytes:
    """The part of a catalog's dump that names files."""
    rows = "".join(f"{number}\t1\t{path}\t{size}\n" for number, (path, size) in enumerate(files))
    columns = "data_file_id, table_id, path, file_size_bytes"
    text = f"CREATE TABLE x ();\nCOPY public.ducklake_data_file ({columns}) FROM stdin;\n{rows}\\.\n"
    return gzip.compress(text.encode() + b"COPY public.other (path) FROM stdin;\nno/file\n\\.\n")


def dumps(**databases: bytes) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in databases.items():
            entry = tarfile.TarInfo(f"./{name}.sql.gz")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    packed.seek(0)
    return packed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Volumes with a file of a lake, an export and a key."""
    folder = tmp_path / "volumes"
    for path, content in {
        "curated/wrangled/voters/a1/part-0.parquet": b"rows",
        "curated/_leases/a2": b"",
        "exports/orders/current": EXPORT.encode() + b"\n",
        f"exports/orders/{EXPORT}/manifest.json": b"{}",
        "exports/orders/.staged-1/half": b"half",
        "secrets-proxy/server.key": b"key",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    (folder / "secrets-proxy" / "server.key").chmod(0o600)
    (folder / "curated" / "wrangled" / "empty").mkdir()
    (folder / "exports" / "link").symlink_to("/etc/passwd")
    return folder


def packed(folder: Path, *files: tuple[str, int]) -> bytes:
    archive = io.BytesIO()
    backup.pack(dumps(storage=b"runs", curated=dump(*files)), archive, folder=folder, volumes=VOLUMES, deployment="d")
    return archive.getvalue()


FILE = ("a1/part-0.parquet", 4)


def test_what_is_laid_out_is_what_was_packed(folder: Path, tmp_path: Path) -> None:
    archive = packed(folder, FILE)
    into = tmp_path / "into"
    for volume in VOLUMES:
        (into / volume).mkdir(parents=True)
    manifest = backup.verify(io.BytesIO(archive), into=into)
    assert (manifest.deployment, manifest.volumes) == ("d", VOLUMES)
    laid = {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()}
    assert laid == {
        "curated/wrangled/voters/a1/part-0.parquet": b"rows",
        "exports/orders/current": EXPORT.encode() + b"\n",
        f"exports/orders/{EXPORT}/manifest.json": b"{}",
        "secrets-proxy/server.key": b"key",
    }
    assert (into / "curated" / "wrangled" / "empty").is_dir()
    key, before = into / "secrets-proxy" / "server.key", folder / "secrets-proxy" / "server.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.stat().st_mtime == pytest.approx(before.stat().st_mtime, abs=1e-5)
    assert set(manifest.files) >= {"dumps/storage.sql.gz", "dumps/curated.sql.gz"}


@pytest.mark.parametrize("named", [("a9/part-0.parquet", 4), ("a1/part-0.parquet", 5)], ids=["gone", "cut"])
def test_there_is_no_backup_without_a_file_that_its_catalog_names(folder: Path, named: tuple[str, int]) -> None:
    with pytest.raises(BackupError, match=f"1 of 1 files that its catalog names are gone or cut, as {named[0]}"):
        packed(folder, named)


def test_there_is_no_backup_without_the_current_export(folder: Path) -> None:
    (folder / "exports" / "orders" / EXPORT / "manifest.json").unlink()
    with pytest.raises(BackupError, match=f"the current one, {EXPORT}, is not there"):
        packed(folder, FILE)


def test_what_was_withdrawn_has_no_export_and_is_kept_so(folder: Path) -> None:
    (folder / "exports" / "orders" / EXPORT / "manifest.json").unlink()
    (folder / "exports" / "orders" / "current").write_text("withdrawn\n", encoding="ascii")
    assert "volumes/exports/orders/current" in backup.verify(io.BytesIO(packed(folder, FILE))).files


@pytest.mark.parametrize(
    "damage",
    [
        lambda archive: archive[: len(archive) // 2],
        lambda archive: archive.replace(b"rows", b"rowz"),
        lambda _: b"",
        lambda _: b"no archive at all" * 1000,
        lambda archive: archive.replace(b"volumes/curated/wrangled/voters", b"volumes/../../wrangled/voters/x"),
    ],
    ids=["cut", "changed", "empty", "something else", "a path out of it"],
)
def test_what_is_not_as_it_was_made_is_refused(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BackupError, match="this is no backup, or not as it was made"):
        backup.verify(io.BytesIO(damage(packed(folder, FILE))))


def test_a_file_taken_out_of_it_is_missed(folder: Path) -> None:
    without = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(packed(folder, FILE))) as held,
        tarfile.open(fileobj=without, mode="w", format=tarfile.PAX_FORMAT) as out,
    ):
        for member in held:
            if not member.name.endswith("server.key"):
                out.addfile(member, held.extractfile(member))
    without.seek(0)
    with pytest.raises(BackupError, match=r"1 files are not .*, volumes/secrets-proxy/server\.key among"):
        backup.verify(without)


def test_nothing_is_laid_out_over_what_is_there(folder: Path) -> None:
    with pytest.raises(BackupError, match="is there already"):
        backup.verify(io.BytesIO(packed(folder, FILE)), into=folder)


@pytest.mark.parametrize("closed_before", [False, True])
def test_a_day_of_the_inference_log_that_is_closed_meanwhile_is_whole(
    folder: Path, tmp_path: Path, *, closed_before: bool
) -> None:
    day = folder / "inference-log/churn/outcomes"
    day.mkdir(parents=True)
    line = b'{"request_id":"order-%06d","row":0}\n'
    (day / "2024-11-03.jsonl").write_bytes(line % 0 * 50_000)
    (day / "2024-11-05.jsonl.open").write_bytes(line % 1)
    if closed_before:
        (day / "2024-11-05.jsonl").write_bytes(line % 2)

    class Closing(io.BytesIO):
        """Where the archive goes; a worker closes the day while it is written."""

        def write(self, block: Any) -> int:  # noqa: ANN401  the library's own
            if self.tell() > 1_000_000:
                inference_files.tend_days(
                    folder / "inference-log", now=datetime(2024, 11, 6, 1, tzinfo=UTC), keep_days=90
                )
            return super().write(block)

    archive = Closing()
    backup.pack(dumps(storage=b"runs"), archive, folder=folder, volumes=["inference-log"], deployment="d")
    assert not (day / "2024-11-05.jsonl.open").exists()
    (tmp_path / "into/inference-log").mkdir(parents=True)
    backup.verify(io.BytesIO(archive.getvalue()), into=tmp_path / "into")
    restored = tmp_path / "into/inference-log"
    inference_files.tend_days(restored, now=datetime(2024, 11, 6, 1, tzinfo=UTC), keep_days=90)
    lines = (restored / "churn/outcomes/2024-11-05.jsonl").read_bytes()
    assert lines.splitlines() == (line % 2 + line % 1 if closed_before else line % 1).splitlines()


def test_files_that_come_and_go_meanwhile_are_no_fault(folder: Path) -> None:
    ended = threading.Event()

    def publish() -> None:
        number = 0
        while not ended.is_set():
            staged = folder / "curated" / "wrangled" / "voters" / f"b{number % 50}"
            if staged.exists():
                (staged / "part-0.parquet").unlink()
                staged.rmdir()
            else:
                staged.mkdir()
                (staged / "part-0.parquet").write_bytes(b"x" * number)
            number += 1

    writer = threading.Thread(target=publish)
    writer.start()
    try:
        for _ in range(30):
            backup.verify(io.BytesIO(packed(folder, FILE)))
    finally:
        ended.set()
        writer.join()
