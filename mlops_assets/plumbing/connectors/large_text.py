"""Tab-separated text of millions of lines: from Latin-1 bytes to a Parquet file of text columns, strictly, in order.

Put here how such text of any layout is decoded, parsed and refused by DuckDB. Keep out layouts, where the bytes come
from, and files small enough for memory. No message holds text from the lines: they are personal data.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np

from mlops_assets.platform.errors import SourceError
from mlops_assets.platform.lake.files import COMPRESSION, ROW_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

DELIMITER: Final = "\t"
QUOTE: Final = '"'

_MOST_HEADER_BYTES: Final = 2**16
_NEVER_LAST: Final = bytes(range(0x80, 0x100)) + b"\r"
_CR, _LF, _LAST_ASCII = 0x0D, 0x0A, 0x7F
_LINE: Final = re.compile(r"CSV Error on Line: (\d+)")
_FIELDS: Final = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_UNCLOSED: Final = "unterminated quote"
_BYTE_ORDER_MARKS: Final = {
    codecs.BOM_UTF8: "UTF-8 with a byte order mark",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_CONVERT: Final = "Ask for the file in Latin-1, or convert it; then write its manifest anew."


def latin1_to_utf8(blocks: Iterable[bytes], target: Path, source: str) -> None:
    r"""Write Latin-1 text as UTF-8 with LF line ends, which DuckDB parses on all cores.

    Text counts as UTF-8, and is refused, when at least half of its groups of non-ASCII bytes are well-formed UTF-8: in
    Latin-1 that takes an accented capital before a sign, such as ``\xc3\xb1``. A few such groups among others are names
    that the source itself keeps garbled; they pass as they are.

    Args:
        blocks: the text, cut anywhere.
        target: the file to write.
        source: how error messages name the text.

    Raises:
        SourceError: the text is not Latin-1, or is not text.
    """
    as_utf8 = others = 0
    with target.open("wb") as written:
        for number, text in enumerate(_cut_between_characters(blocks)):
            if number == 0:
                _refuse_byte_order_mark(text, source)
            if b"\0" in text:
                raise SourceError(
                    source=source, culprit="its text holds NUL bytes: it is UTF-16 or damaged.", remedy=_CONVERT
                )
            if text.isascii():
                written.write(_with_lf(text))
                continue
            for group, count in Counter(_groups(text)).items():
                if _is_utf8(group):
                    as_utf8 += count
                else:
                    others += count
            written.write(_with_lf(text).decode("latin-1").encode())
    if as_utf8 and as_utf8 >= others:
        raise SourceError(
            source=source,
            culprit=f"its text is UTF-8, not Latin-1 ({as_utf8} of {as_utf8 + others} groups of non-ASCII bytes are "
            "UTF-8).",
            remedy=_CONVERT,
        )


def _cut_between_characters(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut so that no group of non-ASCII bytes and no CRLF is divided."""
    carried = b""
    for block in blocks:
        whole = carried + block
        # Only a file of nothing but such bytes could make the rest grow, and its size is bounded.
        text = whole.rstrip(_NEVER_LAST)
        carried = whole[len(text) :]
        if text:
            yield text
    if carried:
        yield carried


def _groups(text: bytes) -> list[bytes]:
    """The groups of non-ASCII bytes, at least one; a regular expression takes thirty times as long."""
    high = np.frombuffer(text, np.uint8) > _LAST_ASCII
    edges = np.flatnonzero(np.diff(high, prepend=False, append=False)).tolist()
    return [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _with_lf(text: bytes) -> bytes:
    """The text with LF for CRLF; where there is no other CR, leaving them out takes a third of the time."""
    read = np.frombuffer(text, np.uint8)
    returns = np.flatnonzero(read[:-1] == _CR)
    if read[-1] != _CR and (read[returns + 1] == _LF).all():
        return text.translate(None, b"\r")
    return text.replace(b"\r\n", b"\n")


def _refuse_byte_order_mark(start: bytes, source: str) -> None:
    for mark, name in _BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            raise SourceError(source=source, culprit=f"its text is {name}, not Latin-1.", remedy=_CONVERT)


def _is_utf8(group: bytes) -> bool:
    try:
        group.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def header(text: Path) -> tuple[str, ...]:
    """The fields of the first line of a UTF-8 file, unquoted; none for an empty file."""
    with text.open("rb") as opened:
        line = opened.readline(_MOST_HEADER_BYTES).decode("utf-8", errors="replace").rstrip("\n")
    if not line:
        return ()
    return tuple(next(csv.reader([line], delimiter=DELIMITER, quotechar=QUOTE)))


def to_parquet(
    connection: duckdb.DuckDBPyConnection,
    text: Path,
    target: Path,
    *,
    columns: Sequence[str],
    select: Sequence[duckdb.Expression],
    source: str,
) -> None:
    """Parse UTF-8 text with a header line strictly, into a Parquet file with its rows in the order of the lines.

    The file is written as the lakes' are, so that it can become one of theirs. A quoted empty field becomes an empty
    string, an unquoted one NULL.

    Args:
        connection: where DuckDB runs; its memory and thread limits apply.
        text: the file to parse.
        target: the Parquet file to write.
        columns: the columns in the order of the text, all text.
        select: the columns of the file, as expressions of them.
        source: how error messages name the text.

    Raises:
        SourceError: a line does not have the expected fields or quotes; the message has the first one's number.
    """
    kept_order = connection.sql("SELECT current_setting('preserve_insertion_order')").fetchone() == (True,)
    connection.execute("SET preserve_insertion_order = true")
    try:
        rows = _parse(connection, text, columns).select(*select)
        rows.write_parquet(str(target), compression=COMPRESSION, row_group_size=ROW_GROUP)
    except duckdb.InvalidInputException:
        # DuckDB's message quotes the line, and its line number is wrong when it reads in parallel.
        culprit = _first_bad_line(text, columns)
    else:
        return
    finally:
        connection.execute(f"SET preserve_insertion_order = {kept_order}")
    raise SourceError(
        source=source,
        culprit=culprit,
        remedy="Look at that line in the source; deliver the file again, then write its manifest anew.",
    )


def _parse(connection: duckdb.DuckDBPyConnection, text: Path, columns: Sequence[str]) -> duckdb.DuckDBPyRelation:
    # parallel=False, which reading from a pipe implies, silently drops a last line whose quotation mark is not closed.
    return connection.read_csv(
        str(text),
        columns=dict.fromkeys(columns, "VARCHAR"),
        delimiter=DELIMITER,
        quotechar=QUOTE,
        escapechar=QUOTE,
        header=True,
        auto_detect=False,
        allow_quoted_nulls=False,
        strict_mode=True,
        parallel=True,
    )


def _first_bad_line(text: Path, columns: Sequence[str]) -> str:
    """Read again on one thread, which finds the first bad line and its true number."""
    with duckdb.connect() as connection:
        # Counting every column makes DuckDB decode every field; with count(*) it skips them.
        counts = [duckdb.FunctionExpression("count", duckdb.ColumnExpression(column)) for column in columns]
        connection.execute("SET threads = 1")
        try:
            _parse(connection, text, columns).aggregate(counts).fetchall()
        except duckdb.InvalidInputException as error:
            message = str(error)
        else:
            return "a line does not parse, but reading on one thread does not show which."
    line = _LINE.search(message)
    fields = _FIELDS.search(message)
    if fields:
        reason = f"has {fields[2]} fields where {fields[1]} are expected"
    elif _UNCLOSED in message:
        reason = "has a quotation mark that is not closed or not doubled"
    else:
        reason = "does not parse"
    return f"line {line[1] if line else 'unknown'} {reason}."
