"""Leftovers: files outside the lakes' tables in which a text stands: bytes, cells of SQLite files, members of archives.

Put here how files of any kind are searched. Keep out whose text it is, and what becomes of the files.
"""

from __future__ import annotations

import sqlite3
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path
    from typing import IO

_SQLITE: Final = b"SQLite format 3\0"
_ZIP: Final = b"PK\x03\x04"
_BLOCK: Final = 2**22
_LONGEST: Final = 2**10
"""Bytes of a word that is found where two blocks meet."""


class Words:
    """Texts to look for as words, in whatever case."""

    def __init__(self, words: Sequence[str]) -> None:
        """Take words of one sign or more; without any, nothing is found."""
        forms = {form for word in words for form in (word.encode(), word.encode("latin-1", errors="ignore"))}
        self._words = sorted(form.lower() for form in forms if form)

    def in_bytes(self, content: bytes) -> bool:
        """Whether one of them stands in those bytes."""
        # A plain search takes a tenth of the time of a regular expression that ignores case.
        text = content.lower()
        return any(_stands_in(word, text) for word in self._words)

    def in_file(self, file: Path) -> bool:
        """Whether one of them stands in the file, or in a cell or member of it.

        Raises:
            OSError: it cannot be read.
        """
        with file.open("rb") as opened:
            start = opened.read(len(_SQLITE))
            if not start:
                return False
            if start == _SQLITE:
                return any(self.in_bytes(cell) for cell in _cells(file))
            if start.startswith(_ZIP) and zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    return any(self._in_member(archive, member) for member in archive.infolist())
            opened.seek(0)
            return self._in_stream(opened)

    def _in_member(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
        with archive.open(member) as content:
            return self._in_stream(content)

    def _in_stream(self, opened: IO[bytes]) -> bool:
        tail = b""
        while block := opened.read(_BLOCK):
            if self.in_bytes(tail + block):
                return True
            tail = (tail + block)[-_LONGEST:]
        return False


def _stands_in(word: bytes, text: bytes) -> bool:
    place = text.find(word)
    while place >= 0:
        if not (text[place - 1 : place].isalnum() or text[place + len(word) : place + len(word) + 1].isalnum()):
            return True
        place = text.find(word, place + 1)
    return False


def files_with(folder: Path, words: Words, *, but: Collection[Path] = ()) -> list[Path]:
    """The files below that have one of the words in them or in their names.

    Args:
        folder: where to look; nothing is found where there is no folder.
        words: what to look for.
        but: folders to pass over.
    """
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() or not file.is_file() or any(file.is_relative_to(passed) for passed in but):
            continue
        try:
            if words.in_bytes(file.name.encode()) or words.in_file(file):
                found.append(file)
        except FileNotFoundError:
            continue
    return found


def _cells(file: Path) -> Iterator[bytes]:
    """All texts and blobs; rows of one table need not be together in the file, and texts abut there."""
    with closing(sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (table,) in tables:
            name = table.decode().replace('"', '""')
            for row in connection.execute(f'SELECT * FROM "{name}"'):  # noqa: S608  a name from the file itself
                yield from (cell for cell in row if isinstance(cell, bytes))
