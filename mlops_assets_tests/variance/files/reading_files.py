"""Files as tests write and read them.

Put here how a test writes a file and looks at its texts. Keep out expectations.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from pyarrow import parquet

from mlops_assets.variance.files.numbers import numbers
from mlops_assets.variance.files.opening import AS_DELIVERED, Reading, opened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any


def written(path: Path, content: str | bytes | dict[str, Any]) -> Path:
    """A file of that text, those bytes, or, as Parquet, those columns."""
    if isinstance(content, dict):
        parquet.write_table(pa.table(content), path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def texts(path: Path, reading: Reading = AS_DELIVERED) -> dict[str, list[str | None]]:
    """Every column as text."""
    with duckdb.connect() as connection, opened(connection, path, reading) as table:
        names = table.relation.columns
        rows = table.relation.project(", ".join(table.text(name) for name in names)).fetchall()
        return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def numbers_of(paths: Sequence[Path], name: str, reading: Reading = AS_DELIVERED) -> list[list[float | None]]:
    """One column as numbers, of one file or two."""
    with duckdb.connect() as connection, ExitStack() as stack:
        sides = [stack.enter_context(opened(connection, path, reading)) for path in paths]
        return [
            [row[0] for row in side.relation.project(parsed[name]).fetchall()]
            for side, parsed in zip(sides, numbers(sides, [name], reading.decimal), strict=True)
        ]
