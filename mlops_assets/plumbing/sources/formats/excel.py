"""Excel workbooks (.xlsx): a sheet's cells below its header row as columns of text.

Put here what a declaration says of a sheet, and how its rows are written. Keep out the file around it (``workbook``),
the places of cells (``sheet``), and what the text of one is (``cell_text``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.plumbing.sources.delivered import Delivered
from mlops_assets.plumbing.sources.formats import workbook
from mlops_assets.plumbing.sources.formats.base import FileFormat
from mlops_assets.plumbing.sources.formats.cell_text import CellText
from mlops_assets.plumbing.sources.formats.sheet import (
    MOST_COLUMNS,
    MOST_ROWS,
    Cell,
    column_number,
    refused,
    rows_below,
)
from mlops_assets.plumbing.sources.formats.text_files import TextFiles
from mlops_assets.plumbing.sources.variants import at_least

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.plumbing.sources.delivered import Workplace

_BATCH: Final = 5_000


class Excel(FileFormat):
    """A sheet of an Excel workbook (.xlsx): a header row, and below it a row for each row.

    Whole numbers have no decimal point, dates and times are ISO 8601, formulas are the results that were saved with
    them. Rows without any value are left out. Refused, with the cell's address: errors such as ``#N/A``, formulas
    without a result, merged cells, rows or cells out of order or twice, dates outside Excel's calendar, and values
    beside the columns that the header names.

    Attributes:
        sheet: its name; the first one where none is given.
        header: the number of the row with the columns' names, as Excel counts; rows above are left out.
        columns: the first and the last column (``B:F``), where others in the sheet are to be left out.

    Example:
        >>> import mlops_assets as ma
        >>> format = ma.Excel(sheet="Sales", header=3)
    """

    type: Literal["excel"] = "excel"
    sheet: str | None = None
    header: Annotated[int, at_least(1, MOST_ROWS)] = 1
    columns: Annotated[str, Field(pattern=r"^[A-Z]{1,3}:[A-Z]{1,3}$")] | None = None

    @model_validator(mode="after")
    def _require_a_span(self) -> Self:
        first, last = self._span()
        if not 1 <= first <= last:
            raise ContractError(
                source="Format excel",
                culprit=f"its columns {self.columns} are none of a sheet.",
                remedy="Name the first and the last one, such as B:F.",
            )
        return self

    def _span(self) -> tuple[int, int]:
        if self.columns is None:
            return 1, MOST_COLUMNS
        first, last = map(column_number, self.columns.split(":"))
        return first, last

    def rows(
        self,
        blocks: Iterator[bytes],
        at: Workplace,
        source: str,
        *,
        proven: bool,  # noqa: ARG002  the list of a workbook's parts is at its end
        file: Path | None = None,
    ) -> Delivered:
        """The rows, all columns text; an empty cell is NULL."""
        if file is None:
            file = at.scratch / "delivered.xlsx"
            with file.open("wb") as written:
                written.writelines(blocks)
        where = f"{source}, sheet {self.sheet!r}" if self.sheet else f"{source}, first sheet"
        with workbook.opened(file, source) as book, TextFiles(at.scratch, source) as files:
            rows = rows_below(book.sheet(self.sheet), self.header, self._span(), where)
            self._write(rows, CellText(book, where), files)
            return Delivered(source=source, rows=files.relation(at.connection, ()))

    def _write(self, rows: Iterator[tuple[int, list[Cell]]], text: CellText, files: TextFiles) -> None:
        number, cells = next(rows, (0, []))
        header = {cell.column: text.of(cell) for cell in cells if number == self.header}
        # What is left of the first name is a margin.
        first = self._span()[0] if self.columns else min(header, default=1)
        names = _names({column - first: name for column, name in header.items()}, text.source)
        files.add(dict.fromkeys(names, ()))
        # Columns of a batch without any value are not built at all.
        batch: dict[str, list[str | None]] = {}
        count = 0
        for _, cells in rows:
            for cell in cells:
                at = cell.column - first
                if not 0 <= at < len(names):
                    raise refused(f"its cell {cell.address} holds a value beside the columns", text.source)
                values = batch.setdefault(names[at], [])
                values += [None] * (count - len(values))
                values.append(text.of(cell))
            count += bool(cells)
            if count == _BATCH:
                files.add(_even(batch, count))
                batch, count = {}, 0
        if count:
            files.add(_even(batch, count))


def _even(batch: dict[str, list[str | None]], count: int) -> dict[str, list[str | None]]:
    return {name: values + [None] * (count - len(values)) for name, values in batch.items()}


def _names(header: dict[int, str], source: str) -> list[str]:
    """The columns' names, up to the last cell of the header that has one."""
    names = [header.get(at, "") for at in range(max(header, default=-1) + 1)]
    if not all(names) or not names or len({name.casefold() for name in names}) < len(names):
        # None of it is shown: the row may be no header but a person's data.
        raise SourceError(
            source=source,
            culprit="its header row names a column twice, or not at all: it may be no header.",
            remedy="Say in the declaration's format which row is the header, and which columns to read (columns: B:F).",
        )
    return names
