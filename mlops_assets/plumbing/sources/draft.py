"""Drafts: a contract and a source as a delivered file suggests them, for somebody to read and correct.

Put here what can be guessed from a file. Keep out the rule by which text is parsed (``text_rules``), which decides what
fits. Nothing from the file's rows is in a draft: they may be personal data.
"""

from __future__ import annotations

import csv
import json
import keyword
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb
import ibis.expr.datatypes as dt
from ibis.backends.sql.datatypes import DuckDBType

from mlops_assets.platform import scratch
from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.plumbing.sources import packing, text_rules
from mlops_assets.plumbing.sources.delivered import Workplace
from mlops_assets.plumbing.sources.formats import Delimited, Parquet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import IO

    from mlops_assets.plumbing.sources.plain_text import Encoding

_DELIMITERS: Final = ",;\t|"
_ENCODINGS: Final[tuple[Encoding, ...]] = ("utf-8", "cp1252", "latin-1")
_PARQUET: Final = b"PAR1"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_START: Final = 2**16

_NUMBERED: Final = re.compile(r"[-+]?0[0-9]+")
_EMAIL: Final = r"[^@\s]+@[^@\s]+\.[^@\s]+"
_PERSONAL: Final = re.compile(
    r"(^|_)(names?|first|last|middle|surname|mail|e_?mail|phone|mobile|fax|address|street|house|birth|dob|ssn|passport|"
    r"iban|ip|latitude|longitude)(_|$)"
)
_TIMES: Final = (
    (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "day", "Daily", "%Y-%m-%d"),
    (r"[0-9]{4}-[0-9]{2}", "month", "Monthly", "%Y-%m"),
)
_KINDS: Final[tuple[tuple[dt.DataType, str | None], ...]] = (
    (dt.int64, None),
    (dt.float64, None),
    (dt.boolean, None),
    *((dt.boolean, words) for words in ("yes/no", "y/n", "t/f")),
    (dt.date, None),
    (dt.Timestamp(timezone="UTC"), None),
    (dt.timestamp, None),
    *((dt.date, form) for form in ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y%m%d")),
)
"""What a column is tried for, in this order, each with how it would be written."""


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column of the file.

    Attributes:
        ours: its name in the contract.
        theirs: its name in the file.
        kind: as the contract would write it.
        form: how its text is written, where a declaration must say so.
        nullable: whether some rows have none.
        unique: whether no two rows have the same.
        personal: whether name or values look like a person's.
    """

    ours: str
    theirs: str
    kind: str
    form: str | None
    nullable: bool
    unique: bool
    personal: bool


def draft(file: Path, *, table: str) -> str:
    """Python that declares a table and its source as the file suggests.

    Args:
        file: delimited text with a header line or Parquet, packed or not.
        table: name of the table.

    Raises:
        SourceError: the file is not readable as either.
        SourceUnavailableError: it is not there, or may not be read.
    """
    place = scratch.make()
    try:
        with file.open("rb") as delivered, duckdb.connect() as connection:
            rows, said = _rows(delivered, file.name, Workplace(connection=connection, scratch=place))
            columns, count = _columns(rows)
    except OSError as error:
        raise SourceUnavailableError(
            source=f"File {file}", culprit=f"it cannot be read ({error.strerror}).", remedy="Name a file that can be."
        ) from None
    finally:
        scratch.remove(place)
    return _written(file, table, columns, said, count)


def _rows(delivered: IO[bytes], name: str, work: Workplace) -> tuple[duckdb.DuckDBPyRelation, str]:
    """The file's rows, and how the declaration says its format."""

    def blocks() -> Iterator[bytes]:
        found, _ = packing.unpacked(delivered, f"File {name}")
        return found

    start = next(blocks(), b"")[:_START]
    if start.startswith(_PARQUET):
        return Parquet().rows(blocks(), work, f"File {name}", proven=True).rows, "ma.Parquet()"
    encodings: Sequence[Encoding] = ("utf-16",) if start.startswith(_UTF16) else _ENCODINGS
    refused: SourceError | None = None
    for encoding in encodings:
        delimiter = _delimiter(start, encoding)
        try:
            found = Delimited(delimiter=delimiter, encoding=encoding).rows(blocks(), work, f"File {name}", proven=True)
        except SourceError as error:
            refused = refused or error
            continue
        try:
            found.rows.aggregate("count(COLUMNS(*))").fetchall()
        except duckdb.InvalidInputException:
            raise (found.unreadable() if found.unreadable is not None else SourceError) from None
        said = {"delimiter": (delimiter, ","), "encoding": (encoding, "utf-8")}
        given = ", ".join(f"{option}={value!r}" for option, (value, usual) in said.items() if value != usual)
        return found.rows, f"ma.Delimited({given})".replace("'", '"')
    raise refused if refused is not None else SourceError(source=name, culprit="it is no text.", remedy="Look at it.")


def _delimiter(start: bytes, encoding: Encoding) -> str:
    line = start.decode(encoding, errors="replace").partition("\n")[0]
    return max(_DELIMITERS, key=lambda each: len(next(csv.reader([line], delimiter=each), [])))


def _columns(rows: duckdb.DuckDBPyRelation) -> tuple[list[_Column], int]:
    types = dict(zip(rows.columns, rows.types, strict=True))
    names = _names(rows.columns)
    [(count,)] = rows.aggregate("count(*)").fetchall()
    return [_column(rows, theirs, names[theirs], str(types[theirs]), count) for theirs in rows.columns], count


def _column(rows: duckdb.DuckDBPyRelation, theirs: str, ours: str, stored: str, count: int) -> _Column:
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
        value = text_rules.parsed(theirs, kind, sql_type=sql_type, form=form, non_finite=False)
        asked.append(f"count(*) FILTER (WHERE {filled} AND ({value}) IS NULL)")
    [(there, distinct, numbered, mails, *misfits)] = rows.aggregate(", ".join(asked)).fetchall()
    kind, form = (DuckDBType.from_string(stored), None) if stored != "VARCHAR" else (dt.string, None)
    # Leading zeros are an identifier's, which a number would lose.
    fitting = (
        [each for each, misfit in zip(tried, misfits, strict=True) if misfit == 0] if there and not numbered else []
    )
    if fitting:
        kind, form = fitting[0]
    return _Column(
        ours=ours,
        theirs=theirs,
        kind=_written_kind(kind),
        form=form,
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


def _written(file: Path, table: str, columns: Sequence[_Column], said: str, count: int) -> str:
    model, constant = table.title().replace("_", ""), table.upper()
    name, dimension = file.name, None
    for pattern, column, period, form in _TIMES:
        if found := re.search(pattern, file.name):
            name = f"{file.name[: found.start()]}{{{column}}}{file.name[found.end() :]}"
            dimension = (column, period, form, found[0])
            break
    personal = any(column.personal for column in columns)
    fields = [_field(column) for column in columns]
    if dimension and dimension[0] not in {column.ours for column in columns}:
        fields.insert(0, f"    {dimension[0]}: dt.String")
    unique = [column.ours for column in columns if column.unique and not column.personal][:1]
    key = ", ".join(f'"{each}"' for each in [*([dimension[0]] if dimension else []), *unique])
    key = key if "," in key else f"{key},"
    config = (
        f"\n    class Config:\n        unique = ({key})\n"
        if unique
        else "\n    # No column alone tells the rows apart: which ones do? class Config: unique = (...)\n"
    )
    partitions = (
        f'    partitions_def=dg.{dimension[1]}PartitionsDefinition("{dimension[3]}", fmt="{dimension[2]}"),\n'
        f'    partition_columns={{"{dimension[0]}": "{dimension[0]}"}},\n'
        if dimension
        else ""
    )
    options: Mapping[str, str] = {
        "columns": _mapping({each.ours: each.theirs for each in columns if each.ours != each.theirs}),
        "formats": _mapping({each.ours: each.form for each in columns if each.form}),
        "format": "" if said == "ma.Delimited()" else said,
    }
    given = "".join(f"    {option}={value},\n" for option, value in options.items() if value)
    lake = 'ma.Lake("restricted", personal=True)' if personal else 'ma.Lake("curated")'
    return f"""\
# A draft from {file.name} ({count:,} rows): read it, and correct what a file cannot say.
{"import dagster as dg" + chr(10) if dimension else ""}import ibis.expr.datatypes as dt
import pandera.ibis as pa

import mlops_assets as ma


class {model}(pa.DataFrameModel):
{chr(10).join(fields)}
{config}

{constant} = ma.Contract(
    layer="raw",
    table="{table}",
    model={model},
    lake={lake},
    description="...",
    owners=["team:plumbing"],
{partitions})

{table} = ma.FileSource(
    contract={constant},
    path={json.dumps(str(file.parent))},
    file={json.dumps(name)},
{given}    whole=ma.Quiet(seconds=60),
)
"""


def _field(column: _Column) -> str:
    options = ["nullable=True"] if column.nullable else []
    if column.personal:
        options.append('metadata={"personal": True}')
    return f"    {column.ours}: {column.kind}" + (f" = pa.Field({', '.join(options)})" if options else "")


def _mapping(entries: Mapping[str, str | None]) -> str:
    return json.dumps(entries, ensure_ascii=False) if entries else ""
