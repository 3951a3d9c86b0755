"""Parquet footers: taking out of a file's own statistics what its rows hold.

Put here what is changed in a footer. Keep out the rows, which stay where they are.

A lake's catalog copies the least and the greatest value of each column from there, and a catalog is no place for a
person's name. DuckDB cannot write a file without them. A footer is one struct of Thrift's compact protocol, of which
only what is looked for needs to be known:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md and
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_MAGIC: Final = b"PAR1"
_TAIL: Final = struct.Struct("<I4s")

# Types of the compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = range(1, 14)
_VARINTS: Final = frozenset({_I16, _I32, _I64})
_FIXED: Final = {_BYTE: 1, _DOUBLE: 8, _UUID: 16}
_LONG: Final = 15

# Fields of FileMetaData, RowGroup, ColumnChunk, ColumnMetaData and Statistics.
_ROW_GROUPS, _COLUMNS, _META_DATA, _PATH_IN_SCHEMA, _STATISTICS = 4, 1, 3, 3, 12
# max and min of either kind, and whether they are exact.
_BOUNDS: Final = frozenset({1, 2, 5, 6, 7, 8})

_Struct = dict[int, tuple[int, Any]]


def without_bounds(path: Path, columns: Collection[str]) -> None:
    """Take the least and greatest values of these columns out of a Parquet file's footer; their rows stay.

    Args:
        path: the file, which nobody reads yet.
        columns: names of columns at the top level; what is nested in them is meant too.

    Raises:
        ValueError: it is no Parquet file.
        OSError: it cannot be read or written.
    """
    with path.open("r+b") as file:
        end = file.seek(-_TAIL.size, 2)
        length, magic = _TAIL.unpack(file.read())
        if magic != _MAGIC:
            raise ValueError(f"{path} is no Parquet file")
        begin = file.seek(end - length)
        footer = _Reader(file.read(length)).struct()
        for group in footer[_ROW_GROUPS][1][1]:
            for chunk in group[_COLUMNS][1][1]:
                about = chunk[_META_DATA][1]
                if about[_PATH_IN_SCHEMA][1][1][0].decode() in columns and _STATISTICS in about:
                    for bound in _BOUNDS:
                        about[_STATISTICS][1].pop(bound, None)
        written = bytearray()
        _write_struct(written, footer)
        file.seek(begin)
        file.write(written + _TAIL.pack(len(written), _MAGIC))
        file.truncate()


class _Reader:
    """Reads values one after another; an integer stays as it is written, since none is looked at."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def struct(self) -> _Struct:
        """A struct: for each field its type and value."""
        fields: _Struct = {}
        number = 0
        while (header := self._take(1)[0]) != 0:
            step, kind = header >> 4, header & 0x0F
            if step:
                number += step
            else:
                written = self._varint()
                number = (written >> 1) ^ -(written & 1)
            fields[number] = (kind, None if kind in {_TRUE, _FALSE} else self._value(kind))
        return fields

    def _value(self, kind: int) -> Any:  # noqa: ANN401  what the type says
        if kind in _VARINTS:
            return self._varint()
        if kind in _FIXED:
            return self._take(_FIXED[kind])
        if kind == _BINARY:
            return self._take(self._varint())
        if kind in {_LIST, _SET}:
            header = self._take(1)[0]
            size, of = header >> 4, header & 0x0F
            size = self._varint() if size == _LONG else size
            return of, [self._element(of) for _ in range(size)]
        if kind == _STRUCT:
            return self.struct()
        raise ValueError(f"a Parquet footer holds a value of type {kind}, which none has")

    def _element(self, kind: int) -> Any:  # noqa: ANN401  as above
        return self._take(1) if kind in {_TRUE, _FALSE} else self._value(kind)

    def _take(self, size: int) -> bytes:
        begin, self._at = self._at, self._at + size
        if self._at > len(self._content):
            raise ValueError("a Parquet footer ends before it is whole")
        return self._content[begin : self._at]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004  the last byte of a number has no high bit
                return value
            shift += 7


def _write_struct(out: bytearray, fields: _Struct) -> None:
    before = 0
    for number, (kind, value) in fields.items():
        step = number - before
        before = number
        if 0 < step <= _LONG:
            out.append(step << 4 | kind)
        else:
            out.append(kind)
            _write_varint(out, (number << 1) ^ (number >> 63))
        if kind not in {_TRUE, _FALSE}:
            _write_value(out, kind, value)
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:  # noqa: ANN401  what the type says
    if kind in _VARINTS:
        _write_varint(out, value)
    elif kind == _STRUCT:
        _write_struct(out, value)
    elif kind in {_LIST, _SET}:
        of, elements = value
        out.append(min(len(elements), _LONG) << 4 | of)
        if len(elements) >= _LONG:
            _write_varint(out, len(elements))
        for element in elements:
            if of in {_TRUE, _FALSE}:
                out += element
            else:
                _write_value(out, of, element)
    else:
        if kind == _BINARY:
            _write_varint(out, len(value))
        out += value


def _write_varint(out: bytearray, value: int) -> None:
    while value >= 0x80:  # noqa: PLR2004  as above
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
