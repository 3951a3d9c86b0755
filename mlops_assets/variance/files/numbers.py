"""Numbers: what counts as one, by one rule for a whole column on every side of a comparison.

Put here which texts are numbers, and the refusal of those that are none. Keep out columns that stay text.

A column is read in the one way in which all of its values are numbers:

- ``1234.5``, ``-.5``, ``1.00E+03``; a decimal comma (``1234,5``) where the column has no other reading;
- between thousands a comma, point, space or apostrophe, in groups of three digits, where at least one value tells it
  from decimals (``1,234.50``, ``1,234,567``): ``1,291`` alone can be read in two ways, and is refused;
- a percent sign or one sign of a currency, if every value bears it; ``12%`` is 0.12;
- blank, ``NA``, ``N/A``, ``NaN``, ``NULL``, ``None``, ``.`` and ``-`` are missing.

Everything else is refused with its row. Nothing is dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files.delimited import quoted
from mlops_assets.variance.files.opening import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.variance.files.opening import Decimal, Opened

_SPACES: Final = " \u00a0\u202f"
_APOSTROPHES: Final = "'\u2019"
_MINUS: Final = "\u2212"
_CURRENCIES: Final = "$€£¥₹₩₽₺₪"
MISSING: Final = frozenset({"", "na", "n/a", "nan", "null", "none", ".", "-"})
_AFFIXED: Final = re.compile(
    rf"(?P<sign>[+-]?)(?P<before>[{_CURRENCIES}]?)[{_SPACES}]?(?P<inner>[+-]?)(?P<body>[^{_CURRENCIES}%]*?)[{_SPACES}]?"
    rf"(?P<after>[{_CURRENCIES}%]?)"
)
_MOST_SHAPES: Final = 20_000
_SHOWN: Final = 40
_PERCENT: Final = "%"


def _way(thousands: str, decimals: str) -> re.Pattern[str]:
    """What a number looks like where those signs stand there, digits being nines."""
    grouped = rf"9{{1,3}}(?P<between>[{thousands}{_SPACES}{_APOSTROPHES}])999((?P=between)999)*([{decimals}]9*)?"
    return re.compile(rf"(9+([{decimals}]9*)?|[{decimals}]9+)([eE][+-]?9+)?|(?P<grouped>{grouped})")


_WAYS: Final[dict[Decimal, re.Pattern[str]]] = {"point": _way(",", "."), "comma": _way(".", ",")}
_SIGNS: Final[dict[Decimal, str]] = {"point": ".", "comma": ","}


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """Values of a column that look alike, digits being nines.

    Attributes:
        text: what they look like.
        zero: whether they begin with a nought, which no group of thousands does.
        count: how many they are.
        example: the first of them.
        row: its place among the rows, from 1.
        source: whose they are.
    """

    text: str
    zero: bool
    count: int
    example: str
    row: int
    source: str

    @property
    def affix(self) -> str:
        """Its percent sign or sign of a currency."""
        found = _AFFIXED.fullmatch(self.text)
        return (found["before"] or found["after"]) if found else ""

    def fits(self, way: Decimal) -> bool:
        """Whether it is a number there."""
        found = _AFFIXED.fullmatch(self.text)
        if found is None or (found["sign"] and found["inner"]) or (found["before"] and found["after"]):
            return False
        body = _WAYS[way].fullmatch(found["body"])
        return body is not None and not (body["grouped"] and self.zero)

    @property
    def told(self) -> str:
        """The example with its row."""
        return f"{shown(self.example)} in row {self.row:,}"


def plain(text: str) -> str:
    """SQL of the number that a text is by itself, in the way of programs; NULL if it is none."""
    number = f"TRY_CAST({text} AS DOUBLE)"
    return f"CASE WHEN isfinite({number}) AND NOT contains({text}, '_') THEN {number} END"


def shown(value: str) -> str:
    """A value for a message."""
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")


def numbers(sides: Sequence[Opened], names: Sequence[str], decimal: Decimal | None = None) -> list[dict[str, str]]:
    """SQL of the numbers of some columns of each side, by name; NULL where they are missing.

    Args:
        sides: the tables, each of which has these columns.
        names: of the columns.
        decimal: what stands before decimals, where that can be read in two ways.

    Raises:
        ComparisonError: a column holds what is no number, or can be read in two ways.
    """
    odd = {name for side in sides for name in _odd(side, names)}
    if decimal == "comma":
        odd |= {name for side in sides for name in names if side.kind(name) not in NUMBERS}
    read = {}
    for name in names:
        if name in odd:
            texts = [side for side in sides if side.kind(name) not in NUMBERS]
            read[name] = _read(name, [shape for side in texts for shape in _shapes(side, name)], decimal)
            for side in texts:
                if lost := _shapes(side, name, f"{read[name]} IS NULL"):
                    _refuse(name, lost, "is no number that can be held", "Mend these values, or leave them empty.")
    return [
        {name: _typed(name) if side.kind(name) in NUMBERS else read.get(name, plain(_text(name))) for name in names}
        for side in sides
    ]


def _text(name: str) -> str:
    return f"CAST({quoted(name)} AS VARCHAR)"


def _typed(name: str) -> str:
    number = f"CAST({quoted(name)} AS DOUBLE)"
    return f"CASE WHEN isfinite({number}) THEN {number} END"


def _odd(side: Opened, names: Sequence[str]) -> list[str]:
    """The columns of text that hold others than plain numbers.

    Raises:
        ComparisonError: a column of numbers holds infinite ones.
    """
    typed = [side.kind(name) in NUMBERS for name in names]
    asked = [
        f"isinf(CAST({quoted(name)} AS DOUBLE))"
        if of_numbers
        else f"{quoted(name)} IS NOT NULL AND {plain(_text(name))} IS NULL"
        for name, of_numbers in zip(names, typed, strict=True)
    ]
    if not asked:
        return []
    with side.guarded():
        counts = side.relation.aggregate(", ".join(f"count(*) FILTER ({each})" for each in asked)).fetchone() or ()
    found = [(name, of_numbers, count) for name, of_numbers, count in zip(names, typed, counts, strict=True) if count]
    for name, of_numbers, count in found:
        if of_numbers:
            raise ComparisonError(
                f"column {name} is infinite in {counted(count, 'row')}. Leave such values empty.", source=side.source
            )
    return [name for name, _, _ in found]


def _shapes(side: Opened, name: str, condition: str = "true") -> list[_Shape]:
    """What the values of a column that are not missing look like, in the order of their first rows."""
    text = f"trim({side.text(name)}, '{_SPACES}\t\r\n')"
    shape = f"translate(replace(t, '{_MINUS}', '-'), '0123456789', '9999999999')"
    known = ", ".join(f"'{word}'" for word in sorted(MISSING))
    rows = side.relation.project(f"{text} AS t, row_number() OVER () AS r, {condition} AS c").query(
        "rows",
        f"""SELECT {shape}, starts_with(ltrim(t, '+-{_MINUS}{_CURRENCIES}{_SPACES}'), '0'),
              count(*), arg_min(t, r), min(r)
            FROM rows WHERE c AND t IS NOT NULL AND lower(t) NOT IN ({known})
            GROUP BY ALL ORDER BY min(r) LIMIT {_MOST_SHAPES}""",  # noqa: S608  constants, and a quoted name
    )
    with side.guarded():
        found = rows.fetchall()
    return [
        _Shape(text=text, zero=zero, count=count, example=example, row=row, source=side.source)
        for text, zero, count, example, row in found
    ]


def _read(name: str, shapes: Sequence[_Shape], decimal: Decimal | None) -> str:
    """SQL of a column whose values are not all plain numbers."""
    if len(shapes) >= _MOST_SHAPES:
        _refuse(name, shapes, "is one of too many kinds of values for a column of numbers", "Name another column.")
    ways = [decimal] if decimal else list(_WAYS)
    misfits = {way: [shape for shape in shapes if not shape.fits(way)] for way in ways}
    way = min(ways, key=lambda each: sum(shape.count for shape in misfits[each]))
    if misfits[way]:
        _refuse(name, misfits[way], "is no number", "Mend these values, leave them empty, or name another column.")
    affixes = {shape.affix for shape in shapes}
    if len(affixes) > 1:
        rare = min(
            sorted(affixes, reverse=True), key=lambda each: sum(shape.count for shape in shapes if shape.affix == each)
        )
        what = f"bears {rare}, unlike others" if rare else "bears no percent sign or currency, unlike others"
        _refuse(name, [each for each in shapes if each.affix == rare], what, "Write all values of the column alike.")
    commas = [shape for shape in shapes if "," in shape.text]
    if len(ways) == len(_WAYS) and not any(misfits.values()) and commas:
        _refuse(
            name,
            commas,
            "can be read in two ways, with a comma between thousands or before decimals",
            "Say --decimal point or --decimal comma, or write plain numbers such as 1234.5.",
        )
    sign = _SIGNS[way]
    kept = f"regexp_replace(replace({_text(name)}, '{_MINUS}', '-'), '[^0-9eE+{sign}-]', '', 'g')"
    number = plain(f"replace({kept}, '{sign}', '.')")
    return f"({number}) / 100" if affixes == {_PERCENT} else number


def _refuse(name: str, shapes: Sequence[_Shape], what: str, remedy: str) -> None:
    first = shapes[0]
    count = sum(shape.count for shape in shapes if shape.source == first.source)
    such = f" ({count:,} such values)" if count > 1 else ""
    raise ComparisonError(f"column {name}: {first.told} {what}{such}. {remedy}", source=first.source)


def counted(count: int, what: str) -> str:
    """So many of them, in words."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
