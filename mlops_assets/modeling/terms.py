"""The terms of an encoding: what each makes of raw columns.

Put here the kinds of terms. Keep out how they are put together (``encoding``) and computed (``encoding_graph``), and
names of the domain's columns: a model's declaration holds them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Declared(BaseModel):
    """Part of a declaration: strict, unchangeable, without NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Number(Declared):
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


class Missing(Declared):
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


class OneOf(Declared):
    """A 0/1 feature for each class of a text column; a class that is not listed gives zeros only.

    Attributes:
        column: column of text; null, where the encoding takes it, is no class, be there one of empty text or not.
        classes: the classes, in the order of their features.
    """

    kind: Literal["one_of"] = "one_of"
    column: str
    classes: tuple[str, ...] = Field(min_length=1)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns read."""
        return (self.column,)

    @property
    def names(self) -> tuple[str, ...]:
        """Features given."""
        return tuple(f"{self.column}_is_{name}" for name in self.classes)


class Cycle(Declared):
    """1 where a whole number is at a given place of a cycle (a year that ends in 2: period 10, place 2), else 0.

    Attributes:
        column: column of whole numbers; null is at no place of the cycle.
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


class LogRatio(Declared):
    """Natural logarithm of one quantity over another; 0 where either side is unknown.

    Attributes:
        name: the feature's name.
        over: columns of the numerator, preferred first: the first known positive one counts.
        under: columns of the denominator, likewise.
    """

    kind: Literal["log_ratio"] = "log_ratio"
    name: str
    over: tuple[str, ...] = Field(min_length=1)
    under: tuple[str, ...] = Field(min_length=1)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns read."""
        return (*self.over, *self.under)

    @property
    def names(self) -> tuple[str, ...]:
        """Features given."""
        return (self.name,)


class FirstKnown(Declared):
    """The first known of several numbers.

    Attributes:
        name: the feature's name.
        of: columns of numbers, preferred first; null where unknown.
        fill: value where none is known.
    """

    kind: Literal["first_known"] = "first_known"
    name: str
    of: tuple[str, ...] = Field(min_length=1)
    fill: float

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns read."""
        return self.of

    @property
    def names(self) -> tuple[str, ...]:
        """Features given."""
        return (self.name,)


class Product(Declared):
    """The product of features given by terms before this one.

    Attributes:
        factors: names of those features.
    """

    kind: Literal["product"] = "product"
    factors: tuple[str, ...] = Field(min_length=2)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns read: none of its own."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """Features given."""
        return ("_x_".join(self.factors),)


Term = Annotated[Number | Missing | OneOf | Cycle | LogRatio | FirstKnown | Product, Field(discriminator="kind")]


class Anchor(Declared):
    """What the model's output is relative to: the score is ``anchor * exp(output)``, or ``anchor + output``.

    Attributes:
        columns: columns, preferred first: the first known positive one is the anchor.
        fill: the anchor where none is known.
        scale: whether the output is the logarithm of a ratio, or a difference.
    """

    columns: tuple[str, ...] = Field(min_length=1)
    fill: float = Field(gt=0)
    scale: Literal["log_ratio", "difference"] = "log_ratio"
