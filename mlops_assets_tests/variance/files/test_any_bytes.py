"""Any bytes: every reader gives an answer or a refusal, and never another exception."""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mlops_assets.variance.drift.file_drift import file_drift
from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files.opening import Reading
from mlops_assets.variance.linked.explanation import explain
from mlops_assets.variance.panel.changepoints import read_series
from mlops_assets.variance.panel.panels import Columns, read_panel

if TYPE_CHECKING:
    from collections.abc import Callable

_GOOD = b"u,g,t,v\n" + b"".join(b"%d,a,%d,%d\n" % (row % 4, row // 4, row) for row in range(24))


def _panel(path: Path, reading: Reading) -> None:
    read_panel(path, Columns(unit="u", group="g", time="t", measures=("v",), entity="u", reading=reading))


def _series(path: Path, reading: Reading) -> None:
    read_series(path, time="t", values=["v"], reading=reading)


def _good(path: Path) -> Path:
    other = path.with_name("good.csv")
    other.write_bytes(_GOOD)
    return other


def _split(path: Path, reading: Reading) -> None:
    explain(_good(path), path, entity="u", unit="g", attributes=["t"], weight="v", reading=reading)


def _drift(path: Path, reading: Reading) -> None:
    file_drift(_good(path), path, reading=reading)


_READERS = pytest.mark.parametrize("read", [_panel, _series, _split, _drift])
_READINGS = st.builds(Reading, encoding=st.sampled_from([None, "latin-1", "utf-16", "utf-7", "shift_jis", "idna"]))


def _refused_or_read(read: Callable[[Path, Reading], None], content: bytes, name: str, reading: Reading) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        with suppress(ComparisonError):
            read(path, reading)


_CELL = st.one_of(
    st.sampled_from(["", '"', '""', "1", "1,5", '"1,291"', "2020-01", "Jan 2020", "NA", "1e999", "9" * 5000, "\u00e9"]),
    st.text(max_size=8),
)
_LINES = st.lists(st.lists(_CELL, max_size=6).map(",".join), max_size=8).map("\n".join)
_TEXT = st.builds(
    lambda text, header, encoding: (header + text).encode(encoding, "replace"),
    _LINES,
    st.sampled_from(["u,g,t,v\n", "u,g,t,v\r\n", "u;g;t;v\n", "t,v\n", ""]),
    st.sampled_from(["utf-8", "latin-1", "utf-16", "utf-8-sig"]),
)


@_READERS
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.binary(max_size=200) | _TEXT, reading=_READINGS)
def test_any_text_is_read_or_refused(read: Callable[[Path, Reading], None], content: bytes, reading: Reading) -> None:
    _refused_or_read(read, content, "any.csv", reading)


def _whole() -> bytes:
    rows = {"u": ["a", "b"] * 12, "g": ["x"] * 24, "t": [*range(24)], "v": [float(row) for row in range(24)]}
    written = io.BytesIO()
    parquet.write_table(pa.table(rows), written)
    return written.getvalue()


_WHOLE = _whole()


@_READERS
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.lists(st.tuples(st.integers(0, len(_WHOLE) - 1), st.integers(0, 255)), max_size=4),
    kept=st.integers(0, len(_WHOLE)) | st.just(len(_WHOLE)),
)
def test_any_damaged_parquet_is_read_or_refused(
    read: Callable[[Path, Reading], None], changes: list[tuple[int, int]], kept: int
) -> None:
    content = bytearray(_WHOLE)
    for place, value in changes:
        content[place] = value
    _refused_or_read(read, bytes(content[:kept]), "any.parquet", Reading())


_TYPED = st.sampled_from(
    [
        pa.array([None, None]),
        pa.array([[1], None]),
        pa.array([b"\xff", b""]),
        pa.array([True, None]),
        pa.array([float("inf"), float("nan")]),
        pa.array([2**64 - 1, 0], pa.uint64()),
        pa.array([{"a": 1}, None]),
        pa.array([10**9, None], pa.duration("us")),
        pa.array([0, 2**62], pa.timestamp("us", "UTC")),
        pa.array([0, 1], pa.time32("s")),
        pa.array(["1,291", "x"]).dictionary_encode(),
        pa.array([1, 2], pa.date32()),
    ]
)


@_READERS
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(columns=st.fixed_dictionaries({"u": _TYPED, "g": _TYPED, "t": _TYPED, "v": _TYPED}))
def test_columns_of_any_type_are_read_or_refused(
    read: Callable[[Path, Reading], None], columns: dict[str, pa.Array]
) -> None:
    written = io.BytesIO()
    parquet.write_table(pa.table(columns), written)
    _refused_or_read(read, written.getvalue(), "any.parquet", Reading())
