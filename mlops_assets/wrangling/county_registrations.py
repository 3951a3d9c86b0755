"""County registrations: party columns of every state's statistic as classes, cells as whole numbers.

Put here how registration columns and cells are read. Keep out the fetching, and anything computed from the counts.

Which column became which class is described in ``docs/wrangling-elections.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis

if TYPE_CHECKING:
    import ibis.expr.types as ir

PARTY_CLASSES: Final = {
    "D": "DEMOCRATIC",
    "DEM": "DEMOCRATIC",
    "DEMOCRAT": "DEMOCRATIC",
    "R": "REPUBLICAN",
    "REP": "REPUBLICAN",
    "LIB": "LIBERTARIAN",
    "GRE": "GREEN",
    "GRN": "GREEN",
    "IND": "UNAFFILIATED",
    "INDEPENDENT": "UNAFFILIATED",
    "NPA": "UNAFFILIATED",
    "NPA IND": "UNAFFILIATED",
    "UNA": "UNAFFILIATED",
    "UNAF": "UNAFFILIATED",
    "OTH": "OTHER",
}
"""Class of a column's name, upper case and blanks for underscores; a name not listed here is a class of its own."""

_NOT_A_PARTY: Final = r"TOTAL|MARGIN|PERC|CONF[ .]?MAILING|^(COUNTY|DATE)$"
_NOT_A_COUNTY: Final = r"^(|(GRAND |STATE |STATEWIDE )?TOTALS?|STATEWIDE)$"
_YEAR: Final = r"((19|20)[0-9]{2})$"
_COUNT: Final = r"^[0-9]+(\.0+)?$"


def county_registrations(registrations: ir.Table) -> ir.Table:
    """Give each party column its class and each cell its number.

    Args:
        registrations: ``raw/county_registrations``, one row per county and party column, of one or more months.

    Returns:
        ``wrangled/county_registrations``: one row per month, state, county (upper case) and party class. Columns of
        one class are summed; the sum is NULL where no cell holds a number. Columns that name another year than the
        month's, totals, margins, shares and confirmation mailings are left out, and so are rows of totals.
    """
    t = registrations
    name = t.party_column.upper().replace("_", " ").re_replace(r"\s+", " ").strip()
    cells = t.select(
        month=t.month,
        state=t.state,
        county=t.county.upper().re_replace(r"\s+", " ").strip(),
        name=name,
        year=name.re_extract(_YEAR, 1),
        registered=_count(t.value),
    )
    cells = cells.filter(
        ~cells.name.re_search(_NOT_A_PARTY),
        ~cells.county.re_search(_NOT_A_COUNTY),
        (cells.year == "") | (cells.year == cells.month.left(4)),
    )
    cells = cells.mutate(party=_party_class(cells.name))
    return cells.group_by(["month", "state", "county", "party"]).aggregate(registered=cells.registered.sum())


def _party_class(name: ir.StringColumn) -> ir.StringColumn:
    bare = name.re_replace(_YEAR, "").replace("REGISTRATION", "").strip()
    return bare.cases(*PARTY_CLASSES.items(), else_=bare)


def _count(value: ir.StringColumn) -> ir.IntegerColumn:
    """A count with or without thousands separators and ``.00``; NULL for an empty cell or no whole number."""
    text = value.fill_null("").strip().replace(",", "")
    return ibis.cases((text.re_search(_COUNT), text)).cast("float64").cast("int64")
