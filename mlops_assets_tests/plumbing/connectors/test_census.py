"""What the census connector makes of the API's answers, good and wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.connectors.census import asked_profiles
from mlops_assets_tests.plumbing.loopback import Reply, json_reply, page_reply

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.plumbing.connectors.profile_tables import ProfileTable
    from mlops_assets.plumbing.sources.http.fetcher import Fetcher
    from mlops_assets_tests.plumbing.loopback import LoopbackServer

PROFILE = "/data/2021/acs/acs1/profile"
GROUP = f"{PROFILE}/groups/DP05.json"
LABELS = {
    "variables": {
        "DP05_0001E": {"label": "Estimate!!SEX AND AGE!!Total population"},
        "DP05_0001M": {"label": "Margin of Error!!SEX AND AGE!!Total population"},
        "DP05_0001PE": {"label": "Percent!!SEX AND AGE!!Total population"},
        "DP05_0018E": {"label": "Estimate!!SEX AND AGE!!Total population!!Median age (years)"},
        "NAME": {"label": "Geographic Area Name"},
    }
}
HEADER = ["NAME", "DP05_0001E", "DP05_0001M", "DP05_0001PE", "DP05_0018E", "NAME", "state", "congressional district"]
FIRST = ["Congressional District 1, North Carolina", "756012", "-555555555", "756012", 39.9, "repeated", "37", "01"]
SECOND = ["Congressional District 2, North Carolina", "745670", None, "745670", None, "repeated", "37", "02"]


def fetch(server: LoopbackServer, fetcher: Fetcher, *, states: tuple[str, ...] = ("NC",)) -> ProfileTable:
    """What is asked of the last of these states."""
    return list(asked_profiles(fetcher, server.url, "2021", "s3cr3tkey", states=states))[-1]


@pytest.fixture
def api(server: LoopbackServer) -> LoopbackServer:
    """A server that answers the group and one state's two districts."""
    server.serve(GROUP, json_reply(LABELS))
    server.serve(PROFILE, json_reply([HEADER, FIRST, SECOND]))
    return server


def test_every_estimate_of_every_district_is_a_row_with_its_label(api: LoopbackServer, fetcher: Fetcher) -> None:
    table = fetch(api, fetcher)

    assert [(cell.geo_id, cell.code, cell.value) for cell in table.cells] == [
        ("3701", "DP05_0001E", "756012"),
        ("3701", "DP05_0018E", "39.9"),
        ("3702", "DP05_0001E", "745670"),
        ("3702", "DP05_0018E", None),
    ]
    assert table.source.startswith(f"{PROFILE}?get=NAME")
    assert table.cells[0].label == "Estimate!!SEX AND AGE!!Total population"
    assert table.cells[0].geo_name == "Congressional District 1, North Carolina"
    assert (table.name, table.dataset, table.table_id) == ("NC", "acs1", "DP05")


def test_each_state_is_asked_for_with_the_key_and_no_row_holds_it(api: LoopbackServer, fetcher: Fetcher) -> None:
    table = fetch(api, fetcher)

    asked = api.asked[-1]
    assert "in=state%3A37" in asked
    assert "key=s3cr3tkey" in asked
    assert "key" not in api.asked[0]
    assert "s3cr3tkey" not in repr(table)


def test_an_answer_for_another_state_is_refused(api: LoopbackServer, fetcher: Fetcher) -> None:
    with pytest.raises(SourceError, match="a row is of state '37' and district '01'; asked was state 13"):
        fetch(api, fetcher, states=("GA",))


@pytest.mark.parametrize("title", ["Invalid Key", "Missing Key"])
def test_a_refused_key_is_named_with_its_setting(api: LoopbackServer, fetcher: Fetcher, title: str) -> None:
    api.serve(PROFILE, Reply(status=302, headers={"Location": "/data/key.html"}))
    api.serve("/data/key.html", page_reply(title))

    with pytest.raises(SourceError, match=f"refuses the key.*{title}.*SOURCES__PROFILES_KEY") as caught:
        fetch(api, fetcher)

    assert "s3cr3tkey" not in str(caught.value)


def test_another_web_page_is_not_taken_for_a_refused_key(api: LoopbackServer, fetcher: Fetcher) -> None:
    api.serve(PROFILE, page_reply("Down for maintenance"))

    with pytest.raises(SourceError, match="HTML page titled 'Down for maintenance' where JSON was due"):
        fetch(api, fetcher)


def test_an_unknown_year_is_named(server: LoopbackServer, fetcher: Fetcher) -> None:
    server.serve(GROUP, page_reply("404 Not Found", status=404))

    with pytest.raises(SourceError, match="no one-year profile of 2021"):
        fetch(server, fetcher)


