"""Ctrl-C while history is loaded."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._utils.interrupts import capture_interrupts

from mlops_assets.demo import history

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def _heard() -> Iterator[None]:
    """Ctrl-C as a terminal's programs hear it, wherever these tests run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heard")
def test_loading_ends_with_the_run_in_which_dagster_took_a_ctrl_c_and_forgot_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []

    def run(_batch: object, partition: object, _job: object, _instance: object) -> None:
        made.append(partition)
        with capture_interrupts():
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(history, "_run", run)
    batch = history.Batch("voter files", ["raw/voter_file"], ["2021-07|GA", "2021-08|GA"])
    with dg.instance_for_test() as instance, pytest.raises(KeyboardInterrupt):
        history.load([batch], instance, lambda *_: None)
    assert made == ["2021-07|GA"]
