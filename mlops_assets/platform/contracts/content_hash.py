"""Content hash: one short text that is equal exactly when two partitions hold the same rows, in whatever order.

Put here the rule and its version. Keep out what the hash is used for.

Rule v1: each row becomes a canonical text of the contract's columns in contract order, the text a 64-bit number (the
lower half of its MD5, RFC 1321), and the partition the number of its rows with the sum of those numbers in 128 bits.
The text is the values separated by U+001F, NULL as U+001E; where a value holds one of these, each value is preceded by
its length instead, so that no two rows share a text. A sum, unlike an exclusive or, tells a doubled month from an empty
one; integers, unlike floats, add up the same in every order. It guards against mistakes, not against an adversary:
files are guarded by the lake's own permissions.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Final

import ibis
import ibis.expr.datatypes as dt

from mlops_assets.platform.contracts.conditions import joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import ibis.expr.types as ir

VERSION: Final = "v1"
_SEPARATOR: Final = "\x1f"
_NULL: Final = "\x1e"


# Ibis publishes no types, so its decorator is untyped.
@ibis.udf.scalar.builtin(  # type: ignore[untyped-decorator]
    name="md5_number_lower", signature=((dt.string,), dt.uint64)
)
def _md5_number_lower(text: object) -> object:
    """DuckDB's lower half of the MD5 of a text, as an unsigned 64-bit integer."""


def _text(value: ir.Value) -> ir.StringValue:
    # Minus zero equals zero, so both must have one text.
    return (value + 0.0 if value.type().is_floating() else value).cast("string")


def _may_hold_signs(kind: dt.DataType) -> bool:
    """Whether the text of a value of that type may hold one of the two signs."""
    return not (kind.is_numeric() or kind.is_boolean() or kind.is_temporal())


def _row_text(columns: Sequence[ir.Value]) -> ir.StringValue:
    texts = [_text(column) for column in columns]
    # One variadic join: a chain of binary concatenations would copy the growing text once for each column.
    plain = ibis.literal(_SEPARATOR).join([text.fill_null(_NULL) for text in texts])
    looked_at = [text for column, text in zip(columns, texts, strict=True) if _may_hold_signs(column.type())]
    if not looked_at:
        return plain
    # Looking for the signs in each column takes a quarter of the time of looking for them in the row's text: an engine
    # looks at what repeats itself once. A NULL holds none, and an unknown condition is no true one.
    ambiguous = joined(operator.or_, [text.contains(sign) for text in looked_at for sign in (_SEPARATOR, _NULL)])
    measured = [(text.length().cast("string") + ":" + text).fill_null("~") for text in texts]
    return ibis.ifelse(ambiguous, ibis.literal(_SEPARATOR + _SEPARATOR).join(["", *measured]), plain)


def hash_total(table: ir.Table, columns: Iterable[str]) -> ir.Scalar:
    """The sum of the rows' 64-bit numbers over those columns, as a decimal without places; 0 for no rows."""
    text = _row_text([table[column] for column in columns])
    # The engine adds 64-bit numbers up in 128 bits, whatever Ibis calls the sum.
    return _md5_number_lower(text).sum().cast(dt.Decimal(38, 0)).fill_null(0)


def without(content_hash: str, rows: int, total: int) -> str:
    """The content hash of the rows that are left when that many are removed whose numbers add up to that total."""
    _, before, whole = content_hash.split(":")
    return format_hash(int(before) - rows, int(whole, 16) - total)


def format_hash(rows: int, total: int) -> str:
    """The content hash of that many rows whose numbers add up to that total."""
    return f"{VERSION}:{rows}:{total:x}"
