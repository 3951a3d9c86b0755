"""Workbooks from outside: an .xlsx file whose parts memory can hold, and what the reading of cells passes over.

Put here what makes reading a delivered workbook safe and whole. Keep out what its cells become (``excel``).

Source: ECMA-376 (Office Open XML), parts 1 and 2.
"""

from __future__ import annotations

import re
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.platform.errors import SettingsError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Sheet = Any
"""A sheet of openpyxl, which has no types."""

MOST_ROWS: Final = 2**20
MOST_COLUMNS: Final = 2**14

_MOST_BYTES: Final = 8 * 2**30
_MOST_TEXTS: Final = 2**29
_MOST_OTHERS: Final = 2**25
"""Bytes of all parts, of the texts that cells share, and of any other part but a sheet: the latter two are held."""
_MOST_RATIO: Final = 1000
_GRACE: Final = 2**28
_BLOCK: Final = 2**20
_LONGEST: Final = 2**16
_COMPOUND: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
_ESCAPED: Final = re.compile("_x([0-9A-Fa-f]{4})_")
_ADDRESS: Final = re.compile(r"([A-Z]+)([0-9]+)")
_MERGED: Final = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?\bref="([A-Z]+[0-9]+):([A-Z]+[0-9]+)"')
_WITHOUT_RESULT: Final = re.compile(
    rb"<(?:\w+:)?c\s([^>]*)>\s*<(?:\w+:)?f(?:\s[^>]*)?(?:/>|>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>\s*)?</(?:\w+:)?c>"
)
_REFERENCE: Final = re.compile(rb'\br="([A-Z]+[0-9]+)"')
_EMPTY_TEXT: Final = b't="str"'


@contextmanager
def sheet(file: Path, name: str | None, source: str) -> Iterator[tuple[Sheet, str]]:
    """A sheet by its name or the first one, and the name of its part of the file.

    Raises:
        SourceError: it is no whole workbook, is protected by a password, unpacks to an absurd size, or has no such
            sheet.
        SettingsError: the extra ``excel`` is not installed.
    """
    try:
        from openpyxl import load_workbook  # noqa: PLC0415  its package is an extra
    except ImportError:
        raise SettingsError(
            source=source, culprit="openpyxl, which reads Excel, is not there.", remedy="Install mlops-assets[excel]."
        ) from None
    _require_bounds(file, source)
    # A name would have to end as Excel's do.
    with file.open("rb") as opened:
        try:
            book = load_workbook(opened, read_only=True, data_only=True, keep_links=False)
            sheets = {each.title: each for each in book.worksheets}
        except Exception as error:  # noqa: BLE001  of the reader, whatever the file holds
            raise unreadable(error, source) from None
        chosen = next(iter(sheets.values()), None) if name is None else sheets.get(name)
        if chosen is None:
            raise SourceError(
                source=source,
                culprit=f"it has no sheet {name!r} among its {len(sheets)}." if name else "it has no sheet.",
                remedy="Name the sheet in the declaration's format as the workbook does.",
            )
        # A size that the file gives and does not keep would end the reading early.
        chosen.reset_dimensions()
        yield chosen, str(chosen._worksheet_path)  # noqa: SLF001  nothing else tells it


def refuse_unread(file: Path, part: str, header: int, span: tuple[int, int], source: str) -> None:
    """Refuse what the reading of cells would make NULL without a word: formulas without a result, and merged cells.

    Args:
        file: the workbook.
        part: the sheet's.
        header: the row above which nothing is read.
        span: the first and the last column that are read.
        source: how messages name the file.

    Raises:
        SourceError: there is one among the cells that are read, or the part is damaged.
    """
    for text in _texts(file, part, source):
        for found in _WITHOUT_RESULT.finditer(text):
            address = _REFERENCE.search(found[1])
            if address and _EMPTY_TEXT not in found[1] and _is_read(address[1], address[1], header, span):
                raise SourceError(
                    source=source,
                    culprit=f"its cell {address[1].decode()} holds a formula without a result.",
                    remedy="Let its sender open and save it in Excel, or write values.",
                )
        for found in _MERGED.finditer(text):
            if _is_read(found[1], found[2], header, span):
                raise SourceError(
                    source=source,
                    culprit=f"its cells {found[1].decode()}:{found[2].decode()} are merged, and only the first one "
                    "has a value.",
                    remedy="Ask for a sheet in which each row has its own values.",
                )


def _texts(file: Path, part: str, source: str) -> Iterator[bytes]:
    """A part in blocks, of which each begins with the end of the one before: what is cut off there is whole here."""
    text = b""
    try:
        with zipfile.ZipFile(file) as opened, opened.open(part) as content:
            while block := content.read(_BLOCK):
                text = text[-_LONGEST:] + block
                yield text
    except Exception as error:  # noqa: BLE001  of a damaged archive
        raise unreadable(error, source) from None


def _is_read(first: bytes, last: bytes, header: int, span: tuple[int, int]) -> bool:
    corners = [_ADDRESS.fullmatch(each.decode()) for each in (first, last)]
    (left, _), (right, bottom) = [(column_number(each[1]), int(each[2])) for each in corners if each]
    return bottom >= header and left <= span[1] and right >= span[0]


def column_number(letters: str) -> int:
    """The number of a column, from 1 on."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number


def unescaped(text: str) -> str:
    """A text of a cell: signs that XML cannot hold are written as ``_x000D_``."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def unreadable(error: Exception, source: str) -> SourceError:
    """What to raise where a workbook cannot be read; of its reader's texts nothing is told."""
    return SourceError(
        source=source,
        culprit=f"it is no whole Excel workbook of the kind .xlsx ({type(error).__name__}).",
        remedy="Deliver it again, whole, saved by Excel as .xlsx.",
    )


def _require_bounds(file: Path, source: str) -> None:
    """Refuse what is none of such workbooks, and one whose parts would not fit."""
    with file.open("rb") as opened:
        if opened.read(len(_COMPOUND)) == _COMPOUND:
            # The list of its parts is somewhere in it.
            protected = any(_ENCRYPTED in block for block in iter(lambda: opened.read(_BLOCK), b""))
            raise SourceError(
                source=source,
                culprit="it is protected by a password." if protected else "it is an Excel file of the old kind .xls.",
                remedy="Ask for it without a password." if protected else "Ask for it saved as .xlsx.",
            )
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise unreadable(error, source) from None
    unpacked = sum(part.file_size for part in parts)
    large = [
        part
        for part in parts
        if not part.filename.startswith("xl/worksheets/")
        and part.filename.endswith((".xml", ".rels"))
        and part.file_size > (_MOST_TEXTS if part.filename.lower().endswith("sharedstrings.xml") else _MOST_OTHERS)
    ]
    if large or unpacked > _MOST_BYTES or unpacked > max(_GRACE, _MOST_RATIO * file.stat().st_size):
        raise SourceError(
            source=source,
            culprit=f"its {file.stat().st_size:,} bytes unpack to {unpacked:,}, or a part of it is too large to hold.",
            remedy="Find out who made it: a table does not look like this. Ask for it as text or Parquet.",
        )
