"""Fixtures of the tests of alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.platform.assets.alerting import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    receiver = Receiver()
    monkeypatch.setenv("MLOPS_ASSETS_ALERTS__WEBHOOK_URL", receiver.url)
    yield receiver
    receiver.close()


@pytest.fixture
def pickers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """The receiver of the role that owns the harvest."""
    receiver = Receiver()
    monkeypatch.setenv("MLOPS_ASSETS_ALERTS__WEBHOOKS__PICKERS__URL", receiver.url)
    yield receiver
    receiver.close()
