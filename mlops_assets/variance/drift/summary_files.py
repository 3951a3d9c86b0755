"""Summaries of files: anyone's CSV or Parquet.

Put here how a file becomes batches. Keep out what is done with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa
from pyarrow import parquet

from mlops_assets.variance.drift.summaries import Summary, summarise
from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files import relation_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BATCH_ROWS: Final = 1 << 17
_PARQUET: Final = (".parquet", ".pq")


def summarise_file(path: Path, columns: Sequence[str] | None = None, *, sampled: int = 0, seed: int = 0) -> Summary:
    """Summarise a file in one scan; see `summarise`.

    Args:
        path: a CSV or Parquet file.
        columns: names of columns; all when not given.
        sampled: rows to keep for comparing all columns together.
        seed: of the sample.

    Raises:
        ComparisonError: the file does not exist, cannot be read, or a column is missing or of no use.
    """
    try:
        if path.suffix.lower() in _PARQUET and path.exists():
            return summarise(_parquet(path, columns), columns, sampled=sampled, seed=seed)
        with duckdb.connect() as connection:
            reader = relation_of(connection, path).to_arrow_reader(_BATCH_ROWS)
            return summarise(reader, columns, sampled=sampled, seed=seed)
    except (pa.ArrowException, duckdb.Error) as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise ComparisonError(f"File {path} cannot be read as CSV or Parquet: {first}. Check its format.") from error
    except ComparisonError as error:
        raise ComparisonError(str(error)) from error


def _parquet(path: Path, columns: Sequence[str] | None) -> pa.RecordBatchReader:
    schema = parquet.read_schema(path)
    # Texts that Parquet keeps as codes stay so, which counts them at once.
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    file = parquet.ParquetFile(path, read_dictionary=texts)
    wanted = [name for name in schema.names if columns is None or name in columns]
    narrowed = pa.schema([file.schema_arrow.field(name) for name in wanted])
    return pa.RecordBatchReader.from_batches(narrowed, file.iter_batches(_BATCH_ROWS, columns=wanted))
