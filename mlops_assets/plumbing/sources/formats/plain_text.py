"""Plain text of any size: from delivered bytes to a file of UTF-8 with LF line ends, which DuckDB parses on all cores.

A file that is so already is not written once more.

Put here what makes bytes readable text. Keep out what its lines mean (``kinds``). No message holds text from the
lines: they may be personal data.
"""

from __future__ import annotations

import codecs
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import IO, TYPE_CHECKING, Final, Literal

import numpy as np

from mlops_assets.platform.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Encoding = Literal["utf-8", "latin-1", "cp1252", "utf-16"]

_UTF8: Final = "utf-8"
_NEVER_LAST: Final = bytes(range(0x80, 0x100)) + b"\r"
_UTF16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ENDS: Final = (b"", b"\n")
_BLOCK: Final = 2**20
_CR, _LF = 0x0D, 0x0A


@dataclass(frozen=True, kw_only=True)
class PlainText:
    """A file of text.

    Attributes:
        file: UTF-8 without a byte order mark, lines end with LF.
        ended: whether its last line has an end, as a file has that was not cut off.
    """

    file: Path
    ended: bool


def as_utf8(
    blocks: Iterable[bytes], target: Path, source: str, encoding: Encoding, *, file: Path | None = None
) -> PlainText:
    r"""Text as UTF-8: written, from the first byte on that has to be another one.

    Where another encoding is declared, text counts as UTF-8, and is refused, when at least half of its groups of
    non-ASCII bytes are well-formed UTF-8: in Latin-1 that takes an accented capital before a sign, such as
    ``\xc3\xb1``. A few such groups among others are names that the source itself keeps garbled; they pass as they are.

    Args:
        blocks: the bytes, cut anywhere.
        target: the file to write.
        source: how messages name the text.
        encoding: as declared; text that is evidently another one is refused.
        file: a file that holds these very bytes. Where they need not be changed, it is the text's.

    Raises:
        SourceError: the text is not of that encoding, or no text.
    """
    texts = _utf8(blocks, source, encoding)
    same, last = 0, b""
    if file is not None:
        for text, is_same in texts:
            last = text[-1:] or last
            if not is_same:
                texts = chain([(text, False)], texts)
                break
            same += len(text)
        else:
            return PlainText(file=file, ended=last in _ENDS)
    with target.open("wb") as written:
        if file is not None:
            _copy_start(file, written, same)
        for text, _ in texts:
            written.write(text)
            last = text[-1:] or last
    return PlainText(file=target, ended=last in _ENDS)


def _copy_start(file: Path, target: IO[bytes], size: int) -> None:
    with file.open("rb") as opened:
        while block := opened.read(min(size, _BLOCK)):
            target.write(block)
            size -= len(block)


def _utf8(blocks: Iterable[bytes], source: str, encoding: Encoding) -> Iterator[tuple[bytes, bool]]:
    """The text in blocks, each with whether it is what was delivered."""
    try:
        if encoding == "utf-16":
            yield from ((block, False) for block in _recoded(blocks, source, encoding))
            return
        as_utf8 = others = 0
        for number, block in enumerate(_cut_between_characters(blocks)):
            text = block.removeprefix(codecs.BOM_UTF8) if number == 0 else block
            _refuse_other_kinds(text, source, first=number == 0)
            lines = _with_lf(text)
            if not text.isascii():
                recoded = lines.decode(encoding)
                if encoding != _UTF8:
                    for group, count in Counter(_groups(text)).items():
                        if _decodes(group):
                            as_utf8 += count
                        else:
                            others += count
                    lines = recoded.encode()
            yield lines, lines is block
    except UnicodeError as error:
        # UTF-16 without its mark has no byte that is to blame.
        at_fault = (
            f"the byte 0x{error.object[error.start]:02x} does not belong in it"
            if isinstance(error, UnicodeDecodeError)
            else "it has no byte order mark"
        )
        raise SourceError(
            source=source,
            culprit=f"its text is not {encoding} ({at_fault}).",
            remedy="Say in the declaration's format which encoding it has: latin-1, cp1252 or utf-16.",
        ) from None
    if as_utf8 and as_utf8 >= others:
        raise SourceError(
            source=source,
            culprit=f"its text is UTF-8, not {encoding} ({as_utf8:,} of {as_utf8 + others:,} groups of non-ASCII bytes "
            "are UTF-8).",
            remedy="Say so in the declaration's format (encoding: utf-8), or ask for what was declared.",
        )


def _recoded(blocks: Iterable[bytes], source: str, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    carried = ""
    for block in blocks:
        text = carried + decoder.decode(block)
        if "\0" in text:
            raise SourceError(
                source=source,
                culprit="its text holds NUL characters, as where a disk has lost a part of it.",
                remedy="Look at what was delivered, and have it delivered again.",
            )
        carried = "\r" if text.endswith("\r") else ""
        yield text.removesuffix(carried).replace("\r\n", "\n").encode()
    yield (carried + decoder.decode(b"", final=True)).encode()


def _refuse_other_kinds(text: bytes, source: str, *, first: bool) -> None:
    if (first and text.startswith(_UTF16_MARKS)) or b"\0" in text:
        raise SourceError(
            source=source,
            culprit="it holds NUL bytes: it is UTF-16, or no text at all.",
            remedy="Say encoding: utf-16 in the declaration's format if it is; else look at what was delivered.",
        )


def _groups(text: bytes) -> list[bytes]:
    """The groups of non-ASCII bytes; a regular expression takes thirty times as long."""
    places = np.flatnonzero(np.frombuffer(text, np.int8) < 0)
    gaps = np.flatnonzero(np.diff(places) > 1)
    starts, ends = places[np.append(0, gaps + 1)], places[np.append(gaps, -1)] + 1
    return [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def _with_lf(text: bytes) -> bytes:
    """The text with LF for CRLF; where there is no other CR, leaving them out takes a third of the time."""
    if b"\r" not in text:
        return text
    read = np.frombuffer(text, np.uint8)
    returns = np.flatnonzero(read[:-1] == _CR)
    if not text.endswith(b"\r") and (read[returns + 1] == _LF).all():
        return text.translate(None, b"\r")
    return text.replace(b"\r\n", b"\n")


def _decodes(text: bytes) -> bool:
    try:
        text.decode(_UTF8)
    except UnicodeDecodeError:
        return False
    return True


def _cut_between_characters(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut so that no group of non-ASCII bytes and no CRLF is divided."""
    carried = b""
    for block in blocks:
        whole = carried + block
        text = whole.rstrip(_NEVER_LAST)
        carried = whole[len(text) :]
        if text:
            yield text
    if carried:
        yield carried
