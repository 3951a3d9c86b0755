"""Formats of files: delimited text, fixed widths, Parquet; each gives the rows that the file holds, all or none.

Put here how a format is declared and read. Keep out where files come from (``files``) and what their columns become
(``layout``). No message holds text from a line.
"""

from __future__ import annotations

import csv
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

import dagster as dg
import duckdb
from pydantic import Field

from mlops_assets.platform.errors import SourceError
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.plumbing.sources.delivered import Delivered
from mlops_assets.plumbing.sources.plain_text import Encoding, PlainText, as_utf8
from mlops_assets.plumbing.sources.variants import one_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.plumbing.sources.delivered import Workplace

_MOST_HEADER_BYTES: Final = 2**20
_LINE: Final = re.compile(r"CSV Error on Line: (\d+)")
_FIELDS: Final = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_UNCLOSED: Final = "unterminated quote"
_NO_DELIMITER: Final = "\x1f"


_Span = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class FileFormat(dg.Model, dg.Resolvable, ABC):
    """What the rows of a file look like."""

    @abstractmethod
    def rows(self, blocks: Iterator[bytes], at: Workplace, source: str, *, proven: bool) -> Delivered:
        """The rows of a file.

        Args:
            blocks: its plain content.
            at: where to work.
            source: how messages name the file.
            proven: whether size or checksum have shown that it is whole; if not, its last line must have an end.

        Raises:
            SourceError: the content is not of this format, or not whole.
        """


class Delimited(FileFormat):
    r"""Text with a delimiter between fields, and a header line (RFC 4180 with ``,``).

    An unquoted empty field is NULL, a quoted one an empty text.

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

    def rows(self, blocks: Iterator[bytes], at: Workplace, source: str, *, proven: bool) -> Delivered:
        """The rows, all columns text."""
        text = _text(blocks, at, source, encoding=self.encoding, proven=proven)
        names = self.names or _header(text.file, source, delimiter=self.delimiter, quote_character=self.quote)
        return Delivered(
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
                counts = [duckdb.FunctionExpression("count", duckdb.ColumnExpression(name)) for name in names]
                self._parsed(connection, file, names).aggregate(counts).fetchall()
            except duckdb.InvalidInputException as error:
                message = str(error)
            else:
                return "a line does not parse, but reading on one thread does not show which."
        line, fields = _LINE.search(message), _FIELDS.search(message)
        if fields:
            reason = f"has {fields[2]} fields where {fields[1]} are expected"
        elif _UNCLOSED in message:
            reason = "has a quotation mark that is not closed or not doubled"
        else:
            reason = "does not parse"
        return f"line {line[1] if line else 'unknown'} {reason}."


class FixedWidth(FileFormat):
    """Text whose columns stand at fixed places of each line, without a header line; spaces around a value are no part.

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

    def rows(self, blocks: Iterator[bytes], at: Workplace, source: str, *, proven: bool) -> Delivered:
        """The rows, all columns text; an empty place is NULL."""
        text = _text(blocks, at, source, encoding=self.encoding, proven=proven)
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
        least = max(start for start, _ in self.fields.values()) - 1
        [(short, first)] = lines.query(
            "lines",
            f"SELECT count(*), min(n) FROM (SELECT row_number() OVER () AS n, line FROM lines) "
            f"WHERE coalesce(length(line), 0) < {least}",
        ).fetchall()
        if short:
            raise SourceError(
                source=source,
                culprit=f"{short:,} of its lines are shorter than {least} characters; the first is line {first:,}.",
                remedy="Compare with the places of the declaration's fields; a cut file ends in such a line.",
            )
        chosen = ", ".join(
            f"nullif(trim(substr(line, {start}, {width})), '') AS {quote(name)}"
            for name, (start, width) in self.fields.items()
        )
        return Delivered(source=source, rows=lines.query("lines", f"SELECT {chosen} FROM lines"))


class Parquet(FileFormat):
    """A Parquet file; its columns keep their types.

    Example:
        >>> import mlops_assets as ma
        >>> format = ma.Parquet()
    """

    type: Literal["parquet"] = "parquet"

    def rows(self, blocks: Iterator[bytes], at: Workplace, source: str, *, proven: bool) -> Delivered:  # noqa: ARG002  its footer proves it
        """The rows."""
        file = at.scratch / "delivered.parquet"
        with file.open("wb") as written:
            for block in blocks:
                written.write(block)
        try:
            rows = at.connection.sql(f"FROM read_parquet({literal(str(file))}, hive_partitioning = false)")
            rows.aggregate("count(*)").fetchall()
        except duckdb.Error as error:
            raise SourceError(
                source=source,
                culprit=f"it is no whole Parquet file ({type(error).__name__}).",
                remedy="Deliver it again, whole.",
            ) from None
        return Delivered(source=source, rows=rows)


Format = Annotated[Delimited | FixedWidth | Parquet, one_of(Delimited, FixedWidth, Parquet)]
"""Any of them; in YAML ``type`` says which."""


def _text(blocks: Iterator[bytes], at: Workplace, source: str, *, encoding: Encoding, proven: bool) -> PlainText:
    text = as_utf8(blocks, at.scratch / "delivered.txt", source, encoding)
    if not text.ended and not proven:
        raise SourceError(
            source=source,
            culprit="its last line has no end, so it may have been cut off.",
            remedy="Deliver it whole, packed, or with a manifest or a checksum that proves it.",
        )
    return text


def _header(file: Path, source: str, *, delimiter: str, quote_character: str) -> list[str]:
    """The fields of the first line.

    Raises:
        SourceError: there is none, or it names a column twice.
    """
    with file.open("rb") as opened:
        line = opened.readline(_MOST_HEADER_BYTES).decode("utf-8", errors="replace").rstrip("\n")
    if not line:
        raise SourceError(
            source=source, culprit="it is empty.", remedy="Deliver it with its header line, even where it has no rows."
        )
    if quote_character:
        names = next(csv.reader([line], delimiter=delimiter, quotechar=quote_character))
    else:
        names = line.split(delimiter)
    folded = [name.casefold() for name in names]
    if "" in names or len(set(folded)) < len(folded):
        # None of it is shown: the line may be no header but a person's data.
        raise SourceError(
            source=source,
            culprit="its first line names a column twice, or not at all: it may be no header.",
            remedy="Ask for the file with a header that names each column once, or give names in the declaration's "
            "format.",
        )
    return names
