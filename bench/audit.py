"""What an audit costs: 10 million rows by sixteen rules, beside one query written by hand, pandera and its peers.

All read the same Parquet file, as it is staged, in which one row of ten thousand breaks each rule, and must find
exactly those. The query by hand gives the same counts and the same content hash as the audit; pandera's three libraries
and Great Expectations have no hash. Each way is a process of its own, one at a time, in turn; the clock leaves out
imports. What fails at all rows or takes longer than ``LIMIT`` seconds is measured at a tenth of them. Then generated
contracts and frames are judged by the audit and by pandera, rule by rule. ``BENCH_ROWS``, ``RUNS``, ``LIMIT`` and
``CASES`` may be set.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from audit_orders import NEVER_BROKEN, RULES, SHARE, rows_query
from peer_environments import PEERS, peer

from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import write_parquet
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform.audit.pandera_cases import differences

ROWS = int(os.environ.get("BENCH_ROWS", "10000000"))
RUNS = int(os.environ.get("RUNS", "3"))
LIMIT = float(os.environ.get("LIMIT", "600"))
CASES = int(os.environ.get("CASES", "10000"))
CORES: Final = os.cpu_count() or 1
AIM: Final = 1.2
PROGRAMS: Final = Path(__file__).with_name("audit_programs.py")
WAYS: Final = (
    *("ours", "by_hand", "by_hand_without_hash"),
    *("pandera_polars", "pandera_pandas", "pandera_ibis", "great_expectations"),
)
TWICE: Final = frozenset({"pandera_polars", "great_expectations"})
"""These tell every row of a repeated key, the others all but one."""


@dataclass
class Way:
    """A way to audit: its command, how many rows it is given, and what was measured.

    Attributes:
        command: what is run, before the file.
        rows: of the file that it is given.
        seconds: of each run.
        cpu: processor seconds of each run, which other work on the machine changes least.
        peak_mib: the most memory of any run.
        said: what the last run printed.
    """

    command: list[str]
    rows: int = ROWS
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak_mib: int = 0
    said: dict[str, Any] = field(default_factory=dict)

    def run(self, folder: Path) -> bool:
        """Run it once; whether it came to an end within the limit."""
        path = folder / f"{self.rows}.parquet"
        try:
            done = subprocess.run(
                [*self.command, str(path)], capture_output=True, text=True, check=False, timeout=LIMIT
            )
        except subprocess.TimeoutExpired:
            return False
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
            return False
        self.said = json.loads(done.stdout.splitlines()[-1])
        self.seconds.append(self.said["seconds"])
        self.cpu.append(self.said["cpu"])
        self.peak_mib = max(self.peak_mib, self.said["peak_mib"])
        return True

    @property
    def median(self) -> float:
        """Seconds of the median run."""
        return statistics.median(self.seconds)


def ways() -> dict[str, Way]:
    """All of them, each in its environment."""
    own = {name: Way([sys.executable, "-W", "ignore", str(PROGRAMS), name]) for name in WAYS[:-1]}
    python = peer(WAYS[-1])
    return {**own, WAYS[-1]: Way([str(python), str(PEERS / f"{WAYS[-1]}_audit.py")])}


def stage_orders(folder: Path, rows: int) -> None:
    """Write that many orders as a step stages them."""
    with LakeSession(Settings(home=folder)) as session:
        write_parquet(session, rows_query(rows), folder / f"{rows}.parquet", unbounded=())


def require_right(name: str, way: Way) -> None:
    """End the bench if a way did not find exactly the rows that break each rule."""
    broken = way.rows // SHARE
    for rule in RULES:
        expected = 0 if rule == NEVER_BROKEN else broken * (1 + (rule == RULES[-1] and name in TWICE))
        if way.said["counts"][rule] != expected:
            raise SystemExit(f"{name} finds {way.said['counts'][rule]} rows and not {expected}: {rule}")


def measure(folder: Path) -> dict[str, Way]:
    """Run all ways in turn, and those that fail or take too long on a tenth of the rows."""
    found = ways()
    for turn in range(RUNS):
        for name, way in found.items():
            if way.run(folder):
                require_right(name, way)
                print(f"{name}: {way.seconds[-1]:.1f} s, {way.cpu[-1]:.1f} of the processors", file=sys.stderr)
                continue
            if turn or way.rows < ROWS or name in {"ours", "by_hand", "by_hand_without_hash"}:
                raise SystemExit(f"{name} fails, or takes more than {LIMIT:.0f} s of {way.rows:,} rows")
            way.rows = ROWS // 10
            if not way.run(folder):
                raise SystemExit(f"{name} fails, or takes more than {LIMIT:.0f} s of {way.rows:,} rows")
            require_right(name, way)
    if found["ours"].said["hash"] != found["by_hand"].said["hash"]:
        raise SystemExit("the content hash by hand is another")
    return found


def compared(part: int) -> list[str]:
    """What differs in a core's part of the generated cases."""
    warnings.simplefilter("ignore")
    each = CASES // CORES
    return list(differences(each + (CASES % CORES if part == CORES - 1 else 0), first=part * each))


