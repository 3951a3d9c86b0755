"""Drafts: a contract and a source as a delivered file suggests them, for somebody to read and correct.

Put here what can be guessed from a file. Keep out the rule by which text is parsed (``text_rules``), which decides what
fits. Nothing from the file's rows is in a draft: they may be personal data.
"""

from __future__ import annotations

import csv
import keyword
import re
from typing import TYPE_CHECKING, Final

import duckdb
import ibis.expr.datatypes as dt
from ibis.backends.sql.datatypes import DuckDBType

from mlops_assets.platform import scratch
from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.plumbing.sources import text_rules
from mlops_assets.plumbing.sources.delivered import Workplace
from mlops_assets.plumbing.sources.drafts.place import DraftPlace
from mlops_assets.plumbing.sources.drafts.text import DraftColumn, written
from mlops_assets.plumbing.sources.formats import packing
from mlops_assets.plumbing.sources.formats.excel import Excel
from mlops_assets.plumbing.sources.formats.json_lines import JsonLines
from mlops_assets.plumbing.sources.formats.kinds import Delimited, Parquet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    from mlops_assets.plumbing.sources.formats.plain_text import Encoding

_DELIMITERS: Final = ",;\t|"
_ENCODINGS: Final[tuple[Encoding, ...]] = ("utf-8", "cp1252", "latin-1")
_PARQUET: Final = b"PAR1"
_WORKBOOK: Final = b"PK\x03\x04"
_MARK: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_START: Final = 2**16

_NUMBERED: Final = re.compile(r"[-+]?0[0-9]+")
_EMAIL: Final = r"[^@\s]+@[^@\s]+\.[^@\s]+"
_PERSONAL: Final = re.compile(
    r"(^|_)(names?|first|last|middle|surname|mail|e_?mail|phone|mobile|fax|address|street|house|birth|dob|ssn|passport|"
    r"iban|ip|latitude|longitude)(_|$)"
)
_VALUE: Final = re.compile(rf"[-+]?[0-9.,]+|[0-9]{{1,4}}[-./][0-9]{{1,2}}[-./][0-9]{{1,4}}.*|{_EMAIL}")
"""What names no column."""
_KINDS: Final[tuple[tuple[dt.DataType, str | None], ...]] = (
    (dt.int64, None),
    (dt.float64, None),
    *((dt.float64, form) for form in ("1.234,56", "1,234.56", "1 234,56")),
    (dt.boolean, None),
    *((dt.boolean, words) for words in ("yes/no", "y/n", "t/f")),
    (dt.date, None),
    (dt.Timestamp(timezone="UTC"), None),
    (dt.timestamp, None),
    *((dt.date, form) for form in ("%-d.%-m.%Y", "%-m/%-d/%Y", "%-d/%-m/%Y", "%Y%m%d")),
)
"""What a column is tried for, in this order, each with how it would be written."""


def draft(where: str, *, table: str) -> str:
    """Python that declares a table and its source as the file suggests.

    Args:
        where: path or address of delimited text with a header line, JSON lines, Parquet or Excel, packed or not. The
            names of its columns are in the draft.
        table: name of the table.

    Raises:
        SourceError: the file is not readable as either, its first line holds values, or a column lists or records.
        SourceUnavailableError: it is not there, or may not be read.
        SettingsError: what its protocol needs is not installed.
    """
    place = DraftPlace.of(where)
    folder = scratch.make()
    try:
        with place.fetched(folder).open("rb") as delivered, duckdb.connect() as connection:
            rows, said = _rows(delivered, place.name, Workplace(connection=connection, scratch=folder))
            columns, count = _columns(rows, typed=not said.startswith("ma.Delimited"))
    except OSError as error:
        raise SourceUnavailableError(
            source=f"File {place.name}",
            culprit=f"it cannot be read ({error.strerror}).",
            remedy="Name one that can be.",
        ) from None
    finally:
        scratch.remove(folder)
    return written(place, table, columns, said, count)


