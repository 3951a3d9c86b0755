"""The engine without a lake: what it makes of single values.

Put here how it is asked, by declarations and identifiers, where there is no session. Keep out sessions (the room
``lake``).
"""

from __future__ import annotations

import functools

import duckdb


def answer(query: str, value: str) -> object:
    """What the engine gives for a query of one value, in which ``?`` stands for another."""
    [(found,)] = _engine().execute(query, [value]).fetchall()
    return found


@functools.cache
def _engine() -> duckdb.DuckDBPyConnection:
    # One thread: none is left behind when the process forks.
    return duckdb.connect(config={"threads": 1})
