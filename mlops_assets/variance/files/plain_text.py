"""Plain text: from a file's bytes to a file of UTF-8 that DuckDB parses; most files are that already.

Put here compression, encodings and line ends. Keep out what the lines mean (``delimited``). Nothing is guessed: text is
UTF-8, or says by its mark that it is UTF-16 or UTF-32, or is what the reader was told.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import shutil
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlops_assets.variance.errors import ComparisonError

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_MARKS: Final = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""The longer marks first: one begins with another."""

_OTHERS: Final = {
    b"PK\x03\x04": "a zip archive or a workbook",
    b"\xd0\xcf\x11\xe0": "a workbook",
    b"BZh": "packed by bzip2",
    b"\xfd7zXZ": "packed by xz",
    b"\x28\xb5\x2f\xfd": "packed by Zstandard",
    b"SQLite format 3": "a database",
    b"%PDF": "a PDF document",
}
_ENCODED: Final = "Say its encoding with --encoding (latin-1, cp1252, utf-16-le), or save it as UTF-8."


@dataclass(frozen=True, kw_only=True)
class PlainText:
    """A file of UTF-8.

    Attributes:
        file: where it is.
        returns: whether line ends may hold a carriage return.
    """

    file: Path
    returns: bool


def plain_text(path: Path, folder: Path, *, encoding: str | None, source: str) -> PlainText:
    """A file as UTF-8, unpacked, with line ends of one kind; the file itself where it is so.

    Args:
        path: the file.
        folder: where another one is written if need be.
        encoding: of text that is not UTF-8 and bears no mark; a name that Python knows.
        source: how messages name the file.

    Raises:
        ComparisonError: it is no text, or of another encoding.
        OSError: it cannot be read.
    """
    with path.open("rb") as opened:
        start = opened.read(16)
    found = next((what for mark, what in _OTHERS.items() if start.startswith(mark)), None)
    if found is not None:
        raise ComparisonError(f"it is {found}. Give delimited text or Parquet.", source=source)
    if start.startswith(_GZIP):
        path = _unpacked(path, folder, source)
        with path.open("rb") as opened:
            start = opened.read(16)
    marked = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    if marked is not None:
        return _recoded(path, folder, marked, source)
    seen = _looked_over(path)
    if encoding is not None and (seen.stray is not None or seen.nul):
        return _recoded(path, folder, _known(encoding, source), source)
    if seen.stray is not None:
        raise ComparisonError(f"{_place(path, seen.stray)}: the text is not UTF-8. {_ENCODED}", source=source)
    if seen.nul:
        raise ComparisonError(
            f"it holds NUL characters: it is UTF-16 without its mark, or no text. {_ENCODED}", source=source
        )
    if seen.mixed:
        return _recoded(path, folder, "utf-8", source)
    return PlainText(file=path, returns=seen.returns)


def _unpacked(path: Path, folder: Path, source: str) -> Path:
    target = folder / "unpacked"
    try:
        with gzip.open(path) as packed, target.open("wb") as written:
            shutil.copyfileobj(packed, written, _BLOCK)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ComparisonError(
            "it is packed by gzip and not whole, or damaged. Have it delivered again.", source=source
        ) from error
    return target


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What a look at all bytes shows: the place of the first byte that is no UTF-8, NULs, and kinds of line ends."""

    stray: int | None
    nul: bool
    mixed: bool
    returns: bool


def _looked_over(path: Path) -> _Seen:
    decoder = codecs.getincrementaldecoder("utf-8")()
    stray, nul, place, last = None, False, 0, b""
    pairs = returns = feeds = 0
    with path.open("rb") as opened:
        while block := opened.read(_BLOCK):
            if stray is None:
                pending = len(decoder.getstate()[0])
                if pending or not block.isascii():
                    try:
                        decoder.decode(block)
                    except UnicodeDecodeError as error:
                        stray = place - pending + error.start
            nul = nul or b"\0" in block
            if b"\r" in block or last == b"\r":
                pairs += block.count(b"\r\n") + (last == b"\r" and block[:1] == b"\n")
                returns += block.count(b"\r")
            feeds += block.count(b"\n")
            place, last = place + len(block), block[-1:]
    pending = len(decoder.getstate()[0])
    if stray is None and pending:
        stray = place - pending
    mixed = returns > 0 and feeds > 0 and not returns == feeds == pairs
    return _Seen(stray=stray, nul=nul, mixed=mixed, returns=returns > 0)


def _place(path: Path, stray: int) -> str:
    """Line and column of a byte."""
    number, left = 1, stray
    with path.open("rb") as opened:
        first = line = opened.readline(_BLOCK)
        while left >= len(line):
            number, left = number + line.endswith(b"\n"), left - len(line)
            line = opened.readline(_BLOCK)
    names, fields = (text.decode("latin-1").strip("\r\n") for text in (first, line[:left]))
    delimiter = max(",;\t|", key=names.count)
    try:
        (header,) = csv.reader([names], delimiter=delimiter)
        column = max(len(next(csv.reader([fields], delimiter=delimiter))) - 1, 0)
    except (csv.Error, ValueError):
        return f"line {number}"
    named = number > 1 and column < len(header) and header[column].isascii()
    return f"line {number}, column {header[column] if named else column + 1}"


def _known(encoding: str, source: str) -> str:
    try:
        found = codecs.lookup(encoding)
        "".encode(encoding)  # refuses codecs that are none of text, such as base64
    except (LookupError, ValueError) as error:
        raise ComparisonError(
            f"an encoding {encoding} is not known. Name one such as latin-1, cp1252, utf-16-le, shift_jis.",
            source=source,
        ) from error
    return found.name


def _recoded(path: Path, folder: Path, encoding: str, source: str) -> PlainText:
    """The text as UTF-8 with line ends of LF."""
    decoder = codecs.getincrementaldecoder(encoding)()
    target, line, carried = folder / "text", 1, ""
    with path.open("rb") as opened, target.open("w", encoding="utf-8", newline="\n") as written:
        while True:
            block = opened.read(_BLOCK)
            try:
                text = carried + decoder.decode(block, final=not block)
                carried = "\r" if text.endswith("\r") and block else ""
                text = text.removesuffix(carried).replace("\r\n", "\n").replace("\r", "\n")
                if "\0" in text:
                    raise ComparisonError(
                        f"read as {encoding} it holds NUL characters: it is another encoding, or no text. {_ENCODED}",
                        source=source,
                    )
                line += text.count("\n")
                written.write(text)
            except UnicodeError as error:
                if isinstance(error, UnicodeDecodeError):
                    line += error.object[: error.start].count(b"\n")
                raise ComparisonError(f"line {line}: the text is not {encoding}. {_ENCODED}", source=source) from error
            if not block:
                return PlainText(file=target, returns=False)
