"""What a declared encoding means, row by row in plain Python: the other side of the comparison with its operators.

Put here the meaning of terms, and drawing declarations and rows. Keep out expectations.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from hypothesis import strategies as st

from mlops_assets.modeling.encoding import Encoding
from mlops_assets.modeling.terms import (
    Anchor,
    Cycle,
    FirstKnown,
    LogRatio,
    Missing,
    Number,
    OneOf,
    Product,
    Term,
)
from mlops_assets.scoring.inputs import Input, Kind, Null

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.scoring.inputs import Value

    Row = Mapping[str, Value]

_NUMBERS: Final = ("n0", "n1", "n2", "n3")
_TEXTS: Final = ("t0", "t1")
_WHOLE: Final = ("w0", "w1")
_CLASSES: Final = ("a", "b", "", "nan", "None", "ü\x00", "ü")
_ARROW: Final = {
    Kind.TEXT: pa.string(),
    Kind.DOUBLE: pa.float64(),
    Kind.FLOAT: pa.float32(),
    Kind.INT64: pa.int64(),
    Kind.INT32: pa.int32(),
    Kind.BOOL: pa.bool_(),
}


def features_of(encoding: Encoding, row: Row) -> list[float]:
    """The encoded features of a row."""
    found: dict[str, float] = {}
    for term in encoding.terms:
        found.update(zip(term.names, _features(term, row, found), strict=True))
    return list(found.values())


def score_of(encoding: Encoding, row: Row, output: float) -> float:
    """The score of a row for which the model gave that output."""
    if encoding.anchor is not None:
        anchor = _first_positive(row, encoding.anchor.columns)
        anchor = encoding.anchor.fill if anchor is None else anchor
        output = anchor * math.exp(output) if encoding.anchor.scale == "log_ratio" else anchor + output
    return output if encoding.limits is None else min(max(output, encoding.limits[0]), encoding.limits[1])


def table_of(inputs: Sequence[Input], rows: Sequence[Row]) -> pa.Table:
    """The rows as a table."""
    return pa.table(
        {column.name: pa.array([row[column.name] for row in rows], _ARROW[column.kind]) for column in inputs}
    )


@st.composite
def encodings(draw: st.DrawFn) -> Encoding:
    """Declarations of any terms, on columns of any kinds."""
    kinds: dict[str, Kind] = {
        name: draw(st.sampled_from([kind for kind in Kind if kind is not Kind.TEXT])) for name in _NUMBERS
    }
    kinds |= {name: draw(st.sampled_from([Kind.INT64, Kind.INT32])) for name in _WHOLE}
    numbers, fills = st.sampled_from([*_NUMBERS, *_WHOLE]), st.floats(-1e3, 1e3)
    lists = st.lists(numbers, min_size=1, max_size=3).map(tuple)
    knots = st.lists(st.integers(-50, 50).map(float), max_size=3, unique=True).map(tuple)
    term = st.one_of(
        st.builds(Number, column=numbers, fill=fills, knots=knots),
        st.builds(Missing, column=st.sampled_from([*_NUMBERS, *_TEXTS, *_WHOLE])),
        st.builds(
            OneOf,
            column=st.sampled_from(_TEXTS),
            classes=st.lists(st.sampled_from(_CLASSES), min_size=1, max_size=4, unique=True).map(tuple),
        ),
        st.builds(Cycle, column=st.sampled_from(_WHOLE), period=st.integers(2, 12), place=st.integers(0, 12)),
        st.builds(LogRatio, name=st.sampled_from(["r0", "r1"]), over=lists, under=lists),
        st.builds(FirstKnown, name=st.sampled_from(["k0", "k1"]), of=lists, fill=fills),
    )
    terms: list[Term] = []
    names: list[str] = []
    for drawn in draw(st.lists(term, min_size=1, max_size=8)):
        each: Term = drawn
        if len(names) > 1 and draw(st.booleans()):
            each = Product(factors=tuple(draw(st.lists(st.sampled_from(names), min_size=2, max_size=3))))
        if not set(each.names) & set(names):
            terms.append(each)
            names += each.names
    scales = st.sampled_from(["log_ratio", "difference"])
    anchor = draw(st.none() | st.builds(Anchor, columns=lists, fill=st.floats(0.1, 1e3), scale=scales))
    limits = draw(st.none() | st.just((-0.5, 1.5)))
    read = {column for each in terms for column in each.columns} | set(anchor.columns if anchor else ())
    # Text that is only asked for nulls could hold anything.
    kinds |= dict.fromkeys(_TEXTS, Kind.TEXT)
    return Encoding(
        terms=tuple(terms),
        anchor=anchor,
        limits=limits,
        kinds={name: kind for name, kind in kinds.items() if name in read},
    )


def rows_of(encoding: Encoding) -> st.SearchStrategy[list[Row]]:
    """Rows that such a declaration reads, with nulls wherever it takes them."""
    values: dict[Kind, st.SearchStrategy[Value]] = {
        Kind.TEXT: st.sampled_from([*_CLASSES, "c", " a", "a" * 1000]) | st.text(max_size=5),
        Kind.DOUBLE: st.floats(-1e4, 1e4) | st.sampled_from([-0.0, 0.0]),
        Kind.FLOAT: st.floats(-1e4, 1e4, width=32),
        Kind.INT64: st.integers(-(10**4), 10**4),
        Kind.INT32: st.integers(-(10**4), 10**4),
        Kind.BOOL: st.booleans(),
    }
    row = {
        column.name: values[column.kind] if column.null is Null.REFUSED else st.none() | values[column.kind]
        for column in encoding.inputs
    }
    return st.lists(st.fixed_dictionaries(row), max_size=6)


def _features(  # noqa: PLR0911  one answer for each kind of term
    term: Term, row: Row, found: Mapping[str, float]
) -> list[float]:
    match term:
        case Number():
            known = _number(row, term.column)
            value = term.fill if known is None else known
            return [value, *(max(value - knot, 0.0) for knot in term.knots)]
        case Missing():
            return [float(row[term.column] is None)]
        case OneOf():
            return [float(row[term.column] == name) for name in term.classes]
        case Cycle():
            whole = row[term.column]
            return [float(isinstance(whole, int) and whole % term.period == term.place)]
        case LogRatio():
            over, under = _first_positive(row, term.over), _first_positive(row, term.under)
            return [0.0 if over is None or under is None else math.log(over) - math.log(under)]
        case FirstKnown():
            return [next((v for name in term.of if (v := _number(row, name)) is not None), term.fill)]
        case Product():
            return [math.prod(found[name] for name in term.factors)]


def _number(row: Row, name: str) -> float | None:
    value = row[name]
    return None if value is None else float(value)


def _first_positive(row: Row, names: Sequence[str]) -> float | None:
    return next((v for name in names if (v := _number(row, name)) is not None and v > 0), None)
