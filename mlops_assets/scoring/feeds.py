"""Rows, tables and tensors as what a model's session takes, or refused with the column's name.

Put here every check of values, so that the session never sees what it would read as something else: it takes ``True``
for 1, and the missing text of NumPy for the text "nan". Keep out the declaration of inputs (``inputs``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from mlops_assets.scoring.inputs import LARGEST, FeatureError, Input, Kind, Null, Value, refused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy.typing as npt

Tensor = np.ndarray[Any, np.dtype[Any]]
Feed = dict[str, Tensor]

DTYPES: Final[Mapping[Kind, np.dtype[Any]]] = {
    Kind.TEXT: np.dtype(object),
    Kind.DOUBLE: np.dtype(np.float64),
    Kind.FLOAT: np.dtype(np.float32),
    Kind.INT64: np.dtype(np.int64),
    Kind.INT32: np.dtype(np.int32),
    Kind.BOOL: np.dtype(np.bool_),
}
_VALUES: Final[Mapping[Kind, frozenset[type]]] = {
    Kind.TEXT: frozenset({str}),
    Kind.DOUBLE: frozenset({int, float}),
    Kind.FLOAT: frozenset({int, float}),
    Kind.INT64: frozenset({int}),
    Kind.INT32: frozenset({int}),
    Kind.BOOL: frozenset({bool}),
}
"""The types of a row's values. ``True`` is an ``int`` to Python, and none here: types are compared as they are."""
_CALLED: Final[Mapping[Kind, str]] = {
    Kind.TEXT: "text",
    Kind.DOUBLE: "numbers",
    Kind.FLOAT: "numbers",
    Kind.INT64: "whole numbers",
    Kind.INT32: "whole numbers of 32 bits",
    Kind.BOOL: "true or false",
}
_NEUTRAL: Final[Mapping[Kind, Value]] = {Kind.TEXT: "", Kind.INT64: 0, Kind.INT32: 0, Kind.BOOL: False}
"""What stands where a flag says null; the file looks at the flag."""
_FEW: Final = 64
_EXACT: Final = 2**53
"""Beyond it a double does not hold every whole number."""


def feed_of_rows(inputs: Sequence[Input], rows: Sequence[Mapping[str, Value]]) -> Feed:
    """The rows of a request.

    Args:
        inputs: the columns of the model.
        rows: for each column its value, ``None`` where unknown.

    Raises:
        FeatureError: a row has other columns, or a column holds something else than declared.
    """
    names = {column.name for column in inputs}
    for number, row in enumerate(rows):
        if row.keys() != names:
            raise _other_columns([column.name for column in inputs], row.keys(), f"Row {number} to score")
    feed: Feed = {}
    for column in inputs:
        values = [row[column.name] for row in rows]
        missing = np.array([value is None for value in values]) if None in values else None
        feed |= _with_flag(column, tensor_of_values(column, values), missing)
    return feed


def feed_of_table(inputs: Sequence[Input], table: pa.Table) -> Feed:
    """The rows of a table with exactly the columns of the model, in any order; numbers may be null, not NaN.

    Raises:
        FeatureError: the table has other columns, or a column holds something else than declared.
    """
    names = [column.name for column in inputs]
    if sorted(table.column_names) != sorted(names):
        raise _other_columns(names, table.column_names, "Rows to score")
    feed: Feed = {}
    for column in inputs:
        feed |= _of_arrow(column, table.column(column.name))
    return feed


def feed_of_tensors(inputs: Mapping[str, Input], given: Mapping[str, Tensor]) -> Feed:
    """Tensors as a client of the Open Inference Protocol sends them.

    Args:
        inputs: the inputs of the file by name, as :func:`~mlops_assets.scoring.inputs.tensors` gives them.
        given: for each of them a tensor of one dimension.

    Raises:
        FeatureError: there are other tensors, lengths or types, or a value that the input does not take.
    """
    if given.keys() != inputs.keys():
        raise _other_columns(inputs, given.keys(), "Tensors to score")
    for name, column in inputs.items():
        if given[name].dtype != DTYPES[column.kind] or given[name].ndim != 1:
            what = f"{given[name].dtype} of {given[name].ndim} dimensions"
            raise refused(name, what, f"Give {_CALLED[column.kind]}.")
    if len({len(tensor) for tensor in given.values()}) > 1:
        raise FeatureError(
            source="Tensors to score",
            culprit=f"they differ in length ({', '.join(f'{name}: {len(t)}' for name, t in given.items())}).",
            remedy="Give one value of each input for each row.",
        )
    for name, column in inputs.items():
        tensor = given[name]
        if column.kind is Kind.TEXT:
            _check_text(column, tensor.tolist())
        elif column.kind.is_floating:
            _check_numbers(column, tensor, nulls=None if column.null is Null.NAN else 0)
    return dict(given)


