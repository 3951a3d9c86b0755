"""Frames: what an asset's function returned as an Ibis table on the session's connection, and what it is given.

Put here how a frame of each library reaches the engine, and what is asked of its types. Keep out the writing of its
rows (``stage``) and any judgement of what they hold (the audit).

An Ibis table or DuckDB relation of the session's connection stays a query, whose types must be the contract's, and so
does a Parquet file, which an asset returns by its path. All else is handed over as Arrow, without a copy where its
library allows. Libraries have habits (pandas makes a float of a whole number that may be missing, and has no dates), so
a column whose type is akin to the contract's is cast, and each value must come back equal from the contract's type: 2.0
becomes 2 and midnight a date, while 2.5, an overflow, a time of day or a nanosecond is refused by the column's name.
Akin are numbers of all types, times with a zone, and dates with times without one; text is never read as something
else. A float column of pandas tells a missing value by NaN, which becomes NULL; everywhere else NaN stays what it is.
"""

from __future__ import annotations

import collections
import uuid
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import duckdb
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
from ibis.backends.sql.datatypes import DuckDBType

from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake.catalog import first_line, literal, quote
from mlops_assets.platform.lake.files import parquet_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import ibis.expr.datatypes as dt

    from mlops_assets.platform.lake.session import LakeSession


class ArrowStream(Protocol):
    """Any frame with the stream protocol of Arrow's PyCapsule interface: Arrow, Polars, and many others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The capsule of an ``ArrowArrayStream`` of structs."""


class LazyFrame(Protocol):
    """A frame that is yet to be computed, as of Polars."""

    def collect(self) -> Any:  # noqa: ANN401  of Polars, an alternative to the frame as well
        """The frame."""


_Rows: TypeAlias = ir.Table | duckdb.DuckDBPyRelation | pd.DataFrame | ArrowStream | LazyFrame
Frame: TypeAlias = _Rows | Path
"""What an asset may return; a path is that of a Parquet file, which is taken away if it is in the scratch folder."""

_SOURCE: Final = "The asset's frame"
_MISSING: Final = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
# One for all: the frame before is let go, of which there may be as many as partitions.
_HANDED_OVER: Final = "returned_frame"
# Marks our own words in what the engine raises.
_MISFIT: Final = "frame does not fit: "
# What Arrow says of a stream whose items are no rows.
_NOT_A_TABLE: Final = "non-struct"
# The engine's type for times of nanoseconds, as Polars has them; Ibis has no name for it.
_TIME_NS: Final = "TIME_NS"
# Its frame, and its query.
_POLARS: Final = ("polars.dataframe.frame.DataFrame", "polars.lazyframe.frame.LazyFrame")


class FrameError(ContractError):
    """A frame's column cannot have the contract's type; no value is quoted."""


def as_ibis(session: LakeSession, frame: Frame, columns: Mapping[str, dt.DataType]) -> ir.Table:
    """Whatever an asset returned, as an Ibis table on the session's connection, to be read before the next one is.

    Of a pandas frame those levels of the index become columns that the contract has and the frame lacks; the others are
    left out, as DuckDB does.

    Args:
        session: whose connection reads the frame.
        frame: an Ibis table or DuckDB relation of any connection, a pandas frame, a Polars frame, lazy or not,
            whatever offers an Arrow stream, or the path of a Parquet file. A stream is read once; one that may be
            a query of the session's connection is read here, into a file.
        columns: the contract's columns with their types, to which columns of akin types are cast.

    Raises:
        FrameError: a column has no one type, or one that the engine does not know. That a value does not fit is found
            when the rows are staged.
        ContractError: the asset returned no frame.
    """
    if isinstance(frame, ir.Table):
        backends, _ = frame._find_backends()  # noqa: SLF001  get_backend refuses tables in memory, which have none
        if all(getattr(backend, "con", None) is session.connection for backend in backends):
            return frame
    rows = _relation(session, frame) if isinstance(frame, Path) else frame
    if isinstance(rows, duckdb.DuckDBPyRelation) and _is_of(session, rows):
        name = f"returned_{uuid.uuid4().hex}"
        rows.create_view(name)
        return session.ibis.table(name)
    if isinstance(rows, pa.RecordBatchReader):
        rows = _spooled(session, rows)
    return _cast(session, _as_arrow(rows, columns), columns)


