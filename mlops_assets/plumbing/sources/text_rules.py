"""How delivered text becomes a value of a contract's type: one rule for every kind of source.

Put here what a number, a time or a truth looks like as text. Keep out which columns there are (``layout``) and which
formats a declaration may name (``text_forms``).

What could be read in two ways is refused: ``1,291`` (a thousand, or one and a bit), ``5.0`` for a whole number, a
moment without its zone. Nothing is rounded, but for the last bit of a floating-point number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.plumbing.sources.text_forms import OFFSET, YEAR, mask, separators, words

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.datatypes as dt

_WHOLE: Final = r"[+-]?[0-9]+"
_PLAIN: Final = r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)"
_NUMBER: Final = _PLAIN + "([eE][+-]?[0-9]+)?"
_NON_FINITE: Final = r"(?i:[+-]?(nan|inf|infinity))"
_DAY: Final = YEAR + r"-[0-9]{2}-[0-9]{2}"
_CLOCK: Final = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{0,%d}0{0,3})?)?"
_ZONE: Final = rf" ?(Z|{OFFSET})"
_SPACES: Final = "[ \u00a0\u202f]"
"""A space between thousands is often one that does not break."""
_MICROSECONDS: Final = 6
_TRUTHS: Final = "true/false"
_DIGITS_64: Final = (15, 17)
_DIGITS_32: Final = (6, 9)
"""How many significant digits a floating-point number always keeps, and how many tell all of them apart."""


def parsed(
    column: str, kind: dt.DataType, *, sql_type: str, form: str | None, non_finite: bool, typed: bool = False
) -> str:
    """SQL that gives the value of a column of text, NULL where it is not of that form.

    Args:
        column: its name.
        kind: the type that the contract asks for.
        sql_type: that type as DuckDB calls it.
        form: how the text is written: a ``strptime`` format of a date or time, ``yes/no`` of a truth, ``1.234,56`` of a
            number; ISO 8601, ``true/false`` and ``1234.56`` where there is none.
        non_finite: whether ``NaN`` and infinities are numbers.
        typed: whether the source has numbers of its own beside text, so that ``1.234`` may be one of them.
    """
    text = quote(column)
    if kind.is_string():
        return text
    if kind.is_boolean():
        true, false = words(form or _TRUTHS)
        return f"CASE lower({text}) WHEN {literal(true)} THEN true WHEN {literal(false)} THEN false END"
    if form is None:
        return _plain(text, kind, sql_type, non_finite=non_finite)
    if (between := separators(form)) is None:
        return _by_form(text, kind, sql_type, form)
    pattern, plain = _separated(text, *between, typed=typed)
    return f"CASE WHEN {_matches(text, pattern)} THEN {_plain(plain, kind, sql_type, non_finite=non_finite)} END"


def described(kind: dt.DataType, form: str | None) -> str:
    """What that text should be, for messages."""
    if form is not None:
        parts = ", each part with all its digits" if kind.is_temporal() else ""
        return f"written as {form}{parts}" + (f", and of type {kind}" if kind.is_numeric() else "")
    zone = "+00:00" if getattr(kind, "timezone", None) else ""
    for is_so, text in _DESCRIBED:
        if is_so(kind):
            return text.format(zone=zone, kind=kind)
    return f"of type {kind}"


_DESCRIBED: Final[tuple[tuple[Callable[[dt.DataType], bool], str], ...]] = (
    (lambda kind: kind.is_boolean(), "true or false"),
    (lambda kind: kind.is_date(), "a date (2024-01-31)"),
    (
        lambda kind: kind.is_timestamp() and kind.timezone is None,
        "a moment without a zone (2024-01-31T12:00:00) that its type can hold; with one that is Timestamp('UTC')",
    ),
    (lambda kind: kind.is_timestamp(), "a moment (2024-01-31T12:00:00{zone}) that its type can hold"),
    (lambda kind: kind.is_time(), "a time of day (12:00:00)"),
    (lambda kind: kind.is_integer(), "a whole number that its type ({kind}) can hold"),
    (lambda kind: kind.is_numeric(), "a number with at most a decimal point, that its type ({kind}) can hold"),
)


def _matches(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, {literal(pattern)})"


def _plain(text: str, kind: dt.DataType, sql_type: str, *, non_finite: bool) -> str:
    """The value of an SQL text that is written as everywhere."""
    value = f"TRY_CAST({text} AS {sql_type})"
    if kind.is_floating():
        return _floating(text, value, kind, non_finite=non_finite)
    pattern = _pattern(kind)
    return f"CASE WHEN {_matches(text, pattern)} THEN {value} END" if pattern else value


def _separated(text: str, thousands: str, decimals: str, *, typed: bool) -> tuple[str, str]:
    """What a number with those signs looks like, and SQL of it without them: in groups of three digits, or in none."""
    between = _SPACES if thousands == " " else f"[{thousands}]"
    behind = f"[{decimals}][0-9]+" if decimals else ""
    ways = [f"[0-9]+({behind})?" if behind else "[0-9]+"]
    if thousands:
        group = rf"[1-9][0-9]{{0,2}}({between}[0-9]{{3}})"
        # A point alone between digits is that of a number of the source's own.
        alone = typed and thousands == "."
        ways += [f"{group}{{2,}}", *([f"{group}+{behind}"] if behind else [])] if alone else [f"{group}+({behind})?"]
    pattern = f"[+-]?({'|'.join(ways)})"
    plain = f"regexp_replace({text}, {literal(between)}, '', 'g')" if thousands else text
    return pattern, f"replace({plain}, {literal(decimals)}, '.')" if decimals else plain


def _by_form(text: str, kind: dt.DataType, sql_type: str, form: str) -> str:
    found = f"try_strptime({text}, {literal(form)})"
    value = f"TRY_CAST({found} AS {sql_type})"
    kept = "" if kind.is_time() or getattr(kind, "timezone", None) else f" AND CAST({value} AS TIMESTAMP) = {found}"
    return f"CASE WHEN {_matches(text, mask(form))}{kept} THEN {value} END"


def _floating(text: str, value: str, kind: dt.DataType, *, non_finite: bool) -> str:
    """Finite, not zero unless its text is, and the same number, if a whole one has more digits than are always kept."""
    always, most = _DIGITS_64 if kind.is_float64() else _DIGITS_32
    digits = f"trim(regexp_replace({text}, '[eE].*|[^0-9]', '', 'g'), '0')"
    same = f"TRY_CAST({value} AS HUGEINT) = TRY_CAST({text} AS HUGEINT)"
    other = f"CASE WHEN {_matches(text, _NON_FINITE)} THEN {value} END" if non_finite else "NULL"
    kept = (
        f"isfinite({value}) AND ({value} <> 0 OR {digits} = '') AND (length({digits}) <= {always} OR "
        f"(length({digits}) <= {most} AND (NOT {_matches(text, _WHOLE)} OR {same})))"
    )
    # Most text is short and without exponent, so that nothing can be lost: the first branch spares it the rest.
    return (
        f"CASE WHEN length({text}) <= {always} AND {_matches(text, _PLAIN)} THEN {value} "
        f"WHEN NOT {_matches(text, _NUMBER)} THEN {other} WHEN {kept} THEN {value} END"
    )


def _pattern(kind: dt.DataType) -> str | None:
    """What text of that type looks like; ``None`` where the engine's own rule is strict."""
    if kind.is_date():
        return _DAY
    if kind.is_time():
        return _CLOCK % _MICROSECONDS
    if kind.is_timestamp():
        scale = getattr(kind, "scale", None)
        clock = _CLOCK % (_MICROSECONDS if scale is None else scale)
        return f"{_DAY}([T ]{clock})?" + (_ZONE if getattr(kind, "timezone", None) else "")
    if kind.is_integer():
        return _WHOLE
    if kind.is_decimal():
        return f"{_WHOLE}([.][0-9]{{0,{getattr(kind, 'scale', None) or 0}}}0*)?"
    return None
