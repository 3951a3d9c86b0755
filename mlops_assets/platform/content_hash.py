"""Content hash: one short text that is equal exactly when two partitions hold the same rows, in whatever order.

Put here the rule and its version. Keep out what the hash is used for.

Rule v1: each row becomes a canonical text of the contract's columns in contract order (each value preceded by its
length, so that no two rows share a text; NULL is ``~``), the text a 64-bit number (the lower half of its MD5, RFC
1321), and the partition the number of its rows with the sum of those numbers in 128 bits. A sum, unlike an exclusive
or, tells a doubled month from an empty one; integers, unlike floats, add up the same in every order. It guards against
mistakes, not against an adversary: files are guarded by the lake's own permissions.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Final

import ibis
import ibis.expr.datatypes as dt

if TYPE_CHECKING:
    from collections.abc import Iterable

    import ibis.expr.types as ir

VERSION: Final = "v1"


# Ibis publishes no types, so its decorator is untyped.
@ibis.udf.scalar.builtin(  # type: ignore[untyped-decorator]
    name="md5_number_lower", signature=((dt.string,), dt.uint64)
)
def _md5_number_lower(text: object) -> object:
    """DuckDB's lower half of the MD5 of a text, as an unsigned 64-bit integer."""


def _canonical_text(value: ir.Value) -> ir.StringValue:
    kind = value.type()
    if kind.is_floating():
        # Minus zero equals zero, so both must have one text.
        value = value + 0.0
    text = value.cast("string")
    return (text.length().cast("string") + ":" + text).fill_null("~")


def hash_total(table: ir.Table, columns: Iterable[str]) -> ir.Scalar:
    """The sum of the rows' 64-bit numbers over those columns, as a decimal without places; 0 for no rows."""
    text = functools.reduce(operator.add, (_canonical_text(table[column]) for column in columns))
    return _md5_number_lower(text).cast(dt.Decimal(38, 0)).sum().fill_null(0)


def format_hash(rows: int, total: int) -> str:
    """The content hash of that many rows whose numbers add up to that total."""
    return f"{VERSION}:{rows}:{total:x}"