def _spooled(session: LakeSession, reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The rows of a reader, from a file: it may be a query of the session's connection, which runs one at a time."""
    path = session.scratch / f"stream_{uuid.uuid4().hex}.arrows"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, reader.schema) as written:
        for batch in reader:
            written.write_batch(batch)
    return pa.ipc.open_stream(pa.memory_map(str(path)))


def _relation(session: LakeSession, path: Path) -> duckdb.DuckDBPyRelation:
    why = "it is a folder" if path.is_dir() else "it is not there"
    if path.is_file():
        try:
            return session.connection.sql(f"FROM {parquet_rows(path)}")
        except duckdb.Error as error:
            why = type(error).__name__
    raise ContractError(
        source="The asset's function",
        culprit=f"the file whose path it returned cannot be read as Parquet ({why}).",
        remedy="Return the path of one whole Parquet file.",
    )


def _as_arrow(frame: _Rows, columns: Mapping[str, dt.DataType]) -> pa.Table | pa.RecordBatchReader:
    if isinstance(frame, pd.DataFrame):
        return _from_pandas(frame, columns)
    if isinstance(frame, ir.Table):
        return frame.to_pyarrow_batches()
    if not hasattr(frame, "__arrow_c_stream__") and callable(getattr(frame, "collect", None)):
        frame = frame.collect()
    if isinstance(frame, pa.Table):
        return frame
    if hasattr(frame, "__arrow_c_stream__"):
        _refuse_objects(frame, columns)
        try:
            return pa.RecordBatchReader.from_stream(frame)
        except pa.ArrowInvalid as error:
            # A column alone offers a stream too.
            if _NOT_A_TABLE not in str(error):
                raise _unknown_type(str(error)) from None
    raise ContractError(
        source="The asset's function",
        culprit=f"it returned {type(frame).__qualname__}, which is no frame.",
        remedy="Return an Ibis table, a DuckDB relation, a pandas or Polars frame, an Arrow table or reader, or the "
        "pathlib.Path of a Parquet file.",
    )


def misfit(error: BaseException) -> FrameError | None:
    """What is wrong with a frame, if that is why its rows could not be staged."""
    if not isinstance(error, duckdb.InvalidInputException) or _MISFIT not in str(error):
        return None
    return FrameError(
        source=_SOURCE,
        culprit=str(error).partition(_MISFIT)[2].splitlines()[0],
        remedy="Change the values, or the type in the schema.",
    )


def _is_of(session: LakeSession, relation: duckdb.DuckDBPyRelation) -> bool:
    """Whether a relation is of the session's connection; nothing is run."""
    try:
        session.connection.query("SELECT 1").cross(relation)
    except duckdb.InvalidInputException:
        return False
    return True


def _from_pandas(frame: pd.DataFrame, columns: Mapping[str, dt.DataType]) -> pa.Table:
    levels = [level for level in frame.index.names if level in columns and level not in frame.columns]
    if levels:
        frame = frame.reset_index(level=levels)
    _refuse_repeated(map(str, frame.columns), columns)
    try:
        arrow = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # Its text quotes a value.
        raise _without_type(frame, columns) from None
    for name, column in frame.items():
        if column.dtype == object and pa.types.is_temporal(arrow.schema.field(str(name)).type):
            _refuse_lost_times(_called(name, columns), column)
    return arrow


def _called(name: object, columns: Collection[str]) -> str:
    """A column in words; the name of one that the contract lacks may be a value of a file without header."""
    return f"the column {name}" if name in columns else "a column that the schema lacks"


def _refuse_lost_times(called: str, column: pd.Series[Any]) -> None:
    """Refuse dates and times as objects of which Arrow would drop a part without a word.

    Raises:
        FrameError: there are some: beside dates a time of day, beside others a zone, a time's zone, nanoseconds.
    """
    kinds: set[str] = set()
    for value in column.dropna():
        kind = "datetime" if isinstance(value, datetime) else type(value).__name__
        kind += " with a zone" if getattr(value, "tzinfo", None) is not None else ""
        kinds.add(kind + (" of nanoseconds" if getattr(value, "nanosecond", 0) else ""))
    if len(kinds) > 1 or any("nanoseconds" in kind or kind == "time with a zone" for kind in kinds):
        raise FrameError(
            source=_SOURCE,
            culprit=f"{called} (object) holds values of {', '.join(sorted(kinds))}, for which Arrow has no one type.",
            remedy="Convert all of them to one type.",
        )


