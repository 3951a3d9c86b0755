"""Summaries of files: anyone's delimited text or Parquet, several of them by one rule.

Put here what the columns of files are taken for, and how files become batches. Keep out what is done with them.

Text says nothing of types, so that all files together decide: a column is one of numbers, days or moments where nearly
all of its values are in every file, and what is none is counted; else it is compared as texts in all of them.
Identifiers (a leading nought, or more digits than a number keeps) are texts. A text of Parquet is one.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import duckdb
import pyarrow as pa
from pyarrow import parquet

from mlops_assets.variance.drift.summaries import Summary, summarise
from mlops_assets.variance.files.delimited import quoted
from mlops_assets.variance.files.numbers import MISSING, plain
from mlops_assets.variance.files.opening import AS_DELIVERED, NUMBERS, Opened, Reading, opened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Form = Literal["number", "day", "moment", "text", "own"]
"""What a column is taken for; ``own`` is a type of Parquet that is neither."""

_BATCH_ROWS: Final = 1 << 17
_NEARLY_ALL: Final = 0.99
_LOOKED_AT: Final = 1000
"""Rows that tell which columns may be of numbers or times at all; whether they are, all rows tell."""

_LIKELY: Final = 0.8
_ABSENT: Final = ", ".join(f"'{word}'" for word in sorted(MISSING))
_MOST_DIGITS: Final = 15
_MOMENTS: Final = frozenset({"timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone"})
_TEXTS: Final = frozenset({"varchar", "enum", "boolean"})


@dataclass(frozen=True, kw_only=True)
class FileSummary:
    """A file's summary, and what it leaves out.

    Attributes:
        summary: of its columns.
        left_out: values of a column that are no number or time where nearly all others are; they count as missing.
    """

    summary: Summary
    left_out: Mapping[str, int]


def summarise_files(
    paths: Sequence[Path], columns: Sequence[str] | None = None, *, sampled: int = 0, reading: Reading = AS_DELIVERED
) -> list[FileSummary]:
    """Summarise files that are to be compared, each in one scan, after one of text for its types; see `summarise`.

    Args:
        paths: delimited text or Parquet files.
        columns: names of columns that all have; all of each when not given.
        sampled: rows to keep of each for comparing all columns together.
        reading: what the files do not say themselves.

    Raises:
        ComparisonError: a file does not exist, cannot be read, is empty, or a column is missing or of no use.
    """
    with duckdb.connect() as connection, ExitStack() as stack:
        sides = [stack.enter_context(opened(connection, path, reading)) for path in paths]
        wanted = [list(columns) if columns is not None else side.relation.columns for side in sides]
        told = [_told(side, names) for side, names in zip(sides, wanted, strict=True)]
        forms = {name: _together([own[name].form for own in told if name in own]) for own in told for name in own}
        found = []
        for place, (side, path, names, own) in enumerate(zip(sides, paths, wanted, told, strict=True)):
            with side.guarded():
                summary = summarise(_reader(side, path, names, forms), names, sampled=sampled, seed=place)
            left_out = {name: own[name].odd for name in names if own[name].odd and forms[name] != "text"}
            found.append(FileSummary(summary=summary, left_out=left_out))
        return found


def plain_tables(
    paths: Sequence[Path], columns: Sequence[str] | None, *, entity: str, reading: Reading = AS_DELIVERED
) -> list[pa.Table]:
    """Files of the same entities as tables with the same columns, each in the one form that it has in all of them.

    Args:
        paths: delimited text or Parquet files.
        columns: names of columns that all have; those that are in all when not given.
        entity: the column that identifies an entity, which stays text as delivered.
        reading: what the files do not say themselves.

    Raises:
        ComparisonError: a file does not exist, cannot be read, is empty, or lacks a column.
    """
    with duckdb.connect() as connection, ExitStack() as stack:
        sides = [stack.enter_context(opened(connection, path, reading)) for path in paths]
        for side in sides:
            side.require([entity, *(columns or ())])
        shared = [name for name in sides[0].relation.columns if all(name in side.relation.columns for side in sides)]
        names = list(dict.fromkeys([entity, *(shared if columns is None else columns)]))
        told = [_told(side, names) for side in sides]
        forms = {name: _together([own[name].form for own in told]) for name in names} | {entity: "text"}
        tables = []
        for side, path in zip(sides, paths, strict=True):
            with side.guarded():
                tables.append(_reader(side, path, names, forms).read_all().select(names))
        return tables


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What a file says of a column: its form, ``None`` if it has no value, and how many values are not of it."""

    form: Form | None
    odd: int = 0


def _together(told: Sequence[Form | None]) -> Form:
    """The form of a column in all files."""
    forms = {form for form in told if form is not None}
    if len(forms) == 1:
        return forms.pop()
    return "moment" if forms == {"day", "moment"} else "text"