def main() -> None:
    """Measure, print a table and, last, one JSON line."""
    if ROWS % (10 * SHARE):
        raise SystemExit(f"BENCH_ROWS={ROWS} is no multiple of {10 * SHARE:,}")
    with tempfile.TemporaryDirectory() as name:
        for rows in (ROWS, ROWS // 10):
            stage_orders(Path(name), rows)
        found = measure(Path(name))
    hand = found["by_hand"]
    print(f"{'way':>20} {'rows':>12} {'seconds':>9} {'least':>8} {'most':>8} {'cpu':>8} {'MiB':>7} {'to by hand':>11}")
    for name, way in found.items():
        note = "" if way.rows == ROWS else f"  a tenth of the rows: at all it fails or takes more than {LIMIT:.0f} s"
        ratio = way.median / hand.median * ROWS / way.rows
        print(
            f"{name:>20} {way.rows:>12,} {way.median:>9.2f} {min(way.seconds):>8.2f} {max(way.seconds):>8.2f}"
            f" {statistics.median(way.cpu):>8.2f} {way.peak_mib:>7,} {ratio:>11.2f}{note}"
        )
    began = time.perf_counter()
    with ProcessPoolExecutor(CORES, mp_context=multiprocessing.get_context("spawn")) as processes:
        different = [each for part in processes.map(compared, range(CORES)) for each in part]
    print(f"{CASES:,} generated cases beside pandera in {time.perf_counter() - began:.0f} s: {len(different)} differ")
    for each in different[:5]:
        print(f"  {each}")
    ours, theirs = found["ours"], {name: found[name] for name in WAYS[2:]}
    ratio = round(ours.median / hand.median, 3)
    result = {
        "bench": "audit",
        "rows": ROWS,
        "rules": len(RULES),
        "runs": RUNS,
        "ours_seconds": round(ours.median, 2),
        "by_hand_seconds": round(hand.median, 2),
        "ratio": ratio,
        "cpu_ratio": round(statistics.median(ours.cpu) / statistics.median(hand.cpu), 3),
        "aim": AIM,
        "aim_met": ratio <= AIM,
        "ours_peak_mib": ours.peak_mib,
        "by_hand_peak_mib": hand.peak_mib,
        **{f"{name}_seconds": round(way.median, 2) for name, way in theirs.items()},
        **{f"{name}_peak_mib": way.peak_mib for name, way in theirs.items()},
        **{f"{name}_rows": way.rows for name, way in theirs.items()},
        "cases": CASES,
        "cases_equal": CASES - len(different),
        "versions": {**ours.said["versions"], "great_expectations": theirs[WAYS[-1]].said["versions"]},
        "python": platform.python_version(),
        "cores": CORES,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