def _refuse_repeated(names: Iterable[str], columns: Iterable[str]) -> None:
    """Refuse columns that the engine, to which upper and lower case are one, could not tell apart.

    Raises:
        FrameError: there are some.
    """
    counted = collections.Counter(name.lower() for name in names)
    if twice := {name for name, times in counted.items() if times > 1}:
        known = [name for name in columns if name.lower() in twice]
        raise FrameError(
            source=_SOURCE,
            culprit=f"it has more than one column {', '.join(known) or 'of a name that the schema lacks'}.",
            remedy="Rename the columns, or leave them out.",
        )


def _without_type(frame: pd.DataFrame, columns: Collection[str]) -> FrameError:
    """Which column of the frame is no column of Arrow, and why."""
    for name, column in frame.items():
        try:
            pa.Array.from_pandas(column)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            kinds = sorted({type(value).__name__ for value in column.dropna()})
            return FrameError(
                source=_SOURCE,
                culprit=f"{_called(name, columns)} ({column.dtype}) holds values of {', '.join(kinds[:5])}, for which "
                "Arrow has no one type.",
                remedy="Convert all of them to one type.",
            )
    return FrameError(source=_SOURCE, culprit="it is no table of Arrow.", remedy="Look at its columns' types.")


def _unknown_type(said: str) -> FrameError:
    return FrameError(
        source=_SOURCE,
        culprit=f"it has a column of a type that the engine does not know ({said}).",
        remedy="Cast it to the type in the schema, or leave it out.",
    )


def _refuse_objects(frame: object, columns: Collection[str]) -> None:
    """Refuse Polars' columns of Python objects, whose stream would give the objects' addresses.

    Raises:
        FrameError: there is one.
    """
    schema: Mapping[str, object] = getattr(frame, "collect_schema", dict)()
    for name, kind in schema.items():
        if str(kind) == "Object":
            raise FrameError(
                source=_SOURCE,
                culprit=f"{_called(name, columns)} ({kind}) holds Python objects, for which Arrow has no one type.",
                remedy="Convert all of them to one type.",
            )


def _cast(session: LakeSession, arrow: pa.Table | pa.RecordBatchReader, columns: Mapping[str, dt.DataType]) -> ir.Table:
    """The table with each column of a type akin to the contract's cast to that."""
    for field in arrow.schema:
        if isinstance(field.type, pa.ExtensionType) and field.name in columns:
            raise FrameError(
                source=_SOURCE,
                culprit=f"the column {field.name} ({field.type.extension_name}) has a type that the engine does not "
                "know.",
                remedy=f"Cast it to {columns[field.name]}.",
            )
    _refuse_repeated(arrow.schema.names, columns)
    if not arrow.schema.names:
        raise FrameError(source=_SOURCE, culprit="it has no columns.", remedy=f"Give it {', '.join(columns)}.")
    arrow, zoned = _without_zones(arrow, columns)
    name = _HANDED_OVER
    try:
        session.connection.register(name, arrow)
    except duckdb.NotImplementedException as error:
        raise _unknown_type(first_line(error)) from None
    seen = session.ibis.table(name).schema()
    stored = dict(session.connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE {name})").fetchall())
    chosen = []
    for column, kind in seen.items():
        wanted, quoted = columns.get(column), quote(column)
        if column in zoned:
            words = literal(f"{_MISFIT}the column {column} ({zoned[column]}) holds values with nanoseconds.")
            micros = f"try_cast({quoted} AS TIMESTAMP)"
            chosen.append(
                f"CASE WHEN try_cast({micros} AS TIMESTAMP_NS) IS NOT DISTINCT FROM {quoted} "
                f"THEN timezone('UTC', {micros}) ELSE error({words}) END AS {quoted}"
            )
            continue
        if wanted is not None and pa.types.is_null(arrow.schema.field(column).type):
            chosen.append(f"NULL::{DuckDBType.to_string(wanted)} AS {quoted}")
            continue
        if wanted is None or kind.copy(nullable=True) == wanted or not _akin(stored[column], kind, wanted):
            chosen.append(quoted)
            continue
        to = DuckDBType.to_string(wanted)
        # The engine casts no time back to one of nanoseconds; their texts are equal if they are.
        back = "VARCHAR" if stored[column] == _TIME_NS else stored[column]
        words = literal(f"{_MISFIT}the column {column} ({stored[column]}) holds values that are no {wanted}.")
        chosen.append(
            f"CASE WHEN try_cast(try_cast({quoted} AS {to}) AS {back}) IS NOT DISTINCT FROM {quoted}::{back} "
            f"THEN try_cast({quoted} AS {to}) ELSE error({words}) END AS {quoted}"
        )
    return session.ibis.sql(f"SELECT {', '.join(chosen)} FROM {name}")


