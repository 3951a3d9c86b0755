"""Fixtures of the tests of sources: a home folder, and a secret in it.

Put here what tests of several kinds of source share. Keep out servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.plumbing.sources.rest_orders import SECRET

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own."""
    home = tmp_path / "home"
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(home))
    return home


@pytest.fixture
def secrets(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of secrets of a fresh home, with the secret ``orders_token``."""
    folder = home / "secrets"
    folder.mkdir(parents=True)
    (folder / "orders_token").write_text(f"{SECRET}\n", encoding="utf-8")
    monkeypatch.delenv("MLOPS_ASSETS_SECRETS_DIR", raising=False)
    return folder