def test_an_unknown_variable_is_told_in_the_words_of_the_api(api: LoopbackServer, fetcher: Fetcher) -> None:
    api.serve(PROFILE, Reply(status=400, body=b"error: unknown variable 'X'", content_type="text/plain"))

    with pytest.raises(SourceError, match="unknown variable 'X'"):
        fetch(api, fetcher)


def test_an_answer_without_data_is_refused(api: LoopbackServer, fetcher: Fetcher) -> None:
    api.serve(PROFILE, Reply(status=204))

    with pytest.raises(SourceError, match="204"):
        fetch(api, fetcher)


@pytest.mark.parametrize("status", [429, 500])
def test_an_api_that_is_away_is_told_from_one_that_is_wrong(api: LoopbackServer, fetcher: Fetcher, status: int) -> None:
    api.serve(PROFILE, Reply(status=status))

    with pytest.raises(SourceUnavailableError):
        fetch(api, fetcher)


def test_half_an_answer_is_refused(api: LoopbackServer, fetcher: Fetcher) -> None:
    body = json.dumps([HEADER, FIRST]).encode()
    api.serve(PROFILE, Reply(body=body, send_only=40, content_type="application/json"))

    with pytest.raises(SourceUnavailableError, match="broke off"):
        fetch(api, fetcher)


def test_json_that_the_api_itself_cut_off_is_refused(api: LoopbackServer, fetcher: Fetcher) -> None:
    api.serve(PROFILE, Reply(body=json.dumps([HEADER, FIRST]).encode()[:-9], content_type="application/json"))

    with pytest.raises(SourceError, match="JSON breaks"):
        fetch(api, fetcher)


@pytest.mark.parametrize(
    ("answer", "culprit"),
    [
        ({"error": "none"}, "not an array of arrays"),
        ([HEADER], "there are no districts"),
        ([], "there are no districts"),
        ([HEADER, FIRST, SECOND[:-1]], "row 2 of 2 has 7 values, the header 8"),
        ([HEADER[:-1], FIRST[:-1]], r"header lacks \['congressional district'\]"),
        ([[*HEADER[:4], "DP05_0019E", *HEADER[5:]], FIRST], r"\['DP05_0018E', 'DP05_0019E'\]"),
        ([[*HEADER[:4], "DP05_0001E", *HEADER[5:]], FIRST], "not those that the group labels"),
        ([[*HEADER[:-1], 7], FIRST], "header is not text"),
        ([HEADER, [*FIRST[:1], {"a": 1}, *FIRST[2:]]], "a value is dict"),
        ([HEADER, [*FIRST[:1], True, *FIRST[2:]]], "a value is bool"),
        ([HEADER, [*FIRST[:-1], "1"]], "district '1'"),
    ],
)
def test_an_answer_that_is_no_profile_is_refused_by_its_culprit(
    api: LoopbackServer, fetcher: Fetcher, answer: object, culprit: str
) -> None:
    api.serve(PROFILE, json_reply(answer))

    with pytest.raises(SourceError, match=culprit) as caught:
        fetch(api, fetcher)

    assert "district-profiles.md" in caught.value.remedy


@pytest.mark.parametrize(
    ("group", "culprit"),
    [
        ([], "no object 'variables'"),
        ({"variables": {"DP05_0001E": {}}}, "DP05_0001E has no label"),
        ({"variables": {"DP05_0001M": {"label": "Margin"}}}, "none of its 1 variables is an estimate"),
    ],
)
def test_a_group_without_labels_is_refused(api: LoopbackServer, fetcher: Fetcher, group: object, culprit: str) -> None:
    api.serve(GROUP, json_reply(group))

    with pytest.raises(SourceError, match=culprit):
        fetch(api, fetcher)


@pytest.mark.real_data
def test_the_districts_of_a_real_answer_are_all_readable(
    server: LoopbackServer, fetcher: Fetcher, real_data: Path
) -> None:
    sample = real_data / "census-api-json-sample" / "acs5_congressional_districts_2024.json"
    header, *districts = json.loads(sample.read_text(encoding="utf-8"))
    undefined = [district for district in districts if district[1] == "09"]
    server.serve(GROUP, json_reply({"variables": {"DP05_0001E": {"label": "Estimate!!Total population"}}}))
    server.serve(PROFILE, json_reply([[*header, "DP05_0001E"], *([*district, "1"] for district in undefined)]))

    table = fetch(server, fetcher, states=("CT",))

    assert [cell.geo_id for cell in table.cells] == ["0901", "0902", "0903", "0904", "0905", "09ZZ"]
