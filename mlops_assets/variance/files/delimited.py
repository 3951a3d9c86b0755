"""Delimited text: fields between commas, semicolons, tabs or bars, with a header line that names the columns.

Put here how such text is parsed, and how a line that does not parse is named. Keep out what the values mean. No message
holds the text of a line: it may be a person's.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

import duckdb

from mlops_assets.variance.errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_DELIMITERS: Final = ",;\t|"
_SAMPLE: Final = 1 << 16
_RECORDS: Final = 20
_LINE: Final = re.compile(r"CSV Error on Line: (\d+)")
_FIELDS: Final = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_PATTERN: Final = re.compile(r"[\[?*]")
_LABELS: Final = "\x1flabels"


@dataclass(frozen=True, kw_only=True)
class Delimited:
    """A file of UTF-8 with its columns.

    Attributes:
        file: where it is.
        delimiter: between fields.
        names: of the columns, in order.
    """

    file: Path
    delimiter: str
    names: Sequence[str]

    def relation(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        """All columns as text; empty fields are NULL."""
        return connection.read_csv(
            literal_path(self.file),
            columns=dict.fromkeys(self.names, "VARCHAR"),
            delimiter=self.delimiter,
            quotechar='"',
            escapechar='"',
            header=True,
            auto_detect=False,
            strict_mode=True,
            # Reading on one thread silently drops a last line whose quotation mark is open.
            parallel=True,
            hive_partitioning=False,
        )

    def first_bad_line(self) -> str:
        """What is wrong, and where; DuckDB's message quotes the line, and miscounts when reading in parallel."""
        with duckdb.connect() as connection:
            connection.execute("SET threads = 1")
            try:
                # Counting every column makes DuckDB decode every field; with count(*) it skips them.
                self.relation(connection).aggregate(
                    ", ".join(f"count({quoted(name)})" for name in self.names)
                ).fetchall()
            except duckdb.Error as error:
                message = str(error)
            else:
                return "a line does not parse"
        line, fields = _LINE.search(message), _FIELDS.search(message)
        place = f"line {line[1]}" if line else "a line"
        if fields:
            return f"{place} has {fields[2]} fields where the header has {fields[1]}"
        if "unterminated quote" in message:
            return f"{place} has a quotation mark that is not closed, or not doubled within a field"
        if "Maximum line size" in message:
            return f"{place} is longer than 2 MB, as with a quotation mark that is not closed"
        return f"{place} does not parse as fields between {self.delimiter!r}"


def quoted(name: str) -> str:
    """A column's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal_path(path: Path) -> str:
    """A path for DuckDB, which would take some signs in it for a pattern of several files."""
    return _PATTERN.sub(lambda sign: f"[{sign[0]}]", str(path.absolute()))


def delimited(file: Path, source: str) -> Delimited:
    """Find the delimiter and the names of the columns.

    Of comma, semicolon, tab and bar it is the one that gives the first lines as many fields as the header, and most.
    A first column without a name, as R and pandas write for labels of rows, is left out by `visible`.

    Args:
        file: text in UTF-8.
        source: how messages name it.

    Raises:
        ComparisonError: there is no header, or it does not name each column once.
    """
    with file.open(encoding="utf-8-sig", newline="") as opened:
        sample = opened.read(_SAMPLE)
    if not sample.strip():
        raise ComparisonError("it is empty. Give a file with a header line and rows.", source=source)
    if sample.lstrip(" ").startswith(("\n", "\r")):
        raise ComparisonError("its first line is blank. Let it begin with the names of the columns.", source=source)
    read = {sign: _records(sample, sign, source) for sign in _DELIMITERS}
    fitting = [sign for sign, records in read.items() if len(records[0]) > 1]
    delimiter = max(fitting, key=lambda sign: _fit(read[sign]), default=",")
    names = [name.strip() for name in read[delimiter][0]]
    if len(names) > 1 and not names[0]:
        names[0] = _LABELS
    require_names(names, source)
    return Delimited(file=file, delimiter=delimiter, names=names)


def visible(names: Sequence[str]) -> list[str]:
    """The columns that have a name."""
    return [name for name in names if name != _LABELS]


def require_names(names: Sequence[str], source: str) -> None:
    """Refuse a header that does not tell columns apart.

    Raises:
        ComparisonError: a column has no name, or two have the same, but for case.
    """
    folded = [name.casefold() for name in names]
    for place, name in enumerate(folded):
        if not name:
            culprit = f"column {place + 1} of {len(names)} has no name in the header"
        elif "\0" in name:
            culprit = f"the name of column {place + 1} holds a NUL character"
        elif name in folded[:place]:
            culprit = f"columns {folded.index(name) + 1} and {place + 1} are both named {names[place]} in the header"
        else:
            continue
        raise ComparisonError(f"{culprit}. Let the first line name each column once.", source=source)


def _records(sample: str, delimiter: str, source: str) -> list[list[str]]:
    """The first few lines as fields."""
    try:
        read = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        found = list(islice((record for record in read if record), _RECORDS))
    except csv.Error as error:
        raise ComparisonError(
            "its first lines do not parse: a field is longer than 131,072 characters. Look for a quotation mark that "
            "is not closed.",
            source=source,
        ) from error
    # The last one may have been cut by the end of the sample.
    return found[:-1] if 1 < len(found) < _RECORDS and len(sample) == _SAMPLE else found


def _fit(records: Sequence[Sequence[str]]) -> tuple[bool, int]:
    width = len(records[0])
    return all(len(record) == width for record in records), width
