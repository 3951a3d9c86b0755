"""JSON Lines: files with one JSON object on each line, whose values keep their text.

Put here how such a file becomes columns of text, and how its lines could fail to. Keep out one JSON document
(``json_rows``). No message holds text from a line.

Source: https://jsonlines.org; RFC 8259.
"""

from __future__ import annotations

import codecs
import re
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.delivered import Delivered
from mlops_assets.plumbing.sources.formats.base import FileFormat
from mlops_assets.plumbing.sources.formats.json_rows import Answer
from mlops_assets.plumbing.sources.formats.text_files import TextFiles

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlops_assets.plumbing.sources.delivered import Workplace

_BATCH_BYTES: Final = 2**21
_BATCH_LINES: Final = 10_000
_LONGEST: Final = 2**24
_MANY_COLUMNS: Final = 1_000
_MINUS: Final = (b":-0", b" -0", b"\t-0")
_MINUS_ZERO: Final = re.compile(rb"[:\s]-0[\s,}]")
_ROW: Final[msgspec.json.Decoder[dict[str, Any]]] = msgspec.json.Decoder(dict[str, Any], float_hook=str)
_RAW_ROW: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_COLON, _QUOTE = ord(":"), ord('"')
_TRUTHS: Final = {True: "true", False: "false"}
_NOT_READ: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class JsonLines(FileFormat):
    """Text with one JSON object on each line (UTF-8). Its columns are the names of all of them.

    Numbers keep their text, so an id of twenty digits stays what it is, and so do lists and objects; null and a name
    that a line lacks are NULL. A line is whole when its object is, with a line end or without.

    Example:
        >>> import mlops_assets as ma
        >>> format = ma.JsonLines()
    """

    type: Literal["json_lines"] = "json_lines"

    def rows(
        self,
        blocks: Iterator[bytes],
        at: Workplace,
        source: str,
        *,
        proven: bool,  # noqa: ARG002  the end of its object proves a line
        file: Path | None = None,  # noqa: ARG002  it is read in blocks
    ) -> Delivered:
        """The rows, all columns text."""
        with TextFiles(at.scratch, source) as files:
            for first, lines in _batches(blocks, source):
                files.add(_columns(lines, files, first, source))
            if not files.count:
                raise SourceError(
                    source=source,
                    culprit="it is empty, so that its columns are not known.",
                    remedy="Deliver it with its lines, or not at all.",
                )
            return Delivered(source=source, rows=files.relation(at.connection, ()))


