"""Formats of files: delimited text, fixed widths, Parquet and others; each gives all rows of the file, or none.

Put here how a format is declared and read. Keep out where files come from (``files``) and what their columns become
(``layout``). No message holds text from a line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.plumbing.sources import room
from mlops_assets.plumbing.sources.delivered import Delivered
from mlops_assets.plumbing.sources.formats import header
from mlops_assets.plumbing.sources.formats.base import FileFormat
from mlops_assets.plumbing.sources.formats.excel import Excel
from mlops_assets.plumbing.sources.formats.json_lines import JsonLines
from mlops_assets.plumbing.sources.formats.plain_text import Encoding, PlainText, as_utf8
from mlops_assets.plumbing.sources.variants import one_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.plumbing.sources.delivered import Workplace

_LINE: Final = re.compile(r"CSV Error on Line: (\d+)")
_FIELDS: Final = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_UNCLOSED: Final = "unterminated quote"
_TOO_LONG: Final = "Maximum line size"
_NO_DELIMITER: Final = "\x1f"
_MOST_DIGITS: Final = 38


_Place = Annotated[int, Field(ge=1, le=2**20)]
_Span = tuple[_Place, _Place]


class Delimited(FileFormat):
    r"""Text with a delimiter between fields, and a header line (RFC 4180 with ``,``).

    An unquoted empty field is NULL, a quoted one an empty text. A line end within quotes is LF; spaces between a
    quotation mark and a delimiter, and empty fields behind the last column, are left out.

    Attributes:
        delimiter: one character; ``"\t"`` for tabs.
        quote: the character around fields that hold a delimiter; empty if there is none.
        encoding: ``utf-8``, ``latin-1``, ``cp1252`` or ``utf-16``.
        names: the columns in their order, where there is no header line.

    Example:
        >>> import mlops_assets as ma
        >>> format = ma.Delimited(delimiter=";", encoding="cp1252")
    """

    type: Literal["delimited"] = "delimited"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    quote: Annotated[str, Field(max_length=1)] = '"'
    encoding: Encoding = "utf-8"
    names: Sequence[str] | None = None

    @model_validator(mode="after")
    def _require_what_can_be_read(self) -> Self:
        if self.names is not None:
            header.require_names(self.names)
        if self.delimiter == self.quote or {self.delimiter, self.quote} & {"\n", "\r", "\0"}:
            raise ContractError(
                source="Format delimited",
                culprit="its delimiter and its quote are the same, or the end of a line.",
                remedy='Give two other characters; quote: "" where fields are not quoted.',
            )
        return self

    def rows(
        self, blocks: Iterator[bytes], at: Workplace, source: str, *, proven: bool, file: Path | None = None
    ) -> Delivered:
        """The rows, all columns text."""
        text = _text(blocks, at, source, encoding=self.encoding, proven=proven, file=file)
        names = self.names or header.read(text.file, source, delimiter=self.delimiter, quote_character=self.quote)
        return Delivered(
            typed=False,
            source=source,
            rows=self._parsed(at.connection, text.file, names),
            unreadable=lambda: self._unreadable(text.file, names, source),
        )

    def _parsed(
        self, connection: duckdb.DuckDBPyConnection, file: Path, names: Sequence[str]
    ) -> duckdb.DuckDBPyRelation:
        # parallel=False, which reading from a pipe implies, silently drops a last line whose quotation mark is open.
        return connection.read_csv(
            str(file),
            columns=dict.fromkeys(names, "VARCHAR"),
            delimiter=self.delimiter,
            quotechar=self.quote,
            escapechar=self.quote,
            header=self.names is None,
            auto_detect=False,
            allow_quoted_nulls=False,
            strict_mode=True,
            parallel=True,
        )

    def _unreadable(self, file: Path, names: Sequence[str], source: str) -> SourceError:
        # DuckDB's own message quotes the line, and its line number is wrong where it reads in parallel.
        return SourceError(
            source=source,
            culprit=self._first_bad_line(file, names),
            remedy="Look at that line in the source; have the file delivered again.",
        )

    def _first_bad_line(self, file: Path, names: Sequence[str]) -> str:
        """Read again on one thread, which finds the first bad line and its true number."""
        with duckdb.connect() as connection:
            connection.execute("SET threads = 1")
            try:
                # Counting every column makes DuckDB decode every field; with count(*) it skips them.
                counts = ", ".join(f"count({quote(name)})" for name in names)
                self._parsed(connection, file, names).query("lines", f"SELECT {counts} FROM lines").fetchall()
            except duckdb.InvalidInputException as error:
                message = str(error)
            else:
                return "a line does not parse, but reading on one thread does not show which."
        line, fields = _LINE.search(message), _FIELDS.search(message)
        if fields:
            reason = f"has {fields[2]} fields where {fields[1]} are expected"
        elif _TOO_LONG in message:
            reason = "is longer than 2 MB, as with a quotation mark that is not closed"
        elif _UNCLOSED in message:
            reason = "has a quotation mark that is not closed or not doubled"
        else:
            reason = "does not parse"
        return f"line {line[1] if line else 'unknown'} {reason}."


class FixedWidth(FileFormat):
    """Text whose columns stand at fixed places of each line, without a header line; spaces around a value are no part.

    An empty line is refused, and so is text behind the last field. What stands between fields is left out.

    Attributes:
        fields: for each column its first place, counted from 1, and its width.
        encoding: as of `Delimited`; places count characters.

    Example:
        >>> import mlops_assets as ma
        >>> format = ma.FixedWidth(fields={"order_id": (1, 8), "amount": (10, 12)})
    """

    type: Literal["fixed_width"] = "fixed_width"
    fields: Annotated[Mapping[str, _Span], dg.Resolver.default(model_field_type=dict[str, list[int]])]
    encoding: Encoding = "utf-8"

    @model_validator(mode="after")
    def _require_names(self) -> Self:
        header.require_names(list(self.fields))
        return self

    def rows(
        self, blocks: Iterator[bytes], at: Workplace, source: str, *, proven: bool, file: Path | None = None
    ) -> Delivered:
        """The rows, all columns text; an empty place is NULL."""
        text = _text(blocks, at, source, encoding=self.encoding, proven=proven, file=file)
        lines = at.connection.read_csv(
            str(text.file),
            columns={"line": "VARCHAR"},
            delimiter=_NO_DELIMITER,
            quotechar="",
            escapechar="",
            header=False,
            auto_detect=False,
        )
        # Spaces at the end of a line may be left out, and with them the last field.
        least = max(1, max(start for start, _ in self.fields.values()) - 1)
        most = max(start + width for start, width in self.fields.values()) - 1
        is_short, is_long = f"coalesce(length(line), 0) < {least}", f"length(rtrim(line, ' ')) > {most}"
        try:
            [(short, first, long, first_long)] = lines.query(
                "lines",
                f"SELECT count(*) FILTER (WHERE {is_short}), min(n) FILTER (WHERE {is_short}), "
                f"count(*) FILTER (WHERE {is_long}), min(n) FILTER (WHERE {is_long}) "
                "FROM (SELECT row_number() OVER () AS n, line FROM lines)",
            ).fetchall()
        except duckdb.Error as error:
            if room.is_ours(error):
                raise
            # DuckDB's own message quotes the line.
            raise SourceError(
                source=source,
                culprit="it holds a line longer than 2 MB."
                if _TOO_LONG in str(error)
                else "it holds a line with an end of CR alone, or the character 0x1f.",
                remedy="Look at it in the source; have the file delivered again as plain lines.",
            ) from None
        if long:
            raise SourceError(
                source=source,
                culprit=f"{long:,} of its lines hold text behind character {most}; the first is line {first_long:,}.",
                remedy="Compare with the places of the declaration's fields; add a field for what stands there.",
            )
        if short:
            raise SourceError(
                source=source,
                culprit=f"{short:,} of its lines are shorter than {least} characters; the first is line {first:,}.",
                remedy="Compare with the places of the declaration's fields; a cut file ends in such a line.",
            )
        chosen = ", ".join(
            f"nullif(trim(substr(line, {start}, {width}), ' '), '') AS {quote(name)}"
            for name, (start, width) in self.fields.items()
        )
        return Delivered(source=source, rows=lines.query("lines", f"SELECT {chosen} FROM lines"), typed=False)


class Parquet(FileFormat):
    """A Parquet file; its columns keep their types.

    Example:
        >>> import mlops_assets as ma
        >>> format = ma.Parquet()
    """

    type: Literal["parquet"] = "parquet"

    def rows(
        self,
        blocks: Iterator[bytes],
        at: Workplace,
        source: str,
        *,
        proven: bool,  # noqa: ARG002  its footer proves it
        file: Path | None = None,
    ) -> Delivered:
        """The rows."""
        if file is None:
            file = at.scratch / "delivered.parquet"
            with file.open("wb") as written:
                written.writelines(blocks)
        try:
            rows = at.connection.sql(f"FROM read_parquet({literal(str(file))}, hive_partitioning = false)")
            rows.aggregate("count(*)").fetchall()
            wide = [field.name for field in pq.read_schema(file) if _has_wide_decimals(field.type)]
        except (duckdb.Error, pa.ArrowException, OSError, UnicodeDecodeError) as error:
            if room.is_ours(error):
                raise
            raise SourceError(
                source=source,
                culprit=f"it is no whole Parquet file ({type(error).__name__}).",
                remedy="Deliver it again, whole.",
            ) from None
        if wide:
            # DuckDB reads them as other numbers.
            raise SourceError(
                source=source,
                culprit=f"its column {wide[0]} has decimals of more than {_MOST_DIGITS} digits.",
                remedy=f"Ask for it with at most {_MOST_DIGITS}, or as text.",
            )
        return Delivered(
            source=source,
            rows=rows,
            unreadable=lambda: SourceError(
                source=source,
                culprit="its Parquet pages are damaged, or hold text that is not UTF-8.",
                remedy="Deliver it again, whole.",
            ),
        )


def _has_wide_decimals(kind: pa.DataType) -> bool:
    if pa.types.is_decimal(kind):
        return bool(kind.precision > _MOST_DIGITS)
    return any(_has_wide_decimals(kind.field(at).type) for at in range(kind.num_fields))


Format = Annotated[
    Delimited | Excel | FixedWidth | JsonLines | Parquet, one_of(Delimited, Excel, FixedWidth, JsonLines, Parquet)
]
"""Any of them; in YAML ``type`` says which."""


def _text(
    blocks: Iterator[bytes], at: Workplace, source: str, *, encoding: Encoding, proven: bool, file: Path | None
) -> PlainText:
    text = as_utf8(blocks, at.scratch / "delivered.txt", source, encoding, file=file)
    if not text.ended and not proven:
        raise SourceError(
            source=source,
            culprit="its last line has no end, so it may have been cut off.",
            remedy="Deliver it with a line end, as a zip archive, or with a manifest or a checksum that proves it.",
        )
    return text
