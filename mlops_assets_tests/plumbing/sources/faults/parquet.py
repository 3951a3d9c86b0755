"""Rounds on Parquet files: damaged bytes, and columns of other types than the contract's.

Put here faults of Parquet. Keep out those of text (``files``).
"""

from __future__ import annotations

import datetime as dt
import io
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Quiet
from mlops_assets.plumbing.sources.formats.kinds import Parquet
from mlops_assets_tests.plumbing.sources.faults import mutations, visits
from mlops_assets_tests.plumbing.sources.faults.dialects import contract
from mlops_assets_tests.plumbing.sources.faults.reference import Row, typed
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench, Case
from mlops_assets_tests.plumbing.sources.faults.visits import MONTH, NAMES

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

_TYPES: Final = {
    "visit": pa.int64(), "who": pa.string(), "day": pa.date32(), "at": pa.timestamp("us"),
    "seen": pa.timestamp("us", "UTC"), "amount": pa.float64(), "price": pa.decimal128(12, 2), "small": pa.int16(),
    "paid": pa.bool_(),
}  # fmt: skip
_OTHERS: Final = {
    "visit": [pa.uint64(), pa.float64(), pa.decimal128(38, 0), pa.decimal256(50, 0), pa.string(), pa.int32()],
    "who": [
        pa.large_string(),
        pa.binary(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.list_(pa.string()),
        pa.string_view(),
    ],
    "day": [pa.date64(), pa.timestamp("ms"), pa.string(), pa.int32(), pa.timestamp("s", "UTC")],
    "at": [pa.timestamp("ns"), pa.timestamp("ms"), pa.timestamp("us", "Europe/Berlin"), pa.string(), pa.int64()],
    "seen": [pa.timestamp("ns", "UTC"), pa.timestamp("us", "+05:30"), pa.timestamp("us")],
    "amount": [pa.float32(), pa.float16(), pa.decimal128(38, 10), pa.string()],
    "price": [pa.float64(), pa.decimal128(38, 10), pa.decimal256(40, 2), pa.string(), pa.int32()],
    "small": [pa.int64(), pa.uint8(), pa.float32(), pa.string(), pa.bool_()],
    "paid": [pa.int8(), pa.string(), pa.null()],
}


def table_of(rows: Sequence[Row]) -> pa.Table:
    """The rows in the contract's types."""
    return pa.table({
        name: pa.array([row[1 + at] for row in rows], kind) for at, (name, kind) in enumerate(_TYPES.items())
    })  # fmt: skip


@contextmanager
def parquet(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """A Parquet file with damaged bytes, or with other types."""
    given = visits.rows(chance)
    truth = typed(given)
    table = table_of(truth)
    good = written(chance, table)
    if chance.random() < 0.4:
        content, fault = retyped(chance, table)
    else:
        content, fault = mutations.some(chance, good)
        fault = f"damaged: {fault}" if len(content) == len(good) else fault
    # A value that was damaged within a file that is all there is one that was sent: only a checksum would tell.
    whole = None if fault.startswith("damaged") else [truth, *_as_arrow_reads(content)]
    with bench.room() as room:
        file = room / f"{MONTH}.parquet"
        file.write_bytes(content)
        yield Case(
            fault=fault,
            source=FileSource(
                contract=contract(chance),
                path=str(room),
                file="{month}.parquet",
                whole=Quiet(seconds=0),
                format=Parquet(),
            ),
            accepted=whole,
            truth=truth,
            heal=lambda: file.write_bytes(good),
            private=visits.words_of(given),
        )


def written(chance: random.Random, table: pa.Table) -> bytes:
    """A Parquet file, in one of many ways."""
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression=chance.choice(["none", "snappy", "zstd", "gzip", "brotli", "lz4"]),
        row_group_size=chance.choice([1, 5, 1000]),
        data_page_version=chance.choice(["1.0", "2.0"]),
        use_dictionary=chance.random() < 0.5,
        write_page_checksum=chance.random() < 0.5,
        write_statistics=chance.random() < 0.7,
    )
    return sink.getvalue()


def retyped(chance: random.Random, table: pa.Table) -> tuple[bytes, str]:
    """The same values in another type, as far as that has them; or another structure."""
    name = chance.choice(NAMES)
    at = NAMES.index(name)
    way = chance.choice(["type", "type", "type", "lost", "gained", "twice", "nested", "case", "no rows"])
    if way == "type":
        kind = chance.choice(_OTHERS[name])
        try:
            column = table.column(name).cast(kind)
        except pa.ArrowException:
            values = [_as(kind, each) for each in table.column(name).to_pylist()]
            column = pa.array(values, kind)
        table = table.set_column(at, name, column)
        way = f"{name} as {kind}"
    elif way == "lost":
        table = table.drop_columns([name])
    elif way == "gained":
        table = table.append_column("more", pa.array([1] * table.num_rows))
    elif way == "twice":
        table = table.append_column(chance.choice([name, name.upper()]), table.column(name))
    elif way == "nested":
        table = table.set_column(at, name, pa.array([{"a": 1}] * table.num_rows))
    elif way == "case":
        table = table.rename_columns([each.upper() if each == name else each for each in table.column_names])
    else:
        table = table.slice(0, 0)
    return written(chance, table), way


def _as(kind: pa.DataType, value: Any) -> Any:  # noqa: ANN401, PLR0911  of any type
    if value is None or pa.types.is_null(kind):
        return None
    if pa.types.is_list(kind):
        return [value]
    if pa.types.is_integer(kind):
        return 7
    if pa.types.is_boolean(kind):
        return True
    if pa.types.is_decimal(kind):
        return Decimal(7)
    if pa.types.is_floating(kind):
        return 7.0
    return dt.datetime(2024, 1, 1, tzinfo=dt.UTC) if pa.types.is_timestamp(kind) else str(value)


def _as_arrow_reads(content: bytes) -> list[list[Row]]:
    """The rows as another reader has them: a value that was damaged within a page is one that was sent."""
    try:
        table = (
            pq.read_table(io.BytesIO(content), partitioning=None).select(list(NAMES)).cast(pa.schema(_TYPES.items()))
        )
        table.validate(full=True)
        return [[(MONTH, *each.values()) for each in table.to_pylist()]]
    except Exception:  # noqa: BLE001  a damaged file raises all kinds
        return []
