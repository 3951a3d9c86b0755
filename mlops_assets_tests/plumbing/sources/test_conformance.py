"""Every kind of source passes the tests that anybody's kind can run."""

from __future__ import annotations

import csv
import gzip
import io
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mlops_assets as ma
from mlops_assets.plumbing.sources.conformance import SourceConformance
from mlops_assets_tests.plumbing.sources.api import ApiServer, Asked, Said
from mlops_assets_tests.plumbing.sources.file_server import FileServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

COLUMNS = ("sale", "day", "amount", "note")


class _Folder(SourceConformance):
    """A folder that holds one file."""

    file = ""
    options: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "delivered"
        self.folder.mkdir()

    def source(self, contract: ma.Contract, **options: Any) -> ma.FileSource:  # noqa: ANN401  as the base
        return ma.FileSource(
            contract=contract,
            path=str(self.folder),
            file=self.file,
            whole=ma.Quiet(seconds=0),
            **self.options,
            **options,
        )

    @contextmanager
    def away(self) -> Iterator[None]:
        hidden = self.folder.with_name("hidden")
        self.folder.rename(hidden)
        yield
        hidden.rename(self.folder)


class TestDelimitedFiles(_Folder):
    file = "{month}.csv.gz"

    def give(self, rows: Sequence[Mapping[str, str | None]]) -> None:
        with gzip.open(self.folder / "2024-01.csv.gz", "wt", encoding="utf-8", newline="") as file:
            names = list(rows[0]) if rows else list(COLUMNS)
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            writer.writerows(row.values() for row in rows)


class TestParquetFiles(_Folder):
    file = "{month}.parquet"
    options: ClassVar[Mapping[str, Any]] = {"format": ma.Parquet()}

    def give(self, rows: Sequence[Mapping[str, str | None]]) -> None:
        names = list(rows[0]) if rows else list(COLUMNS)
        columns = {name: pa.array([row[name] for row in rows], pa.string()) for name in names}
        pq.write_table(pa.table(columns), self.folder / "2024-01.parquet")


class TestCommands(TestDelimitedFiles):
    def source(self, contract: ma.Contract, **options: Any) -> ma.CommandSource:  # type: ignore[override]  # noqa: ANN401
        return ma.CommandSource(contract=contract, command=["cat", f"{self.folder}/{{month}}.csv.gz"], **options)


class TestFilesOverHttp(SourceConformance):
    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with FileServer() as self.server:
            yield

    def source(self, contract: ma.Contract, **options: Any) -> ma.HttpFileSource:  # noqa: ANN401  as the base
        limits = ma.FileLimits(attempts=2, first_delay_seconds=0.01)
        return ma.HttpFileSource(contract=contract, url=f"{self.server.url}/{{month}}.csv.gz", limits=limits, **options)

    def give(self, rows: Sequence[Mapping[str, str | None]]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(list(rows[0]) if rows else list(COLUMNS))
        writer.writerows(row.values() for row in rows)
        self.server.files["/2024-01.csv.gz"] = gzip.compress(text.getvalue().encode())
        # Each file comes in two parts.
        self.server.manners.cuts = [40]

    @contextmanager
    def away(self) -> Iterator[None]:
        self.server.manners.status = 503
        yield
        self.server.manners.status = None


class TestSqlite(SourceConformance):
    @pytest.fixture(autouse=True)
    def _database(self, tmp_path: Path) -> None:
        self.path = tmp_path / "shop.sqlite"

    def source(self, contract: ma.Contract, **options: Any) -> ma.SqlSource:  # noqa: ANN401  as the base
        return ma.SqlSource(
            contract=contract, database=ma.Sqlite(path=str(self.path)), table="sales", snapshot=True, **options
        )

    def give(self, rows: Sequence[Mapping[str, str | None]]) -> None:
        names = list(rows[0]) if rows else list(COLUMNS)
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("DROP TABLE IF EXISTS sales")
            connection.execute(f"CREATE TABLE sales ({', '.join(names)})")
            marks = ", ".join("?" for _ in names)
            insert = f"INSERT INTO sales VALUES ({marks})"  # noqa: S608  marks of parameters
            connection.executemany(insert, [tuple(row.values()) for row in rows])

    @contextmanager
    def away(self) -> Iterator[None]:
        hidden = self.path.with_name("hidden")
        self.path.rename(hidden)
        yield
        hidden.rename(self.path)


class TestRestServices(SourceConformance):
    rows: Sequence[Mapping[str, str | None]] = ()
    answers = True

    @pytest.fixture(autouse=True)
    def _service(self) -> Iterator[None]:
        with ApiServer(self._answer) as api:
            self.url = api.url
            yield

    def _answer(self, asked: Asked) -> Said:
        page = int(asked.query["page"])
        # A key that a row lacks is NULL, and so is an empty answer's every column.
        return Said(value=self.rows[page - 1 : page]) if self.answers else Said(status=503)

    def source(self, contract: ma.Contract, **options: Any) -> ma.RestSource:  # noqa: ANN401  as the base
        limits = ma.Limits(attempts=2, first_delay_seconds=0.01)
        return ma.RestSource(
            contract=contract, url=self.url, paginate=ma.PageNumber(), limits=limits, snapshot=True, **options
        )

    def give(self, rows: Sequence[Mapping[str, str | None]]) -> None:
        self.rows = rows

    @contextmanager
    def away(self) -> Iterator[None]:
        self.answers = False
        yield
        self.answers = True