def _batches(blocks: Iterator[bytes], source: str) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Some lines at a time, with the number of the first."""
    number, rest = 1, b""
    for block in blocks:
        rest += block
        if len(rest) < _BATCH_BYTES:
            continue
        whole, end, rest = rest.rpartition(b"\n")
        if len(rest) > _LONGEST:
            long = number + (whole.count(b"\n") + 1 if end else 0)
            raise SourceError(
                source=source,
                culprit=f"its line {long:,} is longer than {_LONGEST:,} bytes.",
                remedy="Deliver it with one object on each line; a list of objects on one line is another format.",
            )
        if end:
            yield from _numbered(whole, number)
            number += whole.count(b"\n") + 1
    if rest:
        yield from _numbered(rest.removesuffix(b"\n"), number)


def _numbered(text: bytes, number: int) -> Iterator[tuple[int, Sequence[bytes]]]:
    lines = (text.removeprefix(codecs.BOM_UTF8) if number == 1 else text).split(b"\n")
    for at in range(0, len(lines), _BATCH_LINES):
        yield number + at, lines[at : at + _BATCH_LINES]


def _columns(lines: Sequence[bytes], files: TextFiles, first: int, source: str) -> Mapping[str, Sequence[str | None]]:
    """The values of some lines by name.

    Raises:
        SourceError: a line is no object, or none whose values can be told.
    """
    try:
        rows = list(map(_ROW.decode, lines))
    except _NOT_READ:
        raise _unreadable(lines, first, source) from None
    names = dict.fromkeys(chain.from_iterable(rows))
    if len(names) > _MANY_COLUMNS:
        files.add(dict.fromkeys(names, ()))  # refuses absurdly many before each has a place for each line
    found = _by_name(rows, names)
    kinds = {name: set(map(type, values)) for name, values in found.items()}
    nested = [name for name, of in kinds.items() if of & {dict, list}]
    given = sum(map(len, rows)) + sum(_names_within(value) for name in nested for value in found[name])
    text = b"\n".join(lines)
    if given < _most_names(text):
        _refuse_repeated(rows, lines, first, source)
    zeros = [name for name, of in kinds.items() if int in of and 0 in found[name]]
    if not zeros or not any(each in text for each in _MINUS) or not _MINUS_ZERO.search(text):
        zeros = []
    raw = list(map(_RAW_ROW.decode, lines)) if nested or zeros else []
    for name, of in kinds.items():
        if name in nested or name in zeros:
            found[name] = [
                value if value is None or type(value) is str else bytes(row[name]).decode()
                for value, row in zip(found[name], raw, strict=True)
            ]
        elif of & {int, bool}:
            found[name] = [
                value if value is None or type(value) is str else _TRUTHS[value] if type(value) is bool else str(value)
                for value in found[name]
            ]
    return found


def _by_name(rows: Sequence[dict[str, Any]], names: Collection[str]) -> dict[str, Sequence[Any]]:
    if len(names) > 1 and sum(map(len, rows)) == len(names) * len(rows):
        return dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
    return {name: [row.get(name) for row in rows] for name in names}


def _names_within(value: object) -> int:
    """How many names the objects of a value give, at any depth."""
    if isinstance(value, dict):
        return len(value) + sum(map(_names_within, value.values()))
    return sum(map(_names_within, value)) if isinstance(value, list) else 0


def _most_names(text: bytes) -> int:
    """At least as many names as there are, those that are given twice too: behind each is a colon.

    Few of the colons within texts stand behind a quotation mark or a space, and those are looked at. Looking at each
    name as it is read takes eight times as long.
    """
    read = np.frombuffer(text, np.uint8)
    return int(np.count_nonzero(read[np.flatnonzero(read == _COLON) - 1] <= _QUOTE))


def _refuse_repeated(rows: Sequence[Mapping[str, Any]], lines: Sequence[bytes], first: int, source: str) -> None:
    for number, (row, line) in enumerate(zip(rows, lines, strict=True), first):
        if len(row) + sum(map(_names_within, row.values())) < _most_names(line):
            _read_alone(line, number, source)


def _unreadable(lines: Sequence[bytes], first: int, source: str) -> SourceError:
    """What is wrong with the first line that is no object."""
    for number, line in enumerate(lines, first):
        if not line.strip():
            return SourceError(
                source=source,
                culprit=f"its line {number:,} is blank.",
                remedy="Deliver it with one object on each line; a file that was cut and put together has such lines.",
            )
        try:
            _ROW.decode(line)
        except _NOT_READ as error:
            try:
                _read_alone(line, number, source)
            except SourceError as told:
                return told
            # What the reading of values leaves alone: a number too long to be one, a text within a list.
            return _refused(f"its line {number:,} cannot be read ({type(error).__name__}).", source)
    return _refused("a line of it cannot be read.", source)


def _read_alone(line: bytes, number: int, source: str) -> None:
    """Read one line with a look at each name.

    Raises:
        SourceError: it is no object, or gives a name twice.
    """
    if line.strip()[:1] not in {b"{", b""}:
        raise _refused(f"its line {number:,} is no object.", source)
    Answer(b"[%b]" % line, f"Line {number:,} of {source}").rows(None).columns()


def _refused(culprit: str, source: str) -> SourceError:
    return SourceError(
        source=source, culprit=culprit, remedy="Look at that line in the source; have the file delivered again."
    )
