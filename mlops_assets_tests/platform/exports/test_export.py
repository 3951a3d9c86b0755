"""Tests of exports: what is written is what is read, and nothing else ever becomes current."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports.export import current_export_id, open_export, pointer_path, write_export
from mlops_assets.platform.exports.history import pointer_history
from mlops_assets_tests.platform.exports import killed_writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.platform.exports.manifest import ExportManifest

KEYS = {"items": ["name"]}


def items(*rows: tuple[str, float | None]) -> dict[str, pa.Table]:
    schema = pa.schema([("name", pa.string()), ("amount", pa.float64())])
    return {"items": pa.Table.from_pylist([{"name": name, "amount": amount} for name, amount in rows], schema=schema)}


def write(folder: Path, *rows: tuple[str, float | None], snapshot: int = 1, keep: int = 5) -> ExportManifest:
    return write_export(folder, items(*rows), {"lake_snapshot": snapshot}, keys=KEYS, keep=keep)


def exports_in(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/manifest.json")}


def test_an_export_gives_back_rows_and_provenance(tmp_path: Path) -> None:
    written = write(tmp_path, ("b", 2.0), ("a", None))
    with open_export(tmp_path) as export:
        assert export.manifest == written
        assert export.manifest.provenance == {"lake_snapshot": 1}
        assert export.manifest.tables["items"].rows == 2
        assert export.connection.execute("SELECT * FROM items").fetchall() == [("a", None), ("b", 2.0)]


def test_every_kind_of_column_is_carried_over(tmp_path: Path) -> None:
    moment = datetime(2022, 11, 8, 12, 30, tzinfo=UTC)
    table = pa.table(
        {
            "flag": pa.array([True, None]),
            "small": pa.array([1, 2], pa.int8()),
            "single": pa.array([0.5, -0.0], pa.float32()),
            "day": pa.array([date(2022, 11, 8), None]),
            "moment": pa.array([moment, None], pa.timestamp("us", "UTC")),
            "blob": pa.array([b"\x00\xff", None]),
            "text": pa.array(["a\x00'é\n", None]),
        }
    )
    write_export(tmp_path, {"kinds": table}, {})
    with open_export(tmp_path) as export:
        assert set(export.connection.execute("SELECT * FROM kinds")) == {
            (1, 1, 0.5, "2022-11-08", "2022-11-08T12:30:00.000000+00:00", b"\x00\xff", "a\x00'é\n"),
            (None, 2, 0.0, None, None, None, None),
        }


def test_an_open_export_cannot_be_changed(tmp_path: Path) -> None:
    write(tmp_path, ("a", 1.0))
    with open_export(tmp_path) as export, pytest.raises(sqlite3.OperationalError, match="readonly"):
        export.connection.execute("DELETE FROM items")


def test_keys_are_an_index(tmp_path: Path) -> None:
    write(tmp_path, ("a", 1.0))
    with open_export(tmp_path) as export:
        (plan,) = export.connection.execute("EXPLAIN QUERY PLAN SELECT * FROM items WHERE name = 'a'").fetchall()
    assert "SEARCH items USING PRIMARY KEY" in plan[-1]


NAMES = st.text(st.characters(codec="utf-8"), max_size=5)
AMOUNTS = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=25)
@given(st.dictionaries(NAMES, AMOUNTS, max_size=8), st.randoms())
def test_row_order_and_chunks_do_not_change_the_id_but_any_value_does(
    rows: dict[str, float | None], random: object
) -> None:
    listed = list(rows.items())
    shuffled = listed.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    chunked = pa.concat_tables([items(row)["items"] for row in shuffled]) if shuffled else items()["items"]
    with tempfile.TemporaryDirectory() as name:
        first = write(Path(name), *listed)
        again = write_export(Path(name), {"items": chunked}, {"lake_snapshot": 1}, keys=KEYS)
        assert again == first
        with open_export(Path(name)) as export:
            assert dict(export.connection.execute("SELECT * FROM items")) == rows
        assert write(Path(name), *listed, ("longer than any", 0.0)).export_id != first.export_id


def test_an_equal_export_is_adopted_and_not_rewritten(tmp_path: Path) -> None:
    first = write(tmp_path, ("a", 1.0))
    data = tmp_path / first.export_id / "data.sqlite"
    before = (data.stat().st_ino, data.stat().st_mtime_ns, pointer_path(tmp_path).stat().st_ino)
    assert write(tmp_path, ("a", 1.0)) == first
    assert (data.stat().st_ino, data.stat().st_mtime_ns, pointer_path(tmp_path).stat().st_ino) == before


def test_an_earlier_equal_export_becomes_current_again(tmp_path: Path) -> None:
    first = write(tmp_path, ("a", 1.0))
    second = write(tmp_path, ("a", 2.0))
    assert current_export_id(tmp_path) == second.export_id
    write(tmp_path, ("a", 1.0))
    assert current_export_id(tmp_path) == first.export_id


def test_other_provenance_or_keys_make_another_export(tmp_path: Path) -> None:
    tables = items(("a", 1.0))
    ids = {
        write_export(tmp_path, tables, {"lake_snapshot": 1}, keys=KEYS).export_id,
        write_export(tmp_path, tables, {"lake_snapshot": 2}, keys=KEYS).export_id,
        write_export(tmp_path, tables, {"lake_snapshot": 1}).export_id,
        write_export(tmp_path, {"items": tables["items"].select(["amount", "name"])}, {"lake_snapshot": 1}).export_id,
    }
    assert len(ids) == 4


def test_the_newest_exports_stay_and_the_current_one_always(tmp_path: Path) -> None:
    first = write(tmp_path, ("a", 0.0), keep=3)
    written = [write(tmp_path, ("a", float(number)), keep=3) for number in range(1, 5)]
    assert exports_in(tmp_path) == {manifest.export_id for manifest in written[-3:]}
    assert first.export_id not in exports_in(tmp_path)
    oldest = written[1]
    write(tmp_path, ("a", 2.0), keep=1)
    assert current_export_id(tmp_path) == oldest.export_id
    assert oldest.export_id in exports_in(tmp_path)


def test_a_damaged_export_is_refused_by_name(tmp_path: Path) -> None:
    manifest = write(tmp_path, ("a", 1.0))
    data = tmp_path / manifest.export_id / "data.sqlite"
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{manifest.export_id}: the SHA-256 of data\.sqlite differs"):
        open_export(tmp_path)


def test_a_truncated_data_file_is_refused(tmp_path: Path) -> None:
    manifest = write(tmp_path, ("a", 1.0))
    data = tmp_path / manifest.export_id / "data.sqlite"
    data.write_bytes(data.read_bytes()[:-4096])
    with pytest.raises(ArtifactError, match="bytes, the manifest says"):
        open_export(tmp_path)


@pytest.mark.parametrize("missing", ["data.sqlite", "manifest.json"])
def test_a_missing_file_is_refused(tmp_path: Path, missing: str) -> None:
    manifest = write(tmp_path, ("a", 1.0))
    (tmp_path / manifest.export_id / missing).unlink()
    with pytest.raises(ArtifactError, match=missing):
        open_export(tmp_path)


def test_a_manifest_with_another_origin_is_refused(tmp_path: Path) -> None:
    manifest = write(tmp_path, ("a", 1.0))
    path = tmp_path / manifest.export_id / "manifest.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["provenance"]["lake_snapshot"] = 99
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ArtifactError, match="changed after it was written"):
        open_export(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 9}', '{"format": 1, "tables": 3}', "\x00"])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    manifest = write(tmp_path, ("a", 1.0))
    (tmp_path / manifest.export_id / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"manifest\.json cannot be read"):
        open_export(tmp_path)


def test_an_export_under_another_id_is_refused(tmp_path: Path) -> None:
    first, second = write(tmp_path, ("a", 1.0)), write(tmp_path, ("a", 2.0))
    shutil.rmtree(tmp_path / second.export_id)
    shutil.copytree(tmp_path / first.export_id, tmp_path / second.export_id)
    with pytest.raises(ArtifactError, match=f"its manifest belongs to export {first.export_id}"):
        open_export(tmp_path)


@pytest.mark.parametrize("pointer", ["", "../outside", "0" * 31, "G" * 32, "\u00e9"])
def test_a_pointer_that_is_no_id_is_refused(tmp_path: Path, pointer: str) -> None:
    write(tmp_path, ("a", 1.0))
    pointer_path(tmp_path).write_text(pointer, encoding="utf-8")
    with pytest.raises(ArtifactError, match="current: it"):
        open_export(tmp_path)


def test_opening_before_anything_was_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no export has been written yet"):
        open_export(tmp_path)


def test_writing_again_mends_a_damaged_export(tmp_path: Path) -> None:
    manifest = write(tmp_path, ("a", 1.0))
    (tmp_path / manifest.export_id / "data.sqlite").write_bytes(b"")
    assert write(tmp_path, ("a", 1.0)).export_id == manifest.export_id
    open_export(tmp_path).close()


@pytest.mark.parametrize(
    ("tables", "keys", "message"),
    [
        (items(("a", 1.0), ("a", 2.0)), KEYS, "two rows have the same name, its key"),
        (items((None, 1.0)), KEYS, "column name of its key is null"),  # type: ignore[arg-type]  # a null key is the point
        (items(("a", float("nan"))), KEYS, "not a finite number"),
        (items(("a", float("inf"))), KEYS, "not a finite number"),
        (items(("a", 1.0)), {"items": ["absent"]}, "missing columns"),
        (items(("a", 1.0)), {"absent": ["name"]}, "absent tables"),
        ({"items": pa.table({"deep": [[1]]})}, None, "which SQLite lacks"),
        ({"items; DROP": pa.table({"a": [1]})}, None, "no lower-case identifier"),
        ({"items": pa.table({'a"': [1]})}, None, "no lower-case identifier"),
        ({"sqlite_items": pa.table({"a": [1]})}, None, "for itself"),
        ({"items": pa.table({})}, None, "no columns"),
    ],
)
def test_a_table_that_cannot_be_carried_over_is_refused_and_the_old_export_stays(
    tmp_path: Path, tables: dict[str, pa.Table], keys: dict[str, list[str]] | None, message: str
) -> None:
    old = write(tmp_path, ("old", 1.0))
    with pytest.raises(ArtifactError, match=message):
        write_export(tmp_path, tables, {}, keys=keys)
    assert current_export_id(tmp_path) == old.export_id
    open_export(tmp_path).close()


@pytest.mark.parametrize("provenance", [{"when": date(2022, 1, 1)}, {"share": float("nan")}])
def test_provenance_that_json_cannot_hold_is_refused(tmp_path: Path, provenance: dict[str, object]) -> None:
    with pytest.raises(ArtifactError, match="is not JSON"):
        write_export(tmp_path, items(("a", 1.0)), provenance)


def test_a_writer_killed_before_any_file_operation_leaves_a_whole_export_current(tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    old = write(seed, ("old", 1.0))
    done = subprocess.run(
        [sys.executable, "-m", killed_writer.__name__, str(seed), str(tmp_path / "cases")],
        check=True,
        capture_output=True,
    )
    result = json.loads(done.stdout)
    assert result["exit_code"] == 0, done.stderr
    new, left = "", []
    for case in map(Path, result["killed"]):
        with open_export(case) as export:
            left.append(export.manifest.export_id)
        new = killed_writer.write_new(case)
        assert new != old.export_id
        assert current_export_id(case) == new
        assert {path.name for path in case.iterdir()} == {"current", "history.jsonl", new}
        assert [move.export_id for move in pointer_history(case)] == [old.export_id, new]
    before, after = left.count(old.export_id), len(left) - left.count(old.export_id)
    assert left == [old.export_id] * before + [new] * after
    assert before > 15
    assert after > 2


def _write_number(folder: Path, number: int) -> str:
    return write(folder, ("a", float(number)), keep=1).export_id


def test_writers_in_several_processes_take_turns(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        ids = list(pool.map(_write_number, [tmp_path] * 4, range(4)))
    assert len(set(ids)) == 4
    with open_export(tmp_path) as export:
        assert exports_in(tmp_path) == {export.manifest.export_id}


def batched(*rows: tuple[str | None, float | None], size: int = 2) -> dict[str, pa.RecordBatchReader]:
    """The same as batches that pass once."""
    schema = pa.schema([("name", pa.string()), ("amount", pa.float64())])
    table = pa.Table.from_pylist([{"name": name, "amount": amount} for name, amount in rows], schema=schema)
    return {"items": pa.RecordBatchReader.from_batches(schema, table.to_batches(max_chunksize=size))}


def test_sorted_batches_give_the_same_export_as_the_table(tmp_path: Path) -> None:
    rows = [(f"{number:03}", float(number)) for number in range(100)]
    whole = write(tmp_path / "whole", *reversed(rows))
    for size in (1, 7, 100):
        passed = write_export(tmp_path / "batches", batched(*rows, size=size), {"lake_snapshot": 1}, keys=KEYS)
        assert passed.tables == whole.tables
        assert passed.export_id == whole.export_id
    with open_export(tmp_path / "batches") as export:
        assert export.connection.execute("SELECT * FROM items").fetchall() == rows


@pytest.mark.parametrize(
    "rows", [[("b", 1.0), ("a", 1.0)], [("a", 1.0), ("a", 2.0)], [("a", 1.0), (None, 2.0)], [("a", float("nan"))]]
)
def test_batches_that_are_not_sorted_by_a_whole_key_are_refused_and_leave_nothing(
    tmp_path: Path, rows: list[tuple[str | None, float | None]]
) -> None:
    written = write(tmp_path, ("old", 1.0))
    with pytest.raises(ArtifactError):
        write_export(tmp_path, batched(*rows), {}, keys=KEYS)
    with pytest.raises(ArtifactError, match="no key"):
        write_export(tmp_path, batched(*rows), {})
    assert current_export_id(tmp_path) == written.export_id
    assert exports_in(tmp_path) == {written.export_id}
    assert not list(tmp_path.glob(".staged*"))


def test_only_one_batch_is_held_at_a_time(tmp_path: Path) -> None:
    schema = pa.schema([("name", pa.string()), ("amount", pa.float64())])
    size, count = 5_000, 20

    def made() -> Iterator[pa.RecordBatch]:
        for number in range(count):
            names = [f"{row:09}" for row in range(number * size, (number + 1) * size)]
            yield pa.record_batch([names, pa.array([0.5] * size)], schema=schema)

    tracemalloc.start()
    try:
        reader = pa.RecordBatchReader.from_batches(schema, made())
        manifest = write_export(tmp_path, {"items": reader}, {}, keys=KEYS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert manifest.tables["items"].rows == size * count
    # All rows as Python values take about 200 bytes each.
    assert peak < size * count * 200 / 4


def test_a_file_that_was_written_to_is_told_from_one_that_was_deleted(tmp_path: Path) -> None:
    first = write_export(tmp_path, {"rows": pa.table({"a": [1]})}, {}, keep=1)
    with open_export(tmp_path) as deleted:
        write_export(tmp_path, {"rows": pa.table({"a": [2]})}, {}, keep=1)
        assert not (tmp_path / first.export_id).exists()
        assert deleted.untouched
        assert deleted.connection.execute("SELECT a FROM rows").fetchone() == (1,)
    with open_export(tmp_path) as written:
        data = tmp_path / written.manifest.export_id / "data.sqlite"
        times = data.stat()
        with data.open("r+b") as file:
            file.write(file.read(1))
        # Whoever sets the time of the content back leaves the time of the file's state.
        os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert not written.untouched
