"""The connectors against the simulated source systems, whose servers somebody else wrote."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.connectors.census import fetch_profiles
from mlops_assets.plumbing.connectors.house_returns import fetch_house_returns
from mlops_assets.plumbing.connectors.registrations import fetch_registrations
from mlops_assets.plumbing.sources.http import Fetcher
from mlops_assets.plumbing.sources.http_cache import HttpCache
from mlops_assets.plumbing.sources.http_faults import HtmlInsteadError
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.servers import Fault, FolderServer
from mlops_assets.simulation.sources import DEMO_KEY, generate

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.simulation.sources import SourceSystems

PASSING = (Fault.too_many_requests(), Fault.server_error(HTTPStatus.SERVICE_UNAVAILABLE), Fault.half_body())


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> SourceSystems:
    """A small simulation."""
    return generate(SimulationConfig(voters_per_state=3000), tmp_path_factory.mktemp("simulation"))


@pytest.mark.parametrize("fault", PASSING)
def test_profiles_and_returns_arrive_whole_through_a_passing_fault(
    systems: SourceSystems, fetcher: Fetcher, fault: Fault
) -> None:
    with systems.serve(faults=[fault]) as server:
        profiles = fetch_profiles(fetcher, server.profiles_url, "2022", DEMO_KEY).rows
        server.inject(fault)
        returns = fetch_house_returns(fetcher, server.house_returns_url, "2022").rows

    assert len(profiles["geo_id"].unique()) == 28
    assert len({(row["state_po"], row["district"]) for row in returns.to_pylist()}) == 28


def test_equal_profiles_give_equal_rows_wherever_they_are_served(systems: SourceSystems, fetcher: Fetcher) -> None:
    found = []
    for _ in range(2):
        with systems.serve() as server:
            found.append(fetch_profiles(fetcher, server.profiles_url, "2021", DEMO_KEY).rows)

    assert found[0].equals(found[1])


def test_lasting_faults_are_refused(systems: SourceSystems, fetcher: Fetcher) -> None:
    with systems.serve(faults=[Fault.half_body()] * 3) as server:
        with pytest.raises(SourceUnavailableError, match="broke off"):
            fetch_house_returns(fetcher, server.house_returns_url, "2022")
        server.inject(Fault.html_page())
        with pytest.raises(HtmlInsteadError, match="Sign in"):
            fetch_house_returns(fetcher, server.house_returns_url, "2022")
        with pytest.raises(SourceError, match="refuses the key"):
            fetch_profiles(fetcher, server.profiles_url, "2022", "wrong")


def test_returns_that_did_not_change_are_sent_once(systems: SourceSystems, tmp_path: Path) -> None:
    with systems.serve() as server, Fetcher(cache=HttpCache(tmp_path)) as client:
        extracts = [fetch_house_returns(client, server.house_returns_url, "2022") for _ in range(2)]

    assert extracts[0].rows.equals(extracts[1].rows)
    assert extracts[1].facts["downloaded"] == "unchanged since the last fetch"


def test_registrations_are_read_from_a_served_folder(tmp_path: Path, fetcher: Fetcher) -> None:
    for folder in ("sd-voter-registration/snapshots", "md-voter-registration/input", "county-registration-2004-2020"):
        (tmp_path / folder).mkdir(parents=True)
    snapshot = tmp_path / "sd-voter-registration" / "snapshots" / "1996-02-12.csv"
    snapshot.write_text("date,county,republican,democratic\n1996-02-12,Aurora,851,1130\n", encoding="utf-8")

    with FolderServer(tmp_path) as server:
        rows = fetch_registrations(fetcher, server.url, "1996-02").rows

    assert rows["value"].to_pylist() == ["851", "1130"]
