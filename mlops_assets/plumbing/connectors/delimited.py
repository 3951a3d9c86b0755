"""Delimited text: from the bytes of a CSV file, gzipped or plain, to rows that are all equally wide.

Put here what makes a CSV file whole and readable. Keep out which columns a source should have (that is its connector).
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from typing import Final

from mlops_assets.platform.errors import SourceError

_GZIP: Final = b"\x1f\x8b"
_BYTE_ORDER_MARK: Final = "\ufeff"
LARGEST_TEXT_BYTES: Final = 512 * 1024 * 1024
"""Largest size of a file once unpacked."""


def unpacked(body: bytes, source: str, *, largest: int = LARGEST_TEXT_BYTES) -> bytes:
    """The bytes of a file, unpacked if they are gzip; told by the bytes, since servers may unpack a ``.gz`` themselves.

    Raises:
        SourceError: the gzip file is cut off or damaged, or larger than ``largest`` bytes once unpacked.
    """
    if not body.startswith(_GZIP):
        return body
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            plain = file.read(largest + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise SourceError(
            source=source,
            culprit=f"the gzip file of {len(body):,} bytes cannot be unpacked ({error}).",
            remedy="It is cut off or damaged at the source: fetch it again later, and tell the source's owner.",
        ) from None
    if len(plain) > largest:
        raise SourceError(
            source=source,
            culprit=f"the gzip file unpacks to more than {largest:,} bytes.",
            remedy="Check that the address is the right one.",
        )
    return plain


def decoded(plain: bytes, source: str, *, latin_1: bool = False) -> tuple[str, str]:
    """The text and the name of its encoding: strict UTF-8, with or without a byte order mark, else Latin-1 if allowed.

    Latin-1 gives every byte a character of the same number, so nothing is lost even where a file mixes encodings.

    Raises:
        SourceError: the text is neither, or holds NUL characters.
    """
    encoding = "utf-8"
    try:
        text = plain.decode(encoding)
    except UnicodeDecodeError as error:
        if not latin_1:
            raise SourceError(
                source=source,
                culprit=f"the text is not UTF-8 (byte 0x{plain[error.start]:02x} at {error.start}).",
                remedy="It may have been saved again by an editor: fetch the file from its publisher.",
            ) from None
        encoding = "latin-1"
        text = plain.decode(encoding)
    if "\0" in text:
        raise SourceError(
            source=source,
            culprit=f"a NUL character stands at position {text.index(chr(0))}: this is not a text file.",
            remedy="Check that the address is the right one.",
        )
    return text.removeprefix(_BYTE_ORDER_MARK), encoding


def rows(text: str, source: str, *, headers: int = 1) -> list[list[str]]:
    """All rows of a CSV text (RFC 4180), header rows first, blank lines left out; every row as wide as the first.

    Raises:
        SourceError: there are no rows below the headers, the quoting is broken, or a row is narrower or wider.
    """
    try:
        found = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise SourceError(
            source=source,
            culprit=f"the CSV breaks ({error}).",
            remedy="It may be cut off: fetch it again; if it stays so, tell the source's owner.",
        ) from None
    if len(found) <= headers:
        raise SourceError(
            source=source,
            culprit=f"the file holds {len(found)} rows, of which {headers} should be headers: there is no data.",
            remedy="Check that the address is the right one.",
        )
    width = len(found[0])
    for number, row in enumerate(found):
        if len(row) == width:
            continue
        place = f"row {number - headers + 1} of {len(found) - headers}"
        if number < headers:
            place = f"the header rows disagree: header row {number + 1}"
        raise SourceError(
            source=source,
            culprit=f"{place} holds {len(row)} fields, the first header row {width}.",
            remedy="It may be cut off or wrongly quoted: fetch it again; if it stays so, tell the source's owner.",
        )
    return found
