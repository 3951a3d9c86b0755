"""Values of columns: as a parameter's text, as JSON, and as SQLite holds them.

Put here what each kind of column takes, and how it is described to clients. Keep out which columns there are.
"""

from __future__ import annotations

import contextlib
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.platform.exports.manifest import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.platform.exports.manifest import Cell

LONGEST: Final = 1000
"""Characters of a text that rows are asked for by."""
_MOST: Final = 2**63
_MOST_ASKED: Final = 1e300
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,29})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_BOOLEANS: Final = {"true": 1, "false": 0}
_YEAR: Final = "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LEAP_YEAR: Final = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
_DAY: Final = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
_DATE: Final = f"({_YEAR}-({_DAY})|{_LEAP_YEAR}-02-29)"
_TIME: Final = _DATE + r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
INSTANT: Final = _TIME + "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
"""A time with its zone: what of RFC 3339 is taken, as no row holds leap seconds or parts of microseconds."""
_FORMS: Final = {Kind.DATE: re.compile(_DATE), Kind.LOCAL_TIME: re.compile(_TIME), Kind.INSTANT: re.compile(INSTANT)}
_TOLD: Final = {
    Kind.TEXT: "text",
    Kind.INTEGER: "a whole number",
    Kind.NUMBER: "a number",
    Kind.BOOLEAN: "true or false",
    Kind.DATE: "a date such as 2024-11-05",
    Kind.LOCAL_TIME: "a time such as 2024-11-05T12:00:00",
    Kind.INSTANT: "a time with its zone such as 2024-11-05T12:00:00Z",
    Kind.BYTES: "bytes, by which no rows are asked for",
}
SCHEMAS: Final[Mapping[Kind, Mapping[str, Any]]] = {
    Kind.TEXT: {"type": "string"},
    Kind.INTEGER: {"type": "integer", "format": "int64"},
    Kind.NUMBER: {"type": "number", "format": "double"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.LOCAL_TIME: {"type": "string", "pattern": f"^{_TIME}$"},
    Kind.INSTANT: {"type": "string", "format": "date-time"},
    Kind.BYTES: {"type": "string", "contentEncoding": "base64"},
}
"""How answers hold each kind, as JSON Schema."""
ASKED: Final[Mapping[Kind, Mapping[str, Any]]] = {
    **SCHEMAS,
    Kind.TEXT: {**SCHEMAS[Kind.TEXT], "maxLength": LONGEST},
    Kind.INTEGER: {**SCHEMAS[Kind.INTEGER], "minimum": -_MOST, "maximum": _MOST - 1},
    Kind.NUMBER: {**SCHEMAS[Kind.NUMBER], "minimum": -_MOST_ASKED, "maximum": _MOST_ASKED},
    Kind.DATE: {**SCHEMAS[Kind.DATE], "pattern": f"^{_DATE}$"},
    Kind.INSTANT: {**SCHEMAS[Kind.INSTANT], "pattern": f"^{INSTANT}$"},
}
"""What rows are asked for with by each kind, as JSON Schema: all of it is taken, and nothing else."""
EXAMPLES: Final[Mapping[Kind, Any]] = {
    Kind.TEXT: "a",
    Kind.INTEGER: 1,
    Kind.NUMBER: 0.5,
    Kind.BOOLEAN: True,
    Kind.DATE: "2024-11-05",
    Kind.LOCAL_TIME: "2024-11-05T12:00:00",
    Kind.INSTANT: "2024-11-05T12:00:00Z",
    Kind.BYTES: "YQ==",
}


class ValueUnfitError(ValueError):
    """A value is not of its column's kind; the text says what is, and is fit for the client."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(f"it is not {_TOLD[kind]}")


def from_text(kind: Kind, text: str) -> Cell:
    """The value that a parameter's text stands for.

    Raises:
        ValueUnfitError: it stands for none.
    """
    if kind is Kind.TEXT and len(text) <= LONGEST and _encodable(text):
        return text
    if kind is Kind.INTEGER and _INTEGER.fullmatch(text) and -_MOST <= int(text) < _MOST:
        return int(text)
    if kind is Kind.NUMBER and _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text) + 0.0
    if kind is Kind.BOOLEAN and text in _BOOLEANS:
        return _BOOLEANS[text]
    if kind in _FORMS and _FORMS[kind].fullmatch(text):
        return _moment(kind, text)
    raise ValueUnfitError(kind)


def from_json(kind: Kind, value: object) -> Cell:
    """The value that a JSON value stands for.

    Raises:
        ValueUnfitError: it is of another type, or stands for none.
    """
    if kind is Kind.BOOLEAN and isinstance(value, bool):
        return int(value)
    if isinstance(value, bool):
        raise ValueUnfitError(kind)
    if kind is Kind.INTEGER and isinstance(value, float) and value.is_integer() and abs(value) < _MOST:
        # In JSON Schema 3.0 is a whole number too.
        return int(value)
    if kind is Kind.INTEGER and isinstance(value, int) and -_MOST <= value < _MOST:
        return value
    if kind is Kind.NUMBER and isinstance(value, int | float):
        with contextlib.suppress(OverflowError):
            if math.isfinite(float(value)):
                return float(value) + 0.0
    if isinstance(value, str) and kind not in {Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN}:
        return from_text(kind, value)
    raise ValueUnfitError(kind)


def _moment(kind: Kind, text: str) -> str:
    """The text in the one form in which exports hold dates and times."""
    if kind is Kind.DATE:
        return text
    moment = datetime.fromisoformat(text)
    if kind is Kind.INSTANT:
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            # In UTC it is before the year 1 or after 9999, where no row can be.
            return text
    return moment.isoformat(timespec="microseconds")


def _encodable(text: str) -> bool:
    """Whether it has no lone surrogates, which no text of a table holds and SQLite does not take."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
