"""Census profiles as American FactFinder's table downloads: wide CSV files with a row of codes and a row of labels.

Put here which files make up a year, and how one becomes cells. Keep out what a label means (that is wrangling).

Source: U.S. Census Bureau, American FactFinder (closed in 2020), ``aff_download_readme_ann.txt`` of the downloads.
What they taught is in docs/sources/district-profiles.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.connectors.delimited import decoded, rows, unpacked
from mlops_assets.plumbing.connectors.profile_tables import ProfileCell, ProfileTable
from mlops_assets.plumbing.sources.http.bodies import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_assets.plumbing.sources.http.recording import Pages

GEOGRAPHY_CODES: Final = ("GEO.id", "GEO.id2", "GEO.display-label")
GEOGRAPHY_LABELS: Final = ("Id", "Id2", "Geography")


@dataclass(frozen=True, kw_only=True)
class Download:
    """One table of one year.

    Attributes:
        dataset: ``acs1`` for the American Community Survey's one-year estimates, ``dec`` for the decennial census.
        name: the download's name; the file adds ``_with_ann.csv.gz``.
        table_id: the table, as that release called it.
    """

    dataset: str
    name: str
    table_id: str

    @property
    def file(self) -> str:
        """The name of the data file."""
        return f"{self.name}_with_ann.csv.gz"


def _acs(release: str, tables: Sequence[str]) -> tuple[Download, ...]:
    return tuple(Download(dataset="acs1", name=f"{release}_{table}", table_id=table) for table in tables)


_UNPADDED: Final = ("DP2", "DP3", "DP4", "DP5")
_PADDED: Final = ("DP02", "DP03", "DP04", "DP05")

DOWNLOADS: Final = {
    "2000": (Download(dataset="dec", name="DEC_00_SF1_DP1", table_id="DP1"),),
    "2006": _acs("ACS_06_EST", _UNPADDED),
    "2008": _acs("ACS_08_1YR", _UNPADDED),
    "2010": (
        *_acs("ACS_10_1YR", _PADDED),
        Download(dataset="dec", name="DEC_10_SF1_SF1DP1", table_id="SF1DP1"),
    ),
    "2011": _acs("ACS_11_1YR", _PADDED),
    "2012": _acs("ACS_12_1YR", _PADDED),
}
"""The downloads of each year: social, economic, housing and demographic profile, and the decennial one."""


def downloaded_profiles(pages: Pages, base: str, year: str) -> Iterator[ProfileTable]:
    """The profiles of one year from all of its downloads: one cell per district and column, values as delivered.

    Nothing is left out: margins of error, percentages, the District of Columbia (``1198``) and Puerto Rico (``7298``)
    are cells as well. ``geo_id`` has its summary-level prefix, such as ``5001300US0101``.

    Args:
        pages: asks the source.
        base: the address under which the files lie.
        year: the year of the profiles.

    Raises:
        SourceError: there is no download of that year, or a file is cut off, not UTF-8, lacks one of the two header
            rows, or its header rows disagree.
    """
    downloads = DOWNLOADS.get(year)
    if downloads is None:
        raise SourceError(
            source=base,
            culprit=f"no table download is known for {year}; there are some for {', '.join(DOWNLOADS)}.",
            remedy="Ask the census API for this year (MLOPS_ASSETS_SOURCES__PROFILES_TRANSPORT=api).",
        )
    for download in downloads:
        fetched = pages.get(f"{base}/{download.file}", Kind.CSV)
        text, _ = decoded(unpacked(fetched.body, fetched.address), fetched.address)
        codes, labels, *body = rows(text, fetched.address, headers=2)
        _check_headers(codes, labels, fetched.address)
        for geo_id, short_id, *_ in body:
            if not short_id or not geo_id.endswith(f"US{short_id}"):
                raise _refused(fetched.address, f"the identifiers {geo_id!r} and {short_id!r} of one row disagree")
        fetched.accept()
        yield ProfileTable(
            name=download.table_id,
            dataset=download.dataset,
            source=download.file,
            table_id=download.table_id,
            cells=[
                ProfileCell(row[0], row[2], codes[place], labels[place], row[place])
                for place in range(len(GEOGRAPHY_CODES), len(codes))
                for row in body
            ],
        )


def _check_headers(codes: list[str], labels: list[str], source: str) -> None:
    width = len(GEOGRAPHY_CODES)
    if tuple(codes[:width]) != GEOGRAPHY_CODES:
        raise _refused(source, f"its first row begins with {codes[:width]}, not {list(GEOGRAPHY_CODES)}")
    if re.fullmatch(r"[0-9A-Z]{7}US[0-9A-Z]+", labels[0]):
        raise _refused(source, "it has a single header row: data begins where the labels are due")
    if tuple(labels[:width]) != GEOGRAPHY_LABELS:
        raise _refused(source, f"its header rows disagree: the labels begin with {labels[:width]}")
    if len(codes) == width:
        raise _refused(source, "it has no columns beside the geography")
    blank = [code for code, label in zip(codes, labels, strict=True) if not code.strip() or not label.strip()]
    if blank:
        raise _refused(source, f"its header rows disagree: {len(blank)} columns lack a code or a label ({blank[:3]})")
    if len(set(codes)) != len(codes):
        repeated = sorted({code for code in codes if codes.count(code) > 1})
        raise _refused(source, f"the codes {repeated[:3]} stand for more than one column")


def _refused(source: str, culprit: str) -> SourceError:
    return SourceError(
        source=source,
        culprit=f"this is not a whole table download: {culprit}.",
        remedy="Fetch the file from its publisher again; docs/sources/district-profiles.md shows the layout.",
    )
