"""The table of deliveries in docs/sources.md says what happens."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import pytest

import mlops_assets as ma
from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets_tests.plumbing.sources.shop import SALES, rows, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE: Final = Path(str(ma.__file__)).parents[1] / "docs" / "sources.md"
HEADER: Final = "sale,day,amount,note\n"


def lines(*numbers: int, month: str = "2024-01") -> str:
    return "".join(f"{number},{month}-03,{number}.5,some words\n" for number in numbers)


FIRST: Final = HEADER + lines(1, 2, 3, 4)
SECOND: Final = HEADER + lines(1, 2, 3, 5)


class Folder:
    """A folder of deliveries, its sensor, and what became of each look."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, whole: Any) -> None:  # noqa: ANN401
        self.folder = folder
        self.instance = instance
        self.source = ma.FileSource(contract=SALES, path=str(folder), file="{month}.csv", whole=whole, retries=0)
        self.repository = build_defs([self.source], name="shop").get_repository_def()
        self.told = ""

    def deliver(self, content: str | bytes, month: str = "2024-01", *, age: float = 3600.0) -> str:
        """Put a file there and look; what happened to it."""
        file = self.folder / f"{month}.csv"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(file, (time.time() - age,) * 2)
        [sensor] = self.source.sensors()
        before = rows()
        ticked = sensor(dg.build_sensor_context(self.instance, repository_def=self.repository))
        assert isinstance(ticked, dg.SensorResult)
        if not ticked.run_requests:
            return "nothing new" if self.is_taken(month) else "waits"
        [request] = ticked.run_requests
        done = run(self.source, request.partition_key, instance=self.instance)
        self.told = done.told
        if not done.success:
            assert rows() == before
            return "refused"
        return "nothing new" if rows() == before else "published"

    def is_taken(self, month: str) -> bool:
        return any(row[0] == month for row in rows())


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "delivered"
    made.mkdir()
    return made


def with_checksum(folder: Folder, content: str, cut: int) -> str:
    digest = hashlib.sha256(content.encode()).hexdigest()
    (folder.folder / "2024-01.csv.sha256").write_text(digest + "\n")
    return folder.deliver(content[:cut])


def again(folder: Folder) -> str:
    assert folder.deliver(FIRST) == "published"
    assert folder.deliver(FIRST, age=1800.0) == "nothing new"
    return folder.deliver(FIRST, age=1800.0)


def corrected(folder: Folder) -> str:
    assert folder.deliver(FIRST) == "published"
    return folder.deliver(SECOND, age=1800.0)


def returned(folder: Folder) -> str:
    assert corrected(folder) == "published"
    return folder.deliver(FIRST, age=900.0)


def old_month(folder: Folder) -> str:
    assert folder.deliver(HEADER + lines(1, month="2024-06"), "2024-06") == "published"
    return folder.deliver(FIRST)


def after(content: str | bytes) -> Callable[[Folder], str]:
    """The delivery after a good one."""

    def deliver(folder: Folder) -> str:
        assert folder.deliver(FIRST) == "published"
        return folder.deliver(content, age=1800.0)

    return deliver


CASES: Final[dict[str, Callable[[Folder], str]]] = {
    "a first file": lambda folder: folder.deliver(FIRST),
    "the same file again": again,
    "a corrected file": corrected,
    "the one before the last again": returned,
    "a file of an old month": old_month,
    "a file of a month that has not begun": lambda folder: folder.deliver(FIRST, "2025-07"),
    "a file that is still being written": lambda folder: folder.deliver(FIRST, age=0.0),
    "a file cut off within its last line": after(SECOND[:-3]),
    "a file cut off between lines, with a manifest or checksum": lambda folder: with_checksum(
        folder, FIRST, FIRST.index("3,2024")
    ),
    "a file cut off between lines, without either": after(FIRST[: FIRST.index("2,2024")]),
    "a packed file that is cut off": after(gzip.compress(SECOND.encode())[:-4]),
    "a file with rows of another month": after("month," + HEADER + "2024-01," + lines(1) + "2024-02," + lines(2)),
    "a file with a header and no rows": after(HEADER),
}


def table() -> dict[str, str]:
    """The page's deliveries, each with what it says in bold."""
    found = re.findall(r"^\| ([^|]+) \| \*\*([^*]+)\*\*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def test_the_page_tells_of_each_case() -> None:
    assert sorted(table()) == sorted(CASES)


@pytest.mark.parametrize("case", CASES)
def test_a_delivery_ends_as_the_page_says(case: str, folder: Path, instance: dg.DagsterInstance) -> None:
    whole = ma.Checksum() if "checksum" in case else ma.Quiet(seconds=60)
    assert CASES[case](Folder(folder, instance, whole)) == table()[case]
