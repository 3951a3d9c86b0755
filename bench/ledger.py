"""What history costs: looking publishes up, and publishing, after few and after very many publishes.

``make bench NAME=ledger``: 100 publishes, then PUBLISHES (50000), over PARTITIONS (500) live partitions on an embedded
catalog; median milliseconds of the look-ups and of a publish after each. Prints a table and, last, one line of JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import dagster as dg
import pyarrow as pa

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.frames import as_ibis
from mlops_assets.platform.lake.publish import Replacement, publish
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import StagedFile, stage
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake.test_publishing import record

if TYPE_CHECKING:
    from collections.abc import Callable

PARTITIONS: Final = int(os.environ.get("PARTITIONS", "500"))
PUBLISHES: Final = int(os.environ.get("PUBLISHES", "50000"))
FEW: Final = 100
TIMES: Final = 50
KEYS: Final = [f"p{number}" for number in range(PARTITIONS)]
CONTRACT: Final = replace(orchard.YIELDS, partitions_def=dg.StaticPartitionsDefinition(KEYS))


class History:
    """A table that grows by publishes of one row, staged once for each partition and copied from then on."""

    def __init__(self, session: LakeSession) -> None:
        self.session = session
        self.made = 0
        self._staged: dict[str, StagedFile] = {}

    def publish(self) -> None:
        """Publish the next partition in turn."""
        key = KEYS[self.made % PARTITIONS]
        file = self._file(key)
        replaced = ledger.current_version(self.session, CONTRACT, key)
        made = record(key, f"publish {self.made}", file)
        whole = Replacement(partition={"week": key}, staged=file, record=made, instead_of=replaced)
        publish(self.session, CONTRACT, whole)
        self.made += 1

    def _file(self, key: str) -> StagedFile:
        if key not in self._staged:
            columns = rules.columns_of(CONTRACT)
            table = as_ibis(self.session, pa.table({"week": [key], "tree": [1], "kilos": [1.0]}), columns)
            self._staged[key] = stage(self.session, CONTRACT, table, attempt=f"first-{key}")
            return self._staged[key]
        first = self._staged[key].path
        folder = first.parent.with_name(f"{key}-{self.made}")
        folder.mkdir()
        shutil.copy(first, folder / first.name)
        return StagedFile(folder / first.name, self._staged[key].bytes)


def milliseconds(work: Callable[[], object]) -> float:
    """The median of many times."""
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return round(statistics.median(taken) * 1000, 2)


def measured(history: History) -> dict[str, float]:
    """What looking up and publishing take now."""
    session = history.session
    return {
        "publishes": history.made,
        "current, one partition": milliseconds(lambda: ledger.current(session, CONTRACT, ["p7"])),
        "current, 500 partitions": milliseconds(lambda: ledger.current(session, CONTRACT, KEYS)),
        "find by id": milliseconds(lambda: ledger.find(session, CONTRACT, ["publish 7"])),
        "publish": milliseconds(history.publish),
    }


def main() -> None:
    """Measure after few and after many publishes."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLOPS_ASSETS_HOME"] = folder
        with LakeSession(Settings.load()) as session:
            history = History(session)
            rows = []
            for until in (FEW, PUBLISHES):
                while history.made < until:
                    history.publish()
                rows.append(measured(history))
    few, many = rows
    ratios = {name: round(many[name] / few[name], 2) for name in few if name != "publishes"}
    for name in few:
        print(f"{name:>24}  {few[name]:>10}  {many[name]:>10}  {ratios.get(name, '')}")
    print(json.dumps({"few": few, "many": many, "ratios": ratios}))


if __name__ == "__main__":
    main()