def _rows(delivered: IO[bytes], name: str, work: Workplace) -> tuple[duckdb.DuckDBPyRelation, str]:
    """The file's rows, and how the declaration says its format."""

    def blocks() -> Iterator[bytes]:
        found, _ = packing.unpacked(delivered, f"File {name}")
        return found

    start = next(blocks(), b"")[:_START]
    if start.startswith(_PARQUET):
        return Parquet().rows(blocks(), work, f"File {name}", proven=True).rows, "ma.Parquet()"
    if start.startswith(_WORKBOOK):
        return Excel().rows(blocks(), work, f"File {name}", proven=True).rows, "ma.Excel()"
    if start.removeprefix(_MARK).lstrip().startswith(b"{"):
        return JsonLines().rows(blocks(), work, f"File {name}", proven=True).rows, "ma.JsonLines()"
    encodings: Sequence[Encoding] = ("utf-16",) if start.startswith(_UTF16) else _ENCODINGS
    refused: SourceError | None = None
    for encoding in encodings:
        delimiter = _delimiter(start, encoding)
        try:
            found = Delimited(delimiter=delimiter, encoding=encoding).rows(blocks(), work, f"File {name}", proven=True)
        except SourceError as error:
            refused = refused or error
            continue
        with found.read():
            found.rows.aggregate("count(COLUMNS(*))").fetchall()
        if any(_VALUE.fullmatch(each) for each in found.rows.columns):
            raise SourceError(
                source=f"File {name}",
                culprit="its first line holds numbers, dates or addresses: it is no header.",
                remedy="Put a line with the names of the columns before it.",
            )
        said = {"delimiter": (delimiter, ","), "encoding": (encoding, "utf-8")}
        given = ", ".join(f"{option}={value!r}" for option, (value, usual) in said.items() if value != usual)
        return found.rows, f"ma.Delimited({given})".replace("'", '"')
    raise refused if refused is not None else SourceError(source=name, culprit="it is no text.", remedy="Look at it.")


def _delimiter(start: bytes, encoding: Encoding) -> str:
    line = start.decode(encoding, errors="replace").partition("\n")[0]

    def fields(delimiter: str) -> int:
        try:
            return len(next(csv.reader([line], delimiter=delimiter), []))
        except csv.Error:
            return 0

    return max(_DELIMITERS, key=fields)


def _columns(rows: duckdb.DuckDBPyRelation, *, typed: bool) -> tuple[list[DraftColumn], int]:
    types = dict(zip(rows.columns, rows.types, strict=True))
    names = _names(rows.columns)
    [(count,)] = rows.aggregate("count(*)").fetchall()
    return [
        _column(rows, theirs, names[theirs], str(types[theirs]), count, typed=typed) for theirs in rows.columns
    ], count


def _column(
    rows: duckdb.DuckDBPyRelation, theirs: str, ours: str, stored: str, count: int, *, typed: bool
) -> DraftColumn:
    text = f"CAST({quote(theirs)} AS VARCHAR)"
    filled = f"{text} <> ''"
    asked = [
        f"count(*) FILTER (WHERE {filled})",
        f"count(DISTINCT {text})",
        f"count(*) FILTER (WHERE regexp_full_match({text}, {literal(_NUMBERED.pattern)}))",
        f"count(*) FILTER (WHERE regexp_full_match({text}, {literal(_EMAIL)}))",
    ]
    tried = _KINDS if stored == "VARCHAR" else ()
    for kind, form in tried:
        sql_type = DuckDBType.to_string(kind)
        value = text_rules.parsed(theirs, kind, sql_type=sql_type, form=form, non_finite=False, typed=typed)
        asked.append(f"count(*) FILTER (WHERE {filled} AND ({value}) IS NULL)")
    [(there, distinct, numbered, mails, *misfits)] = rows.aggregate(", ".join(asked)).fetchall()
    kind, form = (DuckDBType.from_string(stored), None) if stored != "VARCHAR" else (dt.string, None)
    # Leading zeros are an identifier's, which a number would lose.
    fitting = (
        [each for each, misfit in zip(tried, misfits, strict=True) if misfit == 0] if there and not numbered else []
    )
    if fitting:
        kind, form = fitting[0]
    if kind.is_nested():
        raise SourceError(
            source=f"Column {theirs}",
            culprit="it holds lists or records, which no draft can declare.",
            remedy="Ask for a file with one value in each field.",
        )
    return DraftColumn(
        ours=ours,
        theirs=theirs,
        kind=_written_kind(kind),
        form=form,
        others=[other for other_kind, other in fitting[1:] if other and other_kind == kind],
        nullable=there < count,
        unique=distinct == count > 0 and there == count,
        personal=bool(_PERSONAL.search(ours)) or mails > there / 2,
    )


def _written_kind(kind: dt.DataType) -> str:
    if isinstance(kind, dt.Timestamp):
        return f'dt.Timestamp(timezone="{kind.timezone}")' if kind.timezone else "dt.Timestamp"
    if isinstance(kind, dt.Decimal):
        return f"dt.Decimal({kind.precision}, {kind.scale})"
    return f"dt.{type(kind).__name__}"


def _names(columns: Sequence[str]) -> dict[str, str]:
    """For each column a name that Python and the lake can use."""
    found: dict[str, str] = {}
    for number, theirs in enumerate(columns, 1):
        split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", theirs)
        ours = re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_")
        if not ours or not ours[0].isalpha() or keyword.iskeyword(ours):
            ours = f"column_{ours or number}"
        found[theirs] = ours if ours not in found.values() else f"{ours}_{number}"
    return found