def tensor_of_values(column: Input, values: list[Any]) -> Tensor:
    """One column's values, ``None`` where unknown; what stands for it is NaN, or is told by a flag.

    Raises:
        FeatureError: a value is not of the column's kind, or is one that the column does not take.
    """
    kind = column.kind
    known: list[Any] = values
    if None in values:
        _check_nulls(column, values.count(None))
        known = [value for value in values if value is not None]
    types = set(map(type, known))
    if strangers := types - _VALUES[kind]:
        names = " and ".join(sorted(stranger.__name__ for stranger in strangers))
        raise refused(column.name, names, f"Give {_CALLED[kind]}{_or_null(column)}.")
    if kind is Kind.TEXT:
        _check_text(column, known)
    elif kind.is_floating:
        if not all(-LARGEST <= value <= LARGEST for value in known):
            raise _not_finite(column)
        if int in types and any(type(value) is int and abs(value) > _EXACT for value in known):
            raise refused(column.name, "a whole number that a double does not hold exactly", "Give a smaller number.")
    neutral = math.nan if column.null is Null.NAN else _NEUTRAL.get(kind)
    filled = values if known is values else [neutral if value is None else value for value in values]
    try:
        return np.array(filled, dtype=DTYPES[kind])
    except OverflowError:
        raise refused(column.name, "a number that is too large", f"Give {_CALLED[kind]}.") from None


def _of_arrow(column: Input, found: pa.ChunkedArray) -> Feed:
    kind, given = column.kind, found.type
    if not (_fits(kind, given) or pa.types.is_null(given)):
        raise refused(column.name, f"{given}", f"Give {_CALLED[kind]}{_or_null(column)}.")
    if found.null_count:
        _check_nulls(column, found.null_count)
    # Through double, as what is given may be of more digits than a float has.
    target = (
        pa.float64() if kind.is_floating else pa.string() if kind is Kind.TEXT else pa.from_numpy_dtype(DTYPES[kind])
    )
    missing = found.is_null().to_numpy() if found.null_count and column.flag is not None else None
    try:
        filled = found if missing is None else found.cast(target).fill_null(_NEUTRAL[kind])
        array = filled.cast(target).to_numpy()
    except pa.ArrowInvalid:
        raise refused(column.name, f"{given} with a number that is too large", f"Give {_CALLED[kind]}.") from None
    if kind.is_floating:
        _check_numbers(column, array, nulls=found.null_count)
    return _with_flag(column, array.astype(DTYPES[kind], copy=False), missing)


def _fits(kind: Kind, given: pa.DataType) -> bool:
    match kind:
        case Kind.TEXT:
            return bool(pa.types.is_string(given) or pa.types.is_large_string(given))
        case Kind.DOUBLE | Kind.FLOAT:
            return bool(pa.types.is_integer(given) or pa.types.is_floating(given))
        case Kind.INT64 | Kind.INT32:
            return bool(pa.types.is_integer(given))
        case Kind.BOOL:
            return bool(pa.types.is_boolean(given))


def _with_flag(column: Input, array: Tensor, missing: npt.NDArray[np.bool_] | None) -> Feed:
    if column.flag is None:
        return {column.name: array}
    return {column.name: array, column.flag: np.zeros(len(array), dtype=np.bool_) if missing is None else missing}


def _check_nulls(column: Input, count: int) -> None:
    if column.null is Null.REFUSED:
        raise refused(column.name, f"{count} nulls", f"Give {_CALLED[column.kind]} in every row.")


def _check_text(column: Input, texts: list[str]) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise refused(column.name, "half of a surrogate pair", "Give text that UTF-8 can hold.") from None


def _check_numbers(column: Input, numbers: npt.NDArray[np.floating[Any]], *, nulls: int | None) -> None:
    """Refuse what is not finite, but so many NaN as there are nulls; ``None`` where each NaN is a null."""
    if numbers.size <= _FEW:
        # The few numbers of a request take NumPy longer to begin with than to look at.
        found = [number for number in numbers.tolist() if not -LARGEST <= number <= LARGEST]
        if nulls not in (None, len(found)) or not all(map(math.isnan, found)):
            raise _not_finite(column)
        return
    if nulls not in (None, np.isnan(numbers).sum()) or np.fmax.reduce(np.abs(numbers), initial=0.0) > LARGEST:
        raise _not_finite(column)


def _not_finite(column: Input) -> FeatureError:
    return refused(column.name, "NaN, infinite or too large values", f"Give finite numbers{_or_null(column)}.")


def _or_null(column: Input) -> str:
    return "" if column.null is Null.REFUSED else ", null where unknown"


def _other_columns(wanted: Collection[str], given: Collection[str], source: str) -> FeatureError:
    missing = sorted(set(wanted) - set(given))
    # What a client calls its columns is not repeated: it may be what should be in no log.
    unknown, repeated = len(set(given) - set(wanted)), len(given) - len(set(given))
    return FeatureError(
        source=source,
        culprit=f"the columns do not fit the model (missing: {', '.join(missing) or 'none'}; {unknown} unknown; "
        f"{repeated} repeated).",
        remedy=f"Give exactly these, each once: {', '.join(wanted)}.",
    )
