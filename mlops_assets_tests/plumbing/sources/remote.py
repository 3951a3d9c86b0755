"""What the tests of object stores and servers share: a file, looks of a sensor, and a reader that ends a server.

Put here what is the same for every protocol. Keep out the servers, and assertions.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.platform.assets.definitions import build_defs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlops_assets.plumbing.sources.files.source import FileSource

GOOD: Final = "sale,day,amount,note\n1,2024-01-03,1.5,first\n"
ROW: Final = ("2024-01", 1, dt.date(2024, 1, 3), 1.5, "first")
LARGE: Final = b"\0" * 100_000_000


def look(source: FileSource, instance: dg.DagsterInstance) -> dg.SensorResult:
    """One look of the source's sensor."""
    repository = build_defs([source], name="shop").get_repository_def()
    [sensor] = source.sensors()
    looked = sensor(dg.build_sensor_context(instance=instance, repository_def=repository))
    assert isinstance(looked, dg.SensorResult)
    return looked


def asked(source: FileSource, instance: dg.DagsterInstance) -> list[str | None]:
    """The partitions that the sensor asks for."""
    return [each.partition_key for each in look(source, instance).run_requests or []]


@contextmanager
def in_mid_copy(target: Path, happens: Callable[[], object]) -> Iterator[None]:
    """What is copied to the target in this block waits, after its first bytes, until something has happened."""
    os.mkfifo(target)

    def read() -> None:
        with target.open("rb") as pipe:
            pipe.read(1000)
            happens()
            while pipe.read(2**20):
                pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        reader.join()
