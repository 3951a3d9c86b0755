"""Workbooks from outside: an .xlsx file whose parts memory can hold, and what its sheets share.

Put here what makes opening a delivered workbook safe, and which of its parts are read. Keep out a sheet's cells
(``sheet``), and what they become (``excel``).

Source: ECMA-376 (Office Open XML), parts 1 and 2.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import PlatformError, SourceError
from mlops_assets.plumbing.sources import room
from mlops_assets.plumbing.sources.formats.elements import Element, elements, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_BYTES: Final = 8 * 2**30
_MOST_TEXTS: Final = 2**29
_MOST_OTHERS: Final = 2**25
"""Bytes of all parts, of the texts that cells share, and of any other part but a sheet: the latter two are held."""
_MOST_RATIO: Final = 256
_GRACE: Final = 2**20
"""A table packs to a tenth of its size, and to a hundredth where each cell repeats a long text."""
_LONGEST_FORMAT: Final = 255
_BLOCK: Final = 2**20
_COMPOUND: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
_ESCAPED: Final = re.compile("_x([0-9A-Fa-f]{4})_")
_RELATION: Final = "relationships id"
# Formats that have a number alone; those from 27 on are of East Asian and Thai editions, dates or times by language.
_BUILT_IN: Final = {
    **dict.fromkeys(range(14, 18), "d"),
    **dict.fromkeys((18, 19, 20, 21, 45, 47), "h"),
    **dict.fromkeys((22, *range(27, 37), *range(50, 59), *range(71, 82)), "d h"),
    **dict.fromkeys((46, 80), "[h]"),
}


class Workbook:
    """An open workbook.

    Args:
        archive: the file.
        size: its bytes.
        source: how messages name it.

    Attributes:
        texts: those that cells share.
        formats: the code of the number format of each style, empty where a number is shown as it is.
        from_1904: whether its days count from 1904-01-01, and not from 1900-01-01.

    Raises:
        SourceError: it unpacks to an absurd size, or is not whole.
    """

    def __init__(self, archive: zipfile.ZipFile, size: int, source: str) -> None:
        self._archive, self._source = archive, source
        self._parts = _parts(archive, size, source)
        book = self._only("officeDocument", self._related("")) or ""
        relations = self._related(book)
        self._sheets = []
        self.from_1904 = False
        for element in self._read(book, "workbook"):
            given = element.attributes
            if element.tag == "workbookPr":
                self.from_1904 = given.get("date1904", "").strip() in {"1", "true"}
            elif name := next((value for name, value in given.items() if name.endswith(_RELATION)), None):
                kind, part = relations[name]
                if kind == "worksheet":
                    self._sheets.append((given["name"], part))
        shared, styles = self._only("sharedStrings", relations), self._only("styles", relations)
        self.texts = [shown(element) for element in self._read(shared, "sst", _MOST_TEXTS)] if shared else []
        self.formats = _formats(self._read(styles, "styleSheet")) if styles else [""]

    def sheet(self, name: str | None) -> Iterator[Element]:
        """The rows and merged cells of a sheet by its name, or of the first one.

        Raises:
            SourceError: it has no such sheet.
        """
        found = [part for title, part in self._sheets if name in {None, title}]
        if not found:
            raise SourceError(
                source=self._source,
                culprit=f"it has no sheet {name!r} among its {len(self._sheets)}." if name else "it has no sheet.",
                remedy="Name the sheet in the declaration's format as the workbook does.",
            )
        if name and len(found) > 1:
            raise unreadable("two of its sheets have that name", self._source)
        return self._read(found[0], "worksheet", _MOST_BYTES)

    def _read(self, part: str, root: str, most: int = _MOST_OTHERS) -> Iterator[Element]:
        found = self._parts.get(part.lower())
        if found is None:
            raise unreadable(f"it lacks its part {root}", self._source)
        if found.file_size > most:
            raise _too_large(f"its part {root} unpacks to {found.file_size:,} bytes", self._source)
        with self._archive.open(found) as content:
            yield from elements(content, root, self._source)

    def _related(self, part: str) -> dict[str, tuple[str, str]]:
        """The kinds and names of the parts that a part names, by its names for them."""
        folder, name = posixpath.split(part)
        found = {}
        for each in self._read(posixpath.join(folder, "_rels", f"{name}.rels"), "Relationships"):
            kind = posixpath.basename(each.attributes["Type"])
            target = posixpath.normpath(posixpath.join("/", folder, each.attributes["Target"]))
            found[each.attributes["Id"]] = kind, target.lstrip("/")
        return found

    def _only(self, kind: str, among: dict[str, tuple[str, str]]) -> str | None:
        found = [part for each, part in among.values() if each == kind]
        if len(found) > 1:
            raise unreadable(f"it has {kind} twice", self._source)
        return found[0] if found else None


@contextmanager
def opened(file: Path, source: str) -> Iterator[Workbook]:
    """A workbook; what its reader raises within the block is told as an error of the file.

    Raises:
        SourceError: it is no whole workbook, is protected by a password, or unpacks to an absurd size.
    """
    _refuse_other_kinds(file, source)
    try:
        with zipfile.ZipFile(file) as archive:
            yield Workbook(archive, file.stat().st_size, source)
    except PlatformError:
        raise
    except Exception as error:
        if room.is_ours(error):
            raise
        raise unreadable(type(error).__name__, source) from None


def shown(element: Element) -> str:
    """The text of an element: its runs of one format after the other, without how they are pronounced."""
    pieces = [each for child in element.children for each in (child.children if child.tag == "r" else (child,))]
    return "".join(unescaped(piece.text) for piece in pieces)


def unescaped(text: str) -> str:
    """A text as it is meant: signs that XML cannot hold are written as ``_x000D_``."""
    return _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), text) if "_x" in text else text


def _parts(archive: zipfile.ZipFile, size: int, source: str) -> dict[str, zipfile.ZipInfo]:
    """The parts by their names, whose case means nothing."""
    infos = [part for part in archive.infolist() if not part.is_dir()]
    unpacked = sum(part.file_size for part in infos)
    if unpacked > min(_MOST_BYTES, max(_GRACE, _MOST_RATIO * size)):
        raise _too_large(f"its {size:,} bytes unpack to {unpacked:,}", source)
    if any(part.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} for part in infos):
        raise unreadable("its parts are packed in a way that no workbook's are", source)
    parts = {part.filename.replace("\\", "/").lower(): part for part in infos}
    if len(parts) < len(infos):
        raise unreadable("two of its parts have one name", source)
    return parts


def _formats(read: Iterator[Element]) -> list[str]:
    codes: dict[int, str] = dict(_BUILT_IN)
    styles = []
    for element in read:
        number = int(element.attributes.get("numFmtId", 0))
        if element.tag == "numFmt":
            codes[number] = element.attributes["formatCode"]
            if len(codes[number]) > _LONGEST_FORMAT:
                raise ValueError(number)
        else:
            styles.append(number)
    return [codes.get(number, "") for number in styles] or [""]


def _refuse_other_kinds(file: Path, source: str) -> None:
    with file.open("rb") as content:
        if content.read(len(_COMPOUND)) != _COMPOUND:
            return
        # The list of its parts is somewhere in it.
        protected = any(_ENCRYPTED in block for block in iter(lambda: content.read(_BLOCK), b""))
    raise SourceError(
        source=source,
        culprit="it is protected by a password." if protected else "it is an Excel file of the old kind .xls.",
        remedy="Ask for it without a password." if protected else "Ask for it saved as .xlsx.",
    )


def _too_large(culprit: str, source: str) -> SourceError:
    return SourceError(
        source=source,
        culprit=f"{culprit}: too much to hold, or to be meant.",
        remedy="Find out who made it: a table does not look like this. Ask for it as text or Parquet.",
    )
