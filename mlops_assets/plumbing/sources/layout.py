"""Layouts: from the columns that a source delivered to exactly those that the contract asks for, in their types.

Put here which delivered column becomes which of the contract's, and what happens to those that fit none. Keep out how
text is parsed (``text_rules``) and rules about values (those are the contract's).
"""

from __future__ import annotations

import difflib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow.parquet as pq
from ibis.backends.sql.datatypes import DuckDBType

from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import SourceError
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.platform.lake.files import COMPRESSION, ROW_GROUP
from mlops_assets.plumbing.sources import room, text_rules

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    import ibis.expr.datatypes as dt

    from mlops_assets.plumbing.sources.delivered import Delivered, Request

TEXT: Final = "VARCHAR"
_MOST_SHOWN: Final = 3
_LONGEST: Final = 40
_ROW: Final = "number of the row in mlops_assets"
_NO_VALUE: Final = "mlops_assets: no value of its column"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the columns of a source become those of a contract.

    Attributes:
        source: how messages name what was delivered.
        columns: for columns of the contract that the source calls otherwise, its name.
        formats: for columns of text how they are written, see ``text_rules``.
        evolve: let the source gain columns, and lose those that may be null, with a warning instead of an error.
        absent: columns of the contract that are NULL, since what was delivered never has them.
        typed: whether the source has numbers of its own beside text.
    """

    source: str
    columns: Mapping[str, str]
    formats: Mapping[str, str]
    evolve: bool
    absent: Collection[str] = ()
    typed: bool = True


@dataclass(frozen=True, kw_only=True)
class Conformed:
    """Rows in the contract's columns.

    Attributes:
        file: Parquet, with the contract's columns alone, in their types.
        changes: what the source has gained or lost, one sentence each.
    """

    file: Path
    changes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Column:
    """One of the contract's columns: SQL of its value, and of the condition under which there is none.

    Where ``due`` is given, there is none where it holds and the value is NULL.
    """

    name: str
    value: str
    bad: str | None = None
    due: str | None = None
    should_be: str = ""

    @property
    def checked(self) -> str:
        """SQL of its value, or of an error."""
        told = f"error({literal(_NO_VALUE)})"
        if self.due:
            # A value is computed once so, and the engine does not see that it could within a CASE.
            return f"coalesce({self.value}, CASE WHEN {self.due} THEN {told} END)"
        return f"CASE WHEN {self.bad} THEN {told} ELSE {self.value} END" if self.bad else self.value


def conformed(delivered: Delivered, request: Request, layout: Layout, file: Path) -> Conformed:
    """Write the delivered rows in the contract's columns.

    Args:
        delivered: whose rows are read once, and again where a value is bad.
        request: the partition asked for.
        layout: which column is which.
        file: the Parquet file to write.

    Raises:
        SourceError: a column is missing, unknown or of another kind, a value is not of its column's type, or there are
            not as many rows as were promised.
    """
    rows = delivered.rows
    types = dict(zip(rows.columns, (str(kind) for kind in rows.types), strict=True))
    changes = _judged(rows.columns, request, layout)
    columns = [_column(name, kind, types, request, layout) for name, kind in columns_of(request.contract).items()]
    # One pass: a value that is no value ends it, and then all of them are counted.
    chosen = ", ".join(f"{column.checked} AS {quote(column.name)}" for column in columns)
    are_they = [(column.name, column.checked) for column in columns] == [(name, quote(name)) for name in rows.columns]
    with delivered.read():
        try:
            if delivered.file is not None and are_they:
                shutil.copyfile(delivered.file, file)
            else:
                rows.query("delivered", f"SELECT {chosen} FROM delivered").write_parquet(
                    str(file), compression=COMPRESSION, row_group_size=ROW_GROUP
                )
        except duckdb.Error as error:
            if _NO_VALUE not in str(error) or room.is_ours(error):
                raise
            raise _bad_values(delivered, columns, request, layout) from None
    delivered.require_promised(pq.read_metadata(file).num_rows)
    return Conformed(file=file, changes=changes)


def _judged(names: Sequence[str], request: Request, layout: Layout) -> tuple[str, ...]:
    """What the source has gained or lost, where that is allowed.

    Raises:
        SourceError: it is not; the message tells missing, unexpected and perhaps renamed columns apart.
    """
    contract = request.contract
    partition = set(contract.partition_columns.values())
    wanted = {name: layout.columns.get(name, name) for name in columns_of(contract) if name not in layout.absent}
    missing = [name for name, theirs in wanted.items() if theirs not in names and name not in partition]
    unexpected = [name for at, name in enumerate(names) if name not in wanted.values() or name in names[:at]]
    nullable = {name for name, column in contract.schema.columns.items() if column.nullable}
    asked = len({*wanted} - partition)
    # What names less than half of them may be no header but a row, which is data of nobody's or of a person.
    no_header = 2 * len(missing) > asked
    grave = [name for name in missing if no_header or not (layout.evolve and name in nullable)]
    # Names that are not the contract's may be a person's data, so these are counted.
    shown = [f"{len(unexpected)} in all"] if contract.personal and unexpected else unexpected
    if grave or (unexpected and not layout.evolve):
        if no_header and (contract.personal or layout.evolve):
            raise SourceError(
                source=layout.source,
                culprit=f"{len(missing)} of the {asked} columns of {contract.layer}/{contract.table} are not among "
                "its columns: its first line may be no header.",
                remedy="Ask for it with its header line, or say in the declaration how it calls them (columns) and "
                "what is between them (format).",
            )
        parts = {"missing": grave, "unexpected": shown}
        listed = "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names)
        raise SourceError(
            source=layout.source,
            culprit=f"its columns are not those of {contract.layer}/{contract.table} ({listed}).",
            remedy=_remedy(grave, [] if contract.personal else unexpected, wanted, len(names)),
        )
    new = (
        [f"New columns, left out: {len(unexpected)}."]
        if contract.personal and unexpected
        else [f"The column {name} is new and was left out." for name in unexpected]
    )
    return (*(f"The column {name} is missing and counts as NULL." for name in missing), *new)


def _remedy(missing: Sequence[str], unexpected: Sequence[str], wanted: Mapping[str, str], names: int) -> str:
    if missing and names == 1 < len(wanted):
        return "It is one column alone: is the delimiter right, which the declaration's format says?"
    lower = {name.lower(): name for name in unexpected}
    pairs: dict[str, str] = {}
    for name in missing:
        near = difflib.get_close_matches(wanted[name].lower(), lower, n=1, cutoff=0.6)
        if near:
            pairs[name] = lower[near[0]]
    if not pairs and len(missing) == len(unexpected) == 1:
        pairs = {missing[0]: unexpected[0]}
    if pairs:
        renamed = ", ".join(f"{ours}: {theirs}" for ours, theirs in pairs.items())
        return f"If it was renamed, say so in the declaration's columns ({renamed})."
    if missing:
        return (
            "Ask the source's owner whether it changed; a column that may be missing is nullable in the contract, "
            "with evolve in the declaration."
        )
    return "Add it to the contract, or declare evolve: true to leave new columns out with a warning."


def _column(name: str, kind: dt.DataType, types: Mapping[str, str], request: Request, layout: Layout) -> _Column:
    theirs = layout.columns.get(name, name)
    sql_type = DuckDBType.to_string(kind)
    stored = types.get(theirs) if name not in layout.absent else None
    own = request.partition.values.get(name)
    if stored is None:
        value = "NULL" if own is None else literal(own)
        return _Column(name=name, value=f"CAST({value} AS {sql_type})")
    text = quote(theirs)
    if own is not None:
        return _Column(
            name=name,
            value=f"CAST({text} AS VARCHAR)",
            bad=f"CAST({text} AS VARCHAR) IS DISTINCT FROM {literal(own)}",
            should_be=f"{own!r}, as all rows of this partition must be",
        )
    if stored == TEXT:
        form = layout.formats.get(name)
        non_finite = name in request.contract.non_finite
        value = text_rules.parsed(theirs, kind, sql_type=sql_type, form=form, non_finite=non_finite, typed=layout.typed)
        if kind.is_string():
            return _Column(name=name, value=value)
        due = f"{text} <> ''"
        value = f"CASE WHEN {due} THEN {value} END"
        return _Column(
            name=name,
            value=value,
            bad=f"{due} AND ({value}) IS NULL",
            due=due,
            should_be=text_rules.described(kind, form),
        )
    # As the engine calls it: Ibis writes a timestamp with its precision, a decimal with a space.
    if stored == str(request.connection.sqltype(sql_type)):
        return _Column(name=name, value=text)
    return _cast(name, text, kind, stored)


def _cast(name: str, text: str, kind: dt.DataType, stored: str) -> _Column:
    """A column of another type than the contract's: what would lose something is no value."""
    sql_type = DuckDBType.to_string(kind)
    if not _is_akin(stored, kind):
        return _Column(
            name=name,
            value=f"CAST(NULL AS {sql_type})",
            bad=f"{text} IS NOT NULL",
            should_be=f"of type {kind} (they are {stored}, which nothing says how to make one of)",
        )
    cast = f"TRY_CAST({text} AS {sql_type})"
    return _Column(
        name=name,
        value=cast,
        bad=f"TRY_CAST({cast} AS {stored}) IS DISTINCT FROM {text}",
        should_be=f"of type {kind} (they are {stored})",
    )


