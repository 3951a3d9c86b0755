"""Leftovers: files outside the lakes' tables in which a text stands: plain, in SQLite or Parquet, or packed.

Put here how files of any kind are searched. Keep out whose text it is, and what becomes of the files.
"""

from __future__ import annotations

import gzip
import sqlite3
import zipfile
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path
    from typing import IO

_ENCODINGS: Final = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
_SQLITE: Final = b"SQLite format 3\0"
_ZIP: Final = b"PK\x03\x04"
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PARQUET: Final = b"PAR1"
_BLOCK: Final = 2**22
_LONGEST: Final = 2**10
"""Bytes of a word that is found where two blocks meet."""


class Words:
    """Texts to look for as words, in whatever case."""

    def __init__(self, words: Sequence[str]) -> None:
        """Take words of one sign or more; without any, nothing is found."""
        # Bytes are compared in lower case, of which they know ASCII alone.
        cases = {form for word in words for form in (word, word.lower(), word.upper(), word.title())}
        forms = {case.encode(code, errors="ignore") for case in cases for code in _ENCODINGS}
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
            opened.seek(0)
            if start == _SQLITE:
                return any(self.in_bytes(cell) for cell in _cells(file))
            if start.startswith(_PARQUET):
                return self._in_columns(file)
            if start.startswith(_ZIP) and zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    return any(self._in_member(archive, member) for member in archive.infolist())
            return self._in_packed(opened, start)

    def _in_packed(self, opened: IO[bytes], start: bytes) -> bool:
        stream = opened
        if start.startswith(_GZIP):
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=opened))
        elif start.startswith(_ZSTD):
            stream = pa.CompressedInputStream(pa.PythonFile(opened, mode="r"), "zstd")
        try:
            return self._in_stream(stream)
        except (OSError, EOFError, zlib.error):
            # It only looks packed.
            opened.seek(0)
            return self._in_stream(opened)

    def _in_columns(self, file: Path) -> bool:
        try:
            batches = pq.ParquetFile(file).iter_batches()
            texts = ("\n".join(map(str, column.to_pylist())) for batch in batches for column in batch.columns)
            return any(self.in_bytes(text.encode(errors="replace")) for text in texts)
        except (pa.ArrowException, OSError):
            return self.in_bytes(file.read_bytes())

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
