"""Conditions: one boolean expression of many.

Put here how conditions are put together. Keep out what they say.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import ibis.expr.types as ir


def joined(
    operation: Callable[[ir.BooleanValue, ir.BooleanValue], ir.BooleanValue], conditions: Sequence[ir.BooleanValue]
) -> ir.BooleanValue:
    """One condition of many, at least one, by pairs: Ibis cannot nest as deep as a wide table has columns and rules."""
    while len(conditions) > 1:
        pairs = [conditions[start : start + 2] for start in range(0, len(conditions), 2)]
        conditions = [functools.reduce(operation, pair) for pair in pairs]
    return conditions[0]