def _is_akin(stored: str, kind: dt.DataType) -> bool:
    """Whether a value of that type can be one of the contract's without anybody's choice of a zone or a spelling."""
    zoned = stored.endswith("WITH TIME ZONE")
    if kind.is_timestamp() and (stored.startswith("TIMESTAMP") or stored == "DATE"):
        return zoned == bool(getattr(kind, "timezone", None))
    if kind.is_date():
        return not zoned
    nested = stored.endswith("]") or stored.startswith(("STRUCT", "MAP", "UNION"))
    return not (kind.is_string() and (nested or stored == "BLOB"))


def _bad_values(delivered: Delivered, columns: Sequence[_Column], request: Request, layout: Layout) -> SourceError:
    """The error that counts what has no value, and names the first of each column."""
    rows = delivered.rows
    judged = [column for column in columns if column.bad]
    counts = ", ".join(
        f"count(*) FILTER (WHERE {column.bad}), min({quote(_ROW)}) FILTER (WHERE {column.bad})" for column in judged
    )
    numbered = f"SELECT row_number() OVER () AS {quote(_ROW)}, * FROM delivered"
    # Rows behind the first bad value may be unreadable altogether.
    with delivered.read():
        [found] = rows.query("delivered", f"SELECT count(*), {counts} FROM ({numbered})").fetchall()
    total, bad = found[0], dict(zip([c.name for c in judged], zip(found[1::2], found[2::2], strict=True), strict=True))
    said = [
        f"{column.name}: {bad[column.name][0]:,} of {total:,} rows, the first is row {bad[column.name][1]:,}"
        f"{_shown(delivered, column, request, layout)}; it should be {column.should_be}"
        for column in judged
        if bad[column.name][0]
    ]
    return SourceError(
        source=layout.source,
        culprit=f"it holds values that do not fit their columns ({'. '.join(said)}).",
        remedy="Ask the source's owner, or say in the declaration's formats how the column is written.",
    )


def _shown(delivered: Delivered, column: _Column, request: Request, layout: Layout) -> str:
    """A few of the values; none where the table holds persons."""
    if request.contract.personal:
        return ""
    theirs = quote(layout.columns.get(column.name, column.name))
    found = delivered.rows.query(
        "delivered",
        f"SELECT DISTINCT CAST({theirs} AS VARCHAR) AS v FROM delivered WHERE {column.bad} ORDER BY v "
        f"LIMIT {_MOST_SHOWN}",
    ).fetchall()
    # Hidden before it is shortened: a part of a secret would not be known.
    values = [value if value is None else delivered.hidden.said(value) for (value,) in found]
    return f" ({', '.join(repr(value)[:_LONGEST] for value in values)})"
