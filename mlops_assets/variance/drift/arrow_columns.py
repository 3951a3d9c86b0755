"""Columns of Arrow tables as the two kinds that can be compared: numbers and categories.

Put here which type counts as which, and the conversion. Keep out what is done with the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import pyarrow as pa
import pyarrow.types as kinds

if TYPE_CHECKING:
    Kind = Literal["number", "category"]

_CATEGORIES: Final = (kinds.is_string, kinds.is_large_string, kinds.is_string_view, kinds.is_boolean, kinds.is_null)
_NUMBERS: Final = (
    kinds.is_integer,
    kinds.is_floating,
    kinds.is_decimal,
    kinds.is_date,
    kinds.is_time,
    kinds.is_timestamp,
    kinds.is_duration,
)
_SHORT: Final = 32


def kind_of(given: pa.DataType) -> Kind | None:
    """Whether values of a type are numbers or categories; ``None`` if neither, such as lists."""
    kind = _inner(given)
    if any(is_(kind) for is_ in _CATEGORIES):
        return "category"
    return "number" if any(is_(kind) for is_ in _NUMBERS) else None


def plain(values: pa.Array) -> pa.Array:
    """Numbers as floating point, categories as texts, dictionary-encoded if they were; NULL stays.

    Dates become days since 1970; times, timestamps and durations numbers in the unit of their type.
    """
    if kind_of(values.type) == "category":
        if kinds.is_dictionary(values.type):
            return values if kinds.is_string(values.type.value_type) else values.dictionary_decode().cast(pa.string())
        return values.cast(pa.string())
    if kinds.is_dictionary(values.type):
        values = values.dictionary_decode()
    if kinds.is_temporal(values.type):
        values = values.view(pa.int32() if values.type.bit_width == _SHORT else pa.int64())
    return values.cast(pa.float64(), safe=False)


def _inner(given: pa.DataType) -> pa.DataType:
    return given.value_type if kinds.is_dictionary(given) else given
