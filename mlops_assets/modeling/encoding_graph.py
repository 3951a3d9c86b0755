"""A declared encoding as operators of ONNX: the one implementation, in training and inside the model's file alike.

Put here how each kind of term is computed. Keep out the terms' declaration (``encoding``), running (``encoders``), and
the trained model between encoding and score (``model_files``).

Numbers are doubles, NaN where they are null. Columns lie one after the other, a row of the graph for each, until the
trained model gets its matrix: operators then read memory as it comes. Terms of one kind are computed together: a
request of one row pays for each operator, not for each number.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from mlops_assets.modeling.terms import Cycle, FirstKnown, LogRatio, Missing, Number, OneOf, Product
from mlops_assets.scoring.graph import ELEMENTS
from mlops_assets.scoring.inputs import Input, Kind, tensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    import onnx

    from mlops_assets.modeling.encoding import Encoding

OPSETS: Final = {"": 18, "ai.onnx.ml": 3}
"""Versions of the operator sets, which the trained model is converted to as well."""

_PREFIX: Final = "encoding/"


class EncodingGraph:
    """The operators of an encoding, in the order in which they were asked for.

    Attributes:
        nodes: the operators; others may be put among them.
        constants: the numbers that they read.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._encoding = encoding
        self._inputs = {column.name: column for column in encoding.inputs}
        self._places = {name: place for place, name in enumerate(encoding.number_columns)}

    def inputs(self) -> list[onnx.ValueInfoProto]:
        """The inputs of the graph, each of shape ``[-1]``."""
        found = tensors(self._inputs.values())
        return [helper.make_tensor_value_info(name, ELEMENTS[column.kind], [None]) for name, column in found.items()]

    def matrix(self) -> str:
        """Name of the encoded features: one row per row, one column per feature, doubles."""
        parts = [part for part in (*self._numbers_and_hinges(), *self._further()) if part[0]]
        names = [name for features, _ in parts for name in features]
        matrix = self._stacked([tensor for _, tensor in parts])
        factors = self._factors()
        if factors:
            products = [matrix]
            for count in sorted({len(each) for each in factors.values()}):
                alike = {name: each for name, each in factors.items() if len(each) == count}
                columns = [
                    self._picked(matrix, [names.index(each[place]) for each in alike.values()])
                    for place in range(count)
                ]
                products.append(functools.reduce(lambda one, other: self.add("Mul", one, other), columns))
                names += alike
            matrix = self._stacked(products)
        order = [names.index(name) for name in self._encoding.feature_names]
        if order != list(range(len(names))):
            matrix = self._picked(matrix, order)
        return self.add("Transpose", matrix, perm=[1, 0])

    def anchors(self) -> str | None:
        """Name of the anchors, of shape ``[1, -1]``; ``None`` where the encoding declares none."""
        anchor = self._encoding.anchor
        if anchor is None:
            return None
        found = self._first_known(self._positive, [anchor.columns])
        return self._where_missing(found, self.constant(anchor.fill))

    def score(self, output: str) -> str:
        """Name of the score of the model's output in doubles; both of shape ``[1, -1]``."""
        anchors, anchor, limits = self.anchors(), self._encoding.anchor, self._encoding.limits
        if anchors is not None and anchor is not None:
            by_ratio = anchor.scale == "log_ratio"
            output = self.add("Mul", anchors, self.add("Exp", output)) if by_ratio else self.add("Add", anchors, output)
        if limits is not None:
            output = self.add("Clip", output, *(self.constant(limit) for limit in limits))
        return output

    def add(
        self,
        operator: str,
        *read: str,
        domain: str = "",
        **attributes: Any,  # noqa: ANN401  whatever the operator takes
    ) -> str:
        """Add an operator; returns the name of what it gives."""
        name = f"{_PREFIX}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(read), [name], domain=domain, **attributes))
        return name

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float64) -> str:
        """Add a constant; returns its name."""
        name = f"{_PREFIX}constant/{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def _numbers_and_hinges(self) -> Iterable[tuple[list[str], str]]:
        terms = [term for term in self._encoding.terms if isinstance(term, Number)]
        if not terms:
            return
        found = self._picked(self._numbers, [self._places[term.column] for term in terms])
        values = self._where_missing(found, self._each(term.fill for term in terms))
        yield [term.column for term in terms], values
        hinges = [
            (place, term.knots[n], term.names[n + 1])
            for place, term in enumerate(terms)
            for n in range(len(term.knots))
        ]
        if hinges:
            above = self.add(
                "Sub",
                self._picked(values, [place for place, _, _ in hinges]),
                self._each(knot for _, knot, _ in hinges),
            )
            yield [name for _, _, name in hinges], self.add("Max", above, self.constant(0.0))

    def _further(self) -> Iterable[tuple[list[str], str]]:
        """The features of all terms but numbers and products, with their names."""
        terms = self._encoding.terms
        missing = [term for term in terms if isinstance(term, Missing) and term.column in self._places]
        if missing:
            places = [self._places[term.column] for term in missing]
            flags = self.add("IsNaN", self._picked(self._numbers, places))
            yield [term.names[0] for term in missing], self._double(flags)
        ratios = [term for term in terms if isinstance(term, LogRatio)]
        if ratios:
            over = self._first_known(self._positive, [term.over for term in ratios])
            under = self._first_known(self._positive, [term.under for term in ratios])
            ratio = self.add("Sub", self.add("Log", over), self.add("Log", under))
            yield [term.name for term in ratios], self._where_missing(ratio, self.constant(0.0))
        known = [term for term in terms if isinstance(term, FirstKnown)]
        if known:
            found = self._first_known(self._numbers, [term.of for term in known])
            fills = self._each(term.fill for term in known)
            yield [term.name for term in known], self._where_missing(found, fills)
        for term in terms:
            match term:
                case Missing() if term.column not in self._places:
                    yield list(term.names), self._double(self._column(self._flag(term.column)))
                case OneOf():
                    yield list(term.names), self._one_of(term)
                case Cycle():
                    yield list(term.names), self._cycle(term)
                case _:
                    pass

    def _one_of(self, term: OneOf) -> str:
        column = self._inputs[term.column]
        classes = self.add("OneHotEncoder", column.name, domain="ai.onnx.ml", cats_strings=list(term.classes), zeros=1)
        found = self._double(self.add("Transpose", classes, perm=[1, 0]))
        if column.flag is None:
            return found
        return self.add("Where", self._column(column.flag), self.constant(0.0), found)

    def _cycle(self, term: Cycle) -> str:
        column = self._inputs[term.column]
        whole = self._column(column.name)
        if column.kind is not Kind.INT64:
            whole = self.add("Cast", whole, to=TensorProto.INT64)
        rest = self.add("Mod", whole, self.constant(term.period, np.int64))
        found = self.add("Equal", rest, self.constant(term.place, np.int64))
        if column.flag is not None:
            found = self.add("And", found, self.add("Not", self._column(column.flag)))
        return self._double(found)

    def _factors(self) -> dict[str, tuple[str, ...]]:
        """For each product its factors, with those of a product among them in its place."""
        found: dict[str, tuple[str, ...]] = {}
        for term in self._encoding.terms:
            if isinstance(term, Product):
                found[term.names[0]] = tuple(name for factor in term.factors for name in found.get(factor, (factor,)))
        return found

    @functools.cached_property
    def _numbers(self) -> str:
        """All columns of numbers as doubles, NaN where they are null."""
        return self._stacked([self._as_number(self._inputs[name]) for name in self._places])

    @functools.cached_property
    def _positive(self) -> str:
        """The same with NaN where they are not above 0."""
        above = self.add("Greater", self._numbers, self.constant(0.0))
        return self.add("Where", above, self._numbers, self.constant(np.nan))

    def _as_number(self, column: Input) -> str:
        found = self._column(column.name)
        if column.kind is not Kind.DOUBLE:
            found = self._double(found)
        if column.flag is not None:
            found = self.add("Where", self._column(column.flag), self.constant(np.nan), found)
        return found

    def _first_known(self, numbers: str, lists: Sequence[Sequence[str]]) -> str:
        """For each list of columns the first that is not NaN, NaN where all are."""

        def column(place: int) -> str:
            return self._picked(numbers, [self._places[each[min(place, len(each) - 1)]] for each in lists])

        found = column(0)
        for place in range(1, max(len(each) for each in lists)):
            found = self._where_missing(found, column(place))
        return found

    def _where_missing(self, found: str, other: str) -> str:
        return self.add("Where", self.add("IsNaN", found), other, found)

    def _each(self, numbers: Iterable[float]) -> str:
        """A constant for each column."""
        return self.constant([[number] for number in numbers])

    def _picked(self, matrix: str, columns: Sequence[int]) -> str:
        return self.add("Gather", matrix, self.constant(columns, np.int64), axis=0)

    def _stacked(self, parts: Sequence[str]) -> str:
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=0)

    def _column(self, name: str) -> str:
        return self.add("Unsqueeze", name, self.constant([0], np.int64))

    def _double(self, found: str) -> str:
        return self.add("Cast", found, to=TensorProto.DOUBLE)

    def _flag(self, name: str) -> str:
        flag = self._inputs[name].flag
        assert flag is not None  # noqa: S101  a column that is asked for nulls, and has no NaN, has a flag
        return flag
