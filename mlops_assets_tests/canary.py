"""The canary: an unmistakable value in a row, and the search for it wherever a program leaves text.

Put here the value and how files are searched. Keep out what may hold it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY: Final = "Xyzzyx O'Canary"
_KEY: Final = "xyzzyx"


def told_in(text: str) -> bool:
    """Whether a text holds the canary."""
    return _KEY in text.lower()


def files_with_it(folder: Path) -> set[str]:
    """The files below that hold the canary, relative to the folder, looked for also inside SQLite and Parquet files."""
    return {
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if file.is_file() and any(told_in(text) for text in _texts(file))
    }


def _texts(file: Path) -> Iterator[str]:
    content = file.read_bytes()
    yield str(file)
    yield content.decode("latin-1")
    if content.startswith(b"SQLite format 3\0"):
        # A text that is longer than a page is not in one piece in the file. The copy is no longer in WAL mode.
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(content[:18] + b"\1\1" + content[20:])
            yield from connection.iterdump()
    if content.startswith(b"PAR1"):
        with duckdb.connect() as connection:
            yield str(connection.read_parquet(str(file)).fetchall())
