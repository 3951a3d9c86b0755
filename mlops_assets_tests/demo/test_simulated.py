"""What the demonstration says at its default size, of events and models; and the pictures of it that README shows.

The pictures go to ``screenshots/``; ``UPDATE_PICTURES=1`` puts them into ``docs/pictures/`` (simulated data only).
"""

from __future__ import annotations

import os
import re
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

import pytest

from mlops_assets.cli import DEMO_SEED, DEMO_VOTERS
from mlops_assets.demo import simulated
from mlops_assets.demo.surroundings import Surroundings
from mlops_assets_tests.browser import Page, browser_page, require_chromium
from mlops_assets_tests.docker_engine import ROOT
from mlops_assets_tests.webserver import web_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PICTURES = ROOT / ("docs/pictures" if os.environ.get("UPDATE_PICTURES") else "screenshots")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demonstration writes."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def said(home: Path) -> str:
    """What the demonstration says at its default size, from its beginning to its end."""
    printed = StringIO()
    with redirect_stdout(printed):
        simulated.run(home=home, voters_per_state=DEMO_VOTERS, port=0, seed=DEMO_SEED)
    return printed.getvalue()


@pytest.fixture
def page() -> Iterator[Page]:
    require_chromium()
    with browser_page() as page:
        yield page


def test_every_event_that_happened_is_found_and_no_other(said: str) -> None:
    assert "Events that do not match the truth: 0." in " ".join(said.split())


def test_the_last_month_becomes_a_new_prediction(said: str) -> None:
    told = re.search(r"turnout: 2024 = (\d\.\d{4}) .* was (\d\.\d{4}) before", " ".join(said.split()))
    assert told is not None, said
    assert told[1] != told[2]


def test_every_model_is_better_than_the_best_naive_guess(said: str) -> None:
    assert said.count("better than the best naive guess") == 3
    assert "no better than" not in said


def test_the_report_on_the_history_tells_every_cause(home: Path, said: str, page: Page) -> None:
    assert said
    page.open((home / "reports" / "history.html").as_uri(), width=1400, height=1120)
    page.wait_for("What changed the data", "boundary", "renumbering", "entry", "population")
    page.picture(PICTURES / "history-report.png")


def test_the_graph_of_assets_shows_how_all_groups_follow_from_each_other(home: Path, said: str, page: Page) -> None:
    assert said
    surroundings = Surroundings(home)
    log = surroundings.logs / "webserver.log"
    with web_server(ROOT / "workspace.yaml", surroundings.environment({}), log) as server:
        # Wide enough for Dagster to draw the groups at full size; their states come later.
        page.open(f"{server.url}/asset-groups", width=2600, height=1500)
        page.wait_for("raw", "wrangled", "features", "variance", "training", "models", "predictions", "served")
        page.settle()
        page.picture(PICTURES / "asset-graph.png", clip=(590, 600, 1960, 340))
