"""Fixtures of the plumbing tests: a scripted HTTP server, a client that does not wait, and the public files.

Put here what tests of several connectors share. Keep out data of one source.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops_assets.plumbing.sources.http.fetcher import Fetcher
from mlops_assets.plumbing.sources.http.limits import Limits
from mlops_assets_tests.plumbing.loopback import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterator

REAL_DATA = "MLOPS_ASSETS_TEST_DATA"


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A server whose answers the test scripts."""
    with LoopbackServer() as running:
        yield running


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    """A client of three attempts that does not sleep between them."""
    with Fetcher(limits=Limits(attempts=3), sleep=lambda _: None) as client:
        yield client


@pytest.fixture
def real_data() -> Path:
    """The folder with the public files; the test is skipped, saying so, where it is absent."""
    named = os.environ.get(REAL_DATA)
    folder = Path(named) if named else Path(__file__).parents[2].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the public files are absent: {REAL_DATA} names no folder")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home folder that the settings point to, with a source tried once."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(folder))
    monkeypatch.setenv("MLOPS_ASSETS_SOURCES__ATTEMPTS", "1")
    monkeypatch.chdir(tmp_path)
    return folder
