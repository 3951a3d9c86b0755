"""What a publish takes, what history costs it, and whether any is lost when many processes publish at once.

Three embedded catalogs take the same small partitions in turn: one by a bare delete, add and commit of DuckLake, one by
publishes (lock, look for an equal publish, transaction, record) of which there are 100, and one by either, where there
are PUBLISHES (50000) publishes, over PARTITIONS (500) live partitions. These came TOGETHER (20) in a commit, as a
backfill makes them. An expiry of all that is superseded follows, and publishes after it. Then 8 processes publish 250
times each, and what is lost, doubled and failed is counted.

``make bench NAME=publish``; prints medians in milliseconds and, last, one line of JSON.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import dagster as dg
import duckdb
import pyarrow as pa

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.lake import Lake, placed
from mlops_assets.platform.lake import expiry, ledger
from mlops_assets.platform.lake.frames import as_ibis
from mlops_assets.platform.lake.publish import OvertakenError, Replacement, publish, publish_all
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import StagedFile, stage
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake.test_publishing import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PARTITIONS: Final = int(os.environ.get("PARTITIONS", "500"))
PUBLISHES: Final = int(os.environ.get("PUBLISHES", "50000"))
TOGETHER: Final = int(os.environ.get("TOGETHER", "20"))
FEW: Final = 100
TIMES: Final = 200
PROCESSES: Final = 8
EACH: Final = 250
KEYS: Final = [f"p{number}" for number in range(PARTITIONS)]
LAKES: Final = {name: Lake(name) for name in ("bare", "few", "many", "crowd")}


class History:
    """A table that grows by publishes of one row, staged once for each partition and copied from then on.

    Attributes:
        made: how many publishes there were.
        contract: the table.
    """

    def __init__(self, session: LakeSession, lake: str) -> None:
        self.contract = replace(orchard.YIELDS, lake=LAKES[lake], partitions_def=dg.StaticPartitionsDefinition(KEYS))
        self.session = session
        self.made = 0
        self._staged: dict[str, StagedFile] = {}

    def publish(self) -> None:
        """Publish the next partitions in turn, in one commit."""
        keys = [KEYS[number % PARTITIONS] for number in range(self.made, self.made + TOGETHER)]
        current = ledger.current(self.session, self.contract, keys)
        publish_all(self.session, self.contract, [self._replacement(key, current.get(key)) for key in keys])

    def _replacement(self, key: str, before: ledger.Entry | None) -> Replacement:
        file = self._file(key)
        made = record(key, f"publish {self.made}", file)
        self.made += 1
        replaced = before.version if before is not None else 0
        return Replacement(partition={"week": key}, staged=file, record=made, instead_of=replaced)

    def publish_of(self, publish_id: str) -> Callable[[], None]:
        """The publish of the next partition in turn, staged and yet to be done."""
        key = KEYS[self.made % PARTITIONS]
        file = self._file(key)
        self.made += 1

        def work() -> None:
            while True:
                replaced = ledger.current_version(self.session, self.contract, key)
                made = record(key, publish_id, file)
                with suppress(OvertakenError):
                    whole = Replacement(partition={"week": key}, staged=file, record=made, instead_of=replaced)
                    publish(self.session, self.contract, whole)
                    return

        return work

    def bare(self) -> Callable[[], None]:
        """The same by DuckLake alone: delete, add and commit, and nothing looked up, kept or locked."""
        key = KEYS[self.made % PARTITIONS]
        file = self._file(key)
        self.made += 1

        def work() -> None:
            connection, lake = self.session.connection, self.contract.lake.name
            connection.execute("BEGIN TRANSACTION")
            connection.execute(f"DELETE FROM {lake}.wrangled.yields WHERE week = '{key}'")
            connection.execute(f"CALL ducklake_add_data_files('{lake}', 'yields', '{file.path}', schema => 'wrangled')")
            connection.execute("COMMIT")

        return work

    def stage_anew(self) -> None:
        """Forget what was staged first, which an expiry has removed with the publishes that it was in."""
        self._staged.clear()

    def _file(self, key: str) -> StagedFile:
        if key not in self._staged:
            columns = rules.columns_of(self.contract)
            table = as_ibis(self.session, pa.table({"week": [key], "tree": [1], "kilos": [1.0]}), columns)
            self._staged[key] = stage(
                self.session, self.contract, table, attempt=f"first-{os.getpid()}-{key}-{self.made}"
            )
            return self._staged[key]
        first = self._staged[key].path
        folder = first.parent.with_name(f"{os.getpid()}-{key}-{self.made}")
        folder.mkdir()
        shutil.copy(first, folder / first.name)
        return StagedFile(folder / first.name, self._staged[key].bytes)


def in_turn(works: Mapping[str, Callable[[], Callable[[], object]]]) -> dict[str, float]:
    """The median milliseconds of each work, each done many times in turn, so that the machine is the same to all."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(TIMES):
        for name, prepare in works.items():
            work = prepare()
            began = time.perf_counter()
            work()
            taken[name].append((time.perf_counter() - began) * 1000)
    return {name: round(statistics.median(each), 2) for name, each in taken.items()}


