"""Every kind of source passes the tests that anybody's kind can run."""

from __future__ import annotations

import csv
import gzip
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mlops_assets as ma
from mlops_assets.plumbing.sources.conformance import SourceConformance

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
