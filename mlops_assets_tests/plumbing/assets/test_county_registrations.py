"""The raw table of county registrations, from served folders to the lake."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts.raw import COUNTY_REGISTRATIONS
from mlops_assets.plumbing.assets.county_registrations import available_months, county_registrations
from mlops_assets.plumbing.connectors.registration_layouts import COMPILED_STATES
from mlops_assets_tests.broken_rules import told_by
from mlops_assets_tests.plumbing.loopback import Reply, json_reply, page_reply
from mlops_assets_tests.plumbing.raw_layer import checks, facts, failure, materialize, visible

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.plumbing.sources.http.fetcher import Fetcher
    from mlops_assets_tests.plumbing.loopback import LoopbackServer

pytestmark = pytest.mark.usefixtures("home")

URL = "MLOPS_ASSETS_SOURCES__REGISTRATIONS_URL"
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
def mirror(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> LoopbackServer:
    """A server with one snapshot, one month of totals and the compilation of one year."""
    monkeypatch.setenv(URL, server.url)
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


@pytest.mark.usefixtures("mirror")
def test_every_number_is_a_row_with_its_text_as_delivered() -> None:
    result = materialize(county_registrations, "2018-01")

    assert result.success
    assert visible(COUNTY_REGISTRATIONS, "month, state, reported, county, party_column, value, source_file") == [
        ("2018-01", "MD", "1/31/18", "ALLEGANY", column, value, "01_2018_totals.csv")
        for column, value in [("CONF MAILING", "234"), ("DEM", "13,864"), ("REP", "21,284"), ("TOTAL", "42,986")]
    ]
    assert facts(result)["files"] == "md-voter-registration/input/01_2018_totals.csv"


@pytest.mark.usefixtures("mirror")
def test_all_states_that_published_in_a_month_are_in_it() -> None:
    assert materialize(county_registrations, "2008-11").success

    rows = visible(COUNTY_REGISTRATIONS, "state, county, party_column, value")
    assert Counter(state for state, *_ in rows) == {"SD": 6, **dict.fromkeys(COMPILED_STATES.values(), 3)}
    assert {(column, value) for state, _, column, value in rows if state == "PA"} == {
        ("Republican Registration", "6441.00"),
        ("Democrat Registration", "26240.00"),
        ("Total Registration", "39789.00"),
    }
    assert ("SD", "Aurora", "libertarian", "") in rows


def test_a_later_snapshot_of_a_month_supersedes_an_earlier_one_and_says_so(mirror: LoopbackServer) -> None:
    mirror.serve(DAKOTA, json_reply(["2012-02-27.csv", "2012-02-13.csv"]))
    mirror.serve(f"{DAKOTA}2012-02-27.csv", Reply(body=SNAPSHOT.encode()))

    result = materialize(county_registrations, "2012-02")

    assert facts(result)["superseded_files"] == "sd-voter-registration/snapshots/2012-02-13.csv"
    assert {*visible(COUNTY_REGISTRATIONS, "source_file")} == {("2012-02-27.csv",)}


@pytest.mark.usefixtures("mirror")
def test_a_month_that_nobody_published_fails_and_says_so() -> None:
    assert "no publication has county registrations of 2003-07" in failure(materialize(county_registrations, "2003-07"))


@pytest.mark.parametrize(
    ("folder", "index", "culprit"),
    [
        (COMPILED, json_reply([name for name in COMPILED_STATES if name != "oregoncounty.csv"]), "none for ['OR']"),
        (DAKOTA, page_reply("Not Found", status=404), "snapshots/: it answers 404"),
        (MARYLAND, json_reply({"files": []}), "index is not an array of file names"),
        (MARYLAND, json_reply([1, 2]), "index is not an array of file names"),
    ],
)
def test_an_index_that_is_not_whole_stops_every_month(
    mirror: LoopbackServer, folder: str, index: Reply, culprit: str
) -> None:
    mirror.serve(folder, index)

    assert culprit in failure(materialize(county_registrations, "2008-11"))


@pytest.mark.parametrize(
    ("path", "month", "text", "culprit"),
    [
        (
            f"{MARYLAND}01_2018_totals.csv",
            "2018-01",
            "county,DEM,date\nA,1,1/31/18",
            "lacks the columns ['REP', 'TOT",
        ),
        (f"{DAKOTA}2008-11-04.csv", "2008-11", "county,republican,democratic\nA,1,2", "lacks the columns ['date']"),
        (f"{DAKOTA}2008-11-04.csv", "2008-11", SNAPSHOT.replace("libertarian", "Republican"), "same name twice"),
        (f"{DAKOTA}2008-11-04.csv", "2008-11", SNAPSHOT[:-4], "row 2 of 2 holds 3 fields"),
        (f"{COMPILED}oregoncounty.csv", "2008-11", NOVEMBER.replace("Total", "All"), "'All Registration2008'"),
        (f"{COMPILED}oregoncounty.csv", "2008-11", NOVEMBER.replace("2008", "2012"), "once each of"),
    ],
)
def test_a_file_of_another_layout_is_refused_by_its_culprit(
    mirror: LoopbackServer, path: str, month: str, text: str, culprit: str
) -> None:
    address = mirror.serve(path, Reply(body=text.encode()))

    said = failure(materialize(county_registrations, month))

    assert culprit in said
    assert said.startswith(f"{address}: ")


def test_a_file_that_is_away_is_told(mirror: LoopbackServer) -> None:
    mirror.serve(f"{MARYLAND}01_2018_totals.csv", Reply(status=500))

    assert "it answers 500" in failure(materialize(county_registrations, "2018-01"))


def test_a_county_that_comes_twice_blocks_the_month(mirror: LoopbackServer) -> None:
    twice = f"{SNAPSHOT}\n{SNAPSHOT.splitlines()[1]}"
    mirror.serve(DAKOTA, json_reply(["2012-02-27.csv"]))
    mirror.serve(f"{DAKOTA}2012-02-27.csv", Reply(body=twice.encode()))

    result = materialize(county_registrations, "2012-02")

    assert not result.success
    assert told_by(result.get_asset_check_evaluations()) == {"contract": {"keys": 3}}


@pytest.mark.real_data
def test_every_real_month_is_found(server: LoopbackServer, fetcher: Fetcher, real_data: Path) -> None:
    server.serve_folder("/", real_data)

    assert len(available_months(fetcher, server.url)) == 59


@pytest.mark.real_data
@pytest.mark.parametrize(("month", "rows"), [("1976-05", 201), ("2012-11", 1509), ("2018-03", 216), ("2014-10", 462)])
def test_real_months_pass_their_contract(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, real_data: Path, month: str, rows: int
) -> None:
    server.serve_folder("/", real_data)
    monkeypatch.setenv(URL, server.url)

    result = materialize(county_registrations, month)

    assert result.success
    assert all(checks(result).values())
    assert facts(result)["dagster/row_count"] == rows
