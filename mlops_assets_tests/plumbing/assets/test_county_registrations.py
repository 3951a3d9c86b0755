"""The raw table of county registrations, from served folders to the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts.raw import COUNTY_REGISTRATIONS
from mlops_assets.plumbing.assets.county_registrations import county_registrations
from mlops_assets_tests.broken_rules import told_by
from mlops_assets_tests.plumbing.loopback import Reply, json_reply
from mlops_assets_tests.plumbing.raw_layer import checks, facts, failure, materialize, visible

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.plumbing.loopback import LoopbackServer

pytestmark = pytest.mark.usefixtures("home")

URL = "MLOPS_ASSETS_SOURCES__REGISTRATIONS_URL"
SNAPSHOT = "date,county,republican,democratic\n1996-02-12,Aurora,851,1130\n"


@pytest.fixture
def mirror(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> LoopbackServer:
    """A mirror of the publications with one snapshot."""
    monkeypatch.setenv(URL, server.url)
    server.serve("/sd-voter-registration/snapshots/", json_reply(["1996-02-12.csv"]))
    server.serve("/sd-voter-registration/snapshots/1996-02-12.csv", Reply(body=SNAPSHOT.encode()))
    server.serve("/md-voter-registration/input/", json_reply([]))
    server.serve("/county-registration-2004-2020/", json_reply([]))
    return server


@pytest.mark.usefixtures("mirror")
def test_a_month_is_published_in_long_form() -> None:
    result = materialize(county_registrations, "1996-02")

    assert result.success
    assert visible(COUNTY_REGISTRATIONS, "state, county, party_column, value") == [
        ("SD", "Aurora", "democratic", "1130"),
        ("SD", "Aurora", "republican", "851"),
    ]
    assert facts(result)["files"] == ["sd-voter-registration/snapshots/1996-02-12.csv"]


@pytest.mark.usefixtures("mirror")
def test_a_month_without_a_statistic_fails_and_says_so() -> None:
    assert "no publication has county registrations of 1996-03" in failure(materialize(county_registrations, "1996-03"))


def test_a_county_that_comes_twice_blocks_the_month(mirror: LoopbackServer) -> None:
    twice = SNAPSHOT + SNAPSHOT.splitlines()[1]
    mirror.serve("/sd-voter-registration/snapshots/1996-02-12.csv", Reply(body=twice.encode()))

    result = materialize(county_registrations, "1996-02")

    assert not result.success
    assert told_by(result.get_asset_check_evaluations()) == {"contract": {"keys": 2}}


@pytest.mark.real_data
@pytest.mark.parametrize(("month", "rows"), [("1976-05", 201), ("2012-11", 1509), ("2018-03", 216)])
def test_real_months_pass_their_contract(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, real_data: Path, month: str, rows: int
) -> None:
    server.serve_folder("/", real_data)
    monkeypatch.setenv(URL, server.url)

    result = materialize(county_registrations, month)

    assert result.success
    assert all(checks(result).values())
    assert facts(result)["dagster/row_count"] == rows
