"""Forms: how a declaration says that text is written where it is neither ISO 8601 nor ``true/false``.

Put here which forms can be meant, and what text of one looks like. Keep out the value that it becomes (``text_rules``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.datatypes as dt

YEAR: Final = r"([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
"""Four digits; there was no year 0."""
OFFSET: Final = r"[+-]((0[0-9]|1[0-3])(:?[0-5][0-9])?|14(:?00)?)"
"""Of a zone, without ``Z``: at most 14 hours."""

_TWO: Final = r"[0-9]{2}"
_ONE_OR_TWO: Final = r"[0-9]{1,2}"
_WORD: Final = r"\pL+"
_DIRECTIVES: Final = {
    "%Y": ("year", YEAR),
    "%y": ("year", _TWO),
    "%m": ("month", _TWO),
    "%-m": ("month", _ONE_OR_TWO),
    "%b": ("month", _WORD),
    "%B": ("month", _WORD),
    "%d": ("day", _TWO),
    "%-d": ("day", _ONE_OR_TWO),
    "%j": ("day of the year", r"[0-9]{3}"),
    "%a": ("weekday", _WORD),
    "%A": ("weekday", _WORD),
    "%H": ("hour", _TWO),
    "%-H": ("hour", _ONE_OR_TWO),
    "%I": ("hour of half a day", _TWO),
    "%-I": ("hour of half a day", _ONE_OR_TWO),
    "%p": ("half of the day", "[AP]M"),
    "%M": ("minute", _TWO),
    "%S": ("second", _TWO),
    "%f": ("fraction", r"[0-9]{1,6}"),
    "%z": ("zone", OFFSET),
}
"""What each stands for, and what it looks like. Names of zones are left out: some moments have two in their zone."""
_PART: Final = re.compile(r"%-?.?", re.DOTALL)
_NUMBER: Final = re.compile(r"1(?P<thousands>[.,' ])?234(?:(?P<decimals>[.,])56)?")
_PERCENT: Final = "%%"
_DAYS: Final = ({"year", "month", "day"}, {"year", "day of the year"})
_OF_DAYS: Final = {"year", "month", "day", "day of the year", "weekday"}
_SEPARATOR: Final = "/"


def require_forms(forms: Mapping[str, str], kinds: Mapping[str, dt.DataType], source: str) -> None:
    """Refuse forms that say nothing of their column's type, or not enough.

    Args:
        forms: by column, as declared.
        kinds: the type of each of the contract's columns.
        source: how messages name the declaration.

    Raises:
        ContractError: a form is none of its column's type.
    """
    for column, form in forms.items():
        if column in kinds and (problem := _problem(form, kinds[column])):
            raise ContractError(
                source=source,
                culprit=f"the format {form!r} of {column} {problem}.",
                remedy="Dates and times have a strptime format (%d.%m.%Y), truths two words (yes/no), numbers that of "
                "1234.56 (1.234,56), and others none.",
            )


def words(form: str) -> tuple[str, str]:
    """The words for true and false, in lower case."""
    true, _, false = form.lower().partition(_SEPARATOR)
    return true, false


def separators(form: str) -> tuple[str, str] | None:
    """What stands between thousands, nothing where nothing may, and before decimals; ``None`` for no form of numbers.

    The form is 1234.56 as it is written there: ``1.234,56``, ``1 234,56``, ``1234,56``, ``1,234.56``; ``1.234`` where
    numbers are whole.
    """
    found = _NUMBER.fullmatch(form)
    if found is None or found["thousands"] == found["decimals"]:
        return None
    return found["thousands"] or "", found["decimals"] or ""


def mask(form: str) -> str:
    """A pattern of what text of a ``strptime`` form looks like: every part with as many digits as it should have."""
    pattern, end = "", 0
    for found in _PART.finditer(form):
        pattern += re.escape(form[end : found.start()])
        pattern += "%" if found[0] == _PERCENT else _DIRECTIVES[found[0]][1]
        end = found.end()
    return f"(?i:{pattern}{re.escape(form[end:])})"


def _problem(form: str, kind: dt.DataType) -> str | None:
    if kind.is_boolean():
        true, false = words(form)
        good = true and false and true != false and _SEPARATOR not in false
        return None if good else "is not two words with / between them"
    if kind.is_numeric():
        found = separators(form)
        good = found is not None and not (kind.is_integer() and found[1])
        return None if good else f"is not {1234 if kind.is_integer() else 1234.56} as it is written there"
    if not (kind.is_date() or kind.is_timestamp() or kind.is_time()):
        return f"is of no use, since it is of type {kind}"
    return _problem_of_time(form, kind)


def _problem_of_time(form: str, kind: dt.DataType) -> str | None:
    directives = [each for each in _PART.findall(form) if each != _PERCENT]
    if unknown := [each for each in directives if each not in _DIRECTIVES]:
        return f"has {unknown[0]}, which is none of {', '.join(_DIRECTIVES)}"
    parts = [_DIRECTIVES[each][0] for each in directives]
    if len(set(parts)) < len(parts):
        return "says a part twice"
    return _missing(set(parts), kind)


def _missing(parts: set[str], kind: dt.DataType) -> str | None:
    """What such a form lacks or has too much of."""
    if ("hour of half a day" in parts) != ("half of the day" in parts):
        return "has %I without %p, or %p without %I"
    if kind.is_time():
        fits = {"hour", "hour of half a day"} & parts and not (_OF_DAYS | {"zone"}) & parts
        return None if fits else "is not that of a time of day alone"
    if (parts & _OF_DAYS) - {"weekday"} not in _DAYS:
        return "does not say one day: it needs %Y, %m and %d, or %Y and %j"
    zoned = bool(getattr(kind, "timezone", None))
    if zoned and "zone" not in parts:
        return "has no %z, and the column's moments have a zone"
    if "zone" in parts and not zoned:
        return "has %z, and the column has no zone"
    return None
