"""Rows of text on their way to a layout: written part by part, so that memory holds one part.

Put here how such parts become one relation. Keep out what delivers them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.platform.errors import SourceError
from mlops_assets.platform.lake.files import COMPRESSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    import duckdb

_MOST_COLUMNS: Final = 2_000


class TextFiles:
    """Parquet files of text columns, each with all columns that had come when it was begun.

    Args:
        folder: below which they are written.
        source: how messages name what delivers the rows.

    Attributes:
        count: how many rows were written.
    """

    def __init__(self, folder: Path, source: str) -> None:
        self._source = source
        self._names: dict[str, str] = {}
        self._files: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self.count = 0
        self._folder = Path(tempfile.mkdtemp(dir=folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, columns: Mapping[str, Sequence[str | None]]) -> None:
        """Write some rows, of which each column has a value.

        Raises:
            SourceError: two columns differ by their case alone, there are absurdly many, or none.
        """
        if new := [name for name in columns if name not in self._names.values()]:
            self._gain(new)
        if self._writer is None or not columns:
            raise SourceError(
                source=self._source, culprit="its rows hold no values.", remedy="Ask it for rows with named values."
            )
        count = len(next(iter(columns.values())))
        arrays = [
            pa.array(columns[name], pa.string()) if name in columns else pa.nulls(count, pa.string())
            for name in self._names.values()
        ]
        self._writer.write_table(pa.table(arrays, schema=self._writer.schema))
        self.count += count

    def relation(self, connection: duckdb.DuckDBPyConnection, otherwise: Iterable[str]) -> duckdb.DuckDBPyRelation:
        """All rows in the order in which they came, with all columns that ever did.

        Args:
            connection: where the relation lives.
            otherwise: the columns, where none came.
        """
        if not self._files:
            self._gain(otherwise)
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        return connection.read_parquet([str(file) for file in self._files], union_by_name=True, hive_partitioning=False)

    def _gain(self, names: Iterable[str]) -> None:
        """Begin a file with further columns."""
        for name in names:
            lower = name.lower()
            if not name or lower in self._names:
                raise SourceError(
                    source=self._source,
                    # Not named: of a table of persons they may be a person's data.
                    culprit="two of its columns differ by their case alone."
                    if name
                    else "one of its columns has no name.",
                    remedy="Ask its owner for names that tell columns apart.",
                )
            self._names[lower] = name
        if len(self._names) > _MOST_COLUMNS:
            raise SourceError(
                source=self._source,
                culprit=f"its rows have more than {_MOST_COLUMNS:,} columns: their names are probably values.",
                remedy="Ask it for rows that all have the same names.",
            )
        if self._writer is not None:
            self._writer.close()
        self._files.append(self._folder / f"{len(self._files):05}.parquet")
        schema = pa.schema([(name, pa.string()) for name in self._names.values()])
        self._writer = pq.ParquetWriter(self._files[-1], schema, compression=COMPRESSION)
