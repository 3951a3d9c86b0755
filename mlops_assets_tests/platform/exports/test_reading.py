"""Tests of reading exports whatever they hold: rows of the kinds that the manifest says, or a clear refusal.

What is altered here is vouched for again by size, hash and id, as if its own writer had made it so.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports import export as exports
from mlops_assets.platform.exports.export import open_export, pointer_path, write_export
from mlops_assets.platform.exports.manifest import ExportManifest, Kind, ServedAs, Split, export_id_of
from mlops_assets.serving.exports.table import ServedTable

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = pa.table(
    {
        "id": [1, 2, 3],
        "text": ["a", "ä", None],
        "whole": pa.array([1, -(2**63), None]),
        "number": pa.array([0.5, 1e300, None]),
        "flag": pa.array([True, False, None]),
        "day": pa.array([date(1, 1, 1), date(9999, 12, 31), None]),
        "local": pa.array(["0001-01-01T00:00:00", "2024-02-29T23:59:59.999999", None]).cast(pa.timestamp("us")),
        "moment": pa.array([datetime(9999, 12, 31, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")),
        "blob": pa.array([b"\xff", b"", None]),
    }
)
SERVED = ServedAs(scope="things:read", filters=("id", "text", "day"), limit_by=("text",), latest="id")
KINDS = dict(
    zip(
        ROWS.schema.names,
        [
            Kind.INTEGER,
            Kind.TEXT,
            Kind.INTEGER,
            Kind.NUMBER,
            Kind.BOOLEAN,
            Kind.DATE,
            Kind.LOCAL_TIME,
            Kind.INSTANT,
            Kind.BYTES,
        ],
        strict=True,
    )
)
MOMENT = "%Y-%m-%dT%H:%M:%S.%f"


def is_of(kind: Kind, value: object) -> bool:
    """Whether a value is one of that kind, by other means than the package's."""
    if value is None:
        return True
    if kind is Kind.DATE:
        return date.fromisoformat(str(value)).isoformat() == value
    if kind in {Kind.LOCAL_TIME, Kind.INSTANT}:
        datetime.strptime(str(value).removesuffix("+00:00"), MOMENT)  # noqa: DTZ007
        return len(str(value)) == (26 if kind is Kind.LOCAL_TIME else 32)
    if kind is Kind.BOOLEAN:
        return value in {0, 1}
    if kind is Kind.NUMBER:
        return isinstance(value, float) and abs(value) < float("inf")
    return isinstance(value, {Kind.TEXT: str, Kind.INTEGER: int, Kind.BYTES: bytes}[kind])


@pytest.fixture(name="written", scope="module")
def _written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    split = Split(weights={"latest": 1.0}, shadow=("previous",))
    write_export(
        folder,
        {"things": ROWS},
        {"from": [1, "a"]},
        keys={"things": ["id"]},
        served={"things": SERVED},
        splits={"things": split},
    )
    return folder


