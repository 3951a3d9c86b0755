"""What the demonstration says at its default size, of events and models; and the pictures of it that README shows.

The pictures go to ``screenshots/``; ``UPDATE_PICTURES=1`` puts them into ``docs/pictures/`` (simulated data only).
"""

from __future__ import annotations

import os
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from mlops_assets.cli import DEMO_SEED, DEMO_VOTERS
from mlops_assets.demo import report
from mlops_assets.demo.simulated import Loaded, loaded, show_events
from mlops_assets.simulation.configuration import SimulationConfig
from mlops_assets_tests.browser import Page, browser_page, require_chromium
from mlops_assets_tests.docker_engine import ROOT
from mlops_assets_tests.webserver import web_server

if TYPE_CHECKING:
    from collections.abc import Iterator

PICTURES = ROOT / ("docs/pictures" if os.environ.get("UPDATE_PICTURES") else "screenshots")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The demonstration at its default size, up to the month before the last."""
    config = SimulationConfig(seed=DEMO_SEED, voters_per_state=DEMO_VOTERS)
    with loaded(config, tmp_path_factory.mktemp("demo"), Console(file=StringIO())) as made:
        yield made


@pytest.fixture
def page() -> Iterator[Page]:
    require_chromium()
    with browser_page() as page:
        yield page


def test_every_event_that_happened_is_found_and_no_other(made: Loaded) -> None:
    shown = StringIO()
    assert show_events(made, Console(file=shown, width=200)) == 0, shown.getvalue()


def test_every_model_is_better_than_the_best_naive_guess(made: Loaded) -> None:
    models = report.show_models(made.settings, Console(file=StringIO()))
    assert len(models) == 3
    for compared in models:
        assert compared.error < compared.naive[1], compared


def test_the_report_on_the_history_tells_every_cause(made: Loaded, page: Page) -> None:
    page.open((made.settings.reports / "history.html").as_uri(), width=1400, height=1120)
    page.wait_for("What changed the data", "boundary", "renumbering", "entry", "population")
    page.picture(PICTURES / "history-report.png")


def test_the_graph_of_assets_shows_how_all_groups_follow_from_each_other(made: Loaded, page: Page) -> None:
    log = made.surroundings.logs / "webserver.log"
    with web_server(ROOT / "workspace.yaml", made.environment, log) as server:
        # Wide enough for Dagster to draw the groups at full size; their states come later.
        page.open(f"{server.url}/asset-groups", width=2600, height=1500)
        page.wait_for("raw", "wrangled", "features", "variance", "training", "models", "predictions", "serving")
        page.settle()
        page.picture(PICTURES / "asset-graph.png", clip=(590, 600, 1960, 340))
