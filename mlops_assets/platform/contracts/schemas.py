"""Schemas: pandera's models for frames of any library, as the one schema in Ibis types that a contract enforces.

Put here what is taken of pandera's models, and what is refused. Keep out the checks' translation into expressions
(``rules``).

Taken are columns, types, ``nullable``, checks with their names, warnings and wording, ``unique`` of the frame or of one
column, and the named levels of a pandas index, which are columns here. A model of another library than Ibis may have
pandera's built-in checks; its other functions would have to run outside the engine.

A table has exactly the columns of its schema, in that order, whatever ``strict`` and ``ordered`` say; ``coerce`` adds
nothing to what is said of types in ``frames``; ``title`` and ``report_duplicates`` have no effect. An option that would
drop, add or change rows, columns or values is refused, because the rows are published as the asset returned them.

What pandera has no word for stands in a field's ``metadata``: see ``DECLARATIONS``.
"""

from __future__ import annotations

import copy
import difflib
import re
import warnings
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import ibis
import ibis.expr.datatypes as dt
import pandera.ibis as pa
import pyarrow.compute as pc
from ibis.backends.sql.datatypes import DuckDBType
from pandera import dtypes
from pandera.api.dataframe.container import DataFrameSchema as AnySchema
from pandera.api.dataframe.model import DataFrameModel as AnyModel
from pandera.api.function_dispatch import Dispatcher
from pandera.api.ibis.types import IbisData
from pandera.backends.ibis import builtin_checks
from pandera.engines import ibis_engine
from pyarrow import ArrowInvalid, scalar

from mlops_assets.platform.contracts.engine import answer
from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Model: TypeAlias = type[AnyModel[Any, Any]] | AnySchema[Any]
"""A pandera model or schema: of ``pandera.ibis``, ``pandera.pandas`` or ``pandera.polars``."""

DECLARATIONS: Final[Mapping[str, tuple[type, ...]]] = {
    "personal": (bool,),
    "decimals": (int,),
    "non_finite": (bool,),
    "default": (str, int, float, bool),
}
"""The entries of a field's ``metadata`` that say something to the platform, with their types.

- ``personal``: values are masked in samples and never reach metadata; only in a lake for personal data.
- ``decimals``: to how many a float column is rounded when staged, so that equal inputs give equal hashes.
- ``non_finite``: the column may hold NaN or infinities, which break ``values`` in all others.
- ``default``: of a column that the contract has gained, the value in partitions that were published before; NULL where
  the column may be null and has none. A partition without a value cannot be read until it is made again.

Other entries are other people's, unless they look like one of these misspelt.
"""

# As many as every float of that many digits keeps.
_MOST_DECIMALS: Final = 15
_OF_ROWS: Final = {
    "drop_invalid_rows": "Declare quarantine=Quarantine(floor=...), which publishes the rows that pass.",
    "parsers": "Change the values in the asset's function.",
}
_OF_FRAMES: Final = {**_OF_ROWS, "add_missing_columns": "Add the columns in the asset's function."}
_OF_COLUMNS: Final = {
    **_OF_ROWS,
    "regex": "Name each column.",
    "default": "Fill it in the asset's function. What partitions hold that were published before the column was there "
    "says metadata={'default': ...}.",
}
_PATTERN: Final = "pattern"
_LISTS: Final = frozenset({"allowed_values", "forbidden_values"})
# Importing this module is what makes the built-in checks know Ibis tables.
_REGISTERED: Final = builtin_checks


def as_stored(kind: dt.DataType) -> dt.DataType:
    """The type that DuckDB gives back for what is stored as that type; it may be null.

    Times have microseconds, and those with a zone are kept in UTC; a decimal has a precision.
    """
    return DuckDBType.from_string(DuckDBType.to_string(kind.copy(nullable=True)))


def enforced(source: str, model: Model) -> pa.DataFrameSchema:
    """The schema of a model as it is enforced: columns with types as they are stored, keyed by ``unique``.

    Args:
        source: what is declared, for messages.
        model: the pandera model.

    Raises:
        ContractError: it is none, or says what cannot be enforced; the message names the column.
    """
    schema = model.to_schema() if isinstance(model, type) and issubclass(model, AnyModel) else model
    if not isinstance(schema, AnySchema):
        raise ContractError(
            source=source,
            culprit=f"its schema is {schema!r:.60}, which is no pandera model of a frame.",
            remedy="Give a DataFrameModel or DataFrameSchema of pandera.ibis, pandera.pandas or pandera.polars.",
        )
    _refuse(source, "the schema", schema, _OF_FRAMES)
    if schema.strict == "filter":
        raise _refusal(source, "the schema", "strict='filter'", "Select the columns in the asset's function.")
    own = isinstance(schema, pa.DataFrameSchema)
    columns = {**_levels(source, schema), **schema.columns}
    if not columns:
        raise ContractError(source=source, culprit="its schema has no columns.", remedy="Name the table's columns.")
    return pa.DataFrameSchema(
        {name: _column(source, name, column, schema.dtype, own=own) for name, column in columns.items()},
        checks=[_check(source, "the schema", check, own=own) for check in schema.checks],
        unique=_key(source, schema, columns),
        strict=True,
        description=schema.description,
    )


