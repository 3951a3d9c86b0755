"""An erasure in a process of its own, which dies at a given step of it; and one that reads or publishes meanwhile.

Put here what runs in such a process; as ``python -m`` it reads. Keep out assertions.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops_assets.platform.lake import catalog, erasure, expiry, rewriting, stage
from mlops_assets.platform.lake.publish import OvertakenError
from mlops_assets_tests.platform.lake import crowd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KILLED = 86
"""The exit code of a process that died at the step that it was told."""


class _Steps:
    """Counts steps, and ends the process at one of them without any cleaning up."""

    def __init__(self, last: int) -> None:
        self.left = last

    def __call__(self) -> None:
        if self.left == 0:
            os._exit(KILLED)
        self.left -= 1

    def around(self, holder: object, name: str) -> None:
        """Let the function be two steps, one before it and one after it."""
        function: Callable[..., Any] = getattr(holder, name)

        def stepped(*given: Any, **named: Any) -> Any:  # noqa: ANN401
            self()
            result = function(*given, **named)
            self()
            return result

        setattr(holder, name, stepped)


def die_at(last: int) -> None:
    """Let this process die at that step of its erasure."""
    step = _Steps(last)
    for holder, names in {
        rewriting: ("write_parquet",),
        rewriting.Rewriter: ("look", "_replace", "_correct"),
        erasure: ("purge", "settle", "finish", "_note"),
        expiry: ("expire",),
        stage: ("sweep", "abandoned"),
        shutil: ("rmtree",),
    }.items():
        for name in names:
            step.around(holder, name)
    transaction = catalog.transaction

    @contextmanager
    def stepped(*given: Any) -> Iterator[Any]:  # noqa: ANN401
        step()
        with transaction(*given) as run:
            yield run
            step()
        step()

    setattr(erasure, "transaction", stepped)  # noqa: B010  the erasure's own name of it


def read_without_end() -> None:
    """Print the persons of each version whenever they change, until this is killed."""
    shown = None
    while True:
        try:
            now: dict[Any, Any] = crowd.counted(crowd.versions(with_canary=True))
        except Exception as error:  # noqa: BLE001  the test judges it
            now = {-1: str(error).splitlines()[0]}
        if now != shown:
            print(now, flush=True)  # noqa: T201  for the test to read
            shown = now


def publish_often(times: int) -> None:
    """Publish the second week again and again, from a source that goes on delivering the canary."""
    for number in range(times):
        while True:
            try:
                crowd.week("w2", Eve=number + 1.0, ZZ_XYZZYX_1=1.0)
                break
            except OvertakenError:
                continue


def forget_until(step: int) -> None:
    """Erase the canary, and die at that step, if there are so many."""
    die_at(step)
    crowd.forget()


if __name__ == "__main__":
    read_without_end()
