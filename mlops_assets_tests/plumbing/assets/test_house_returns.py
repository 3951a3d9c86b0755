"""The raw table of House returns, from MEDSL's editions as they are served to the lake."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts.raw import HOUSE_RETURN_COLUMNS, HOUSE_RETURNS
from mlops_assets.plumbing.assets.house_returns import house_returns
from mlops_assets_tests.plumbing.loopback import Reply, page_reply
from mlops_assets_tests.plumbing.raw_layer import checks, facts, failure, materialize, visible

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.plumbing.loopback import LoopbackServer

pytestmark = pytest.mark.usefixtures("home")

URL = "MLOPS_ASSETS_SOURCES__HOUSE_RETURNS_URL"
HEADER = ",".join(HOUSE_RETURN_COLUMNS)
COUNTED = "2020,IOWA,IA,19,42,31,US HOUSE,001,GEN,,FALSE,A B,DEM,FALSE,TOTAL,5,9,FALSE,20220331,FALSE"
UNCOUNTED = "2020,FLORIDA,FL,12,59,43,US HOUSE,025,GEN,,FALSE,C D,REP,FALSE,TOTAL,-1,-1,FALSE,20220331,FALSE"
OLDER = ",".join(HOUSE_RETURN_COLUMNS[:-1])
FLORIDA = "2018,Florida,FL,12,59,43,US House,2,gen,NA,FALSE,José Núñez,democrat,FALSE,total,10,20,FALSE,20190307"


def reply(*lines: str, etag: str | None = None) -> Reply:
    return Reply(body="\n".join([HEADER, *lines]).encode(), etag=etag)


def refused(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, answer: Reply, election: str = "2020") -> str:
    """What is said of an answer from which nothing is published."""
    monkeypatch.setenv(URL, server.serve("/house.csv", answer))
    return failure(materialize(house_returns, election))


def test_the_rows_of_one_election_are_published_with_their_place_in_the_file(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    nickname = COUNTED.replace("A B", '"WILLIAM ""BILL"" B"')
    monkeypatch.setenv(URL, server.serve("/house.csv", reply(COUNTED.replace("2020,IOWA", "2018,IOWA"), nickname)))

    result = materialize(house_returns, "2020")

    assert result.success
    columns = "election, source_file, source_row, runoff, candidate, totalvotes, fusion_ticket"
    assert visible(HOUSE_RETURNS, columns) == [("2020", "house.csv", 2, "", 'WILLIAM "BILL" B', "9", "FALSE")]
    assert facts(result)["rows_in_file"] == 2


@pytest.mark.parametrize("header", [OLDER, OLDER.upper()])
def test_an_older_edition_lacks_a_column_and_may_be_latin_1_and_packed(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    body = gzip.compress(f"{header}\n{FLORIDA}\n".encode("latin-1"))
    monkeypatch.setenv(URL, server.serve("/house", Reply(body=body)))

    result = materialize(house_returns, "2018")

    assert result.success
    assert visible(HOUSE_RETURNS, "candidate, runoff, fusion_ticket") == [("José Núñez", "NA", None)]
    assert facts(result)["encoding"] == "latin-1"


@pytest.mark.parametrize("year", ["2020.0", " 2020", "2020-11-03", "20", ""])
def test_a_year_that_is_written_otherwise_is_counted_named_and_refused(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, year: str
) -> None:
    said = refused(server, monkeypatch, reply(COUNTED, COUNTED.replace("2020", year, 1)))

    assert f"election: 1 of 2 rows, the first is row 2 ({year!r}); it should be '2020'" in said


@pytest.mark.parametrize(
    ("header", "culprit"),
    [
        (HEADER.replace("totalvotes", "total"), "missing: totalvotes; unexpected: total"),
        (HEADER.replace("totalvotes", "Party"), "it has two columns party"),
        (HEADER.replace(",", "\t"), "missing: "),
    ],
)
def test_a_file_of_no_known_edition_is_refused(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, header: str, culprit: str
) -> None:
    line = COUNTED if "," in header else COUNTED.replace(",", "\t")

    assert culprit in refused(server, monkeypatch, Reply(body=f"{header}\n{line}\n".encode()))


@pytest.mark.parametrize(
    ("answer", "culprit"),
    [
        (Reply(body=gzip.compress(f"{HEADER}\n{COUNTED}\n".encode())[:-20]), "cannot be unpacked"),
        (Reply(status=429), "it answers 429"),
        (page_reply("Dataverse"), "HTML page titled 'Dataverse' where CSV was due"),
        (reply(COUNTED.replace("2020", "1976", 1)), "none of its 1 rows is of 2020; it holds 1976 to 1976"),
    ],
)
def test_what_is_no_whole_file_of_that_election_is_told(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, answer: Reply, culprit: str
) -> None:
    assert culprit in refused(server, monkeypatch, answer)


def test_a_seat_that_was_not_counted_warns_and_flows_on(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        URL, server.serve("/house.csv", reply(COUNTED, UNCOUNTED, COUNTED.replace(",5,9", ',"1,005",9')))
    )

    result = materialize(house_returns, "2020")

    assert result.success
    assert {name for name, passed in checks(result).items() if not passed} == {
        "total_is_a_count",
        "votes_are_plain_numbers",
    }
    assert len(visible(HOUSE_RETURNS, "totalvotes")) == 3


def test_the_last_good_rows_stay_when_the_file_becomes_unreadable(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = Reply(body=f"{HEADER}\n{COUNTED[: -len(',20220331,FALSE')]}".encode())
    monkeypatch.setenv(URL, server.serve("/house.csv", reply(COUNTED), cut))

    assert materialize(house_returns, "2020").success
    second = materialize(house_returns, "2020")

    assert not second.success
    assert "row 1 of 1 holds 18 fields" in failure(second)
    assert visible(HOUSE_RETURNS, "totalvotes") == [("9",)]


def test_an_unchanged_file_is_downloaded_once(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, server.serve("/house.csv", reply(COUNTED, etag='"v1"')))

    results = [materialize(house_returns, "2020") for _ in range(2)]

    assert [facts(result)["downloaded"] for result in results] == ["anew", "unchanged since the last fetch"]
    assert server.conditions == [None, '"v1"']


@pytest.mark.parametrize("broken", [COUNTED[:-20], COUNTED.replace("2020", "2020.0", 1)])
def test_a_file_that_was_refused_is_not_kept_for_next_time(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    answers = [reply(COUNTED, broken, etag='"v1"')] * 2 + [reply(COUNTED, etag='"v1"')]
    monkeypatch.setenv(URL, server.serve("/house.csv", *answers))

    assert [materialize(house_returns, "2020").success for _ in range(3)] == [False, False, True]
    assert server.conditions == [None, None, None]


def test_an_address_that_is_not_set_is_named() -> None:
    assert URL in failure(materialize(house_returns, "2020"))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("edition", "encoding", "rows", "warned"),
    [
        ("1976-2018-house.csv.gz", "latin-1", 29_636, {"total_is_a_count"}),
        (
            "1976-2018-house_edition-notzane.csv.gz",
            "latin-1",
            29_636,
            {"total_is_a_count", "votes_are_plain_numbers"},
        ),
        ("1976-2020-house.csv.gz", "utf-8", 31_103, {"total_is_a_count"}),
    ],
)
def test_every_real_edition_is_published_whole_with_its_oddities_as_warnings(
    server: LoopbackServer,
    monkeypatch: pytest.MonkeyPatch,
    real_data: Path,
    edition: str,
    encoding: str,
    rows: int,
    warned: set[str],
) -> None:
    server.serve_folder("/", real_data / "medsl-house")
    monkeypatch.setenv(URL, f"{server.url}/{edition}")

    result = materialize(house_returns, "2018")

    assert result.success
    assert {name for name, passed in checks(result).items() if not passed} == warned
    assert len(visible(HOUSE_RETURNS, "source_row")) == 1359
    assert (facts(result)["encoding"], facts(result)["rows_in_file"]) == (encoding, rows)


@pytest.mark.real_data
def test_every_real_election_is_read_and_none_of_its_rows_is_lost(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, real_data: Path
) -> None:
    server.serve_folder("/", real_data / "medsl-house")
    monkeypatch.setenv(URL, f"{server.url}/1976-2020-house.csv.gz")

    results = [materialize(house_returns, str(year)) for year in range(1976, 2022, 2)]

    assert all(result.success for result in results)
    assert len(visible(HOUSE_RETURNS, "source_row")) == 31_103


@pytest.mark.real_data
def test_doubled_totals_of_one_edition_flow_through_unmended(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, real_data: Path
) -> None:
    server.serve_folder("/", real_data / "medsl-house")
    totals = []
    for edition in ("1976-2018-house.csv.gz", "1976-2020-house.csv.gz"):
        monkeypatch.setenv(URL, f"{server.url}/{edition}")
        assert materialize(house_returns, "2018").success
        rows = visible(HOUSE_RETURNS, "state_po, district, totalvotes")
        totals.append({int(str(number)): int(str(total)) for state, number, total in rows if state == "CA"})

    assert len(totals[0]) == 53
    assert totals[0] == {district: 2 * total for district, total in totals[1].items()}
