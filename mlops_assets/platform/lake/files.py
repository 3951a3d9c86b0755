"""The data files of a lake: what its catalog says of them, and whether that is still so on disk.

Put here the files as the catalog names them. Keep out staged files (``stage``) and what to do about broken ones
(``repair``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from mlops_assets.platform.lake.catalog import literal
from mlops_assets.platform.lake.tables import EVERY_VALUE
from mlops_assets.platform.withheld import reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession

COMPRESSION: Final = "zstd"
"""Of a lake's files."""

ROW_GROUP: Final = 32_768
"""Rows in a row group of theirs; so few that several threads read a partition of a hundred thousand rows."""

# A table or schema that was renamed has several rows; the newest is the last.
FILES: Final = """
SELECT data_file_id, s.schema_name, t.table_name, f.path AS path, f.path_is_relative AS is_relative,
       t.path AS of_table, t.path_is_relative AS table_is_relative, s.path AS of_schema,
       s.path_is_relative AS schema_is_relative, file_size_bytes, record_count, f.begin_snapshot, f.end_snapshot,
       f.table_id
FROM ducklake_data_file AS f JOIN ducklake_table AS t ON t.table_id = f.table_id
JOIN ducklake_schema AS s ON s.schema_id = t.schema_id
ORDER BY data_file_id, t.begin_snapshot, s.begin_snapshot
"""


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A data file that some version of the lake names.

    Attributes:
        layer: schema of its table.
        table: name of its table.
        path: where it should be.
        bytes: how large it should be.
        rows: how many rows it should hold.
        number: its id in the catalog.
        table_id: its table's id there; a table that was dropped and made anew has two.
        stored: its path as the catalog writes it.
        begin: the first version that names it.
        end: the first that does not any more; ``None`` if the newest names it.
    """

    layer: str
    table: str
    path: Path
    bytes: int
    rows: int
    number: int
    table_id: int
    stored: str
    begin: int
    end: int | None

    @property
    def current(self) -> bool:
        """Whether the newest version names it."""
        return self.end is None


def data_files(session: LakeSession, lake: str) -> list[DataFile]:
    """Every file that a version of the lake names, oldest first."""
    return listed(session.settings.lake_data_path(lake), session.query(lake, FILES))


def listed(root: Path, rows: Sequence[tuple[Any, ...]]) -> list[DataFile]:
    """The same from what the catalog's database gives for `FILES`.

    Args:
        root: the folder of the lake's Parquet files.
        rows: the catalog's.
    """
    return list({row[0]: _data_file(root, row) for row in rows}.values())


def partition_files(session: LakeSession, contract: Contract, key: str | None, *, version: int) -> list[Path]:
    """The files that hold rows of a partition at that version, as the catalog knows it; no file is read.

    Args:
        session: a session that may read the contract's lake.
        contract: the table.
        key: the partition; ``None`` for an unpartitioned table.
        version: a version of the lake that has not expired.
    """
    # The catalog keeps the least and greatest value of each column in a file. A file holds one partition.
    holds = "".join(
        " AND EXISTS (SELECT 1 FROM ducklake_file_column_stats AS v JOIN ducklake_column AS c"
        " ON c.table_id = v.table_id AND c.column_id = v.column_id WHERE v.data_file_id = f.data_file_id"
        f" AND c.column_name = {literal(column)} AND v.min_value = {literal(value)})"
        for column, value in contract.partition_values(key).items()
    )
    rows = session.query(
        contract.lake.name,
        "SELECT DISTINCT f.data_file_id AS number FROM ducklake_data_file AS f"
        " JOIN ducklake_table AS t ON t.table_id = f.table_id JOIN ducklake_schema AS s ON s.schema_id = t.schema_id"
        f" WHERE s.schema_name = {literal(contract.layer)} AND t.table_name = {literal(contract.table)}"
        f" AND f.begin_snapshot <= {int(version)} AND coalesce(f.end_snapshot, {int(version) + 1}) > {int(version)}"
        f"{holds}",
    )
    numbers = {int(number) for (number,) in rows}
    return [file.path for file in data_files(session, contract.lake.name) if file.number in numbers]


def is_gone_or_cut(file: DataFile) -> str | None:
    """What is wrong with the file as the disk knows it; ``None`` if it is there and as long as it was."""
    try:
        size = file.path.stat().st_size
    except FileNotFoundError:
        return "it is not there"
    return None if size == file.bytes else f"it has {size:,} bytes of {file.bytes:,}"


def is_broken(session: LakeSession, file: DataFile) -> str | None:
    """What is wrong with the file; ``None`` if every value of all its rows can be read."""
    if wrong := is_gone_or_cut(file):
        return wrong
    try:
        [(rows, _)] = session.connection.execute(
            f"SELECT count(*), {EVERY_VALUE} FROM {parquet_rows(file.path)} AS found"
        ).fetchall()
    except duckdb.Error as error:
        return f"it cannot be read ({reason(error)})"
    return None if rows == file.rows else f"it has {rows:,} rows of {file.rows:,}"


def plain(path: Path) -> str:
    """The path as a pattern that only it matches."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in str(path))


def parquet_rows(*paths: Path, file: str = "") -> str:
    """The DuckDB table of the rows of Parquet files, with the columns that any of them has; ``file`` names one more.

    That one holds the path of the row's file.

    A folder above them may be called ``country=US``; without a word DuckDB takes that for the value of a column, also
    of one that the files hold.
    """
    listed = ", ".join(literal(plain(path)) for path in paths)
    named = f", filename = {literal(file)}" if file else ""
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false{named})"


def _data_file(root: Path, row: tuple[Any, ...]) -> DataFile:
    number, layer, table, path, relative, of_table, table_relative, of_schema, schema_relative, *counts = row
    size, rows, begin, end, table_id = counts
    # An absolute part stands for all before it.
    below_schema = root / of_schema if _is_true(schema_relative) else Path(of_schema)
    below_table = below_schema / of_table if _is_true(table_relative) else Path(of_table)
    place = below_table / path if _is_true(relative) else Path(path)
    return DataFile(
        layer=layer,
        table=table,
        path=place,
        bytes=int(size),
        rows=int(rows),
        number=int(number),
        table_id=int(table_id),
        stored=path,
        begin=int(begin),
        end=None if end is None else int(end),
    )


def _is_true(flag: object) -> bool:
    # A SQLite catalog gives texts of numbers.
    return str(flag) in {"1", "True"}
