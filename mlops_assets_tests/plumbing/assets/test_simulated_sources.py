"""The declared voter sources against the simulated source systems, whose servers somebody else wrote."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from mlops_assets.contracts.raw import COUNTY_REGISTRATIONS, DISTRICT_PROFILES, HOUSE_RETURNS
from mlops_assets.platform.assets.raw import KEPT, TAG
from mlops_assets.plumbing.assets.county_registrations import county_registrations
from mlops_assets.plumbing.assets.district_profiles import district_profiles
from mlops_assets.plumbing.assets.house_returns import house_returns
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.servers import Fault, FolderServer
from mlops_assets.simulation.sources import DEMO_KEY, generate
from mlops_assets_tests.plumbing.raw_layer import facts, failure, materialize, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import dagster as dg

    from mlops_assets.simulation.servers import SourceServer
    from mlops_assets.simulation.sources import SourceSystems

pytestmark = pytest.mark.usefixtures("home")

PASSING = (Fault.too_many_requests(), Fault.server_error(HTTPStatus.SERVICE_UNAVAILABLE), Fault.half_body())


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> SourceSystems:
    """A small simulation."""
    return generate(SimulationConfig(voters_per_state=3000), tmp_path_factory.mktemp("simulation"))


@contextmanager
def served(
    systems: SourceSystems, monkeypatch: pytest.MonkeyPatch, *, attempts: int = 1, faults: Iterable[Fault] = ()
) -> Iterator[SourceServer]:
    """A server that the operator has set."""
    with systems.serve(faults=faults) as server:
        for name, value in {
            "PROFILES_URL": server.profiles_url,
            "PROFILES_KEY": DEMO_KEY,
            "HOUSE_RETURNS_URL": server.house_returns_url,
            "ATTEMPTS": str(attempts),
        }.items():
            monkeypatch.setenv(f"MLOPS_ASSETS_SOURCES__{name}", value)
        yield server


@pytest.mark.parametrize("fault", PASSING)
def test_profiles_and_returns_arrive_whole_through_a_passing_fault(
    systems: SourceSystems, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    with served(systems, monkeypatch, attempts=3, faults=[fault]) as server:
        assert materialize(district_profiles, "2022").success
        server.inject(fault)
        assert materialize(house_returns, "2022").success

    assert len({*visible(DISTRICT_PROFILES, "geo_id")}) == 28
    assert len({*visible(HOUSE_RETURNS, "state_po, district")}) == 28


def test_equal_profiles_give_equal_rows_wherever_they_are_served(
    systems: SourceSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for _ in range(2):
        with served(systems, monkeypatch):
            found.append(facts(materialize(district_profiles, "2021"))["content_hash"])

    assert found[0] == found[1]


def test_lasting_faults_are_refused(systems: SourceSystems, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(systems, monkeypatch, attempts=2, faults=[Fault.half_body()] * 2) as server:
        assert "broke off" in failure(materialize(house_returns, "2022"))
        server.inject(Fault.html_page())
        assert "Sign in" in failure(materialize(house_returns, "2022"))
        monkeypatch.setenv("MLOPS_ASSETS_SOURCES__PROFILES_KEY", "wrong")
        assert "refuses the key" in failure(materialize(district_profiles, "2022"))


def test_returns_that_did_not_change_are_sent_once(systems: SourceSystems, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(systems, monkeypatch):
        results = [facts(materialize(house_returns, "2022")) for _ in range(2)]

    assert results[0]["content_hash"] == results[1]["content_hash"]
    assert results[1]["downloaded"] == "unchanged since the last fetch"


def test_registrations_are_read_from_a_served_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("sd-voter-registration/snapshots", "md-voter-registration/input", "county-registration-2004-2020"):
        (tmp_path / folder).mkdir(parents=True)
    snapshot = tmp_path / "sd-voter-registration" / "snapshots" / "1996-02-12.csv"
    snapshot.write_text("date,county,republican,democratic\n1996-02-12,Aurora,851,1130\n", encoding="utf-8")

    with FolderServer(tmp_path) as server:
        monkeypatch.setenv("MLOPS_ASSETS_SOURCES__REGISTRATIONS_URL", server.url)
        assert materialize(county_registrations, "1996-02").success

    assert visible(COUNTY_REGISTRATIONS, "value") == [("1130",), ("851",)]


def test_profiles_and_returns_are_made_again_from_what_was_kept_while_their_servers_are_away(
    systems: SourceSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (
        (district_profiles, "2022", DISTRICT_PROFILES, "geo_id"),
        (house_returns, "2022", HOUSE_RETURNS, "source_row"),
    )
    with served(systems, monkeypatch):
        first = [(materialize(source, key), visible(contract, column)) for source, key, contract, column in asked]
    for (source, key, contract, column), (published, before) in zip(asked, first, strict=True):
        again = materialize(source, key, tags={TAG: KEPT})
        assert again.success, failure(again)
        assert visible(contract, column) == before != []
        assert hashes(again) == hashes(published)


def hashes(done: dg.ExecuteInProcessResult) -> list[str]:
    return [
        (event.materialization.tags or {})["dagster/data_version"] for event in done.get_asset_materialization_events()
    ]
