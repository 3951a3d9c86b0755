"""Census profiles of congressional districts: the same seven measures, recognised by label in every vintage.

Put here how a profile's labels, places and values are read. Keep out the fetching, and features built from measures.

Which vintages were seen with which labels is described in ``docs/wrangling-elections.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.contracts import codes
from mlops_assets.contracts.wrangled import PROFILE_MEASURES
from mlops_assets.platform.errors import SourceError

if TYPE_CHECKING:
    import ibis.expr.types as ir

_SEX_AND_AGE: Final = (
    "sex and age",
    "sex and age|total population",
    "total population|sex and age",
    "sex and age|total population|selected age categories",
)
_ONE_RACE: Final = (
    "race|one race",
    "race|total population|one race",
    "total population|race|one race",
    "total population|one race",
)

LABELS: Final = {
    "population": ("total population", "sex and age|total population"),
    "population_18_and_over": tuple(f"{section}|18 years and over" for section in _SEX_AND_AGE),
    "population_65_and_over": tuple(f"{section}|65 years and over" for section in _SEX_AND_AGE),
    "white_alone": tuple(f"{section}|white" for section in _ONE_RACE),
    "black_alone": tuple(f"{section}|black or african american" for section in _ONE_RACE),
    "hispanic": (
        "hispanic or latino and race|hispanic or latino (of any race)",
        "hispanic or latino and race|total population|hispanic or latino (of any race)",
        "hispanic or latino and race|total population|hispanic or latino",
        "hispanic or latino|total population|hispanic or latino (of any race)",
    ),
    "median_age": (
        *(f"{section}|median age (years)" for section in _SEX_AND_AGE),
        "median age by sex|both sexes",
    ),
}
"""Whole label paths of each measure, lower case, parts separated by bars, without the leading kind of number.

Paths are compared whole, so that a race alone is never taken for the same race in combination.
"""

_KIND: Final = r"^(number; estimate|number|estimate|count)(; *|!!)"
_FOOTNOTE: Final = r" *\[[0-9]+\]"
_REVISION: Final = r" *\(r[0-9]+\)$"
_NUMBER: Final = r"^[0-9]+(\.[0-9]+)?$"
_AT_DISTRICT: Final = r"([0-9]{2})([0-9]{2})$"
_CONGRESS_OF_ID: Final = r"^500([0-9]{2})"
_CONGRESS_OF_NAME: Final = r"\(([0-9]+)(st|nd|rd|th) Congress\)"
_DELEGATE: Final = "98"


def district_profiles(profiles: ir.Table) -> ir.Table:
    """Pick the known measures out of a long profile.

    Where several columns carry a measure's label (2006 repeats the total for the table on race), the first by code is
    taken. A measure that a vintage lacks has no rows.

    Args:
        profiles: ``raw/district_profiles``, one row per district and column, of one or more years.

    Returns:
        ``wrangled/district_profiles``: one row per year, data set, district and measure. Puerto Rico, the District of
        Columbia (delegates, numbered 98) and places that are no state are left out.
    """
    # A profile repeats each label for every district and each district for every label: reading them once, apart,
    # is a hundred times less work.
    labelled = profiles.join(_labels(profiles), [("label", "known_label")])
    placed = labelled.join(_places(profiles), [("geo_id", "known_id"), ("geo_name", "known_name")])
    picked = placed.semi_join(_first_columns(labelled), ["year", "dataset", "measure", "table_id", "code"])
    return picked.select(
        "year", "dataset", "state", "district", "congress", "measure", "code", value=_value(picked.value)
    )


def require_measures(found: set[str], *, year: str) -> tuple[str, ...]:
    """Refuse a vintage of which nothing was recognised.

    Args:
        found: the measures that ``district_profiles`` recognised in the year.
        year: the year, for the message.

    Returns:
        The measures that the vintage lacks, in the contract's order.

    Raises:
        SourceError: no measure was recognised.
    """
    if not found:
        raise SourceError(
            source=f"Profiles of {year}",
            culprit=f"no column has a known label of any of {', '.join(PROFILE_MEASURES)}.",
            remedy="Has the Census Bureau renamed the labels? Add the new ones to wrangling/district_profiles.py.",
        )
    return tuple(measure for measure in PROFILE_MEASURES if measure not in found)


def _labels(profiles: ir.Table) -> ir.Table:
    """The labels that name a measure, one row each: ``known_label`` and ``measure``."""
    labels = profiles.group_by("label").aggregate(cells=profiles.count())
    # The count keeps an optimiser from reading the labels before they are made distinct (30 times slower on DuckDB).
    known = labels.select(known_label=labels.label, measure=ibis.cases((labels.cells > 0, _measure(labels.label))))
    return known.filter(known.measure.notnull())


def _places(profiles: ir.Table) -> ir.Table:
    """The districts with a voting member, one row each: identifier and name, state, district and congress."""
    places = profiles.group_by(["geo_id", "geo_name"]).aggregate(cells=profiles.count())
    read = places.select(
        known_id=places.geo_id,
        known_name=places.geo_name,
        state=ibis.cases(
            (places.cells > 0, places.geo_id.re_extract(_AT_DISTRICT, 1).cases(*codes.STATE_BY_FIPS.items()))
        ),
        district=places.geo_id.re_extract(_AT_DISTRICT, 2),
        congress=_congress(places.geo_id, places.geo_name),
    )
    return read.filter(read.state.notnull(), read.district != _DELEGATE)


def _measure(label: ir.StringColumn) -> ir.StringColumn:
    """The measure that a label names; NULL for any other label, percentages and margins of error included."""
    text = label.strip().lower()
    path = (
        text.re_replace(_KIND, "")
        .re_replace(_FOOTNOTE, "")
        .replace("!!", "|")
        .replace(" - ", "|")
        .replace(":", "")
        .strip()
    )
    known = ibis.cases(*((path.isin(paths), measure) for measure, paths in LABELS.items()))
    return ibis.cases((text.re_search(_KIND), known))


def _first_columns(labelled: ir.Table) -> ir.Table:
    """The first column of each measure in each year and data set: by table, then by the number in its code."""
    columns = labelled.select("year", "dataset", "measure", "table_id", "code").distinct()
    number = columns.code.re_extract(r"([0-9]+)[A-Z]*$", 1)
    columns = columns.mutate(number=ibis.cases((number != "", number)).cast("int64"))
    place = ibis.row_number().over(
        ibis.window(
            group_by=["year", "dataset", "measure"],
            order_by=[columns.table_id, columns.number, columns.code],
        )
    )
    ranked = columns.mutate(place=place)
    return ranked.filter(ranked.place == 0)


def _congress(geo_id: ir.StringColumn, geo_name: ir.StringColumn) -> ir.IntegerColumn:
    """The congress of the district map: ``50013...`` is the 113th, ``50006...`` the 106th; else from the name."""
    of_id = geo_id.re_extract(_CONGRESS_OF_ID, 1)
    of_name = geo_name.re_extract(_CONGRESS_OF_NAME, 1)
    return ibis.cases(
        (geo_id.re_search(_CONGRESS_OF_ID + ".*US"), ibis.cases((of_id != "", of_id)).cast("int64") + 100),
        else_=ibis.cases((of_name != "", of_name)).cast("int64"),
    )


def _value(value: ir.StringColumn) -> ir.FloatingColumn:
    """The number delivered; NULL for ``(X)``, ``-``, ``**``, ``N`` and the API's negative codes of missing values."""
    text = value.fill_null("").strip().re_replace(_REVISION, "").replace(",", "")
    return ibis.cases((text.re_search(_NUMBER), text)).cast("float64")
