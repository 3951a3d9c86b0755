"""Layouts of county registration statistics: what a file's name says, and how its wide rows become cells.

Put here one pair of functions per series of files. Keep out fetching, and mending of values: thousands separators,
decimals and empty cells stay as delivered.

What the series' files taught is in docs/sources/county-registrations.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from mlops_assets.platform.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COMPILED_STATES: Final = {
    "arizonacounty.csv": "AZ",
    "coloradocounty.csv": "CO",
    "floridacounty.csv": "FL",
    "northcarolinacounty.csv": "NC",
    "oregoncounty.csv": "OR",
    "pennslyvaniacounty.csv": "PA",
}
"""State by file name; the last is spelled so by its publisher."""
COMPILED_YEARS: Final = ("2004", "2008", "2012", "2016", "2020")

_SOUTH_DAKOTA_NAME: Final = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))-\d{2}\.csv")
_MARYLAND_NAME: Final = re.compile(r"(0[1-9]|1[0-2])_(\d{4})_totals\.csv")
_COMPILED_COLUMN: Final = re.compile(
    r"((?:Republican|Democrat|Total) Registration|(?:Republican|Democrat) Margin) ?(\d{4})"
)


class SeriesFile(NamedTuple):
    """What the name of a file says: whose counties it holds, and of which months."""

    state: str
    months: tuple[str, ...]


class Cell(NamedTuple):
    """One published number: the state, the date that the file states, the county, the column and the text found."""

    state: str
    reported: str
    county: str
    party_column: str
    value: str


def south_dakota_file(name: str) -> SeriesFile | None:
    """South Dakota's snapshots, such as ``1996-02-12.csv``; ``None`` for another file."""
    found = _SOUTH_DAKOTA_NAME.fullmatch(name)
    return SeriesFile("SD", (found.group(1),)) if found else None


def south_dakota_cells(name: str, table: list[list[str]], month: str, source: str) -> Iterator[Cell]:
    """Cells of a snapshot: ``date,county`` and a column per party; parties come, go and change places.

    The month is that of the file's name: two files state another day inside (a typing error and a later election day).

    Raises:
        SourceError: a needed column is missing.
    """
    del name, month
    return _dated_cells("SD", table, needed=("democratic", "republican"), source=source)


def maryland_file(name: str) -> SeriesFile | None:
    """Maryland's monthly totals, such as ``09_2014_totals.csv``; ``None`` for another file."""
    found = _MARYLAND_NAME.fullmatch(name)
    return SeriesFile("MD", (f"{found.group(2)}-{found.group(1)}",)) if found else None


def maryland_cells(name: str, table: list[list[str]], month: str, source: str) -> Iterator[Cell]:
    """Cells of a month's totals: ``county`` (upper case in one month), parties, ``TOTAL``, ``date`` and two counts.

    Raises:
        SourceError: a needed column is missing.
    """
    del name, month
    return _dated_cells("MD", table, needed=("DEM", "REP", "TOTAL"), source=source)


def compiled_file(name: str) -> SeriesFile | None:
    """The compilation's files, one per state with all presidential years; ``None`` for another file."""
    state = COMPILED_STATES.get(name)
    return SeriesFile(state, tuple(f"{year}-11" for year in COMPILED_YEARS)) if state else None


def compiled_cells(name: str, table: list[list[str]], month: str, source: str) -> Iterator[Cell]:
    """Cells of one November: the three registration columns of its year, named without the year.

    The margins beside them are shares of the vote, no registrations. The file states a year and no day.

    Raises:
        SourceError: a column is of no known name, or the year lacks one of its three.
    """
    header, *body = table
    year = month[:4]
    columns: dict[int, str] = {}
    for place, title in enumerate(_plain(header)[1:], start=1):
        found = _COMPILED_COLUMN.fullmatch(title)
        if found is None:
            raise _refused(source, f"its column {title!r} is neither a registration nor a margin of a year")
        if found.group(2) == year and found.group(1).endswith("Registration"):
            columns[place] = found.group(1)
    needed = ("Republican Registration", "Democrat Registration", "Total Registration")
    if _plain(header)[0] != "County" or sorted(columns.values()) != sorted(needed):
        raise _refused(source, f"it should have County and once each of {list(needed)} of {year}")
    state = COMPILED_STATES[name]
    return (Cell(state, year, row[0], column, row[place]) for row in body for place, column in columns.items())


def _dated_cells(state: str, table: list[list[str]], *, needed: Iterable[str], source: str) -> Iterator[Cell]:
    """Cells of a file with a county, a date and any party columns."""
    header, *body = table
    titles = _plain(header)
    lower = [title.lower() for title in titles]
    missing = [title for title in ("county", "date", *needed) if title.lower() not in lower]
    if missing:
        raise _refused(source, f"it lacks the columns {missing} (it has {titles})")
    repeated = sorted({title for title in lower if lower.count(title) > 1 or not title})
    if repeated:
        raise _refused(source, f"its columns {repeated} have no name or the same name twice")
    county, date = lower.index("county"), lower.index("date")
    parties = [(place, title) for place, title in enumerate(titles) if place not in {county, date}]
    return (Cell(state, row[date], row[county], title, row[place]) for row in body for place, title in parties)


def _plain(header: list[str]) -> list[str]:
    """The header's titles with every run of blanks and line breaks as one blank."""
    return [" ".join(title.split()) for title in header]


def _refused(source: str, culprit: str) -> SourceError:
    return SourceError(
        source=source,
        culprit=f"this is not a file of its series: {culprit}.",
        remedy="Compare with docs/sources/county-registrations.md; if its publisher has changed it, the connector must "
        "follow.",
    )
