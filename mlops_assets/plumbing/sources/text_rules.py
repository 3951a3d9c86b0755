"""How delivered text becomes a value of a contract's type: one rule for every kind of source.

Put here what a number, a time or a truth looks like as text. Keep out which columns there are (``layout``).

What could be read in two ways is refused: ``1,291`` (a thousand, or one and a bit), ``5.0`` for a whole number, a
moment without its zone. Nothing is rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlops_assets.platform.lake.catalog import literal, quote

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.datatypes as dt

_WHOLE: Final = r"[+-]?[0-9]+"
_NUMBER: Final = r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?"
_NON_FINITE: Final = r"[+-]?(nan|inf|infinity)"
_DAY: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MOMENT: Final = _DAY + r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?)?"
_ZONE: Final = r" ?(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_TRUTHS: Final = "true/false"
_SEPARATOR: Final = "/"


def parsed(column: str, kind: dt.DataType, *, sql_type: str, form: str | None, non_finite: bool) -> str:
    """SQL that gives the value of a column of text, NULL where it is not of that form.

    Args:
        column: its name.
        kind: the type that the contract asks for.
        sql_type: that type as DuckDB calls it.
        form: how the text is written: a ``strptime`` format of a date or time, ``yes/no`` of a truth; ISO 8601 and
            ``true/false`` where there is none.
        non_finite: whether ``NaN`` and infinities are numbers.
    """
    text = quote(column)
    if kind.is_string():
        return text
    if kind.is_boolean():
        true, _, false = (form or _TRUTHS).lower().partition(_SEPARATOR)
        return f"CASE lower({text}) WHEN {literal(true)} THEN true WHEN {literal(false)} THEN false END"
    if form is not None:
        return f"try_strptime({text}, {literal(form)})::{sql_type}"
    pattern = _pattern(kind, non_finite=non_finite)
    matches = f"regexp_full_match({text}, {literal(pattern)})" if pattern else "true"
    return f"CASE WHEN {matches} THEN TRY_CAST({text} AS {sql_type}) END"


def described(kind: dt.DataType, form: str | None) -> str:
    """What that text should be, for messages."""
    if form is not None:
        return f"written as {form}"
    zone = "+00:00" if getattr(kind, "timezone", None) else ""
    for is_so, text in _DESCRIBED:
        if is_so(kind):
            return text.format(zone=zone)
    return f"of type {kind}"


_DESCRIBED: Final[tuple[tuple[Callable[[dt.DataType], bool], str], ...]] = (
    (lambda kind: kind.is_boolean(), "true or false"),
    (lambda kind: kind.is_date(), "a date (2024-01-31)"),
    (lambda kind: kind.is_timestamp(), "a moment (2024-01-31T12:00:00{zone})"),
    (lambda kind: kind.is_integer(), "a whole number that its type can hold"),
    (lambda kind: kind.is_numeric(), "a number with at most a decimal point"),
)


def _pattern(kind: dt.DataType, *, non_finite: bool) -> str | None:
    """What text of that type looks like; ``None`` where the engine's own rule is strict."""
    if kind.is_date():
        return _DAY
    if kind.is_timestamp():
        return _MOMENT + _ZONE if getattr(kind, "timezone", None) else _MOMENT
    if kind.is_integer():
        return _WHOLE
    if kind.is_decimal():
        return f"{_WHOLE}([.][0-9]{{0,{getattr(kind, 'scale', None) or 0}}}0*)?"
    if kind.is_floating():
        return f"(?i:{_NUMBER}|{_NON_FINITE})" if non_finite else _NUMBER
    return None
