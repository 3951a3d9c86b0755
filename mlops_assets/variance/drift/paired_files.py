"""Paired tests of files: anyone's delimited text or Parquet.

Put here how two files become tables of the same entities. Keep out the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import ibis

from mlops_assets.variance.drift.paired import paired
from mlops_assets.variance.drift.summary_files import plain_tables
from mlops_assets.variance.files.opening import AS_DELIVERED, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_assets.variance.drift.paired import Paired


def paired_files(
    before: Path,
    after: Path,
    *,
    entity: str,
    columns: Sequence[str] | None = None,
    reading: Reading = AS_DELIVERED,
) -> dict[str, Paired]:
    """Test columns of two files of the same entities; see `paired`.

    Args:
        before: file of the earlier state, one row per entity.
        after: the later one.
        entity: the column that identifies an entity, compared as it is delivered.
        columns: those to test; all that are in both when not given.
        reading: what the files do not say themselves.

    Returns:
        For each column its test.

    Raises:
        ComparisonError: a file cannot be read, lacks a column, or an identifier repeats.
    """
    tables = plain_tables((before, after), columns, entity=entity, reading=reading)
    with duckdb.connect() as connection:
        engine = ibis.duckdb.from_connection(connection)
        for name, table in zip(("earlier", "later"), tables, strict=True):
            connection.register(name, table)
        asked = [name for name in tables[0].column_names if name != entity]
        return paired(engine.table("earlier"), engine.table("later"), entity=entity, columns=asked)
