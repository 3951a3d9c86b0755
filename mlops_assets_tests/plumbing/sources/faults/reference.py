"""A second reading of the same text, by the rules of docs/sources.md, in plain Python: what the product's is judged by.

Put here what text means. Keep out the product's own parsers: a fault of theirs would be one of the judge's.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from mlops_assets_tests.plumbing.sources.faults.visits import KINDS, MONTH, NAMES, Texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Row = tuple[Any, ...]

_FLOAT: Final = re.compile(r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]+")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+([.][0-9]{0,2}0*)?")
_DAY: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CLOCK: Final = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.]([0-9]*))?)?")
_OFFSET: Final = re.compile(r" ?(?:(Z)|([+-])([0-9]{2})(?::?([0-9]{2}))?)$")
_RANGES: Final = {"visit": 2**63, "small": 2**15}
_MOST_DIGITS: Final = 17
_MOST_WHOLE: Final = 10**10
_FRACTION: Final = 6


class RefusedError(Exception):
    """There is nothing that this text can be."""


def value(name: str, text: str | None) -> Any:  # noqa: ANN401  of any type
    """The value of a column's text.

    Raises:
        RefusedError: it has none.
    """
    if text is None or name == "who":
        return text
    if not text:
        return None
    try:
        return _READ[name](name, text)
    except (ValueError, OverflowError) as error:
        raise RefusedError(name) from error


def _integer(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text) or not -_RANGES[name] <= int(text) < _RANGES[name]:
        raise RefusedError(name)
    return int(text)


def _float(name: str, text: str) -> float:
    digits = re.sub(r"[eE].*|[^0-9]", "", text).strip("0")
    found = float(text) if _FLOAT.fullmatch(text) else float("nan")
    lost = _WHOLE.fullmatch(text) and len(digits) > _MOST_DIGITS - 2 and int(found) != int(text)
    if found != found or abs(found) == float("inf") or len(digits) > _MOST_DIGITS or (not found and digits) or lost:  # noqa: PLR0124
        raise RefusedError(name)
    return found


def _decimal(name: str, text: str) -> Decimal:
    found = Decimal(text) if _DECIMAL.fullmatch(text) else Decimal(_MOST_WHOLE)
    if abs(found) >= _MOST_WHOLE:
        raise RefusedError(name)
    return found.quantize(Decimal("0.01"))


def _truth(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise RefusedError(name)
    return text.lower() == "true"


def _day(name: str, text: str) -> dt.date:
    found = _DAY.fullmatch(text)
    if not found or not text.isascii():
        raise RefusedError(name)
    return dt.date(*map(int, found.groups()))


def _moment(name: str, text: str) -> dt.datetime:
    zone = None
    if name == "seen":
        offset = _OFFSET.search(text)
        text = text[: offset.start()] if offset else ""
        # A day alone is in no zone.
        if not offset or len(text) <= len("2024-01-01"):
            raise RefusedError(name)
        minutes = 0 if offset[1] else int(offset[3]) * 60 + int(offset[4] or 0)
        zone = dt.timezone(dt.timedelta(minutes=minutes if offset[2] == "+" else -minutes))
    day, clock = text[:10], text[11:]
    found = _CLOCK.fullmatch(clock) if clock else None
    if (clock and (not found or text[10] not in "T ")) or (len(text) == len("2024-01-01T") and not clock):
        raise RefusedError(name)
    hour, minute, second, fraction = found.groups() if found else ("0", "0", "0", "")
    if (fraction or "")[_FRACTION:].strip("0"):
        raise RefusedError(name)
    time = dt.time(int(hour), int(minute), int(second or 0), int((fraction or "0")[:_FRACTION].ljust(_FRACTION, "0")))
    moment = dt.datetime.combine(_day(name, day), time)
    return moment.replace(tzinfo=zone).astimezone(dt.UTC) if zone else moment


_READ: Final[Mapping[str, Any]] = {
    "visit": _integer, "small": _integer, "amount": _float, "price": _decimal, "paid": _truth, "day": _day,
    "at": _moment, "seen": _moment,
}  # fmt: skip


def typed(given: Sequence[Texts], month: str = MONTH) -> list[Row]:
    """Rows in the contract's types: the partition, then its columns in their order.

    Raises:
        RefusedError: they are none of the table's.
    """
    if not given:
        return []
    names = {name for each in given for name in each}
    if names - {*NAMES, "month"} or {*NAMES} - names:
        raise RefusedError("columns")
    if any(each.get("month", month) != month for each in given):
        raise RefusedError("month")
    return [(month, *(value(name, each.get(name)) for name in KINDS)) for each in given]


def decoded(content: bytes, encoding: str) -> str:
    """Plain text with LF.

    Raises:
        RefusedError: it is not of that encoding.
    """
    try:
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8" if encoding == "utf-8" else encoding)
    except UnicodeError as error:
        raise RefusedError("encoding") from error
    if "\0" in text:
        raise RefusedError("NUL")
    # A second mark at the beginning, and a CR that is all of a line, are left out.
    return re.sub(r"(?<=\n)\r(?=[^\n]|$)", "\n", text.replace("\r\n", "\n")).removeprefix("\ufeff")


def delimited(
    content: bytes, *, delimiter: str, quote: str, encoding: str, names: Sequence[str] | None, proven: bool
) -> list[Texts]:
    """The rows of delimited text.

    Raises:
        RefusedError: it cannot be read, or may be cut off.
    """
    text = decoded(content, encoding)
    if text and not text.endswith("\n") and not proven:
        raise RefusedError("end")
    lines = list(_lines(text, delimiter, quote))
    if names is None:
        if not lines:
            raise RefusedError("header")
        names = [name or "" for name in lines.pop(0)]
        if "" in names or len({name.casefold() for name in names}) < len(names):
            raise RefusedError("header")
    found = []
    for fields in lines:
        if fields == [None] and len(names) > 1:
            continue
        while len(fields) > len(names) and fields[-1] is None:
            fields.pop()
        if len(fields) != len(names):
            raise RefusedError("fields")
        found.append(dict(zip(names, fields, strict=True)))
    if {*names} - {*NAMES, "month"} or {*NAMES} - {*names}:
        raise RefusedError("columns")
    return found


def _lines(text: str, delimiter: str, quote: str) -> Iterator[list[str | None]]:
    place, fields = 0, []
    while place < len(text):
        # A CR alone that follows a delimiter is the end of a line to the engine.
        ends = text[place] == "\r" and text[place - 1 : place] == delimiter
        field, place = (None, place) if ends else _field(text, place, delimiter, quote)
        fields.append(field)
        if place >= len(text) or text[place] in {"\n", "\r"}:
            yield fields
            fields = []
        elif place + 1 == len(text):
            # A delimiter is the last sign of all.
            yield [*fields, None]
        place += 1


def _field(text: str, place: int, delimiter: str, quote: str) -> tuple[str | None, int]:
    first = place
    while quote and text[first : first + 1] == " ":
        first += 1
    if not quote or text[first : first + 1] != quote:
        end = place
        while end < len(text) and text[end] not in {delimiter, "\n"}:
            end += 1
        field = text[place:end]
        # A quotation mark amid a field that does not begin with one is a sign as any.
        if "\r" in field:
            raise RefusedError("quote")
        return field or None, end
    parts, at = [], first + 1
    while True:
        end = text.find(quote, at)
        if end < 0:
            raise RefusedError("quote")
        parts.append(text[at:end])
        if text[end + 1 : end + 2] != quote:
            break
        parts.append(quote)
        at = end + 2
    end += 1
    while text[end : end + 1] == " ":
        end += 1
    if end < len(text) and text[end] not in {delimiter, "\n"}:
        raise RefusedError("quote")
    return "".join(parts), end


def fixed_width(content: bytes, fields: Mapping[str, tuple[int, int]], encoding: str, *, proven: bool) -> list[Texts]:
    """The rows of text at fixed places.

    Raises:
        RefusedError: it cannot be read, or may be cut off.
    """
    text = decoded(content, encoding)
    if text and not text.endswith("\n") and not proven:
        raise RefusedError("end")
    if "\r" in text:
        raise RefusedError("CR")
    most = max(start + width for start, width in fields.values()) - 1
    least = max(1, max(start for start, _ in fields.values()) - 1)
    found = []
    for line in text.removesuffix("\n").split("\n") if text else []:
        if len(line) < least or len(line.rstrip(" ")) > most:
            raise RefusedError("width")
        cut = {name: line[start - 1 : start - 1 + width].strip(" ") for name, (start, width) in fields.items()}
        found.append({name: text or None for name, text in cut.items()})
    return found


def as_shown(found: Any) -> Any:  # noqa: ANN401  of any type
    """A value as DuckDB shows it in the test of text: moments in microseconds since 1970, days as text."""
    if isinstance(found, dt.datetime):
        return (found.replace(tzinfo=found.tzinfo or dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(
            microseconds=1
        )
    return found.isoformat() if isinstance(found, dt.date) else found
