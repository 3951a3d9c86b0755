"""Drift between two files: their summaries compared, without the names and identifiers of persons in what is written.

Put here the way from two files to one table. Keep out how columns are compared (``comparison``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from mlops_assets.variance.drift.category_summaries import Categories
from mlops_assets.variance.drift.comparison import SAMPLED, drift
from mlops_assets.variance.drift.paired_files import paired_files
from mlops_assets.variance.drift.summary_files import FileSummary, summarise_files
from mlops_assets.variance.files.numbers import counted
from mlops_assets.variance.files.opening import AS_DELIVERED, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LABELS: Final = ("before", "after")
_NAMING: Final = ("largest_change", "gone", "appeared")
"""Columns of the result that name values."""

_MOST_SHOWN: Final = 200
_FEW: Final = 20
_ROWS_OF_A_VALUE: Final = 10
_WITHHELD: Final = "Its values are withheld: they are many, as names and identifiers are; --show-values shows them."


def file_drift(
    before: Path,
    after: Path,
    columns: Sequence[str] | None = None,
    *,
    reading: Reading = AS_DELIVERED,
    show_values: bool = False,
    entity: str | None = None,
) -> pa.Table:
    """Compare two files column by column, and all columns together.

    Args:
        before: the earlier state of a table.
        after: the later one.
        columns: names of columns that both have; all when not given.
        reading: what the files do not say themselves.
        show_values: whether values are named also of columns that look like names or identifiers: more than half of
            the values differ, or more than 20 with fewer than ten rows each, or more than 200.
        entity: the column that identifies an entity, if many are in both: tests are paired by it.

    Returns:
        Rows of `comparison.SCHEMA`; ``note`` tells also of values left out and withheld.

    Raises:
        ComparisonError: a file cannot be read, is empty, or a column is missing or of no use.
    """
    files = summarise_files((before, after), columns, sampled=SAMPLED, reading=reading)
    summaries = {label: file.summary for label, file in zip(_LABELS, files, strict=True)}
    paired = {}
    if entity is not None:
        paired[_LABELS] = paired_files(before, after, entity=entity, columns=columns, reading=reading)
    table = drift(summaries, [_LABELS], paired=paired)
    rows = table.to_pylist()
    for row in rows:
        notes = [row["note"], *_left_out(files, row["column"])]
        named = [name for name in _NAMING if row[name]]
        if not show_values and named and _looks_personal(files, row["column"]):
            row.update(dict.fromkeys(named, ""))
            notes.append(_WITHHELD)
        row["note"] = " ".join(note for note in notes if note)
    return pa.Table.from_pylist(rows, schema=table.schema)


def _left_out(files: Sequence[FileSummary], column: str) -> Iterator[str]:
    for when, file in zip(_LABELS, files, strict=True):
        if count := file.left_out.get(column):
            yield f"{counted(count, 'value')} {when} unlike all others counted as missing."


def _looks_personal(files: Sequence[FileSummary], column: str) -> bool:
    """Whether a column has as many values as names or identifiers have."""
    sides = [file.summary.columns.get(column) for file in files]
    return any(_many(side) for side in sides if isinstance(side, Categories))


def _many(column: Categories) -> bool:
    filled, values = column.rows - column.missing, len(column.counts)
    return (
        not column.complete
        or values > _MOST_SHOWN
        or 2 * values > filled
        or (values > _FEW and _ROWS_OF_A_VALUE * values > filled)
    )
