"""The raw table of House returns, from a served file to the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts.raw import HOUSE_RETURN_COLUMNS, HOUSE_RETURNS
from mlops_assets.plumbing.assets.house_returns import house_returns
from mlops_assets_tests.plumbing.loopback import Reply
from mlops_assets_tests.plumbing.raw_layer import checks, facts, failure, materialize, visible

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.plumbing.loopback import LoopbackServer

pytestmark = pytest.mark.usefixtures("home")

URL = "MLOPS_ASSETS_SOURCES__HOUSE_RETURNS_URL"
HEADER = ",".join(HOUSE_RETURN_COLUMNS)
COUNTED = "2020,IOWA,IA,19,42,31,US HOUSE,001,GEN,,FALSE,A B,DEM,FALSE,TOTAL,5,9,FALSE,20220331,FALSE"
UNCOUNTED = "2020,FLORIDA,FL,12,59,43,US HOUSE,025,GEN,,FALSE,C D,REP,FALSE,TOTAL,-1,-1,FALSE,20220331,FALSE"


def reply(*lines: str, etag: str | None = None) -> Reply:
    return Reply(body="\n".join([HEADER, *lines]).encode(), etag=etag)


def test_one_election_is_published_with_the_facts_of_its_file(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, server.serve("/house.csv", reply(COUNTED, COUNTED.replace("2020,IOWA", "2018,IOWA"))))

    result = materialize(house_returns, "2020")

    assert result.success
    assert visible(HOUSE_RETURNS, "election, source_row, totalvotes") == [("2020", 1, "9")]
    assert facts(result)["edition"] == "with fusion_ticket (1976-2020 and later)"
    assert facts(result)["rows_in_file"] == 2


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


def test_an_address_that_is_not_set_is_named() -> None:
    assert URL in failure(materialize(house_returns, "2020"))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("edition", "warned"),
    [
        ("1976-2018-house.csv.gz", {"total_is_a_count"}),
        ("1976-2018-house_edition-notzane.csv.gz", {"total_is_a_count", "votes_are_plain_numbers"}),
        ("1976-2020-house.csv.gz", {"total_is_a_count"}),
    ],
)
def test_every_real_edition_is_published_whole_with_its_oddities_as_warnings(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, real_data: Path, edition: str, warned: set[str]
) -> None:
    server.serve_folder("/", real_data / "medsl-house")
    monkeypatch.setenv(URL, f"{server.url}/{edition}")

    result = materialize(house_returns, "2018")

    assert result.success
    assert {name for name, passed in checks(result).items() if not passed} == warned
    assert len(visible(HOUSE_RETURNS, "source_row")) == 1359
