"""Times: labels of times in their order, and how far apart they lie, by one rule for a whole column.

Put here which texts are times, and the refusal of those that are none. Keep out what happened at them.

A column is read in the one way in which all of its labels are times of one granularity:

- numbers (``2019``, ``3``; also with one word that all labels share, ``wave 3``);
- years and quarters or halves: ``2019-Q4``, ``Q4 2019``, ``2019 H1``; weeks: ``2019-W07``;
- months: ``2020-01``, ``202001``, ``1/2020``, ``Jan 2020``, ``January 2020``;
- days: ``2020-01-31``, ``20200131``, ``31 Jan 2020``, ``January 31, 2020``; ``31/01/2020`` and ``01/31/20`` where the
  column's own values leave one reading;
- moments: a day and a time of day, all with a zone or none.

Labels that say the same time are one; the spelling that comes most often stands for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files.numbers import counted, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_assets.variance.arrays import Floats
    from mlops_assets.variance.files.opening import DayOrder

_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_SHORT: Final = {name[:3]: number for number, name in enumerate(_MONTHS, 1)} | {"sept": 9}
_NAMED: Final = {name: number for number, name in enumerate(_MONTHS, 1)} | _SHORT
_NAME: Final = rf"(?P<name>{'|'.join(sorted(_NAMED, key=len, reverse=True))})\.?"
_YEAR: Final = r"(?P<year>1[5-9]\d\d|20\d\d|21\d\d)"
_NUMBER: Final = re.compile(r"(?:(?P<word>[A-Za-z]+)[ _-]?(?=\d))?(?P<number>[+-]?\d+(?P<decimals>\.\d+)?)")
_MOMENT: Final = re.compile(
    r"(?P<day>\S.*?\d)(?:T| +)(?P<hour>[012]?\d):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d(?:[.,]\d{1,9})?))?"
    r"(?: ?(?P<half>[AP])M)? ?(?P<zone>Z|UTC|[+-][01]\d(?::?[0-5]\d)?)?",
    re.IGNORECASE,
)


def _any(*patterns: str) -> list[re.Pattern[str]]:
    return [re.compile(pattern, re.IGNORECASE) for pattern in patterns]


_COARSE: Final = _any(
    rf"{_YEAR}[ /-]?(?P<kind>[QHW])(?P<part>\d\d?)",
    rf"(?P<kind>[QH])(?P<part>\d)[ /-]?{_YEAR}",
    rf"(?P<part>\d)(?P<kind>[QH])[ /-]?{_YEAR}",
    rf"{_YEAR}[ /-](?P<part>\d\d?)",
    rf"{_YEAR}(?P<part>\d\d)",
    rf"(?P<part>\d\d?)[ /.-]{_YEAR}",
    rf"{_NAME}[ ,/-]*{_YEAR}",
    rf"{_YEAR}[ ,/-]*{_NAME}",
)
_FINE: Final = _any(
    rf"{_YEAR}(?P<by>[/.-])(?P<part>\d\d?)(?P=by)(?P<day>\d\d?)",
    rf"{_YEAR}(?P<part>\d\d)(?P<day>\d\d)",
    rf"(?P<day>\d\d?)[ -]{_NAME}[ ,-]*{_YEAR}",
    rf"{_NAME}[ -](?P<day>\d\d?),? *{_YEAR}",
)
_THREE: Final = re.compile(r"(\d\d?)(?P<by>[/.-])(\d\d?)(?P=by)(\d{4}|\d\d)")
_CENTURY: Final = 69
"""Two digits from here on are of the twentieth century (POSIX)."""

_PARTS: Final = {"Q": ("quarter", 3), "H": ("half-year", 6)}
_ORDERS: Final[dict[DayOrder, str]] = {"day-first": "day first", "month-first": "month first"}
_ANY_ORDER: Final = ("day first", "month first", "year first")
_BY_DIGITS: Final = ("number", "moment", "day", "month")
"""Where all labels can be several of these, the last one is meant: 202001 is a month."""

_SHORTEST: Final = 6
"""Letters of the shortest label that is more than a number: 1/2020."""

_NOON, _MIDNIGHT = 12, 24

_Way = tuple[str, str]
"""A granularity, and what stands first, or the word before numbers."""


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """How often a label occurs, and its first row, from 1."""

    count: int
    row: int


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Times in order.

    Attributes:
        labels: of each time, as it is spelled most often.
        elapsed: where each lies: numbers as they are, all others in days.
        place: of each spelling the place of its time.
    """

    labels: list[str]
    elapsed: Floats
    place: Mapping[str, int]


def timeline(spellings: Mapping[str, Spelling], *, column: str, source: str, dates: DayOrder | None = None) -> Timeline:
    """Put labels of times in order.

    Args:
        spellings: the labels that there are.
        column: which holds them, for messages.
        source: likewise.
        dates: what stands first in dates that can be read in two ways.

    Raises:
        ComparisonError: a label is no time, they are of several granularities, or can be read in two ways.
    """
    readings = {label: dict(_readings(label.strip())) for label in spellings}
    if not readings:
        return Timeline(labels=[], elapsed=np.zeros(0), place={})
    fault = _unread(readings, spellings)
    ways = set.intersection(*(set(own) for own in readings.values()))
    way = _chosen(ways, readings, dates)
    if fault is None and way is None:
        label = next(label for label, own in readings.items() if len({own[each] for each in ways}) > 1)
        fault = (
            f"{_told(label, spellings)} can be read in two ways, {' or '.join(sorted(first for _, first in ways))}, "
            "and no value of the column settles it. Say --dates day-first or --dates month-first, or write 2020-01-31."
        )
    if fault is not None or way is None:
        raise ComparisonError(f"column {column}: {fault}", source=source)
    found: dict[float, list[str]] = {}
    for label, own in readings.items():
        found.setdefault(own[way], []).append(label)
    order = sorted(found)
    return Timeline(
        labels=[min(found[at], key=lambda label: (-spellings[label].count, label)) for at in order],
        elapsed=np.array(order, dtype=np.float64),
        place={label: place for place, at in enumerate(order) for label in found[at]},
    )


