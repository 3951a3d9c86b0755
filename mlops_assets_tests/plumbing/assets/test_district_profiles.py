"""The raw table of district profiles, by both transports."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts.raw import DISTRICT_PROFILES
from mlops_assets.plumbing.assets.district_profiles import district_profiles
from mlops_assets_tests.broken_rules import told_by
from mlops_assets_tests.plumbing.loopback import Reply, json_reply
from mlops_assets_tests.plumbing.raw_layer import checks, facts, failure, materialize, visible

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.plumbing.loopback import LoopbackServer

pytestmark = pytest.mark.usefixtures("home")

PREFIX = "MLOPS_ASSETS_SOURCES__PROFILES"
DOWNLOAD = (
    "GEO.id,GEO.id2,GEO.display-label,HC01_VC01\n"
    "Id,Id2,Geography,Number; Total population\n"
    '5000600US3701,3701,"Congressional District 1 (106th Congress), North Carolina",619178\n'
    '5000600US7298,7298,"Resident Commissioner District (at Large), Puerto Rico",3808610\n'
)


def serve_api(server: LoopbackServer) -> None:
    profile = "/data/2021/acs/acs1/profile"
    header = ["NAME", "DP05_0001E", "state", "congressional district"]
    group = {"variables": {"DP05_0001E": {"label": "Estimate!!SEX AND AGE!!Total population"}}}
    server.serve(f"{profile}/groups/DP05.json", json_reply(group))
    server.serve(
        profile,
        json_reply([header, ["Congressional District 1, Georgia", "750000", "13", "01"]]),
        json_reply([header, ["Congressional District 1, North Carolina", "760000", "37", "01"]]),
    )


def test_the_api_is_asked_for_both_states(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_api(server)
    monkeypatch.setenv(f"{PREFIX}_URL", f"{server.url}/")
    monkeypatch.setenv(f"{PREFIX}_KEY", "s3cr3tkey")

    result = materialize(district_profiles, "2021")

    assert result.success
    assert visible(DISTRICT_PROFILES, "geo_id, value") == [("1301", "750000"), ("3701", "760000")]
    assert facts(result)["transport"] == "api"
    assert "s3cr3tkey" not in str(result.all_events)


def test_a_missing_key_is_named_before_anything_is_asked(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}_URL", server.url)

    result = materialize(district_profiles, "2021")

    assert f"{PREFIX}_KEY: this secret is not set" in failure(result)
    assert server.asked == []


def test_table_downloads_are_published_with_puerto_rico(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/DEC_00_SF1_DP1_with_ann.csv.gz", Reply(body=gzip.compress(DOWNLOAD.encode())))
    monkeypatch.setenv(f"{PREFIX}_URL", server.url)
    monkeypatch.setenv(f"{PREFIX}_TRANSPORT", "downloads")

    result = materialize(district_profiles, "2000")

    assert result.success
    assert visible(DISTRICT_PROFILES, "geo_id, value") == [("5000600US3701", "619178"), ("5000600US7298", "3808610")]
    assert facts(result)["districts"] == "DP1: 2"


def test_a_district_that_comes_twice_blocks_the_year(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = DOWNLOAD + DOWNLOAD.splitlines()[2]
    server.serve("/DEC_00_SF1_DP1_with_ann.csv.gz", Reply(body=gzip.compress(twice.encode())))
    monkeypatch.setenv(f"{PREFIX}_URL", server.url)
    monkeypatch.setenv(f"{PREFIX}_TRANSPORT", "downloads")

    result = materialize(district_profiles, "2000")

    assert not result.success
    assert told_by(result.get_asset_check_evaluations()) == {"contract": {"keys": 1}}


@pytest.mark.real_data
@pytest.mark.parametrize(("year", "rows"), [("2000", 83_904), ("2006", 409_610)])
def test_a_real_year_passes_its_contract(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, real_data: Path, year: str, rows: int
) -> None:
    server.serve_folder("/", real_data / "acs-cd-profiles")
    monkeypatch.setenv(f"{PREFIX}_URL", server.url)
    monkeypatch.setenv(f"{PREFIX}_TRANSPORT", "downloads")

    result = materialize(district_profiles, year)

    assert result.success
    assert all(checks(result).values())
    assert facts(result)["dagster/row_count"] == rows
