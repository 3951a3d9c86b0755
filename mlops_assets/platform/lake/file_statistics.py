"""File statistics: what DuckLake's catalog says of data files, by DuckLake itself.

Put here the scratch lake that files are added to, and what is read from its catalog. Keep out what becomes of that
(``rewriting``).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.platform.lake.catalog import literal
from mlops_assets.platform.lake.files import parquet_rows, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops_assets.platform.lake.session import LakeSession

STATISTICS: Final = (
    "column_size_bytes",
    "value_count",
    "null_count",
    "min_value",
    "max_value",
    "contains_nan",
    "extra_stats",
)
"""What DuckLake keeps of each column of a file, by the names of its catalog's columns."""

COLUMNS: Final = "SELECT DISTINCT column_id, column_name, parent_column FROM {}ducklake_column"
"""The query of all columns of a catalog, from which `places` are found; what begins its tables' names goes in."""

_SCRATCH: Final = "erasure_scratch"

Place = tuple[str, ...]
"""A column's name, after the names of what it is nested in."""


@dataclass(frozen=True, kw_only=True)
class FileStatistics:
    """What DuckLake says of the files of one table.

    Attributes:
        counts: for each file, by its number, its rows, its bytes and those of its footer.
        columns: for each file its columns' `STATISTICS` by the columns' places.
        table: for each column the least and greatest value in all files.
    """

    counts: Mapping[int, tuple[int, int, int]]
    columns: Mapping[int, Mapping[Place, tuple[Any, ...]]]
    table: Mapping[Place, tuple[Any, Any]]


def file_statistics(session: LakeSession, files: Mapping[int, Path]) -> FileStatistics:
    """Add files of one table to a scratch lake, and read what its catalog says of them.

    Args:
        session: a session whose connection can read them.
        files: the files by any numbers.

    Raises:
        duckdb.Error: one cannot be read, or the scratch folder cannot be written.
    """
    connection = session.connection
    folder = session.scratch / _SCRATCH
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if not files:
        return FileStatistics(counts={}, columns={}, table={})
    connection.execute(
        f"ATTACH {literal(f'ducklake:{folder}/catalog.ducklake')} AS {_SCRATCH} (DATA_PATH {literal(f'{folder}/')})"
    )
    try:
        connection.execute(f"CREATE TABLE {_SCRATCH}.files AS FROM {parquet_rows(*files.values())} LIMIT 0")
        connection.execute("BEGIN TRANSACTION")
        for path in files.values():
            connection.execute(
                f"CALL ducklake_add_data_files({literal(_SCRATCH)}, 'files', {literal(plain(path))}, "
                "allow_missing => true, hive_partitioning => false)"
            )
        connection.execute("COMMIT")
        return _read(session, list(files))
    finally:
        session.rollback()
        connection.execute(f"DETACH {_SCRATCH}")


def _read(session: LakeSession, numbers: Sequence[int]) -> FileStatistics:
    def rows(statement: str) -> list[tuple[Any, ...]]:
        return session.connection.execute(statement.replace("@", f"__ducklake_metadata_{_SCRATCH}.")).fetchall()

    files = rows(
        "SELECT data_file_id, record_count, file_size_bytes, footer_size FROM @ducklake_data_file ORDER BY data_file_id"
    )
    number_of = {row[0]: number for row, number in zip(files, numbers, strict=True)}
    place_of = places(rows(COLUMNS.format("@")))
    columns: dict[int, dict[Place, tuple[Any, ...]]] = {}
    for file, column_id, *found in rows(
        f"SELECT data_file_id, column_id, {', '.join(STATISTICS)} FROM @ducklake_file_column_stats"
    ):
        columns.setdefault(number_of[file], {})[place_of[column_id]] = tuple(found)
    table = rows("SELECT column_id, min_value, max_value FROM @ducklake_table_column_stats")
    return FileStatistics(
        counts={number_of[row[0]]: row[1:] for row in files},
        columns=columns,
        table={place_of[column_id]: (least, greatest) for column_id, least, greatest in table},
    )


def places(columns: Sequence[tuple[Any, ...]]) -> dict[int, Place]:
    """The place of each column by its id, from the rows of `COLUMNS`."""
    known = {int(number): (name, parent) for number, name, parent in columns}

    def place(number: int) -> Place:
        name, parent = known[number]
        return (*(place(int(parent)) if parent is not None else ()), name)

    return {number: place(number) for number in known}
