"""File statistics: what DuckLake's catalog says of data files, by DuckLake itself.

Put here the scratch lake that files are added to, and what is read from its catalog. Keep out what becomes of that
(``rewriting``).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.platform.lake.catalog import literal
from mlops_assets.platform.lake.files import plain

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

_SCRATCH: Final = "erasure_scratch"


@dataclass(frozen=True, kw_only=True)
class FileStatistics:
    """What DuckLake says of the files of one table.

    Attributes:
        counts: for each file, by its number, its rows, its bytes and those of its footer.
        columns: for each file its columns' `STATISTICS` by the columns' names.
        table: for each column the least and greatest value in all files.
    """

    counts: Mapping[int, tuple[int, int, int]]
    columns: Mapping[int, Mapping[str, tuple[Any, ...]]]
    table: Mapping[str, tuple[Any, Any]]


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
        every = ", ".join(literal(plain(path)) for path in files.values())
        source = f"read_parquet([{every}], union_by_name = true, hive_partitioning = false)"
        connection.execute(f"CREATE TABLE {_SCRATCH}.files AS FROM {source} LIMIT 0")
        connection.execute("BEGIN TRANSACTION")
        for path in files.values():
            connection.execute(
                f"CALL ducklake_add_data_files({literal(_SCRATCH)}, 'files', {literal(plain(path))}, "
                "allow_missing => true)"
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
    columns: dict[int, dict[str, tuple[Any, ...]]] = {}
    named = "JOIN (SELECT column_id, column_name FROM @ducklake_column WHERE parent_column IS NULL) USING (column_id)"
    for file, name, *found in rows(
        f"SELECT data_file_id, column_name, {', '.join(STATISTICS)} FROM @ducklake_file_column_stats {named}"
    ):
        columns.setdefault(number_of[file], {})[name] = tuple(found)
    table = rows(f"SELECT column_name, min_value, max_value FROM @ducklake_table_column_stats {named}")
    return FileStatistics(
        counts={number_of[row[0]]: row[1:] for row in files},
        columns=columns,
        table={name: (least, greatest) for name, least, greatest in table},
    )
