"""The web server, started once.

Put here what starts slowly. Keep out assertions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.deployment.pages.asking import Served, served_pages

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The web server with the shipped roles."""
    with served_pages(tmp_path_factory.mktemp("pages")) as served:
        yield served
