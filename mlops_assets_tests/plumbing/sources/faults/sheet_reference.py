"""A second reading of Excel workbooks, by the standard library's archives and XML alone.

Put here what the cells of a sheet are as text (ECMA-376, part 1, section 18.3). Keep out the text of single values
(``reference``).
"""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets_tests.plumbing.sources.faults.visits import Texts

_MAIN: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_SHEET: Final = "xl/worksheets/sheet1.xml"
_ADDRESS: Final = re.compile(r"([A-Z]{1,3})([1-9][0-9]*)")
_DAYS: Final = frozenset({*range(14, 23), *range(27, 37), 45, 46, 47, *range(50, 59)})
_EXACT: Final = 2**53
_LEAP_DAY, _FIRST_YEAR = 60, 1900
_QUOTED: Final = re.compile(r'"[^"]*"|\\.|\[(?!h+\]|m+\]|s+\])[^\]]*\]')


def sheet(content: bytes) -> list[Texts]:
    """The rows of a workbook's first sheet below its first row.

    Raises:
        RefusedError: it cannot be read whole.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            return _rows(book)
    except RefusedError:
        raise
    except Exception as error:  # a damaged file raises all kinds
        raise RefusedError("workbook") from error


def _tree(book: zipfile.ZipFile, name: str) -> ET.Element:
    return ET.fromstring(book.read(name))  # noqa: S314  of our own making, but for a few bytes


def _rows(book: zipfile.ZipFile) -> list[Texts]:
    found = _cells(_tree(book, _SHEET), _shared(book), _day_styles(book), _first_day(book))
    header = found.pop(1, {})
    width = max((column for column, text in header.items() if text is not None), default=0)
    names = [header.get(column) or "" for column in range(1, width + 1)]
    if not names or "" in names or len({name.casefold() for name in names}) < len(names):
        raise RefusedError("header")
    rows = []
    for _, cells in sorted(found.items()):
        if any(column > width for column, text in cells.items() if text is not None):
            raise RefusedError("beside")
        if any(text is not None for text in cells.values()):
            rows.append({name: cells.get(at) for at, name in enumerate(names, 1)})
    return rows or [dict.fromkeys(names)][:0]


def _first_day(book: zipfile.ZipFile) -> dt.datetime:
    properties = next(_tree(book, "xl/workbook.xml").iter(f"{_MAIN}workbookPr"), None)
    later = properties is not None and properties.get("date1904") in {"1", "true"}
    return dt.datetime(1904, 1, 1) if later else dt.datetime(1899, 12, 30)  # noqa: DTZ001  sheets have no zones


def _text(element: ET.Element) -> str:
    """The text of runs and of itself, without what says how it is pronounced."""
    parts = [each for each in element if each.tag in {f"{_MAIN}t", f"{_MAIN}r"}]
    return "".join(
        (each.text or "") if each.tag == f"{_MAIN}t" else "".join(t.text or "" for t in each.iter(f"{_MAIN}t"))
        for each in parts
    )


def _shared(book: zipfile.ZipFile) -> Sequence[str]:
    if "xl/sharedStrings.xml" not in book.namelist():
        return ()
    return [_text(each) for each in _tree(book, "xl/sharedStrings.xml").iter(f"{_MAIN}si")]


def _day_styles(book: zipfile.ZipFile) -> Mapping[int, bool]:
    """Of each style whether numbers in it are days."""
    if "xl/styles.xml" not in book.namelist():
        return dict.fromkeys(range(9), False)
    tree = _tree(book, "xl/styles.xml")
    own = {int(each.attrib["numFmtId"]): each.attrib["formatCode"] for each in tree.iter(f"{_MAIN}numFmt")}
    formats = next(tree.iter(f"{_MAIN}cellXfs"))
    found = {}
    for at, each in enumerate(formats):
        number = int(each.get("numFmtId", "0"))
        code = _QUOTED.sub("", own.get(number, "")).partition(";")[0].lower()
        found[at] = bool(re.search(r"[dmhysq]", code)) if number in own else number in _DAYS
    return found


def _cells(
    tree: ET.Element, shared: Sequence[str], days: Mapping[int, bool], first_day: dt.datetime
) -> dict[int, dict[int, str | None]]:
    if next(tree.iter(f"{_MAIN}mergeCell"), None) is not None:
        raise RefusedError("merged")
    found: dict[int, dict[int, str | None]] = {}
    for row in next(tree.iter(f"{_MAIN}sheetData")):
        for cell in row:
            match = _ADDRESS.fullmatch(cell.attrib["r"])
            if not match or int(match[2]) != int(row.attrib["r"]):
                raise RefusedError("address")
            column = 0
            for letter in match[1]:
                column = column * 26 + ord(letter) - ord("A") + 1
            cells = found.setdefault(int(match[2]), {})
            if column in cells:
                raise RefusedError("a cell twice")
            cells[column] = _value(cell, shared, first_day if days[int(cell.get("s", "0"))] else None)
    return found


def _value(cell: ET.Element, shared: Sequence[str], first_day: dt.datetime | None) -> str | None:  # noqa: PLR0911  one for each kind
    kind, value = cell.get("t", "n"), cell.find(f"{_MAIN}v")
    text = None if value is None or value.text is None else value.text
    if text is not None and kind != "str":
        text = text.strip(" \t\r\n")
    if cell.find(f"{_MAIN}f") is not None and text is None and kind != "str":
        raise RefusedError("formula")
    if kind == "inlineStr":
        inline = cell.find(f"{_MAIN}is")
        return _unescaped(_text(inline)) if inline is not None else None
    if text is None:
        return None
    match kind:
        case "s":
            return _unescaped(shared[int(text)])
        case "str":
            return _unescaped(text)
        case "b" if text in {"0", "1"}:
            return "true" if text == "1" else "false"
        case "n" if first_day is not None:
            return _moment(float(text), first_day)
        case "n":
            return _number(text)
    raise RefusedError("kind")


def _unescaped(text: str) -> str:
    return re.sub("_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found[1], 16)), text)


def _number(text: str) -> str:
    if re.fullmatch(r"\s*[+-]?[0-9]+\s*", text):
        return str(int(text))
    found = float(text)
    return str(int(found)) if found.is_integer() and abs(found) < _EXACT else repr(found)


def _moment(serial: float, first_day: dt.datetime) -> str:
    if serial < 0:
        raise RefusedError("before the first day")
    if serial < 1:
        return (first_day + dt.timedelta(milliseconds=round(serial * 86_400_000))).time().isoformat()
    # Excel's year 1900 has a 29 February, the 60th day.
    early = serial < _LEAP_DAY and first_day.year < _FIRST_YEAR
    moment = first_day + dt.timedelta(days=early, milliseconds=round(serial * 86_400_000))
    return moment.date().isoformat() if moment.time() == dt.time.min else moment.isoformat()
