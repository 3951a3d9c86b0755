"""Excel workbooks (.xlsx): a sheet's cells below its header row as columns of text.

Put here what a declaration says of a sheet, and what the text of a cell is. Keep out the file around it: how large its
parts are, and what the reading of cells passes over (``workbook``).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from mlops_assets.platform.errors import ContractError, PlatformError, SourceError
from mlops_assets.plumbing.sources import room, workbook
from mlops_assets.plumbing.sources.delivered import Delivered
from mlops_assets.plumbing.sources.file_format import FileFormat
from mlops_assets.plumbing.sources.text_files import TextFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlops_assets.plumbing.sources.delivered import Workplace

_BATCH: Final = 5_000
_EXACT: Final = 2**53
"""Below it every whole number is one of floating point, and so is what the cell shows."""
_DAY: Final = dt.timedelta(days=1)
_LOOK: Final = "Look at that cell in the sheet; have the file delivered again."


class Excel(FileFormat):
    """A sheet of an Excel workbook (.xlsx): a header row, and below it a row for each row. Needs the extra ``excel``.

    Whole numbers have no decimal point, dates and times are ISO 8601, formulas are the results that were saved with
    them. Rows without any value are left out. Refused, with the cell's address: errors such as ``#N/A``, formulas
    without a result, merged cells, and values beside the columns that the header names.

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
    header: Annotated[int, Field(ge=1, le=workbook.MOST_ROWS)] = 1
    columns: Annotated[str, Field(pattern=r"^[A-Z]{1,3}:[A-Z]{1,3}$")] | None = None

    @model_validator(mode="after")
    def _require_a_span(self) -> Self:
        first, last = self._span()
        if not first <= last <= workbook.MOST_COLUMNS:
            raise ContractError(
                source="Format excel",
                culprit=f"its columns {self.columns} are none of a sheet.",
                remedy="Name the first and the last one, such as B:F.",
            )
        return self

    def _span(self) -> tuple[int, int]:
        if self.columns is None:
            return 1, workbook.MOST_COLUMNS
        first, last = map(workbook.column_number, self.columns.split(":"))
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
        with workbook.sheet(file, self.sheet, source) as (sheet, part), TextFiles(at.scratch, source) as files:
            workbook.refuse_unread(file, part, self.header, self._span(), source)
            self._write(sheet, files, source)
            return Delivered(source=source, rows=files.relation(at.connection, ()))

    def _write(self, sheet: workbook.Sheet, files: TextFiles, source: str) -> None:
        first, last = self._span()
        # Each row would be as wide as the last column that is asked for.
        rows = sheet.iter_rows(min_row=self.header, min_col=first, max_col=last if self.columns else None)
        try:
            names = _names(next(rows, ()), source)
            files.add(dict.fromkeys(names, ()))
            batch: list[list[str | None]] = []
            for row in rows:
                values = _values(row, len(names), source)
                if any(value is not None for value in values):
                    batch.append(values)
                if len(batch) == _BATCH:
                    files.add(_columns(names, batch))
                    batch = []
            if batch:
                files.add(_columns(names, batch))
        except PlatformError:
            raise
        except Exception as error:
            if room.is_ours(error):
                raise
            raise workbook.unreadable(error, source) from None


def _columns(names: Sequence[str], batch: Sequence[Sequence[str | None]]) -> dict[str, Sequence[str | None]]:
    return dict(zip(names, zip(*batch, strict=True), strict=True))


def _names(row: Sequence[Any], source: str) -> list[str]:
    """The columns' names, up to the last cell of the header that has one."""
    names = [_text(cell, source) for cell in row]
    while names and names[-1] is None:
        names.pop()
    found = [name for name in names if name]
    if not found or len({name.casefold() for name in found}) < len(names):
        # None of it is shown: the row may be no header but a person's data.
        raise SourceError(
            source=source,
            culprit="its header row names a column twice, or not at all: it may be no header.",
            remedy="Say in the declaration's format which row is the header, or ask for one that names each column.",
        )
    return found


def _values(row: Sequence[Any], most: int, source: str) -> list[str | None]:
    values = [_text(cell, source) for cell in row]
    if any(value is not None for value in values[most:]):
        beyond = next(cell for cell in row[most:] if cell.value is not None)
        raise _refused(f"its cell {beyond.coordinate} holds a value beside the columns", source)
    return (values + [None] * most)[:most]


def _text(cell: Any, source: str) -> str | None:  # noqa: ANN401  openpyxl has no types
    if cell.data_type == "e" and cell.value is not None:
        raise _refused(f"its cell {cell.coordinate} holds an error of Excel", source)
    match cell.value:
        case None:
            text = None
        case str() as value:
            text = workbook.unescaped(value)
        case bool() as value:
            text = str(value).lower()
        case float() as value:
            text = str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)
        case dt.datetime() as value:
            text = (value.date() if value.time() == dt.time.min else value).isoformat()
        case dt.time() as value:
            text = value.isoformat()
        case dt.timedelta() as value:
            hours, rest = divmod(value, dt.timedelta(hours=1))
            text = f"{hours:02}{str(_DAY + rest).partition(', 0')[2]}"
        case value:
            text = str(value)
    return text


def _refused(culprit: str, source: str) -> SourceError:
    return SourceError(source=source, culprit=f"{culprit}.", remedy=_LOOK)