def read_after(written: Path, damage: Callable[[Path], None], *, vouched: bool = True) -> list[tuple[Any, ...]] | None:
    """The rows of a copy of the export that was damaged, each of its kind; ``None`` where it is refused."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "copy"
        shutil.copytree(written, folder)
        [data] = folder.glob("*/data.sqlite")
        damage(data.parent)
        if vouched:
            vouch(data.parent)
        try:
            with open_export(folder) as export:
                rows = []
                for table, record in export.manifest.tables.items():
                    rows += export.fetched(f'SELECT * FROM "{table}"')  # noqa: S608  an identifier
                    assert all(is_of(*pair) for row in rows for pair in zip(record.columns.values(), row, strict=True))
                    if record.served is not None:
                        ServedTable(export, table).latest({})
                return rows
        except ArtifactError:
            return None


def vouch(folder: Path) -> None:
    """Let the manifest tell the size and hash of the data file, and the id and the pointer what the manifest is."""
    path, data = folder / "manifest.json", folder / "data.sqlite"
    try:
        document = json.loads(path.read_bytes())
        document["file"] = {"sha256": exports._sha256(data), "size": data.stat().st_size}
        path.write_text(json.dumps(document), encoding="utf-8")
        manifest = ExportManifest.from_json(path.read_bytes())
        document["export_id"] = export_id_of(manifest.tables, manifest.provenance)
        path.write_text(json.dumps(document), encoding="utf-8")
    except (ValueError, LookupError, TypeError, ArtifactError):
        return
    pointer_path(folder.parent).write_text(document["export_id"], encoding="ascii")
    folder.rename(folder.parent / document["export_id"])


SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3)
JSON = SCALARS | st.sampled_from(
    [*Kind, "things", "id", "lookup", [], ["id"], ["id", "id"], {}, {"things": {}}, "2024-01-01", "\ud800", 1e999]
)


@settings(max_examples=300, deadline=None)
@given(way=st.lists(st.integers(0, 20), max_size=5), value=JSON, gone=st.booleans())
def test_a_manifest_with_another_value_anywhere_is_refused_or_read_rightly(
    written: Path, way: list[int], value: object, *, gone: bool
) -> None:
    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        place: Any = json.loads(path.read_bytes())
        document = place
        for number in way:
            names = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not names:
                break
            name = names[number % len(names)]
            if not isinstance(place[name], dict | list) or number is way[-1]:
                if gone:
                    del place[name]
                else:
                    place[name] = value
                break
            place = place[name]
        path.write_text(json.dumps(document), encoding="utf-8")

    read_after(written, damage)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=40), place=st.integers(0, 1000), whole=st.booleans())
def test_a_manifest_of_any_bytes_is_refused_or_read_rightly(
    written: Path, content: bytes, place: int, *, whole: bool
) -> None:
    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        old = path.read_bytes()
        place_in = place % len(old)
        path.write_bytes(content if whole else old[:place_in] + content + old[place_in + len(content) :])

    read_after(written, damage, vouched=False)


@settings(max_examples=200, deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_a_data_file_with_other_bytes_is_refused_or_read_rightly(written: Path, edits: list[tuple[int, bytes]]) -> None:
    def damage(folder: Path) -> None:
        content = bytearray((folder / "data.sqlite").read_bytes())
        for place, new in edits:
            start = place % len(content)
            content[start : start + len(new)] = new
        (folder / "data.sqlite").write_bytes(content)

    read_after(written, damage)


CELLS: dict[str, list[Any]] = {
    "text": ["x", b"\xff", b"\xed\xa0\x80", b"\xc0\x80"],
    "whole": [0, 2**63 - 1],
    "number": [1.5, float("inf"), float("-inf")],
    "flag": [0, 1, 2, -1],
    "day": [
        "2024-02-29",
        "2023-02-29",
        "2024-02-30",
        "0000-01-01",
        "10000-01-01",
        "-001-01-01",
        "now",
        "2024-1-1",
        "a",
    ],
    "local": [
        "2024-01-01T00:00:00.000000",
        "2024-01-01T24:00:00.000000",
        "2024-01-01T23:59:60.000000",
        "2024-01-01 00:00:00.000000",
        "2024-01-01T00:00:00",
        "0000-01-01T00:00:00.000000",
        "10000-01-01T00:00:00.000000",
        "2024-02-30T00:00:00.000000",
    ],
    "moment": [
        "2024-01-01T00:00:00.000000+00:00",
        "2024-01-01T00:00:00.000000",
        "2024-01-01T00:00:00.000000+01:00",
        "2023-02-29T00:00:00.000000+00:00",
    ],
    "blob": [b"", b"\x00"],
}


@pytest.mark.parametrize(("column", "value"), [(column, value) for column, values in CELLS.items() for value in values])
def test_a_cell_that_is_none_of_its_kind_is_refused_and_any_other_read(
    written: Path, column: str, value: float | str | bytes
) -> None:
    def damage(folder: Path) -> None:
        mark = "CAST(? AS TEXT)" if column == "text" else "?"
        with closing(sqlite3.connect(folder / "data.sqlite")) as connection, connection:
            connection.execute(f"UPDATE things SET {column} = {mark} WHERE id = 2", (value,))  # noqa: S608  of the test

    rows = read_after(written, damage)
    read: object = value
    try:
        if column == "text" and isinstance(value, bytes):
            read = value.decode()
        right = is_of(KINDS[column], read)
    except ValueError:
        right = False
    assert (rows is not None) == right
    if rows is not None:
        assert rows[1][list(KINDS).index(column)] == read


@pytest.mark.parametrize(
    "change",
    [
        'DROP INDEX "things(text)"',
        "CREATE INDEX more ON things (whole)",
        "CREATE VIEW seen AS SELECT 1",
        "ALTER TABLE things RENAME COLUMN text TO words",
        "ALTER TABLE things ADD COLUMN more TEXT",
        "CREATE TRIGGER happens AFTER INSERT ON things BEGIN SELECT 1; END",
    ],
)
def test_a_file_that_is_not_made_as_its_manifest_says_is_refused(written: Path, change: str) -> None:
    def damage(folder: Path) -> None:
        with closing(sqlite3.connect(folder / "data.sqlite")) as connection, connection:
            connection.execute(change)

    assert read_after(written, damage) is None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (pa.array([10**12], pa.int64()).cast(pa.timestamp("s")), "outside the years 1 to 9999"),
        (pa.array([-(10**14)], pa.int64()).cast(pa.timestamp("ms")), "outside the years 1 to 9999"),
        (pa.array([2**30], pa.int32()).cast(pa.date32()), "outside the years 1 to 9999"),
        (pa.array([b"\xff"], pa.binary()).cast(pa.string(), safe=False), "text that is not UTF-8"),
    ],
)
def test_values_that_no_export_holds_are_refused_by_their_columns_name(
    tmp_path: Path, values: pa.Array, told: str
) -> None:
    with pytest.raises(ArtifactError, match=f"column thing holds .*{told}"):
        write_export(tmp_path, {"things": pa.table({"thing": values})}, {})
