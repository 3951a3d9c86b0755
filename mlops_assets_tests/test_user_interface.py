"""The Dagster UI as its users see it: one asset graph over three locations, with partitions, checks and metadata.

The pictures are kept in ``screenshots/`` (simulated data only).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.contracts.partitions import STATES
from mlops_assets.demo.history import Batch, load
from mlops_assets.demo.surroundings import Surroundings, applied
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets.simulation.sources import generate
from mlops_assets_tests.browser import Page, browser_page, require_chromium
from mlops_assets_tests.docker_engine import ROOT
from mlops_assets_tests.webserver import WebServer, web_server

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.chromium]

PICTURES = ROOT / "screenshots"
MONTHS = ("2021-07", "2021-08")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A web server over an instance into which two months of two states were loaded."""
    require_chromium()
    surroundings = Surroundings(tmp_path_factory.mktemp("ui"))
    surroundings.prepare(["PSEUDONYM_KEY"])
    systems = generate(SimulationConfig(seed=3, voters_per_state=2000, months=2), surroundings.home / "sources")
    environment = surroundings.environment({})

    def drop(partition: str) -> None:
        month, state = partition.split("|")
        systems.drop(state, month, surroundings.home / "landing")

    batch = Batch(
        "two months",
        [
            "raw/voter_file",
            "wrangled/voters",
            "variance/voter_events",
            "features/district_demographics",
            "variance/voter_changes",
        ],
        [f"{month}|{state}" for month in MONTHS for state in STATES],
        before=drop,
    )
    with (
        applied(environment),
        dg.DagsterInstance.from_config(str(surroundings.dagster_home)) as instance,
    ):
        load([batch], instance, lambda *_: None)
        with web_server(ROOT / "workspace.yaml", environment, surroundings.logs / "webserver.log") as server:
            yield server


@pytest.fixture
def page() -> Iterator[Page]:
    with browser_page() as page:
        yield page


def test_the_graph_spans_the_three_locations(server: WebServer, page: Page) -> None:
    page.open(f"{server.url}/asset-groups")
    page.wait_for("raw", "wrangled", "features", "variance", "models", "predictions", "served")
    nodes = server.ask("{ assetNodes { assetKey { path } repository { location { name } } isMaterializable } }")
    made = {
        "/".join(node["assetKey"]["path"]): node["repository"]["location"]["name"]
        for node in nodes["assetNodes"]
        if node["isMaterializable"]
    }
    assert made["raw/voter_file"] == "plumbing"
    assert made["wrangled/voters"] == "wrangling"
    assert made["predictions/district_turnout"] == "modeling"


def test_an_asset_shows_its_partitions(server: WebServer, page: Page) -> None:
    page.open(f"{server.url}/assets/wrangled/voters?view=partitions")
    page.wait_for("2021-07", "GA", "NC")
    page.picture(PICTURES / "partitions.png")


def test_an_asset_shows_its_checks(server: WebServer, page: Page) -> None:
    page.open(f"{server.url}/assets/raw/voter_file?view=checks")
    page.wait_for("contract", "contract_warnings", "known_codes")
    page.picture(PICTURES / "checks.png")


def test_a_materialization_shows_rows_hash_and_lake_version(server: WebServer, page: Page) -> None:
    page.open(f"{server.url}/assets/variance/voter_changes?view=events&partition=2021-08%7CNC")
    page.wait_for("content_hash", "lake_version", "v1:", "compared_with")
    page.picture(PICTURES / "materialization.png")


def test_an_asset_tells_what_it_is_and_who_owns_it(server: WebServer, page: Page) -> None:
    page.open(f"{server.url}/assets/features/district_demographics?view=overview")
    page.wait_for("Registered voters of each district", "wrangling")
    page.picture(PICTURES / "overview.png")


def test_pictures_are_not_kept_in_the_repository() -> None:
    assert "screenshots/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
