"""What the connector for House returns makes of MEDSL's editions."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts.raw import HOUSE_RETURN_COLUMNS, HOUSE_RETURNS
from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.connectors.extract import arrow_schema
from mlops_assets.plumbing.connectors.house_returns import fetch_house_returns
from mlops_assets.plumbing.sources.http import Fetcher
from mlops_assets.plumbing.sources.http_cache import HttpCache
from mlops_assets_tests.plumbing.loopback import Reply, page_reply

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.plumbing.connectors.extract import Extract
    from mlops_assets_tests.plumbing.loopback import LoopbackServer

NEW = ",".join(HOUSE_RETURN_COLUMNS)
OLD = ",".join(HOUSE_RETURN_COLUMNS[:-1])
ALABAMA = (
    '1976,ALABAMA,AL,1,63,41,US HOUSE,001,GEN,,FALSE,"WILLIAM ""BILL"" D",DEM,FALSE,TOTAL,5,9,FALSE,20220331,FALSE'
)
FLORIDA = "2018,Florida,FL,12,59,43,US House,2,gen,NA,FALSE,José Núñez,democrat,FALSE,total,10,20,FALSE,20190307"
EDITIONS = {
    "1976-2018-house.csv.gz": "latin-1",
    "1976-2018-house_edition-notzane.csv.gz": "latin-1",
    "1976-2020-house.csv.gz": "utf-8",
}


def fetch(server: LoopbackServer, fetcher: Fetcher, election: str, *lines: str, encoding: str = "utf-8") -> Extract:
    address = server.serve("/house.csv", Reply(body="\n".join(lines).encode(encoding)))
    return fetch_house_returns(fetcher, address, election)


def test_the_rows_of_one_election_keep_their_place_in_the_file(server: LoopbackServer, fetcher: Fetcher) -> None:
    extract = fetch(server, fetcher, "1976", NEW, ALABAMA.replace("1976", "1974", 1), ALABAMA)

    (row,) = extract.rows.to_pylist()
    assert extract.rows.schema == arrow_schema(HOUSE_RETURNS)
    assert (row["election"], row["source_file"], row["source_row"]) == ("1976", "house.csv", 2)
    assert (row["runoff"], row["candidate"], row["fusion_ticket"]) == ("", 'WILLIAM "BILL" D', "FALSE")
    assert extract.facts["rows_in_file"] == 2


def test_an_older_edition_lacks_the_fusion_column_and_may_be_latin_1(server: LoopbackServer, fetcher: Fetcher) -> None:
    extract = fetch(server, fetcher, "2018", OLD, FLORIDA, encoding="latin-1")

    (row,) = extract.rows.to_pylist()
    assert (row["candidate"], row["runoff"], row["fusion_ticket"]) == ("José Núñez", "NA", None)
    assert extract.facts["encoding"] == "latin-1"
    assert extract.facts["edition"] == "without fusion_ticket (1976-2018)"


def test_a_gzipped_file_is_told_by_its_bytes(server: LoopbackServer, fetcher: Fetcher) -> None:
    address = server.serve("/house", Reply(body=gzip.compress(f"{OLD}\n{FLORIDA}\n".encode())))

    assert fetch_house_returns(fetcher, address, "2018").rows.num_rows == 1


def test_headers_in_upper_case_are_the_same_edition(server: LoopbackServer, fetcher: Fetcher) -> None:
    assert fetch(server, fetcher, "1976", NEW.upper(), ALABAMA).rows.num_rows == 1


@pytest.mark.parametrize(
    ("header", "culprit"),
    [
        (NEW.replace("totalvotes", "total"), r"missing: \['totalvotes'\], unknown: \['total'\]"),
        (NEW.replace("state,state_po", "state_po,state"), "in another order"),
        (NEW.replace(",", "\t"), "its 1 columns are of no known edition"),
    ],
)
def test_a_file_of_no_known_edition_is_refused(
    server: LoopbackServer, fetcher: Fetcher, header: str, culprit: str
) -> None:
    line = ALABAMA if "," in header else ALABAMA.replace(",", "\t").replace('"', "")

    with pytest.raises(SourceError, match=culprit):
        fetch(server, fetcher, "1976", header, line)


def test_an_election_that_the_edition_does_not_cover_is_refused(server: LoopbackServer, fetcher: Fetcher) -> None:
    with pytest.raises(SourceError, match="none of its 1 rows is of 2022; it holds 1976 to 1976"):
        fetch(server, fetcher, "2022", NEW, ALABAMA)


def test_a_last_row_that_is_cut_off_is_refused(server: LoopbackServer, fetcher: Fetcher) -> None:
    with pytest.raises(SourceError, match="row 2 of 2 holds 19 fields, the first header row 20"):
        fetch(server, fetcher, "1976", NEW, ALABAMA, ALABAMA[: -len(",FALSE")])


def test_half_a_gzip_file_is_refused(server: LoopbackServer, fetcher: Fetcher) -> None:
    whole = gzip.compress("\n".join([NEW, *[ALABAMA] * 50]).encode())
    address = server.serve("/house.csv.gz", Reply(body=whole[: len(whole) // 2]))

    with pytest.raises(SourceError, match="cannot be unpacked"):
        fetch_house_returns(fetcher, address, "1976")


@pytest.mark.parametrize("status", [429, 500])
def test_a_source_that_is_away_is_told_so(server: LoopbackServer, fetcher: Fetcher, status: int) -> None:
    with pytest.raises(SourceUnavailableError, match=str(status)):
        fetch_house_returns(fetcher, server.serve("/house.csv", Reply(status=status)), "2018")


def test_a_web_page_is_refused(server: LoopbackServer, fetcher: Fetcher) -> None:
    with pytest.raises(SourceError, match="HTML page titled 'Dataverse' where CSV was due"):
        fetch_house_returns(fetcher, server.serve("/house.csv", page_reply("Dataverse")), "2018")


@pytest.mark.real_data
@pytest.mark.parametrize("edition", EDITIONS)
def test_the_rows_of_2018_are_all_read_from_each_real_edition(
    server: LoopbackServer, fetcher: Fetcher, real_data: Path, edition: str
) -> None:
    server.serve_folder("/", real_data / "medsl-house")

    extract = fetch_house_returns(fetcher, f"{server.url}/{edition}", "2018")

    assert extract.rows.num_rows == 1359
    assert extract.facts["encoding"] == EDITIONS[edition]
    assert extract.facts["rows_in_file"] == (31_103 if "2020" in edition else 29_636)


@pytest.mark.real_data
def test_every_real_election_is_read_and_none_of_its_rows_is_lost(
    server: LoopbackServer, fetcher: Fetcher, real_data: Path
) -> None:
    server.serve_folder("/", real_data / "medsl-house")
    address = f"{server.url}/1976-2020-house.csv.gz"

    years = [str(year) for year in range(1976, 2022, 2)]
    found = {year: fetch_house_returns(fetcher, address, year).rows.num_rows for year in years}

    assert sum(found.values()) == 31_103
    assert min(found.values()) > 1_000


@pytest.mark.real_data
def test_doubled_totals_of_one_edition_flow_through_unmended(
    server: LoopbackServer, fetcher: Fetcher, real_data: Path
) -> None:
    server.serve_folder("/", real_data / "medsl-house")
    editions = ("1976-2018-house.csv.gz", "1976-2020-house.csv.gz")

    totals = [
        {
            (row["state_po"], int(row["district"])): int(row["totalvotes"])
            for row in fetch_house_returns(fetcher, f"{server.url}/{edition}", "2018").rows.to_pylist()
            if row["state_po"] == "CA"
        }
        for edition in editions
    ]

    assert len(totals[0]) == 53
    assert totals[0] == {district: 2 * total for district, total in totals[1].items()}


def test_a_file_that_was_refused_is_not_kept_for_next_time(server: LoopbackServer, tmp_path: Path) -> None:
    broken = Reply(body=f"{NEW}\n{ALABAMA}\n1976,ALA".encode(), etag='"1"')
    address = server.serve("/house.csv", broken)

    with Fetcher(cache=HttpCache(tmp_path)) as client:
        for _ in range(2):
            with pytest.raises(SourceError, match="row 2 of 2 holds 2 fields"):
                fetch_house_returns(client, address, "1976")
        server.serve("/house.csv", Reply(body=f"{NEW}\n{ALABAMA}".encode(), etag='"1"'))
        assert len(fetch_house_returns(client, address, "1976").rows) == 1

    assert server.conditions == [None, None, None]
