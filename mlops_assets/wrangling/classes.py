"""Classes: how the codes of a voter file become plain classes, and what of a code may be kept.

Put here the reading of single fields that hold a code, a date or a number. Keep out the code lists themselves (those
are contracts) and anything that looks at more than one field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlops_assets.contracts import codes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

CODE_WIDTH: Final = 3
"""Characters of a code field in the official layout. Longer text that is no known code may be a shifted name."""

WITHHELD: Final = "(withheld)"
"""Stands for text in a code field that is longer than a code and not a known synonym."""


@dataclass(frozen=True, kw_only=True)
class CodedColumn:
    """A column of the voter file that holds a code.

    Attributes:
        column: its name in the raw table.
        official: class by official code.
        synonyms: official code by code used for the same class elsewhere.
    """

    column: str
    official: Mapping[str, str]
    synonyms: Mapping[str, str]

    def classes(self, code: ir.StringValue) -> ir.StringValue:
        """The class of each code: by the official list, then by the synonyms, else ``UNRECOGNISED``; never NULL."""
        known = {**{synonym: self.official[code] for synonym, code in self.synonyms.items()}, **self.official}
        return normalised(code).cases(*known.items(), else_=codes.UNRECOGNISED)

    def kept(self, code: ir.StringValue) -> ir.StringValue:
        """The code as delivered; ``(withheld)`` for what is too long to be a code and no known synonym."""
        return (code.isnull() | self.is_code(code)).ifelse(code, WITHHELD)

    def is_code(self, code: ir.StringValue) -> ir.BooleanValue:
        """Whether the text can be a code, known or not, and so may be shown."""
        return (normalised(code).length() <= CODE_WIDTH) | (self.classes(code) != codes.UNRECOGNISED)


RACE: Final = CodedColumn(column="race_code", official=codes.RACE, synonyms=codes.SYNONYMS["race"])
ETHNICITY: Final = CodedColumn(column="ethnic_code", official=codes.ETHNICITY, synonyms=codes.SYNONYMS["ethnicity"])
GENDER: Final = CodedColumn(column="gender_code", official=codes.GENDER, synonyms=codes.SYNONYMS["gender"])
PARTY: Final = CodedColumn(column="party_cd", official=codes.PARTY, synonyms=codes.SYNONYMS["party"])
STATUS: Final = CodedColumn(column="status_cd", official=codes.STATUS, synonyms={})
CODED_COLUMNS: Final = (RACE, ETHNICITY, GENDER, PARTY, STATUS)


def normalised(text: ir.StringValue) -> ir.StringValue:
    """The text without outer blanks and in upper case; empty for NULL. Accents stay."""
    return text.fill_null("").strip().upper()


def district_number(text: ir.StringValue) -> ir.StringValue:
    """The district as two digits, ``07`` for ``7`` or ``007``; NULL where the text is no such number."""
    # The zero in front makes one digit two, and an empty field too short to match.
    return _matched("0" + text.strip(), "^0*([0-9]{2})$")


def birth_year(text: ir.StringValue) -> ir.IntegerValue:
    """A year written as four digits; NULL where the text is anything else."""
    return _matched(text.strip(), "^([0-9]{4})$").cast("int64")


def year_of_day(text: ir.StringValue) -> ir.IntegerValue:
    """The year of a day written ``MM/DD/YYYY`` (official) or ``YYYY-MM-DD``, whatever follows; else NULL."""
    return _matched(text.strip(), "^(?:[0-9]{1,2}/[0-9]{1,2}/)?([0-9]{4})").cast("int64")


def within(number: ir.IntegerValue, least: int, most: ir.IntegerValue | int) -> ir.IntegerValue:
    """The number, NULL outside those bounds (both included)."""
    return number.between(least, most).ifelse(number, None)


def _matched(text: ir.StringValue, pattern: str) -> ir.StringValue:
    return text.re_extract(pattern, 1).nullif("")
