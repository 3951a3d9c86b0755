"""What a model's file takes: named columns of a kind, and what a null is in each.

Put here the declaration of inputs, which travels with a model and is signed with it. Keep out how rows become tensors
(``feeds``) and the check of a file against it (``graph``).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import msgspec

from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Iterable

Value = str | int | float | bool | None
"""What a row holds for a column; ``None`` where it is unknown."""

LARGEST: Final = 3.4028234663852886e38
"""The largest number of a row: models compute in single precision behind their encoding."""


class FeatureError(PlatformError):
    """The rows to score do not hold what the model reads."""


class Kind(enum.StrEnum):
    """The kind of a column."""

    TEXT = "text"
    DOUBLE = "double"
    FLOAT = "float"
    INT64 = "int64"
    INT32 = "int32"
    BOOL = "bool"

    __hash__ = str.__hash__
    """That of an enumeration is a function of Python, which a row would pay for at each look-up."""

    @property
    def is_floating(self) -> bool:
        """Whether it has a NaN."""
        return self is Kind.DOUBLE or self is Kind.FLOAT


class Null(enum.StrEnum):
    """What becomes of a null."""

    REFUSED = "refused"
    NAN = "nan"
    """It is NaN: of floating kinds only."""
    FLAG = "flag"
    """The file has another input that says where the column is null, so that no value has to stand for it."""


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column that a model reads.

    Attributes:
        name: its name, which is that of the file's input.
        kind: what it holds.
        example: a value that it may have; of no row of any table.
        null: what becomes of a null.
    """

    name: str
    kind: Kind
    example: str | int | float | bool
    null: Null = Null.REFUSED

    def __post_init__(self) -> None:
        if not self.name or (self.null is Null.NAN and not self.kind.is_floating):
            raise ValueError(f"the input {self.name!r} of kind {self.kind} has no name, or cannot be NaN")

    @property
    def flag(self) -> str | None:
        """Name of the input of booleans that is true where the column is null; ``None`` without one."""
        return f"{self.name}_is_null" if self.null is Null.FLAG else None


def tensors(inputs: Iterable[Input]) -> dict[str, Input]:
    """The inputs of the file by name: the columns in their order, each followed by its flag where it has one.

    A column with a flag takes no null itself, as its flag says where it is.
    """
    found: dict[str, Input] = {}
    for column in inputs:
        if column.flag is None:
            found[column.name] = column
        else:
            found[column.name] = msgspec.structs.replace(column, null=Null.REFUSED)
            found[column.flag] = Input(name=column.flag, kind=Kind.BOOL, example=False)
    return found


def refused(name: str, what: str, remedy: str) -> FeatureError:
    """The refusal of a column: ``what`` it holds, and what to give instead. Never a value of a row."""
    return FeatureError(source=f"Rows to score, column {name}", culprit=f"it holds {what}.", remedy=remedy)
