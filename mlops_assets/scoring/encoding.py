"""How raw columns become the numbers that a model reads: a declaration that travels with the model as JSON.

Put here the kinds of terms and their one implementation, used in training and in scoring alike. Keep out names of the
domain's columns: a model's declaration holds them.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]


class FeatureError(PlatformError):
    """The rows to score do not hold what the model reads."""


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Number(_Declared):
    """A number, and how far it lies above each knot (a linear spline).

    Attributes:
        column: column of numbers; null where unknown.
        fill: value that stands for a null, such as the mean of the training rows.
        knots: places at which the slope may change.
    """

    kind: Literal["number"] = "number"
    column: str
    fill: float
    knots: tuple[float, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns read."""
        return (self.column,)

    @property
    def names(self) -> tuple[str, ...]:
        """Features given."""
        return (self.column, *(f"{self.column}_above_{knot:g}" for knot in self.knots))


class Missing(_Declared):
    """1 where a column is null, else 0.

    Attributes:
        column: any column.
    """

    kind: Literal["missing"] = "missing"
    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns read."""
        return (self.column,)

    @property
    def names(self) -> tuple[str, ...]:
        """Features given."""
        return (f"{self.column}_missing",)


class OneOf(_Declared):
    """A 0/1 feature for each class of a text column; a class that is not listed gives zeros only.

    Attributes:
        column: column of text without nulls.
        classes: the classes, in the order of their features.
    """

    kind: Literal["one_of"] = "one_of"
    column: str
    classes: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns read."""
        return (self.column,)

    @property
    def names(self) -> tuple[str, ...]:
        """Features given."""
        return tuple(f"{self.column}_is_{name}" for name in self.classes)


class Cycle(_Declared):
    """1 where a whole number is at a given place of a cycle (a year that ends in 2: period 10, place 2), else 0.

    Attributes:
        column: column of whole numbers, or of text that holds them, without nulls.
        period: length of the cycle.
        place: the remainder at which the feature is 1.
    """

    kind: Literal["cycle"] = "cycle"
    column: str
    period: int = Field(gt=1)
    place: int = Field(ge=0)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns read."""
        return (self.column,)

    @property
    def names(self) -> tuple[str, ...]:
        """Features given."""
        return (f"{self.column}_mod_{self.period}_is_{self.place}",)


class LogRatio(_Declared):
    """Natural logarithm of one quantity over another; 0 where either side is unknown.

    Attributes:
        name: the feature's name.
        over: columns of the numerator, preferred first: the first known positive one counts.
        under: columns of the denominator, likewise.
    """

    kind: Literal["log_ratio"] = "log_ratio"
    name: str
    over: tuple[str, ...]
    under: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns read."""
        return (*self.over, *self.under)

    @property
    def names(self) -> tuple[str, ...]:
        """Features given."""
        return (self.name,)


