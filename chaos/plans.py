"""Random plans of what to materialize, how and in which order: do all of them end in the same content hashes?

A plan is some runs over the mill's year: of one month or of a range, of one table or of both, alone or beside another,
ended by themselves, by a kill or by a cancellation in some window, in any order and as often as it comes. Then what is
still missing is made in one more run. Whatever came before, each month of each table must have the content hash that
plain runs of single months give, no row twice, Dagster's data version must be that hash, and no staged file may be
left.

``make chaos NAME=plans``; PLANS (200), SEED (1) are read from the environment. Prints one line of JSON; exits with 1 if
anything is wrong.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from mlops_assets.platform.assets import drafting, making, step
from mlops_assets.platform.assets.events import latest_materializations
from mlops_assets.platform.assets.reconciler import reconcile
from mlops_assets.platform.audit import audit
from mlops_assets.platform.lake import ledger, publish
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import sweep
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform.assets import mill
from mlops_assets_tests.platform.assets.mill import MONTHS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PLANS: Final = int(os.environ.get("PLANS", "200"))
SEED: Final = int(os.environ.get("SEED", "1"))
MOST_RUNS: Final = 4
_SHOWN: Final = 8000
WINDOWS: Final[dict[str, tuple[Any, str]]] = {
    "while staging": (drafting, "stage"),
    "at the audit": (audit, "audit"),
    "before the lock": (making, "publish_all"),
    "inside the transaction": (publish, "_replace"),
    "at the commit": (publish, "_mark"),
    "after the commit": (ledger, "find"),
    "among the events": (step, "materialization"),
    "among the checks": (step, "check_evaluation"),
    "before a single event": (step, "materialization_metadata"),
}
TABLES: Final = (mill.sacks, mill.flour)
CONTRACTS: Final = (mill.SACKS, mill.FLOUR)


def settings_of(folder: Path) -> None:
    """Give this process a home and an instance of its own there."""
    (folder / "dagster").mkdir(parents=True)
    shutil.copy(str(files("mlops_assets.demo") / "instance.yaml"), folder / "dagster" / "dagster.yaml")
    os.environ.update(MLOPS_ASSETS_HOME=str(folder), DAGSTER_HOME=str(folder / "dagster"))


def run(first: str, last: str, assets: Sequence[dg.AssetsDefinition]) -> bool:
    """Materialize these months of these tables in one run; whether it succeeded."""
    with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
        return mill.year(instance, assets, first=first, last=last).success


def interrupted(work: Callable[[], bool], window: str, turn: int, sent: signal.Signals) -> bool:
    """Do that, and send this process a signal when that window comes for that time."""
    mill.send_at(*WINDOWS[window], turn, sent)
    return work()


def in_a_process(work: Callable[[], object], log: Path) -> int:
    """Do this in a process of its own; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        with log.open("ab") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        # Groups small enough that a year has several.
        vars(step)["TOGETHER"] = 5
        work()
    except BaseException:  # noqa: BLE001  a forked process must not go on into its parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(0)


def one_run(chance: random.Random) -> tuple[str, Callable[[], bool]]:
    """A run of a plan: its kind, and what it does."""
    single = chance.random() < 0.3  # noqa: PLR2004  three of ten
    first = chance.randrange(len(MONTHS))
    last = first if single else chance.randrange(first, len(MONTHS))
    # What is ground without sacks of its month fails, and fails alone.
    sacks = chance.choice([mill.sacks, mill.sacks_at_once])
    assets = chance.choice([(sacks, mill.flour), (sacks,), (mill.flour,)])

    def work() -> bool:
        return run(MONTHS[first], MONTHS[last], assets)

    if chance.random() < 0.5:  # noqa: PLR2004  every other
        return "single" if single else "many", work
    window, turn = chance.choice(list(WINDOWS)), chance.randint(1, 12)
    sent = chance.choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
    return f"ended by {sent.name}", lambda: interrupted(work, window, turn, sent)


def settle() -> None:
    """What the daemon does afterwards: a run whose process is gone has failed, and its publishes are told."""
    with (
        LakeSession(Settings.load()) as session,
        dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance,
    ):
        for unfinished in instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
            instance.report_run_failed(unfinished, "Its process is gone.")
        reconcile(session, instance, CONTRACTS, {}, now=time.time() + 10**6)


