"""What a cell of Excel holds, as text: numbers as they are, dates and times as ISO 8601.

Put here what a cell's kind and the format of its number mean. Keep out where cells stand (``sheet``).

Source: ECMA-376 (Office Open XML), part 1, 18.17.4 (dates), 18.8.30 and 18.8.31 (formats), 18.18.11 (kinds).
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from mlops_assets.plumbing.sources.formats.sheet import refused

if TYPE_CHECKING:
    from mlops_assets.plumbing.sources.formats.sheet import Cell
    from mlops_assets.plumbing.sources.formats.workbook import Workbook

_EXACT: Final = 2**53
"""Below it every whole number is one of floating point, and so is what the cell shows."""
_PLAIN: Final = 15
_LONGEST: Final = 400
_WRITTEN: Final = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_TRUTHS: Final = {"1": "true", "true": "true", "0": "false", "false": "false"}
_HALF: Final = re.compile("[\ud800-\udfff]")
_MOMENT: Final = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2})?(?:(?:^|T)[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?"
)

_ASIDE: Final = re.compile(
    r'"[^"]*"|\\.|_.|\*.|\[(?!(?:h+|m+|s+)\])[^\]]*\]|e[+-]|(?<=[s\]])[.,]0+|am/pm|a/p', re.DOTALL
)
"""What of a format is no sign for a part of a number or date: literal texts, colours, exponents, fractions."""
_SPENT: Final = re.compile(r"\[(?:h+|m+|s+)\]")
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_LEAP: Final = 60
"""In the calendar from 1900 the number of 1900-02-29, a day that never was; from the next one on it is one ahead."""
_LAST_DAY: Final = dt.date(9999, 12, 31).toordinal()


class _Format(NamedTuple):
    """Which parts of a date or a number a format shows."""

    day: bool
    time: bool
    spent: bool
    number: bool


class CellText:
    """The text of a workbook's cells.

    Args:
        book: whose.
        source: how messages name the sheet.
    """

    def __init__(self, book: Workbook, source: str) -> None:
        self.source = source
        self._book = book
        self._formats = [_format(code) for code in book.formats]

    def of(self, cell: Cell) -> str:
        """The text of a cell.

        Raises:
            SourceError: it holds an error, or nothing of the kind that it says.
        """
        value = cell.value
        match cell.kind:
            case "n":
                return self._number(cell)
            case "str" | "inlineStr":
                return self._text(value, cell)
            case "s" if (place := value.strip()).isdecimal() and int(place[:10]) < len(self._book.texts):
                return self._text(self._book.texts[int(place)], cell)
            case "b" if value.strip() in _TRUTHS:
                return _TRUTHS[value.strip()]
            case "d":
                return self._iso(cell)
            case "e":
                raise self._refused(cell, "holds an error of Excel")
        raise self._refused(cell, "holds nothing of the kind that it says: it is no whole Excel workbook")

    def _text(self, value: str, cell: Cell) -> str:
        try:
            return value.encode("utf-16", "surrogatepass").decode("utf-16") if _HALF.search(value) else value
        except UnicodeError:
            raise self._refused(cell, "holds half a sign") from None

    def _number(self, cell: Cell) -> str:
        written = cell.value.strip()
        known = cell.style.isdecimal() and int(cell.style[:10]) < len(self._formats)
        if not known:
            raise self._refused(cell, "has a style that the workbook lacks: it is no whole Excel workbook")
        form = self._formats[int(cell.style)]
        if written.isascii() and written.isdigit() and len(written) <= _PLAIN and form is None:
            return written.lstrip("0") or "0"
        number = float(written) if len(written) <= _LONGEST and _WRITTEN.fullmatch(written) else float("inf")
        if abs(number) == float("inf"):
            raise self._refused(cell, "holds no number: it is no whole Excel workbook")
        if form is None:
            return _shown(number, written)
        if form.number:
            raise self._refused(cell, "is a number or a date, depending on its value, by its format")
        days, part = divmod(number, 1)
        # Excel's own precision; the rest is noise of floating point.
        passed = int(days) * _DAY_MS + round(part * _DAY_MS)
        return _spent(passed) if form.spent else self._date(passed, form, cell)

    def _date(self, passed: int, form: _Format, cell: Cell) -> str:
        days, rest = divmod(passed, _DAY_MS)
        old = self._book.from_1904
        if days == 0 and form.time and not (old and form.day):
            return _clock(rest).isoformat()
        first = dt.date(1904, 1, 1) if old else dt.date(1899, 12, 31 if days < _LEAP else 30)
        if days < (0 if old else 1) or (days == _LEAP and not old) or first.toordinal() + days > _LAST_DAY:
            raise self._refused(cell, "holds a date outside Excel's calendar")
        day = first + dt.timedelta(days=days)
        return dt.datetime.combine(day, _clock(rest)).isoformat() if rest else day.isoformat()

    def _iso(self, cell: Cell) -> str:
        """A moment that is written as one: as it stands, with its offset where it has one."""
        value = cell.value.strip()
        day, _, clock = value.partition("T")
        try:
            (dt.time if ":" in day else dt.datetime).fromisoformat(value)
            known = _MOMENT.fullmatch(value)
        except ValueError:
            known = None
        if known:
            return day if clock and not clock.strip("0:.") else value
        raise self._refused(cell, "holds no date or time as ISO 8601 writes it")

    def _refused(self, cell: Cell, culprit: str) -> Exception:
        return refused(f"its cell {cell.address} {culprit}", self.source)


def _clock(passed: int) -> dt.time:
    return dt.time(passed // _HOUR_MS, passed // 60_000 % 60, passed // 1_000 % 60, passed % 1_000 * 1_000)


def _spent(passed: int) -> str:
    hours, rest = divmod(abs(passed), _HOUR_MS)
    return f"{'-' if passed < 0 else ''}{hours:02}{_clock(rest).isoformat()[2:]}"


def _shown(number: float, written: str) -> str:
    """The shortest text of a number; where another program wrote more than its floating point holds, that."""
    sign_and_digits = _WRITTEN.fullmatch(written)
    if sign_and_digits and not sign_and_digits[3] and "." not in written:
        return str(int(written))
    digits = sign_and_digits[2].replace(".", "").strip("0") if sign_and_digits else ""
    if digits and Decimal(f"{number:.{len(digits) - 1}e}") != Decimal(written):
        return written
    return str(int(number)) if number.is_integer() and abs(number) < _EXACT else repr(number)


@lru_cache(maxsize=2**10)
def _format(code: str) -> _Format | None:
    """What the format of a number shows; none where it is no format of a date or time."""
    sections = [section.replace("general", "0") for section in _ASIDE.sub("", code.lower()).split(";")]
    day = time = number = False
    for section in sections:
        letters = set(section)
        is_number = bool(letters & set("0#?"))
        has_time = bool(letters & set("hs"))
        has_day = bool(letters & set("yd")) or ("m" in letters and not has_time)
        has_day = has_day or (not is_number and bool(letters & set("egb")))
        day, time, number = day or has_day, time or has_time, number or is_number
    spent = bool(_SPENT.search("".join(sections))) and not day
    return _Format(day=day, time=time, spent=spent, number=number) if day or time or spent else None