def _told(side: Opened, names: Sequence[str]) -> dict[str, _Told]:
    """What a file says of each column."""
    side.require(names)
    if side.parsed is None:
        return {name: _Told(form=_typed(side.kind(name))) for name in names}
    found = {name: _Told(form="text") for name in names}
    likely = _likely(side, names)
    asked = [f"count({quoted(name)}), count({_values(name, form)})" for name, form in likely.items()]
    asked += [f"count(*) FILTER ({_is_identifier(name)})" for name, form in likely.items() if form == "number"]
    counts = iter(_aggregated(side, asked))
    counted = {name: (form, next(counts), next(counts)) for name, form in likely.items()}
    identifiers = {name: next(counts) for name, form in likely.items() if form == "number"}
    others = [name for name, (_, filled, good) in counted.items() if good < filled]
    words = [f"count({quoted(name)}) FILTER (coalesce(lower({side.text(name)}), '') IN ({_ABSENT}))" for name in others]
    absent = dict(zip(others, _aggregated(side, words), strict=True))
    for name, (form, filled, good) in counted.items():
        odd = filled - good - absent.get(name, 0)
        if not good and not odd:
            found[name] = _Told(form=None)
        elif odd <= (1 - _NEARLY_ALL) * (good + odd) and not identifiers.get(name):
            found[name] = _Told(form=form, odd=odd)
    return found


def _aggregated(side: Opened, asked: Sequence[str]) -> tuple[int, ...]:
    with side.guarded():
        return side.relation.aggregate(", ".join(asked)).fetchone() or () if asked else ()


def _typed(kind: str) -> Form:
    """The form of a type of Parquet."""
    if kind in _MOMENTS:
        return "moment"
    if kind in _TEXTS:
        return "text"
    return "number" if kind in NUMBERS else "day" if kind == "date" else "own"


def _likely(side: Opened, names: Sequence[str]) -> dict[str, Form]:
    """The columns that begin with numbers or times; all others are texts."""
    forms: tuple[Form, ...] = ("number", "day", "moment")
    asked = [
        f"count(*) FILTER (lower({side.text(name)}) NOT IN ({_ABSENT})), "
        + ", ".join(f"count({_values(name, form)})" for form in forms)
        for name in names
    ]
    counts = iter(_aggregated(replace(side, relation=side.relation.limit(_LOOKED_AT)), asked))
    found: dict[str, Form] = {}
    for name, filled, *good in zip(names, counts, counts, counts, counts, strict=False):
        count, form = max(zip(good, forms, strict=True), key=lambda each: each[0])
        if count >= _LIKELY * filled:
            found[name] = form
    return found


def _values(name: str, form: Form) -> str:
    """SQL of the values that a text is in a form, NULL where it is of another."""
    text = quoted(name)
    day = f"CASE WHEN length({text}) = 10 AND {text}[5] = '-' THEN TRY_CAST({text} AS DATE) END"
    moment = f"CASE WHEN length({text}) > 10 AND {text}[5] = '-' THEN TRY_CAST({text} AS TIMESTAMP) END"
    if form == "moment":
        return f"coalesce({moment}, CAST({day} AS TIMESTAMP))"
    return day if form == "day" else plain(text)


def _is_identifier(name: str) -> str:
    """SQL of whether a text of digits is none of a number: it begins with a nought, or is longer than numbers keep."""
    text = quoted(name)
    return (
        f"({text} >= '00' AND {text} < '0:') OR "
        f"(length({text}) > {_MOST_DIGITS} AND NOT contains({text}, '.') AND {plain(text)} IS NOT NULL)"
    )


def _reader(side: Opened, path: Path, names: Sequence[str], forms: Mapping[str, Form]) -> pa.RecordBatchReader:
    """Batches of the columns in their forms."""
    own = {name: _typed(side.kind(name)) for name in names}
    if side.parsed is None and all(own[name] == forms[name] for name in names):
        return _parquet(path, names)
    parts = []
    for name in names:
        if forms[name] == "text":
            value = side.text(name)
        elif side.parsed is not None:
            value = _values(name, forms[name])
        else:
            value = quoted(name) if own[name] == forms[name] else f"CAST({quoted(name)} AS TIMESTAMP)"
        parts.append(f"{value} AS {quoted(name)}")
    return side.relation.project(", ".join(parts)).to_arrow_reader(_BATCH_ROWS)


def _parquet(path: Path, names: Sequence[str]) -> pa.RecordBatchReader:
    schema = parquet.read_schema(path)
    # Texts that Parquet keeps as codes stay so, which counts them at once.
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    file = parquet.ParquetFile(path, read_dictionary=texts)
    wanted = [name for name in schema.names if name in names]
    narrowed = pa.schema([file.schema_arrow.field(name) for name in wanted])
    return pa.RecordBatchReader.from_batches(narrowed, file.iter_batches(_BATCH_ROWS, columns=wanted))