class FirstKnown(_Declared):
    """The first known of several numbers.

    Attributes:
        name: the feature's name.
        of: columns of numbers, preferred first; null where unknown.
        fill: value where none is known.
    """

    kind: Literal["first_known"] = "first_known"
    name: str
    of: tuple[str, ...]
    fill: float

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns read."""
        return self.of

    @property
    def names(self) -> tuple[str, ...]:
        """Features given."""
        return (self.name,)


class Product(_Declared):
    """The product of features given by terms before this one.

    Attributes:
        factors: names of those features.
    """

    kind: Literal["product"] = "product"
    factors: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns read: none of its own."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """Features given."""
        return ("_x_".join(self.factors),)


Term = Annotated[Number | Missing | OneOf | Cycle | LogRatio | FirstKnown | Product, Field(discriminator="kind")]


class Anchor(_Declared):
    """What the model's output is relative to: the score is ``anchor * exp(output)``, or ``anchor + output``.

    Attributes:
        columns: columns, preferred first: the first known positive one is the anchor.
        fill: the anchor where none is known.
        scale: whether the output is the logarithm of a ratio, or a difference.
    """

    columns: tuple[str, ...]
    fill: float = Field(gt=0)
    scale: Literal["log_ratio", "difference"] = "log_ratio"


class Encoding(_Declared):
    """The whole way from raw columns to a model's input, and from its output to the score.

    Attributes:
        terms: the terms, in the order of the model's input.
        anchor: what the output is relative to; ``None`` where the output is the score.
        limits: the least and the greatest score there can be, such as 0 and 1 of a share; ``None`` without.
    """

    terms: tuple[Term, ...]
    anchor: Anchor | None = None
    limits: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _refuse_unclear_names(self) -> Self:
        seen: set[str] = set()
        for term in self.terms:
            if isinstance(term, Product) and (unknown := set(term.factors) - seen):
                msg = f"the product {term.names[0]} has factors that no term before it gives: {sorted(unknown)}"
                raise ValueError(msg)
            if repeated := seen.intersection(term.names):
                msg = f"features are given twice: {sorted(repeated)}"
                raise ValueError(msg)
            seen.update(term.names)
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

    def matrix(self, table: pa.Table) -> Numbers:
        """Encode raw rows.

        Args:
            table: exactly the columns of :attr:`columns`, in any order; numbers may be null, not NaN or infinite.

        Returns:
            One row per row of the table, one column per feature, float64 and finite.

        Raises:
            FeatureError: columns are missing or unknown, or hold something else than declared.
        """
        self._check_columns(table)
        features: dict[str, Numbers] = {}
        for term in self.terms:
            features.update(zip(term.names, _encode(term, table, features), strict=True))
        if not features:
            return np.empty((table.num_rows, 0))
        return np.column_stack([features[name] for name in self.feature_names])

    def anchors(self, table: pa.Table) -> Numbers | None:
        """The anchor of each row, or ``None`` where the encoding declares none.

        Raises:
            FeatureError: a column is missing, or holds something else than numbers.
        """
        if self.anchor is None:
            return None
        self._check_columns(table)
        found = _first_positive(table, self.anchor.columns)
        return np.where(np.isnan(found), self.anchor.fill, found)

    def score(self, table: pa.Table, output: Numbers) -> Numbers:
        """The score of raw rows for which the model gave that output.

        Args:
            table: as :meth:`matrix` takes it.
            output: one number per row.

        Returns:
            One number per row: the output taken from its anchor, if there is one, and within the limits.

        Raises:
            FeatureError: a column of the anchor is missing, or holds something else than numbers.
        """
        anchors = self.anchors(table)
        if anchors is None or self.anchor is None:
            scores = output
        else:
            scores = anchors * np.exp(output) if self.anchor.scale == "log_ratio" else anchors + output
        return scores if self.limits is None else np.clip(scores, *self.limits)

    def _check_columns(self, table: pa.Table) -> None:
        given = table.column_names
        missing, unknown = sorted(set(self.columns) - set(given)), sorted(set(given) - set(self.columns))
        if missing or unknown or len(set(given)) != len(given):
            raise FeatureError(
                source="Rows to score",
                culprit=f"the columns do not fit the model (missing: {', '.join(missing) or 'none'}; unknown: "
                f"{', '.join(unknown) or 'none'}; {len(given)} given).",
                remedy=f"Give exactly these, each once: {', '.join(self.columns)}.",
            )


def _encode(  # noqa: PLR0911  one answer for each kind of term
    term: Term, table: pa.Table, features: Mapping[str, Numbers]
) -> list[Numbers]:
    """The term's features, one array each, in the order of its names."""
    match term:
        case Number():
            found = _numbers(table, term.column)
            values = np.where(np.isnan(found), term.fill, found)
            return [values, *(np.maximum(values - knot, 0.0) for knot in term.knots)]
        case Missing():
            return [_array(table, term.column, lambda column: pc.is_null(column).cast(pa.float64()))]
        case OneOf():
            column = _texts(table, term.column)
            return [(column == name).astype(np.float64) for name in term.classes]
        case Cycle():
            return [(_whole(table, term.column) % term.period == term.place).astype(np.float64)]
        case LogRatio():
            over, under = _first_positive(table, term.over), _first_positive(table, term.under)
            ratio = np.log(over) - np.log(under)
            return [np.where(np.isnan(ratio), 0.0, ratio)]
        case FirstKnown():
            columns = [*(_numbers(table, name) for name in term.of), np.full(table.num_rows, term.fill)]
            return [functools.reduce(lambda known, other: np.where(np.isnan(known), other, known), columns)]
        case Product():
            return [np.prod([features[name] for name in term.factors], axis=0)]


def _array(table: pa.Table, name: str, cast: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> Numbers:
    values: Numbers = cast(table.column(name)).to_numpy().astype(np.float64)
    return values


def _numbers(table: pa.Table, name: str) -> Numbers:
    """The column as float64, NaN where it is null."""
    column = table.column(name)
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        if pa.types.is_null(kind):
            return np.full(len(column), math.nan)
        raise _wrong(name, f"{kind} instead of numbers", "Give whole or floating numbers, null where unknown.")
    known = pc.drop_null(column).cast(pa.float64()).to_numpy()
    if not np.isfinite(known).all():
        raise _wrong(
            name, f"{int((~np.isfinite(known)).sum())} NaN or infinite values", "Give null where a value is unknown."
        )
    return _array(table, name, lambda values: values.cast(pa.float64()))


def _texts(table: pa.Table, name: str) -> npt.NDArray[np.object_]:
    column = table.column(name)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)) or column.null_count:
        raise _wrong(name, f"{column.type} with {column.null_count} nulls", "Give text without nulls.")
    texts: npt.NDArray[np.object_] = column.to_numpy()
    return texts


def _whole(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    column = table.column(name)
    try:
        whole: npt.NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        whole = np.empty(0, dtype=np.int64)
    if column.null_count or len(whole) != len(column):
        raise _wrong(name, f"{column.type} that is not all whole numbers", "Give whole numbers without nulls.")
    return whole


def _first_positive(table: pa.Table, names: tuple[str, ...]) -> Numbers:
    """The first known positive value of each row, NaN where there is none."""
    found = np.full(table.num_rows, math.nan)
    for name in names:
        values = _numbers(table, name)
        found = np.where(np.isnan(found) & (values > 0), values, found)
    return found


def _wrong(name: str, what: str, remedy: str) -> FeatureError:
    return FeatureError(source=f"Rows to score, column {name}", culprit=f"it holds {what}.", remedy=remedy)