def declared(schema: pa.DataFrameSchema, entry: str) -> dict[str, Any]:
    """For each column whose metadata has that entry of `DECLARATIONS`, its value."""
    return {name: column.metadata[entry] for name, column in schema.columns.items() if entry in (column.metadata or {})}


def _refusal(source: str, place: str, said: str, remedy: str) -> ContractError:
    return ContractError(source=source, culprit=f"{place} says {said}, which is not enforced here.", remedy=remedy)


def _refuse(source: str, place: str, declaring: object, options: Mapping[str, str]) -> None:
    for option, remedy in options.items():
        # Pandera's classes for the libraries lack some of them.
        said = getattr(declaring, option, None)
        # A default may be false; the others are so where they are not set.
        if said is not None if option == "default" else said:
            raise _refusal(source, place, option, remedy)


def _levels(source: str, schema: AnySchema[Any]) -> dict[str, Any]:
    """The levels of a pandas index as columns."""
    if schema.index is None:
        return {}
    levels = getattr(schema.index, "indexes", [schema.index])
    if any(level.name is None for level in levels):
        raise ContractError(
            source=source,
            culprit="its schema has an index without a name. A table in a lake has columns only.",
            remedy="Name it (in a model, by Field(check_name=True)), and it is a column; or take it out.",
        )
    return {level.name: level for level in levels}


def _column(source: str, name: str, column: Any, kind: Any, *, own: bool) -> pa.Column:  # noqa: ANN401  of any library
    place = f"the column {name!r}"
    if not isinstance(name, str):
        raise ContractError(source=source, culprit=f"{place} has no name in words.", remedy="Name it by a text.")
    _refuse(source, place, column, _OF_COLUMNS)
    if not getattr(column, "required", True):
        raise _refusal(source, place, "required=False", "Every column is there: say nullable=True.")
    metadata = dict(column.metadata or {})
    _require_known(source, place, metadata)
    chosen = kind or column.dtype
    stored = _kind(source, place, chosen)
    if "default" in metadata:
        _require_a_value(source, place, metadata["default"], stored)
    checks = [_check(source, place, check, own=own) for check in column.checks]
    if isinstance(chosen, dtypes.Category) or hasattr(chosen, "categories"):
        checks += [pa.Check.isin(list(chosen.categories))] if chosen.categories is not None else []
    with warnings.catch_warnings():
        # Pandera's engine for Ibis has no names for nested types; ours are compared by themselves.
        warnings.filterwarnings("ignore", message=".*support is not guaranteed")
        boxed = ibis_engine.DataType(stored)
    return pa.Column(
        boxed, checks, nullable=bool(column.nullable), name=name, description=column.description, metadata=metadata
    )


def _require_known(source: str, place: str, metadata: Mapping[str, Any]) -> None:
    for entry, value in metadata.items():
        kinds = DECLARATIONS.get(entry)
        if kinds is None:
            near = difflib.get_close_matches(str(entry).lower(), DECLARATIONS, n=1, cutoff=0.75)
            if near:
                raise ContractError(
                    source=source,
                    culprit=f"{place} has the metadata {entry!r}, which says nothing to the platform.",
                    remedy=f"Did you mean {near[0]!r}? Rename it if it means something else.",
                )
        elif type(value) not in kinds or (entry == "decimals" and not 0 <= value <= _MOST_DECIMALS):
            raise ContractError(
                source=source,
                culprit=f"{place} has the metadata {entry!r}, which is {repr(value)[:60]}.",
                remedy=f"Give it {' or '.join(kind.__name__ for kind in kinds)}"
                f"{f' from 0 to {_MOST_DECIMALS}' if entry == 'decimals' else ''}.",
            )


def _require_a_value(source: str, place: str, value: object, kind: dt.DataType) -> None:
    if answer(f"SELECT try_cast(? AS {DuckDBType.to_string(kind)}) IS NULL", str(value)):
        raise ContractError(
            source=source,
            culprit=f"{place} has the default {value!r}, which is no {kind}.",
            remedy="Give a value of the column's type.",
        )