def _without_zones(
    arrow: pa.Table | pa.RecordBatchReader, columns: Collection[str]
) -> tuple[pa.Table | pa.RecordBatchReader, dict[str, pa.DataType]]:
    """The table with its times of nanoseconds with a zone as those of UTC without one, and what they were.

    The engine has no such type, and would cut them to microseconds when it reads them.

    Raises:
        FrameError: there are such times inside of another type.
    """
    zoned = {field.name: field.type for field in arrow.schema if _is_zoned_ns(field.type)}
    for field in arrow.schema:
        if field.name not in zoned and _holds_zoned_ns(field.type):
            raise FrameError(
                source=_SOURCE,
                culprit=f"{_called(field.name, columns)} holds times of nanoseconds with a zone, which the engine does "
                "not know.",
                remedy="Cast them to microseconds.",
            )
    if not zoned:
        return arrow, zoned
    naive = [field.with_type(pa.timestamp("ns")) if field.name in zoned else field for field in arrow.schema]
    return arrow.cast(pa.schema(naive)), zoned


def _is_zoned_ns(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.unit == "ns" and kind.tz is not None)


def _holds_zoned_ns(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _holds_zoned_ns(kind.value_type)
    return _is_zoned_ns(kind) or any(_holds_zoned_ns(kind.field(n).type) for n in range(kind.num_fields))


def _akin(stored: str, given: dt.DataType, wanted: dt.DataType) -> bool:
    """Whether values of a type may be of the other as well."""
    if wanted.is_time():
        return stored == _TIME_NS
    if given.is_timestamp() and wanted.is_timestamp():
        return (given.timezone is None) == (wanted.timezone is None)
    if wanted.is_timestamp() and given.is_date():
        return wanted.timezone is None
    if given.is_timestamp() and wanted.is_date():
        return given.timezone is None
    return bool(given.is_numeric() and wanted.is_numeric())


def framed(table: ir.Table, kind: object) -> Any:  # noqa: ANN401  whatever the annotation names
    """The table as the frame of that class, the Ibis table itself where it is none."""
    if kind is pa.Table:
        return table.to_pyarrow()
    if kind is pd.DataFrame:
        return _pandas(table.to_pyarrow())
    if isinstance(kind, type) and (name := _name_of(kind)) in _POLARS:
        return table.to_polars() if name == _POLARS[0] else table.to_polars().lazy()
    return table


def is_frame(kind: object) -> bool:
    """Whether it is a class that a table can be had as: Ibis, Arrow, pandas, Polars."""
    return isinstance(kind, type) and (kind in {ir.Table, pa.Table, pd.DataFrame} or _name_of(kind) in _POLARS)


def _name_of(kind: type) -> str:
    # Polars need not be installed.
    return f"{kind.__module__}.{kind.__qualname__}"


def _pandas(table: pa.Table) -> pd.DataFrame:
    """The table for pandas, whose plain integers cannot be missing: a column with NULLs stays whole as Int64."""
    frame = table.to_pandas()
    for name, kind in ((field.name, field.type) for field in table.schema):
        if kind in _MISSING and table[name].null_count:
            frame[name] = table[name].to_pandas(types_mapper=_MISSING.get)
    return frame
