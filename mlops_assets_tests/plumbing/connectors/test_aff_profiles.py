"""What the connector for table downloads makes of their files, real ones included."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.connectors.aff_profiles import DOWNLOADS, downloaded_profiles
from mlops_assets.plumbing.connectors.profile_tables import ProfileCell, ProfileTable
from mlops_assets_tests.plumbing.loopback import Reply

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.plumbing.sources.http.fetcher import Fetcher
    from mlops_assets_tests.plumbing.loopback import LoopbackServer

CODES = "GEO.id,GEO.id2,GEO.display-label,HC01_VC01,HC02_VC01"
LABELS = "Id,Id2,Geography,Number; Total population,Percent; Total population"
FIRST = "Congressional District 1 (106th Congress), Alabama"
LAST = "Resident Commissioner District (at Large), Puerto Rico"
ALABAMA = f'5000600US0101,0101,"{FIRST}",646181,100.0'
PUERTO_RICO = f'5000600US7298,7298,"{LAST}",3808610, ( X ) '


def serve(server: LoopbackServer, *lines: str, encoding: str = "utf-8") -> None:
    body = gzip.compress("\r\n".join(lines).encode(encoding))
    server.serve("/DEC_00_SF1_DP1_with_ann.csv.gz", Reply(body=body))


def fetch(server: LoopbackServer, fetcher: Fetcher, year: str = "2000") -> list[ProfileTable]:
    return list(downloaded_profiles(fetcher, server.url, year))


def test_every_cell_is_a_row_as_delivered_puerto_rico_included(server: LoopbackServer, fetcher: Fetcher) -> None:
    serve(server, CODES, LABELS, ALABAMA, PUERTO_RICO)

    (table,) = fetch(server, fetcher)

    assert table.cells == [
        ProfileCell(geo_id, name, code, label, value)
        for code, label, geo_id, name, value in [
            ("HC01_VC01", "Number; Total population", "5000600US0101", FIRST, "646181"),
            ("HC01_VC01", "Number; Total population", "5000600US7298", LAST, "3808610"),
            ("HC02_VC01", "Percent; Total population", "5000600US0101", FIRST, "100.0"),
            ("HC02_VC01", "Percent; Total population", "5000600US7298", LAST, " ( X ) "),
        ]
    ]
    assert (table.dataset, table.source, table.table_id) == ("dec", "DEC_00_SF1_DP1_with_ann.csv.gz", "DP1")


def test_a_year_without_downloads_is_refused_with_the_years_that_have_some(
    server: LoopbackServer, fetcher: Fetcher
) -> None:
    with pytest.raises(SourceError, match="no table download is known for 2007; there are some for 2000, 2006"):
        fetch(server, fetcher, "2007")

    assert server.asked == []


@pytest.mark.parametrize(
    ("lines", "culprit"),
    [
        ((CODES, ALABAMA, PUERTO_RICO), "single header row"),
        ((LABELS, CODES, ALABAMA), "first row begins with"),
        ((CODES, LABELS.replace("Id2", "Identifier"), ALABAMA), "header rows disagree"),
        ((CODES, f"{LABELS},More", ALABAMA), "header rows disagree"),
        ((CODES, LABELS.replace("Percent; Total population", ""), ALABAMA), "header rows disagree"),
        ((CODES.replace("HC02", "HC01"), LABELS, ALABAMA), r"codes \['HC01_VC01'\] stand for more than one"),
        (("GEO.id,GEO.id2,GEO.display-label", "Id,Id2,Geography", "5000600US0101,0101,A"), "no columns beside"),
        ((CODES, LABELS), "there is no data"),
        ((CODES, LABELS, ALABAMA, ALABAMA[:-6]), "row 2 of 2 holds 4 fields"),
        ((CODES, LABELS, ALABAMA.replace(",0101", ",0102")), "identifiers .* of one row disagree"),
    ],
)
def test_a_file_that_is_no_whole_download_is_refused_by_its_culprit(
    server: LoopbackServer, fetcher: Fetcher, lines: tuple[str, ...], culprit: str
) -> None:
    serve(server, *lines)

    with pytest.raises(SourceError, match=culprit) as caught:
        fetch(server, fetcher)

    assert caught.value.source.endswith("/DEC_00_SF1_DP1_with_ann.csv.gz")


def test_a_file_saved_again_as_latin_1_is_refused(server: LoopbackServer, fetcher: Fetcher) -> None:
    serve(server, CODES, LABELS, PUERTO_RICO.replace("Puerto Rico", "Perú"), encoding="latin-1")

    with pytest.raises(SourceError, match="not UTF-8"):
        fetch(server, fetcher)


def test_one_file_that_is_away_leaves_the_year_unread(server: LoopbackServer, fetcher: Fetcher) -> None:
    with pytest.raises(SourceError, match=r"ACS_06_EST_DP2_with_ann\.csv\.gz.* 404"):
        fetch(server, fetcher, "2006")

    server.serve("/ACS_06_EST_DP2_with_ann.csv.gz", Reply(status=500))
    with pytest.raises(SourceUnavailableError):
        fetch(server, fetcher, "2006")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("year", "rows", "tables"),
    [
        ("2000", 83_904, {"DP1": 437}),
        ("2006", 409_610, {"DP2": 436, "DP3": 437, "DP4": 437, "DP5": 437}),
        ("2008", 847_184, {"DP2": 436, "DP3": 437, "DP4": 437, "DP5": 437}),
        ("2010", 1_049_952, {"DP02": 436, "DP03": 437, "DP04": 437, "DP05": 437, "SF1DP1": 437}),
        ("2011", 887_388, {"DP02": 436, "DP03": 437, "DP04": 437, "DP05": 437}),
        ("2012", 887_388, {"DP02": 436, "DP03": 437, "DP04": 437, "DP05": 437}),
    ],
)
def test_every_real_year_is_read_whole(
    server: LoopbackServer, fetcher: Fetcher, real_data: Path, year: str, rows: int, tables: dict[str, int]
) -> None:
    server.serve_folder("/", real_data / "acs-cd-profiles")

    found = fetch(server, fetcher, year)

    districts = {table.table_id: {cell.geo_id for cell in table.cells} for table in found}
    assert sum(len(table.cells) for table in found) == rows
    assert {table: len(them) for table, them in districts.items()} == tables
    assert all(re.fullmatch(r"500[0-9]{2}00US[0-9]{4}", each) for them in districts.values() for each in them)
    assert year != "2010" or "5001100US1198" in districts["DP02"]


@pytest.mark.real_data
def test_every_year_with_downloads_is_covered_by_real_files(real_data: Path) -> None:
    folder = real_data / "acs-cd-profiles"
    known = {download.file for downloads in DOWNLOADS.values() for download in downloads}

    assert known == {path.name for path in folder.glob("*_with_ann.csv.gz")}