def _kind(source: str, place: str, given: Any) -> dt.DataType:  # noqa: ANN401  a type of any of pandera's engines
    """The type that is stored for a type of pandera's.

    Raises:
        ContractError: it has no counterpart.
    """
    if given is None:
        raise ContractError(source=source, culprit=f"{place} has no type.", remedy="Give it one.")
    try:
        stored = as_stored(_ibis_type(given))
    # How Ibis (NotImplementedError) and the frames' libraries say that a type has no counterpart.
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError):
        stored = dt.unknown
    if "interval" in str(stored).lower():
        raise ContractError(
            source=source,
            culprit=f"{place} is {given}, and Parquet files keep durations as milliseconds below 50 days.",
            remedy="Make it a number of the unit that its name says, such as waited_us: int64.",
        )
    if stored.is_unknown() or stored.is_null():
        raise ContractError(
            source=source,
            culprit=f"{place} is {given}, which has no counterpart in the lake.",
            remedy="Say what its values are: a number, str, bytes, bool, a date or time, a decimal, or a list or "
            "struct of these as Ibis, Arrow (pd.ArrowDtype) and Polars name them.",
        )
    return stored


def _ibis_type(given: Any) -> dt.DataType:  # noqa: ANN401  a type of any of pandera's engines
    native = given.type
    if type(native).__module__.startswith("polars."):
        # Polars need not be installed.
        from ibis.formats.polars import PolarsType  # noqa: PLC0415

        return PolarsType.to_ibis(native)
    if str(native) == "object" and isinstance(given, dtypes.Decimal):
        return dt.Decimal(given.precision, given.scale)
    if str(native) == "object" and isinstance(given, dtypes.Date):
        return dt.date
    return ibis.dtype(native)


def _key(source: str, schema: AnySchema[Any], columns: Mapping[str, Any]) -> list[str] | None:
    """The columns of the key that ``unique`` of the frame, of its index or of one column declares."""
    said: Iterable[Any] = (
        schema.unique,
        getattr(schema.index, "unique", None),
        *([name] for name, column in columns.items() if column.unique),
    )
    keys = {tuple(key) for key in said if isinstance(key, list | tuple) and key}
    if len(keys) > 1:
        raise ContractError(
            source=source,
            culprit=f"its schema has {len(keys)} keys: {'; '.join(sorted(', '.join(key) for key in keys))}.",
            remedy="Leave unique=True to the columns of one key, or make a check of the others in the asset's function "
            "(check_specs).",
        )
    return list(keys.pop()) if keys else None


def _check(source: str, place: str, check: Any, *, own: bool) -> pa.Check:  # noqa: ANN401  Check or Hypothesis
    """A check that the engine can run: of `pandera.ibis` as it is, of the others if it is built in."""
    if not own and not _is_built_in(check):
        raise ContractError(
            source=source,
            culprit=f"{place} has the check {check.name!r}, a function over frames of another library than Ibis.",
            remedy="Write it with pandera.ibis, as an expression over data.table; built-in checks may stay.",
        )
    if check.groupby is not None:
        raise _refusal(source, place, "groupby", "Write the check with pandera.ibis, as an expression over data.table.")
    if not _is_built_in(check):
        return check  # type: ignore[no-any-return]
    known = copy.copy(check)
    known._check_kwargs = {  # noqa: SLF001
        name: _pattern(source, place, value)
        if name == _PATTERN
        # To the engine nothing is known to be outside a list with a NULL. Whether one may be there says ``nullable``.
        else [each for each in value if each is not None]
        if name in _LISTS
        else value
        for name, value in check._check_kwargs.items()  # noqa: SLF001
    }
    return known  # type: ignore[no-any-return]


def _is_built_in(check: Any) -> bool:  # noqa: ANN401  Check or Hypothesis
    """Whether pandera has the check for Ibis as well."""
    function = check._check_fn  # noqa: SLF001
    if not isinstance(function, Dispatcher):
        return False
    return IbisData in pa.Check.get_builtin_check_fn(function.__name__)._function_registry  # noqa: SLF001


def _pattern(source: str, place: str, pattern: str | re.Pattern[str]) -> str:
    """The regular expression as the engine takes it, with a group around alternatives.

    Pandera sets ``^`` before a pattern that must match from the start, where it would hold for the first alternative
    only.
    """
    text, flags = (pattern, re.UNICODE) if isinstance(pattern, str) else (pattern.pattern, re.RegexFlag(pattern.flags))
    if flags != re.UNICODE:
        raise _refusal(source, place, f"a pattern with {flags!r}", "Write flags into the pattern, such as (?i).")
    try:
        # Arrow's expressions are RE2's like the engine's, and it need not be started for them.
        pc.match_substring_regex(scalar(""), text)
    except ArrowInvalid as error:
        raise ContractError(
            source=source,
            culprit=f"{place} has the pattern {text!r}, which the engine cannot match ({error}).",
            remedy="Write it in RE2's syntax, which has no look-around and no back-references.",
        ) from None
    return f"(?:{text})" if "|" in text else text
