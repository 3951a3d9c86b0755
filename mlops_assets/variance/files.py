"""Anybody's files as relations that can be compared.

Put here how a file is opened. Keep out what its columns mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from mlops_assets.variance.errors import ComparisonError

if TYPE_CHECKING:
    from pathlib import Path


def relation_of(connection: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    """Open a CSV or Parquet file.

    Raises:
        ComparisonError: the file does not exist or cannot be read.
    """
    if not path.exists():
        raise ComparisonError(f"File {path} does not exist. Name a CSV or Parquet file.")
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            return connection.read_parquet(str(path))
        return connection.read_csv(str(path), sample_size=-1)
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise ComparisonError(f"File {path} cannot be read as CSV or Parquet: {first}. Check its format.") from error


def quoted(name: str) -> str:
    """A column's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