def judge(expected: Mapping[str, Mapping[str | None, str]], verdict: Path) -> None:
    """Make what is missing, and look whether everything is as it should be and nothing else is there."""
    wrong = []
    if not run(MONTHS[0], MONTHS[-1], TABLES):
        wrong.append("the last run did not succeed")
    settle()
    with (
        LakeSession(Settings.load()) as session,
        dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance,
    ):
        for contract in CONTRACTS:
            found = mill.hashes(contract)
            if found != expected[contract.table]:
                wrong.append(f"{contract.table}: other content hashes")
            if len(mill.kilos(contract)) != len(MONTHS):
                wrong.append(f"{contract.table}: months are missing for a reader")
            [(rows, distinct)] = session.connection.execute(
                f"SELECT count(*), count(DISTINCT (month, sack)) FROM mill.mill.{contract.table}"  # noqa: S608  ours
            ).fetchall()
            if rows != distinct:
                wrong.append(f"{contract.table}: {rows - distinct} rows twice")
            for month, record in latest_materializations(instance, contract.key, MONTHS).items():
                event = record.asset_materialization
                tags = (event.tags if event is not None else None) or {}
                if tags.get("dagster/data_version") != found[month]:
                    wrong.append(f"{contract.table} {month}: Dagster's data version is not the lake's")
        session.connection.execute("CALL ducklake_expire_snapshots('mill', older_than => now() + INTERVAL 1 HOUR)")
        session.connection.execute("CALL ducklake_cleanup_old_files('mill', cleanup_all => true)")
        sweep(session, "mill", older_than_seconds=0)
        named = {
            Path(row[0])
            for contract in CONTRACTS
            for row in session.connection.execute(
                "SELECT data_file FROM ducklake_list_files('mill', ?, schema => 'mill')", [contract.table]
            ).fetchall()
        }
        there = set(Settings.load().lake_data_path("mill").rglob("*.parquet"))
        if named != there:
            wrong.append(f"{len(there - named)} files too many, {len(named - there)} too few")
    verdict.write_text(json.dumps(wrong), encoding="utf-8")


def plain(folder: Path, log: Path) -> dict[str, dict[str | None, str]]:
    """The content hashes that plain runs of single months give."""
    settings_of(folder)
    mill.deliver()

    def work() -> None:
        for month in MONTHS:
            run(month, month, TABLES)
        found = {contract.table: dict(mill.hashes(contract)) for contract in CONTRACTS}
        (folder / "plain.json").write_text(json.dumps(found), encoding="utf-8")

    os.waitpid(in_a_process(work, log), 0)
    found: dict[str, dict[str | None, str]] = json.loads((folder / "plain.json").read_text(encoding="utf-8"))
    return found


def main() -> int:
    """All plans; returns the exit code."""
    chance = random.Random(SEED)
    kinds: Counter[str] = Counter()
    wrong: list[str] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mlops-assets-plans-") as name:
        folder, log = Path(name), Path(name) / "printed.log"
        expected = plain(folder / "plain", log)
        for number in range(PLANS):
            place = folder / f"plan-{number}"
            log.write_bytes(b"")
            settings_of(place)
            mill.deliver()
            for _ in range(chance.randint(1, MOST_RUNS)):
                beside = chance.random() < 0.2  # noqa: PLR2004  every fifth
                runs = [one_run(chance) for _ in range(1 + beside)]
                kinds.update(kind for kind, _ in runs)
                children = [in_a_process(work, log) for _, work in runs]
                for child in children:
                    os.waitpid(child, 0)
                os.waitpid(in_a_process(settle, log), 0)
            verdict = place / "verdict.json"
            os.waitpid(in_a_process(lambda verdict=verdict: judge(expected, verdict), log), 0)
            told = json.loads(verdict.read_text(encoding="utf-8")) if verdict.exists() else ["the judge failed"]
            if told:
                wrong += [f"plan {number}: {each}" for each in told]
                print(log.read_text(encoding="utf-8")[-_SHOWN:], file=sys.stderr, flush=True)
            shutil.rmtree(place)
        seconds = round(time.monotonic() - began)
        print(json.dumps({"plans": PLANS, "runs": dict(kinds), "seconds": seconds, "wrong": wrong[:20]}), flush=True)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
