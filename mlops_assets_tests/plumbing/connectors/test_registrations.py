"""Which files make up a month of county registrations, and what becomes of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts.raw import COUNTY_REGISTRATIONS
from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.connectors.extract import arrow_schema
from mlops_assets.plumbing.connectors.registration_layouts import COMPILED_STATES
from mlops_assets.plumbing.connectors.registrations import available_months, fetch_registrations
from mlops_assets_tests.plumbing.loopback import Reply, json_reply, page_reply

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.plumbing.sources.http import Fetcher
    from mlops_assets_tests.plumbing.loopback import LoopbackServer

DAKOTA = "/sd-voter-registration/snapshots/"
MARYLAND = "/md-voter-registration/input/"
COMPILED = "/county-registration-2004-2020/"
SNAPSHOT = "date,county,republican,democratic,libertarian\n2008-11-04,Aurora,927,1407,\n2008-11-04,Beadle,1,2,3"
TOTALS = '\ufeffCOUNTY,DEM,REP,TOTAL,date,"CONF\rMAILING"\r\nALLEGANY,"13,864","21,284","42,986",1/31/18,234\r\n'
NOVEMBER = (
    "County, Republican Margin 2008,Democrat Margin 2008, Republican Registration 2008, Democrat  Registration 2008 ,"
    "Total Registration2008 \r\nApache,0.35,0.65,6441.00,26240.00,39789.00\r\n"
)


@pytest.fixture
def mirror(server: LoopbackServer) -> LoopbackServer:
    """A server with one snapshot, one month of totals and the compilation of one year."""
    files = {
        DAKOTA: {"2008-11-04.csv": SNAPSHOT},
        MARYLAND: {"01_2018_totals.csv": TOTALS, "01_2018_removals.csv": "a,b\n1,2\n"},
        COMPILED: {**dict.fromkeys(COMPILED_STATES, NOVEMBER), "SOURCE.md": "a text"},
    }
    for folder, texts in files.items():
        server.serve(folder, json_reply(list(texts)))
        for name, text in texts.items():
            server.serve(folder + name, Reply(body=text.encode()))
    return server


def test_months_are_found_in_the_names_of_the_files(mirror: LoopbackServer, fetcher: Fetcher) -> None:
    months = available_months(fetcher, mirror.url)

    assert list(months) == ["2004-11", "2008-11", "2012-11", "2016-11", "2018-01", "2020-11"]
    assert months["2018-01"] == ["md-voter-registration/input/01_2018_totals.csv"]
    assert len(months["2008-11"]) == 7


def test_every_number_is_a_row_with_its_text_as_delivered(mirror: LoopbackServer, fetcher: Fetcher) -> None:
    extract = fetch_registrations(fetcher, mirror.url, "2018-01")

    assert extract.rows.schema == arrow_schema(COUNTY_REGISTRATIONS)
    assert [tuple(row.values()) for row in extract.rows.to_pylist()] == [
        ("2018-01", "MD", "1/31/18", "ALLEGANY", column, value, "01_2018_totals.csv")
        for column, value in [("DEM", "13,864"), ("REP", "21,284"), ("TOTAL", "42,986"), ("CONF MAILING", "234")]
    ]


def test_all_states_that_published_in_a_month_are_in_it(mirror: LoopbackServer, fetcher: Fetcher) -> None:
    extract = fetch_registrations(fetcher, mirror.url, "2008-11")

    rows = extract.rows.to_pylist()
    assert Counter(row["state"] for row in rows) == {"SD": 6, **dict.fromkeys(COMPILED_STATES.values(), 3)}
    assert {(row["party_column"], row["value"]) for row in rows if row["state"] == "PA"} == {
        ("Republican Registration", "6441.00"),
        ("Democrat Registration", "26240.00"),
        ("Total Registration", "39789.00"),
    }
    assert ("Aurora", "libertarian", "") in {(row["county"], row["party_column"], row["value"]) for row in rows}


def test_a_later_snapshot_of_a_month_supersedes_an_earlier_one_and_says_so(
    mirror: LoopbackServer, fetcher: Fetcher
) -> None:
    mirror.serve(DAKOTA, json_reply(["2012-02-27.csv", "2012-02-13.csv"]))
    mirror.serve(f"{DAKOTA}2012-02-27.csv", Reply(body=SNAPSHOT.encode()))

    extract = fetch_registrations(fetcher, mirror.url, "2012-02")

    assert extract.facts["superseded_files"] == ["sd-voter-registration/snapshots/2012-02-13.csv"]
    assert set(extract.rows["source_file"].to_pylist()) == {"2012-02-27.csv"}


def test_a_month_that_nobody_published_is_refused(mirror: LoopbackServer, fetcher: Fetcher) -> None:
    with pytest.raises(SourceError, match="no publication has county registrations of 2003-07"):
        fetch_registrations(fetcher, mirror.url, "2003-07")


def test_a_compilation_that_lacks_a_state_is_refused_whole(mirror: LoopbackServer, fetcher: Fetcher) -> None:
    mirror.serve(COMPILED, json_reply([name for name in COMPILED_STATES if name != "oregoncounty.csv"]))

    with pytest.raises(SourceError, match=r"none for \['OR'\]"):
        fetch_registrations(fetcher, mirror.url, "2008-11")


def test_an_index_that_is_missing_stops_every_month(mirror: LoopbackServer, fetcher: Fetcher) -> None:
    mirror.serve(DAKOTA, page_reply("Not Found", status=404))

    with pytest.raises(SourceError, match=r"snapshots/.*404"):
        fetch_registrations(fetcher, mirror.url, "2018-01")


@pytest.mark.parametrize("index", [{"files": []}, [1, 2], "x"])
def test_an_index_that_is_no_list_of_names_is_refused(mirror: LoopbackServer, fetcher: Fetcher, index: object) -> None:
    mirror.serve(MARYLAND, json_reply(index))

    with pytest.raises(SourceError, match="index is not an array of file names"):
        fetch_registrations(fetcher, mirror.url, "2018-01")


@pytest.mark.parametrize(
    ("path", "month", "text", "culprit"),
    [
        (
            f"{MARYLAND}01_2018_totals.csv",
            "2018-01",
            "county,DEM,date\nA,1,1/31/18",
            r"lacks the columns \['REP', 'TOT",
        ),
        (f"{DAKOTA}2008-11-04.csv", "2008-11", "county,republican,democratic\nA,1,2", r"lacks the columns \['date'\]"),
        (f"{DAKOTA}2008-11-04.csv", "2008-11", SNAPSHOT.replace("libertarian", "Republican"), "same name twice"),
        (f"{DAKOTA}2008-11-04.csv", "2008-11", SNAPSHOT[:-4], "row 2 of 2 holds 3 fields"),
        (f"{COMPILED}oregoncounty.csv", "2008-11", NOVEMBER.replace("Total", "All"), "'All Registration2008'"),
        (f"{COMPILED}oregoncounty.csv", "2008-11", NOVEMBER.replace("2008", "2012"), "once each of .* of 2008"),
    ],
)
def test_a_file_of_another_layout_is_refused_by_its_culprit(
    mirror: LoopbackServer, fetcher: Fetcher, path: str, month: str, text: str, culprit: str
) -> None:
    address = mirror.serve(path, Reply(body=text.encode()))

    with pytest.raises(SourceError, match=culprit) as caught:
        fetch_registrations(fetcher, mirror.url, month)

    assert caught.value.source == address


@pytest.mark.parametrize("status", [429, 500])
def test_a_file_that_is_away_is_told_so(mirror: LoopbackServer, fetcher: Fetcher, status: int) -> None:
    mirror.serve(f"{MARYLAND}01_2018_totals.csv", Reply(status=status))

    with pytest.raises(SourceUnavailableError, match=str(status)):
        fetch_registrations(fetcher, mirror.url, "2018-01")


@pytest.mark.real_data
def test_every_real_month_is_read(server: LoopbackServer, fetcher: Fetcher, real_data: Path) -> None:
    server.serve_folder("/", real_data)

    months = available_months(fetcher, server.url)
    extracts = {month: fetch_registrations(fetcher, server.url, month) for month in months}

    assert len(months) == 59
    assert sum(extract.rows.num_rows for extract in extracts.values()) == 21_543
    assert not [extract.facts["superseded_files"] for extract in extracts.values() if extract.facts["superseded_files"]]
    assert extracts["1993-08"].facts["reported"] == ["1993-08-03"]
    assert extracts["2014-10"].facts["reported"] == ["2014-11-04"]
    assert extracts["2012-11"].facts["counties"] == [
        "AZ: 15", "CO: 64", "FL: 67", "NC: 100", "OR: 36", "PA: 67", "SD: 66",
    ]  # fmt: skip
