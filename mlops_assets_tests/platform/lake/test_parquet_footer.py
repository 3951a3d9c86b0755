"""Files without the least and greatest values of some columns: what is gone from them, and that nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.platform.lake.parquet_footer import without_bounds
from mlops_assets.platform.lake.session import extension_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ["Ada", "Zoe", None, "Mia"]


def written(path: Path, query: str, *options: str) -> Path:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{path}' ({', '.join(['FORMAT parquet', *options])})")
    return path


def rows(path: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(f"FROM read_parquet('{path}')").fetchall()


def bounds(path: Path) -> dict[str, set[tuple[Any, ...]]]:
    """For each column the least and greatest values of its row groups, both as they are found in the footer."""
    found: dict[str, set[tuple[Any, ...]]] = {}
    with duckdb.connect() as connection:
        for name, *values in connection.execute(
            "SELECT path_in_schema, stats_min, stats_max, stats_min_value, stats_max_value, stats_null_count"
            " FROM parquet_metadata(?)",
            [str(path)],
        ).fetchall():
            found.setdefault(name, set()).add(tuple(values))
    return found


def test_only_the_bounds_of_the_columns_named_are_gone(tmp_path: Path) -> None:
    people = "SELECT unnest(['Ada', 'Zoe', NULL, 'Mia']) AS name, unnest([3, 1, 4, 1]) AS number"
    path = written(tmp_path / "people.parquet", people)
    before = rows(path)
    without_bounds(path, {"name"})
    assert rows(path) == before
    told = bounds(path)
    assert told["name"] == {(None, None, None, None, 1)}
    assert {values[2:4] for values in told["number"]} == {("1", "4")}
    assert b"Zoe" not in path.read_bytes()[-pq.ParquetFile(path).metadata.serialized_size :]


def test_what_is_nested_in_a_column_is_meant_too(tmp_path: Path) -> None:
    path = written(tmp_path / "nested.parquet", "SELECT {'first': ['Zoe']} AS name, 'Zoe' AS place")
    without_bounds(path, {"name"})
    assert rows(path) == [({"first": ["Zoe"]}, "Zoe")]
    told = bounds(path)
    place = told.pop("place")
    assert {values[2:4] for values in place} == {("Zoe", "Zoe")}
    assert {values[:4] for found in told.values() for values in found} == {(None, None, None, None)}


@given(columns=st.integers(1, 40), groups=st.integers(1, 20), named=st.sets(st.integers(0, 39)))
def test_files_of_any_width_and_length_stay_whole(
    columns: int, groups: int, named: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("wide") / "wide.parquet"
    table = pa.table({f"c{number}": [f"{number}-{row}" for row in range(groups)] for number in range(columns)})
    pq.write_table(table, path, row_group_size=1)
    without_bounds(path, {f"c{number}" for number in named})
    assert pq.read_table(path).equals(table)
    metadata = pq.ParquetFile(path).metadata
    for group in range(groups):
        for column in range(columns):
            statistics = metadata.row_group(group).column(column).statistics
            assert statistics.has_min_max == (column not in named)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"a letter, and no file of that kind at all", b"PAR1\xff\0\0\0PAR1"])
def test_what_is_no_parquet_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "letter.parquet"
    path.write_bytes(content)
    with pytest.raises((ValueError, OSError)):
        without_bounds(path, {"name"})
    assert path.read_bytes() == content


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A lake of DuckLake's own with one table of names, in three files; only the second has bounds."""
    with duckdb.connect() as connection:
        for name in ("ducklake", "sqlite_scanner"):
            connection.execute(f"LOAD '{extension_file(name)}'")
        connection.execute(f"ATTACH 'ducklake:sqlite:{tmp_path}/c.sqlite' AS lake (DATA_PATH '{tmp_path}/data')")
        connection.execute("CREATE TABLE lake.people (name VARCHAR, number BIGINT)")
        for number in range(3):
            path = tmp_path / f"{number}.parquet"
            pq.write_table(pa.table({"name": NAMES, "number": [1, 2, 3, 4]}), path)
            if number != 1:
                without_bounds(path, {"name"})
            connection.execute(f"CALL ducklake_add_data_files('lake', 'people', '{path}')")
        yield connection


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("count(*) FROM lake.people WHERE name = 'Zoe'", (3,)),
        ("count(*) FROM lake.people WHERE name > 'Y' AND number = 2", (3,)),
        ("count(*) FROM lake.people WHERE name IS NULL", (3,)),
        ("count(*) FROM lake.people WHERE name = 'Nobody'", (0,)),
        ("min(name), max(name), count(name), count(DISTINCT name) FROM lake.people", ("Ada", "Zoe", 9, 3)),
    ],
)
def test_a_lake_answers_of_files_without_bounds_what_is_in_them(
    lake: duckdb.DuckDBPyConnection, asked: str, told: tuple[Any, ...]
) -> None:
    assert lake.execute(f"SELECT {asked}").fetchone() == told


def test_a_lakes_catalog_knows_no_bounds_once_a_file_tells_none(lake: duckdb.DuckDBPyConnection) -> None:
    assert lake.execute(
        "SELECT min_value, max_value FROM __ducklake_metadata_lake.ducklake_table_column_stats ORDER BY column_id"
    ).fetchall() == [(None, None), ("1", "4")]
