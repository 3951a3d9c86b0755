"""Fixtures of the deployment's tests: its images, built once, and the running whole, brought up once.

Put here what starts slowly. Keep out assertions.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.deploy.stack import ROLES, Stack, copy_volume, leftovers, make, secrets_command, take_down
from mlops_assets_tests.docker_engine import require_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def images() -> None:
    """The deployment's images, built from this checkout.

    They take minutes, and the whole takes the engine for itself: nothing that somebody who runs the tests once expects.
    """
    if "docker" not in os.environ.get("MLOPS_ASSETS_TEST_REQUIRE", ""):
        pytest.skip("the whole deployment is brought up only where MLOPS_ASSETS_TEST_REQUIRE names docker")
    require_engine()
    make("image")


@pytest.fixture(scope="session")
def stack(images: None) -> Iterator[Stack]:  # noqa: ARG001  they are built first
    """The deployment, up and well; taken down at the end. A deployment that runs already is left alone."""
    if found := leftovers():
        pytest.fail(f"a deployment is on this engine already (make down DATA=delete removes it): {found[:5]}")
    try:
        make("up")
        yield Stack()
    finally:
        take_down()


@pytest.fixture(scope="session")
def clients(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001  its volume is copied
    """The certificates that people sign in with: one person for each role, ``a.plumber`` and so on."""
    for role in ROLES:
        secrets_command("person", f"a.{role}", "--role", role)
    return copy_volume("secrets-clients", tmp_path_factory.mktemp("clients"))