def alone(settings: Settings) -> dict[str, float]:
    """Publishes and look-ups of one process."""
    with LakeSession(settings) as session:
        bare, few, many = (History(session, name) for name in ("bare", "few", "many"))
        for history, until in ((bare, FEW), (few, FEW), (many, PUBLISHES)):
            while history.made < until:
                history.publish()
        found = in_turn(
            {
                "bare_p50_ms": bare.bare,
                "bare_p50_ms_at_50k": many.bare,
                "p50_ms": lambda: few.publish_of(f"publish {few.made}"),
                "p50_ms_at_50k": lambda: many.publish_of(f"publish {many.made}"),
            }
        )
        for name, history in (("", few), ("_at_50k", many)):
            contract = history.contract
            looked_up = {
                f"current_1{name}": lambda of=contract: lambda: ledger.current(session, of, ["p7"]),
                f"current_all{name}": lambda of=contract: lambda: ledger.current(session, of, KEYS),
                f"find{name}": lambda of=contract: lambda: ledger.find(session, of, ["publish 7"]),
            }
            found |= in_turn(looked_up)
        began = time.perf_counter()
        old = expiry.expirable(session, "many", older_than_seconds=0.0, pins=lambda _: {})
        expiry.expire(session, "many", old)
        found["expiry_seconds"] = round(time.perf_counter() - began, 1)
        many.stage_anew()
        found |= in_turn({"p50_ms_after_expiry": lambda: many.publish_of(f"publish {many.made}")})
        return found


def crowd(settings: Settings) -> dict[str, float]:
    """Publishes of many processes: how many were lost, were there twice, or failed."""
    began = time.perf_counter()
    command = [sys.executable, "-W", "ignore", __file__]
    processes = [subprocess.Popen([*command, f"p{number}"]) for number in range(PROCESSES)]
    failed = sum(process.wait() != 0 for process in processes)
    seconds = time.perf_counter() - began
    with LakeSession(settings) as session:
        ids = Counter(entry.record.publish_id for entry in ledger.since(session, "crowd", 0))
    expected = {f"p{number}-{turn}" for number in range(PROCESSES) for turn in range(EACH)}
    return {
        "processes": PROCESSES,
        "publishes_each": EACH,
        "seconds": round(seconds, 1),
        "lost": len(expected - set(ids)),
        "doubled": sum(times - 1 for times in ids.values()),
        "failed": failed,
    }


def worker(name: str, settings: Settings) -> None:
    """Publish many times; a failure ends the process with an error."""
    with LakeSession(settings) as session:
        history = History(session, "crowd")
        for turn in range(EACH):
            history.publish_of(f"{name}-{turn}")()


def main() -> None:
    """Measure, print a table and, last, one JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLOPS_ASSETS_HOME"] = folder
        settings = placed(Settings.load(), LAKES.values())
        found = alone(settings) | crowd(settings)
    versions = {"duckdb": duckdb.__version__, "python": platform.python_version()}
    result = {"bench": "publish", "publishes": PUBLISHES, **found, **versions, "cores": os.cpu_count()}
    for name, value in result.items():
        print(f"{name:>20}  {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        worker(sys.argv[1], placed(Settings.load(), LAKES.values()))
    else:
        main()
