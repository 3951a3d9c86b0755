"""How raw columns become the numbers that a model reads: a declaration.

Put here what the terms are together, and what they ask of raw columns. Keep out the kinds of terms (``terms``) and how
they are computed (``encoding_graph``, the one implementation, which goes into the model's file).
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  read at run time
from typing import Final, Self

from pydantic import Field, model_validator

from mlops_assets.modeling.terms import Anchor, Cycle, Declared, FirstKnown, Number, OneOf, Product, Term
from mlops_assets.scoring.inputs import Input, Kind, Null

_USE: Final = {
    "number": "number",
    "log_ratio": "number",
    "first_known": "number",
    "missing": "missing",
    "one_of": "text",
    "cycle": "whole",
}
"""What a column is read as by each kind of term."""
_USES: Final = {
    Kind.TEXT: {"text", "missing"},
    Kind.DOUBLE: {"number", "missing"},
    Kind.FLOAT: {"number", "missing"},
    Kind.INT64: {"number", "whole", "missing"},
    Kind.INT32: {"number", "whole", "missing"},
    Kind.BOOL: {"number", "missing"},
}
"""What a column of each kind can be read as."""


class Encoding(Declared):
    """The whole way from raw columns to a model's input, and from its output to the score.

    A column holds text where a class of it is asked for, whole numbers where a cycle is, and else doubles, unless
    ``kinds`` says otherwise. Null is taken in every column of doubles (each term says what it makes of it), and in any
    other column that a term :class:`Missing` is of.

    Attributes:
        terms: the terms, in the order of the model's input.
        anchor: what the output is relative to; ``None`` where the output is the score.
        limits: the least and the greatest score there can be, such as 0 and 1 of a share; ``None`` without.
        kinds: kinds of columns that are not what their terms let expect, such as whole numbers or booleans.
    """

    terms: tuple[Term, ...] = Field(min_length=1)
    anchor: Anchor | None = None
    limits: tuple[float, float] | None = None
    kinds: Mapping[str, Kind] = {}

    @model_validator(mode="after")
    def _refuse_unclear_names(self) -> Self:
        seen: set[str] = set()
        for term in self.terms:
            if isinstance(term, Product) and (unknown := set(term.factors) - seen):
                msg = f"the product {term.names[0]} has factors that no term before it gives: {sorted(unknown)}"
                raise ValueError(msg)
            if repeated := {name for name in term.names if name in seen or term.names.count(name) > 1}:
                msg = f"features are given twice: {sorted(repeated)}"
                raise ValueError(msg)
            seen.update(term.names)
        return self

    @model_validator(mode="after")
    def _refuse_unclear_kinds(self) -> Self:
        unclear = self.kinds.keys() - set(self.columns)
        for column in self.inputs:
            if not self._uses(column.name) <= _USES[column.kind] or column.flag in self.columns:
                unclear.add(column.name)
        if unclear:
            msg = f"columns are not read, read as what they do not hold, or called like a flag: {sorted(unclear)}"
            raise ValueError(msg)
        return self

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the encoded features, in order."""
        return tuple(name for term in self.terms for name in term.names)

    @property
    def columns(self) -> tuple[str, ...]:
        """The raw columns read, in order of first use."""
        read = [column for term in self.terms for column in term.columns]
        return tuple(dict.fromkeys([*read, *(self.anchor.columns if self.anchor else ())]))

    @property
    def number_columns(self) -> tuple[str, ...]:
        """Those of the columns that are read as numbers, or asked for nulls without being text."""
        return tuple(
            column.name
            for column in self.inputs
            if column.kind is not Kind.TEXT and self._uses(column.name) & {"number", "missing"}
        )

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The raw columns as inputs of the model's file."""
        return tuple(self._input(name) for name in self.columns)

    def _input(self, name: str) -> Input:
        uses = self._uses(name)
        kind = self.kinds.get(name) or (Kind.TEXT if "text" in uses else Kind.INT64 if "whole" in uses else Kind.DOUBLE)
        null = Null.NAN if kind.is_floating else Null.FLAG if "missing" in uses else Null.REFUSED
        return Input(name=name, kind=kind, example=self._example(name, kind), null=null)

    def _uses(self, name: str) -> set[str]:
        uses = {_USE[term.kind] for term in self.terms if name in term.columns}
        return uses | ({"number"} if self.anchor and name in self.anchor.columns else set())

    def _example(self, name: str, kind: Kind) -> str | int | float | bool:
        """What the declaration itself knows of a column: no value of a row gets into a model."""
        known: float = 1.0
        for term in (*self.terms, *([self.anchor] if self.anchor else ())):
            if name not in term.columns:
                continue
            match term:
                case OneOf():
                    return term.classes[0]
                case Cycle():
                    return term.period + term.place
                case Number() | FirstKnown() | Anchor():
                    known = term.fill
                    break
        match kind:
            case Kind.TEXT:
                return "text"
            case Kind.BOOL:
                return True
            case Kind.INT64 | Kind.INT32:
                return round(known)
            case Kind.DOUBLE | Kind.FLOAT:
                return known
