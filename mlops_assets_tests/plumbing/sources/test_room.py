"""Tests of full disks: a step that has no room for its files says so, and publishes nothing of what it could write."""

from __future__ import annotations

import gzip
import resource
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.plumbing.sources.command.source import CommandSource
from mlops_assets.plumbing.sources.dlt import DltSource
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Quiet
from mlops_assets.plumbing.sources.formats.excel import Excel
from mlops_assets.plumbing.sources.http.rest import RestSource
from mlops_assets.plumbing.sources.sql.databases import Sqlite
from mlops_assets.plumbing.sources.sql.source import SqlSource
from mlops_assets_tests.plumbing.sources.api import ApiServer, Said
from mlops_assets_tests.plumbing.sources.faults.rounds import read
from mlops_assets_tests.plumbing.sources.faults.visits import MONTH, NAMES, VISITS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.plumbing.sources.source import Source

ROWS = [{**dict.fromkeys(NAMES), "visit": str(number), "who": f"somebody {number}"} for number in range(500)]
TEXT = "".join(",".join(line) + "\n" for line in [NAMES, *([each[name] or "" for name in NAMES] for each in ROWS)])


@contextmanager
def little_room(most_bytes: int) -> Iterator[None]:
    """No file of this process or its children may grow beyond that size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def told(source: Source, most_bytes: int) -> str:
    with little_room(most_bytes):
        rows, error, _ = read(source, MONTH)
    assert rows is None
    return str(error)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / f"{MONTH}.csv"
    file.write_text(TEXT)
    return file


@pytest.mark.parametrize("most_bytes", [0, 1000, len(TEXT) // 2, len(TEXT) - 1])
def test_a_file_that_has_no_room_is_tried_again_and_not_blamed(file: Path, most_bytes: int) -> None:
    source = FileSource(contract=VISITS, path=str(file.parent), file="{month}.csv", whole=Quiet(seconds=0))
    assert "the disk for its temporary files is full" in told(source, most_bytes)
    rows, _, _ = read(source, MONTH)
    assert rows is not None
    assert len(rows) == len(ROWS)


def test_rows_that_have_no_room_as_they_are_written_are_not_blamed(file: Path) -> None:
    # Packed they have room, plain they have not.
    few = "".join(f"{number},{number:0>500}{',' * 7}\n" for number in range(100))
    file.write_bytes(gzip.compress(f"{','.join(NAMES)}\n{few}".encode()))
    source = FileSource(contract=VISITS, path=str(file.parent), file="{month}.csv", whole=Quiet(seconds=0))
    assert "the disk for its temporary files is full" in told(source, file.stat().st_size)


@pytest.mark.parametrize("most_bytes", [0, 100, 2000])
def test_pages_that_have_no_room_are_tried_again_and_not_blamed(most_bytes: int) -> None:
    with ApiServer(lambda _: Said(value=ROWS)) as api:
        assert "TMPDIR" in told(RestSource(contract=VISITS, url=f"{api.url}/{{month}}"), most_bytes)


def test_a_query_whose_answer_has_no_room_is_tried_again_and_not_blamed(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"CREATE TABLE visits ({', '.join(NAMES)})")
        connection.executemany("INSERT INTO visits (visit, who) VALUES (:visit, :who)", ROWS)
        connection.commit()
    source = SqlSource(contract=VISITS, database=Sqlite(path=str(file)), table="visits")
    assert "the disk for its temporary files is full" in told(source, 300)


@pytest.mark.parametrize("most_bytes", [0, 1000, len(TEXT[: TEXT.index("somebody 300")].rpartition("\n")[0]) + 1])
def test_of_a_commands_output_that_has_no_room_nothing_is_taken(file: Path, most_bytes: int) -> None:
    arguments: dict[str, Any] = {"command": ["cat", "{month}.csv"], "cwd": str(file.parent)}
    assert "the disk for its temporary files is full" in told(CommandSource(contract=VISITS, **arguments), most_bytes)


@pytest.mark.parametrize("most_bytes", [1000, 40_000])
def test_a_workbook_whose_rows_have_no_room_is_not_blamed(tmp_path: Path, most_bytes: int) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [NAMES, *([str(number), "x" * 2_000, *[None] * (len(NAMES) - 2)] for number in range(3_000))]:
        book.active.append(row)
    book.save(tmp_path / f"{MONTH}.xlsx")
    assert (tmp_path / f"{MONTH}.xlsx").stat().st_size > most_bytes
    source = FileSource(
        contract=VISITS, path=str(tmp_path), file="{month}.xlsx", whole=Quiet(seconds=0), format=Excel()
    )
    assert "the disk for its temporary files is full" in told(source, most_bytes)


def test_a_resource_whose_rows_have_no_room_is_not_blamed() -> None:
    pytest.importorskip("dlt")
    source = DltSource(contract=VISITS, resource="mlops_assets_tests.plumbing.sources.pipes.many", snapshot=True)
    assert "the disk for its temporary files is full" in told(source, 1_000)