def _chosen(ways: set[_Way], readings: Mapping[str, Mapping[_Way, float]], dates: DayOrder | None) -> _Way | None:
    """The way that is meant; ``None`` where several would say different times."""
    kind = max(
        (kind for kind, _ in ways),
        key=lambda kind: _BY_DIGITS.index(kind) if kind in _BY_DIGITS else len(kind),
        default="",
    )
    same = sorted(way for way in ways if way[0] == kind)
    if dates is not None and (kind, _ORDERS[dates]) in same:
        return kind, _ORDERS[dates]
    alike = all(len({own[way] for way in same}) == 1 for own in readings.values())
    return same[0] if same and alike else None


def _unread(readings: Mapping[str, Mapping[_Way, float]], spellings: Mapping[str, Spelling]) -> str | None:
    """Which label is no time, or which two are of different kinds."""
    first: str | None = None
    common: set[_Way] = set()
    for label, own in readings.items():
        if not own:
            return (
                f"{_told(label, spellings)} is no time that is known. Write times as 2020, 2020-Q1, 2020-01, "
                "2020-01-31 or numbers."
            )
        if first is None:
            first, common = label, set(own)
        elif not common & set(own):
            return (
                f"{_told(first, spellings)} is {_kinds(readings[first])}, {_told(label, spellings)} is {_kinds(own)}. "
                "Write all times of a column alike."
            )
        common &= set(own)
    return None


def _told(label: str, spellings: Mapping[str, Spelling]) -> str:
    spelling = spellings[label]
    often = f" and {counted(spelling.count - 1, 'other row')}" if spelling.count > 1 else ""
    return f"{shown(label)} in row {spelling.row:,}{often}"


def _kinds(own: Mapping[_Way, float]) -> str:
    firsts = {first for _, first in own if first}
    kinds = " or ".join(f"a {kind}" for kind in sorted({kind for kind, _ in own}))
    return f"{kinds} ({', '.join(sorted(firsts))})" if len(firsts) == 1 else kinds


def _readings(label: str) -> Iterator[tuple[_Way, float]]:
    """What a label may be, and where that lies."""
    if found := _NUMBER.fullmatch(label):
        word, decimals = (found["word"] or "").lower(), found["decimals"] or ".0"
        # 2020.10 is October to some, and the same number as 2020.1.
        if word not in _NAMED and (not decimals.endswith("0") or not decimals.strip(".0")):
            yield ("number", word), float(found["number"])
    if len(label) < _SHORTEST:
        return
    for pattern in _COARSE:
        if found := pattern.fullmatch(label):
            yield from _coarse(found.groupdict())
            break
    for way, day in _days(label):
        yield ("day", way), float(day)
    if ":" in label and (found := _MOMENT.fullmatch(label)):
        yield from _moments(found)


def _coarse(parts: Mapping[str, str | None]) -> Iterator[tuple[_Way, float]]:
    year = int(parts["year"] or 0)
    kind, part = (parts.get("kind") or "").upper(), _month(parts)
    try:
        if kind == "W":
            yield ("week", ""), float(date.fromisocalendar(year, part, 1).toordinal())
        elif kind:
            name, months = _PARTS[kind]
            yield (name, ""), float(date(year, (part - 1) * months + 1, 1).toordinal())
        else:
            yield ("month", ""), float(date(year, part, 1).toordinal())
    except ValueError:
        return


def _month(parts: Mapping[str, str | None]) -> int:
    name = parts.get("name")
    return _NAMED[name.lower()] if name else int(parts.get("part") or 0)


def _days(label: str) -> Iterator[tuple[str, int]]:
    """What stands first in a day, and the day as a number; three times the same where that is known."""
    for pattern in _FINE:
        if found := pattern.fullmatch(label):
            day = _ordinal(int(found["year"]), _month(found.groupdict()), int(found["day"]))
            yield from ((way, day) for way in _ANY_ORDER if day)
            return
    if found := _THREE.fullmatch(label):
        one, two, three = int(found[1]), int(found[3]), int(found[4])
        short = len(found[4]) == len("20")
        ends = _century(three) if short else three
        candidates = [(ends, two, one), (ends, one, two), (_century(one), two, three if short else 0)]
        for way, candidate in zip(_ANY_ORDER, candidates, strict=True):
            if day := _ordinal(*candidate):
                yield way, day


def _century(year: int) -> int:
    return year + (1900 if year >= _CENTURY else 2000)


def _ordinal(year: int, month: int, day: int) -> int:
    """The day as a number, 0 if there is no such day."""
    try:
        return date(year, month, day).toordinal()
    except ValueError:
        return 0


def _moments(found: re.Match[str]) -> Iterator[tuple[_Way, float]]:
    hour, zone = int(found["hour"]), found["zone"]
    if found["half"]:
        hour = hour % 12 + (12 if found["half"].upper() == "P" else 0) if 1 <= hour <= _NOON else _MIDNIGHT
    if hour >= _MIDNIGHT:
        return
    seconds = hour * 3600 + int(found["minute"]) * 60 + float((found["second"] or "0").replace(",", "."))
    if zone and zone[0] in "+-":
        away = int(zone[1:3]) * 3600 + int(zone[3:].lstrip(":") or 0) * 60
        seconds -= away if zone[0] == "+" else -away
    for way, day in _days(found["day"]):
        yield ("moment with a zone" if zone else "moment", way), day + seconds / 86400
