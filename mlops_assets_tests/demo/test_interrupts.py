"""Ctrl-C while history is loaded."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._utils.interrupts import capture_interrupts

from mlops_assets.demo import history

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def _heard() -> Iterator[None]:
    """Ctrl-C as a terminal's programs hear it, wherever these tests run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _inside_a_step() -> None:
    signal.raise_signal(signal.SIGINT)


def _between_two_steps() -> None:
    # Dagster takes it there, and forgets it.
    with capture_interrupts():
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("_heard")
@pytest.mark.parametrize("ctrl_c", [_inside_a_step, _between_two_steps])
def test_loading_ends_with_the_run_that_a_ctrl_c_meets(
    ctrl_c: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[None] = []

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["first", "second"]))
    def letters() -> None:
        begun.append(None)
        ctrl_c()

    monkeypatch.setattr(history, "definitions", lambda: dg.Definitions(assets=[letters]))
    batch = history.Batch("letters", ["letters"], ["first", "second"])
    with dg.instance_for_test() as instance, pytest.raises(KeyboardInterrupt):
        history.load([batch], instance, lambda *_: None)
    assert len(begun) == 1
