"""A sheet's cells, row by row: each where its address says, none lost and none twice.

Put here the order of rows and cells, and which values they have. Keep out what a value means (``excel``), and the XML
(``elements``).

Source: ECMA-376 (Office Open XML), part 1, 18.3.1.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.formats.workbook import shown, unescaped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.plumbing.sources.formats.elements import Element

MOST_ROWS: Final = 2**20
MOST_COLUMNS: Final = 2**14

_LETTERS: Final = re.compile("[A-Za-z]{1,3}")
_NUMBER: Final = re.compile("[0-9]{1,10}")
_RANGE: Final = re.compile("([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})", re.IGNORECASE)
_LOOK: Final = "Look at that place in the sheet; have the file saved by Excel and delivered again."


class Cell(NamedTuple):
    """A cell that has a value.

    Attributes:
        row: its number, from 1 on.
        column: its number, from 1 on.
        kind: how its value is written (``n``, ``s``, ``str``, ``inlineStr``, ``b``, ``d``, ``e``).
        style: the number of its style.
        value: as it is written.
    """

    row: int
    column: int
    kind: str
    style: str
    value: str

    @property
    def address(self) -> str:
        """As Excel shows it, such as B2."""
        letters, rest = "", self.column
        while rest:
            rest, letter = divmod(rest - 1, 26)
            letters = chr(ord("A") + letter) + letters
        return f"{letters}{self.row}"


@lru_cache(maxsize=2**14)
def column_number(letters: str) -> int:
    """The number of a column, from 1 on; 0 if it is none of a sheet."""
    number = 0
    for letter in letters.upper() if _LETTERS.fullmatch(letters) else "":
        number = 26 * number + ord(letter) - ord("A") + 1
    return number if number <= MOST_COLUMNS else 0


def rows_below(
    read: Iterator[Element], header: int, span: tuple[int, int], source: str
) -> Iterator[tuple[int, list[Cell]]]:
    """The rows that a sheet has from the header on, by their numbers, each with its cells that have a value.

    A row or a cell without a number is the next one, as the standard has it.

    Args:
        read: the sheet's rows and merged cells.
        header: the row above which nothing is read.
        span: the first and the last column that are read.
        source: how messages name the sheet.

    Raises:
        SourceError: rows or cells are out of order, twice, or beyond a sheet's end; a formula has no result; cells are
            merged.
    """
    last = 0
    for element in read:
        if element.tag == "mergeCell":
            _refuse_if_read(element.attributes.get("ref", ""), header, span, source)
            continue
        told = element.attributes.get("r")
        number = last + 1 if told is None else int(told) if _NUMBER.fullmatch(told) else 0
        if not 1 <= number <= MOST_ROWS:
            raise refused(f"the row behind its row {last:,} has a number that is none of a sheet's", source)
        if number <= last:
            raise refused(f"its row {number} comes twice, or behind row {last}", source)
        last = number
        cells = _cells(element, number, header, span, source)
        if number >= header:
            yield number, cells


def _cells(row: Element, number: int, header: int, span: tuple[int, int], source: str) -> list[Cell]:
    text, last, cells = str(number), 0, []
    for element in row.children:
        attributes = element.attributes
        told = attributes.get("r")
        column = last + 1 if told is None else column_number(told.removesuffix(text)) if told.endswith(text) else 0
        if not 1 <= column <= MOST_COLUMNS:
            raise refused(f"its row {number} has a cell whose address is none of that row", source)
        if column <= last:
            address = Cell(number, column, "", "", "").address
            raise refused(f"its cell {address} comes twice, or behind one to its right", source)
        last = column
        if number >= header and span[0] <= column <= span[1] and element.children:
            cell = Cell(number, column, attributes.get("t", "n"), attributes.get("s", "0"), "")
            value = _value(element, cell, source)
            if value is not None:
                cells.append(cell._replace(value=value))
    return cells


def _value(element: Element, cell: Cell, source: str) -> str | None:
    found = {child.tag: child for child in element.children}
    value = found.get("is" if cell.kind == "inlineStr" else "v")
    if len(found) < len(element.children) or len(found) - ("f" in found) > (value is not None):
        raise refused(f"its cell {cell.address} has two values, or one of another kind than it says", source)
    text = None
    if value is not None:
        text = shown(value) if cell.kind == "inlineStr" else value.text
        text = unescaped(text) if cell.kind == "str" else text
        if cell.kind not in {"inlineStr", "str"} and not text.strip():
            text = None
    if text is None and "f" in found:
        raise SourceError(
            source=source,
            culprit=f"its cell {cell.address} holds a formula without a result.",
            remedy="Let its sender open and save it in Excel, or write values.",
        )
    # A formula whose result is the empty text leaves its cell empty.
    return None if text == "" and cell.kind == "str" else text


def _refuse_if_read(reference: str, header: int, span: tuple[int, int], source: str) -> None:
    found = _RANGE.fullmatch(reference)
    if found is None:
        raise refused("its merged cells have no addresses", source)
    if int(found[4]) >= header and column_number(found[1]) <= span[1] and column_number(found[3]) >= span[0]:
        raise SourceError(
            source=source,
            culprit=f"its cells {reference} are merged, and only the first one has a value.",
            remedy="Ask for a sheet in which each row has its own values.",
        )


def refused(culprit: str, source: str) -> SourceError:
    """What to raise where a value's place or meaning is not plain."""
    return SourceError(source=source, culprit=f"{culprit}.", remedy=_LOOK)
