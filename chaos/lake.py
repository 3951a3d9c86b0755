"""Random faults against publishes, under readers that never stop: is anything bad ever seen, or anything good lost?

Writers materialize one of a few partitions from a file whose rows all carry the number of its delivery. They are killed
or cancelled at every step, meet a full disk, a catalog that goes away (PostgreSQL), bad rows, and each other, and are
tried again; meanwhile old snapshots expire and staged files are swept. Readers look at all partitions again and again:
each must hold all rows of one good delivery, and never an older one than it held before. After each fault the alerts
are looked at: a partition that fails is told of once, and once more when it is published again. At the end a last
delivery comes through everywhere, every publish has its event, and every file on disk is one that the lake names.

``make chaos NAME=lake``; FAULTS (1000), SEED (1), CATALOGS ("sqlite postgresql") are read from the environment. Prints
a line of JSON for each catalog; exits with 1 if anything is wrong, and leaves the folder to look into.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import duckdb
import pandera.ibis as pandera
import pyarrow as pa
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from mlops_assets.platform.assets import drafting, making, step
from mlops_assets.platform.assets.alerts import tell
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.reconciler import reconcile
from mlops_assets.platform.audit import audit
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.lake import expiry, ledger, publish
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import sweep
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.postgres import PostgresServer, running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops_assets.platform.assets.step import Partition

FAULTS: Final = int(os.environ.get("FAULTS", "1000"))
SEED: Final = int(os.environ.get("SEED", "1"))
CATALOGS: Final = os.environ.get("CATALOGS", "sqlite postgresql").split()
WEEKS: Final = ("w1", "w2", "w3")
ROWS: Final = 2000
READERS: Final = 1
PAUSE: Final = 0.03
EXPIRE_SECONDS: Final = 30.0
"""Longer than any read here takes: expiry breaks whoever still reads what expires."""


class DeliveryModel(pandera.DataFrameModel):
    """Rows of one delivery."""

    week: str = pandera.Field(nullable=False)
    row: int = pandera.Field(nullable=False)
    delivery: int = pandera.Field(nullable=False)
    filler: str = pandera.Field(nullable=False)
    good: bool = pandera.Field(nullable=False, isin=[True])

    class Config:
        """Strict, keyed by row."""

        strict = True
        unique = ("week", "row")


DELIVERIES: Final = Contract(
    layer="raw",
    table="deliveries",
    model=DeliveryModel,
    lake=Lake("curated"),
    description="What was delivered last.",
    owners=["team:plumber"],
    partitions_def=dg.StaticPartitionsDefinition(list(WEEKS)),
    partition_columns={"week": "week"},
)
WINDOWS: Final[dict[str, tuple[Any, str]]] = {
    "after the function": (drafting, "stage"),
    "after staging": (audit, "audit"),
    "before the lock": (making, "publish_all"),
    "inside the transaction": (publish, "_replace"),
    "at the commit": (publish, "_mark"),
    "after the commit": (ledger, "find"),
    "before the event": (step, "materialization_metadata"),
}


def source(week: str) -> Path:
    """The file that the deliveries of that week arrive in."""
    return Settings.load().home / f"{week}.json"


def deliver(week: str, number: int, *, good: bool = True) -> None:
    """Let a delivery arrive, whole."""
    coming = source(week).with_suffix(f".{os.getpid()}")
    coming.write_text(json.dumps({"delivery": number, "good": good}), encoding="utf-8")
    coming.replace(source(week))


@asset(contract=DELIVERIES)
def deliveries(partition: Partition) -> pa.Table:
    """What was delivered last."""
    found = json.loads(source(str(partition.key)).read_text(encoding="utf-8"))
    noise = random.Random(found["delivery"])
    return pa.table(
        {
            "week": [partition.key] * ROWS,
            "row": range(ROWS),
            "delivery": [found["delivery"]] * ROWS,
            "filler": [noise.randbytes(8).hex() for _ in range(ROWS)],
            "good": [True] * (ROWS - 1) + [found["good"]],
        }
    )


def write(week: str) -> bool:
    """Materialize the week; whether it succeeded."""
    with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
        return dg.materialize([deliveries], partition_key=week, instance=instance, raise_on_error=False).success


def interrupted(week: str, window: str, sent: signal.Signals) -> bool:
    """Materialize the week, and send this process a signal once in that window."""
    module, name = WINDOWS[window]
    original = getattr(module, name)

    def patched(*arguments: object, **named: object) -> object:
        setattr(module, name, original)
        signal.raise_signal(sent)
        return original(*arguments, **named)

    setattr(module, name, patched)
    return write(week)


def on_a_full_disk(week: str, most_bytes: int) -> bool:
    """Materialize the week where no file may grow beyond that size."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    return write(week)


def tidy() -> bool:
    """Expire what is old, remove its files, and sweep what no snapshot names."""
    with LakeSession(Settings.load()) as session:
        old = expiry.expirable(session, "curated", older_than_seconds=EXPIRE_SECONDS, pins=lambda _: {})
        expiry.expire(session, "curated", old)
        sweep(session, "curated", older_than_seconds=0)
    return True


def settle() -> bool:
    """What the daemon does after a fault: a run whose process is gone has failed, and its owner is told."""
    with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
            instance.report_run_failed(run, "Its process is gone.")
        now = time.time()
        tell(instance, "campaign", {DELIVERIES.key: DELIVERIES.owners}, Settings.load(), now=now)
        with _looked_at().open("a", encoding="utf-8") as out:
            out.write(f"{now}\n")
    return True


def _looked_at() -> Path:
    """The times at which the alerts were looked at."""
    return Settings.load().home / "looked-at"


def in_a_process(work: Callable[[], bool], log: Path) -> int:
    """Do this in a process of its own; returns its id. It exits with 0 on success."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with log.open("ab") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        code = int(not work())
    except BaseException:  # noqa: BLE001  a forked process must not go on into its parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def read_on(folder: Path, number: int) -> bool:
    """Look at every week again and again until told to stop; writes down what was wrong."""
    held: Counter[str] = Counter()
    reads, wrong = 0, []
    while not (folder / "stop").exists():
        # Often enough to see whatever stays for a moment, and leaves the processor to the writers.
        time.sleep(PAUSE)
        away = (folder / "away").exists()
        try:
            with LakeSession(Settings.load()) as session:
                if not ledger.current(session, DELIVERIES, list(WEEKS)):
                    continue
                rows = session.connection.execute(
                    "SELECT week, count(*), count(DISTINCT row), min(delivery), max(delivery), bool_and(good)"
                    " FROM curated.raw.deliveries GROUP BY week"
                ).fetchall()
        except (duckdb.Error, PlatformError) as error:
            if not away and not (folder / "away").exists():
                wrong.append(f"unreadable: {error}"[:500])
            continue
        reads += 1
        for week, count, distinct, oldest, newest, good in rows:
            if (count, distinct, good) != (ROWS, ROWS, True) or oldest != newest:
                wrong.append(f"{week}: {count} rows, {distinct} distinct, deliveries {oldest} to {newest}, good {good}")
            if newest < held[week]:
                wrong.append(f"{week}: delivery {newest} after {held[week]}")
            held[week] = max(held[week], newest)
        if set(held) - {row[0] for row in rows}:
            wrong.append(f"gone: {set(held) - {row[0] for row in rows}}")
    (folder / f"reader-{number}.json").write_text(json.dumps({"reads": reads, "wrong": wrong}), encoding="utf-8")
    return True


def campaign(folder: Path, server: PostgresServer | None) -> dict[str, Any]:
    """All faults on one catalog, and what was found."""
    chance = random.Random(SEED)
    log = folder / "printed.log"
    numbers = iter(range(1, 10**9))
    for week in WEEKS:
        deliver(week, next(numbers))
    os.waitpid(in_a_process(lambda: all(map(write, WEEKS)), log), 0)
    readers = [in_a_process(lambda number=number: read_on(folder, number), log) for number in range(READERS)]
    kinds: Counter[str] = Counter()
    began = time.monotonic()
    for _ in range(FAULTS):
        kind, children = fault(chance, numbers, server, folder, log)
        kinds[kind] += 1
        for child in children:
            os.waitpid(child, 0)
        (folder / "away").unlink(missing_ok=True)
        os.waitpid(in_a_process(settle, log), 0)
    seconds = time.monotonic() - began
    (folder / "stop").touch()
    for reader in readers:
        os.waitpid(reader, 0)
    found = [json.loads((folder / f"reader-{number}.json").read_text(encoding="utf-8")) for number in range(READERS)]
    last = {week: next(numbers) for week in WEEKS}
    judged = folder / "judged.json"
    os.waitpid(in_a_process(lambda: judge(last, judged), log), 0)
    verdict = json.loads(judged.read_text(encoding="utf-8")) if judged.exists() else {"wrong": ["the judge failed"]}
    wrong = [*verdict.pop("wrong"), *(text for each in found for text in each["wrong"])]
    return {
        "faults": dict(kinds),
        "seconds": round(seconds),
        "reads": sum(each["reads"] for each in found),
        "wrong": wrong[:20],
        **verdict,
    }


def fault(
    chance: random.Random, numbers: Iterator[int], server: PostgresServer | None, folder: Path, log: Path
) -> tuple[str, list[int]]:
    """One fault: its kind and the processes under way in it."""
    week = chance.choice(WEEKS)
    kinds = ["killed", "cancelled", "two writers", "full disk", "bad rows", "again", "tidied"]
    kind = chance.choice([*kinds, "catalog away"] if server is not None else kinds)
    if kind != "again":
        deliver(week, next(numbers), good=kind != "bad rows")
    window = chance.choice(list(WINDOWS))
    if kind in {"killed", "cancelled"}:
        sent = signal.SIGKILL if kind == "killed" else chance.choice([signal.SIGINT, signal.SIGTERM])
        return kind, [in_a_process(lambda: interrupted(week, window, sent), log)]
    if kind == "two writers":
        first = in_a_process(lambda: write(week), log)
        time.sleep(chance.random())
        deliver(week, next(numbers))
        return kind, [first, in_a_process(lambda: write(week), log)]
    if kind == "full disk":
        size = chance.choice([0, 4096, 65536])
        return kind, [in_a_process(lambda: on_a_full_disk(week, size), log)]
    if kind == "tidied":
        return kind, [in_a_process(lambda: write(week), log), in_a_process(tidy, log)]
    if kind == "catalog away" and server is not None:
        writer = in_a_process(lambda: write(week), log)
        time.sleep(chance.random() * 1.5)
        (folder / "away").touch()
        server.stop()
        server.start()
        return kind, [writer]
    return kind, [in_a_process(lambda: write(week), log)]


def failures(instance: dg.DagsterInstance, week: str) -> int:
    """How often the week was found to fail that had not been found to at the look before.

    A failure that is over when somebody looks, as of the first of two writers, is none to be told of. One that goes on
    is told once, also where a run in between published and then died.
    """
    runs = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    failed = [(run.end_time or 0.0, True) for run in runs if run.dagster_run.tags["dagster/partition"] == week]
    wanted = dg.AssetRecordsFilter(DELIVERIES.key, asset_partitions=[week])
    published = [(record.timestamp, False) for record in instance.fetch_materializations(wanted, limit=10_000).records]
    history = sorted([*failed, *published])
    begun, failing, since = 0, False, 0.0
    for look in map(float, _looked_at().read_text(encoding="utf-8").split()):
        news = [fails for at, fails in history if since < at <= look]
        failed_before, failing = failing, news[-1] if news else failing
        begun += failing and not failed_before
        since = look
    return begun


def wrong_alerts(instance: dg.DagsterInstance) -> list[str]:
    """What of the alerts is not one at the beginning of each failure, and one at its end."""
    lines = (
        Settings.load().alert_log.read_text(encoding="utf-8").splitlines() if Settings.load().alert_log.exists() else []
    )
    alerts = [alert for alert in map(json.loads, lines) if "fault" in alert]
    wrong = []
    for week in WEEKS:
        open_: str | None = None
        rules: set[str] = set()
        begun = 0
        for alert in (each for each in alerts if each["partition"] == week):
            if alert["kind"] == "resolved":
                wrong += [] if alert["fault"] == open_ else [f"{week}: {alert['fault']} ended, and was not open"]
                open_ = None
            elif open_ is None:
                open_, rules, begun = alert["fault"], set(alert["rules"]), begun + 1
            else:
                # Told again only for what it did not suffer from before.
                news = alert["fault"] == open_ and not set(alert["rules"]) <= rules
                wrong += [] if news else [f"{week}: told again of {alert['rules']}"]
                rules |= set(alert["rules"])
        failed = failures(instance, week)
        wrong += [] if open_ is None else [f"{week}: still told to fail"]
        wrong += [] if begun == failed else [f"{week}: failed {failed} times, alerts of {begun}"]
    return wrong


def judge(last: dict[str, int], verdict: Path) -> bool:
    """Bring a last delivery through, tidy up, and look whether everything is there and nothing else."""
    wrong = []
    for week, number in last.items():
        deliver(week, number)
        if not write(week):
            wrong.append(f"{week}: the last delivery did not come through")
    settle()
    with (
        LakeSession(Settings.load()) as session,
        dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance,
    ):
        current = ledger.current(session, DELIVERIES, list(WEEKS))
        done = reconcile(session, instance, [DELIVERIES], {}, now=time.time() + 10**6)
        rows = session.connection.execute(
            "SELECT week, max(delivery) FROM curated.raw.deliveries GROUP BY week ORDER BY week"
        ).fetchall()
        if dict(rows) != last:
            wrong.append(f"visible are {rows}, delivered last {last}")
        for week in WEEKS:
            event = instance.fetch_materializations(
                dg.AssetRecordsFilter(DELIVERIES.key, asset_partitions=[week]), limit=1
            ).records[0]
            tags = event.asset_materialization.tags if event.asset_materialization else None
            if (tags or {}).get("dagster/data_version") != current[week].record.content_hash:
                wrong.append(f"{week}: Dagster's data version is not the lake's")
        wrong += wrong_alerts(instance)
        failed = sum(failures(instance, week) for week in WEEKS)
        session.connection.execute("CALL ducklake_expire_snapshots('curated', older_than => now() + INTERVAL 1 HOUR)")
        session.connection.execute("CALL ducklake_cleanup_old_files('curated', cleanup_all => true)")
        sweep(session, "curated", older_than_seconds=0)
        named = {
            Path(row[0])
            for row in session.connection.execute(
                "SELECT data_file FROM ducklake_list_files('curated', 'deliveries', schema => 'raw')"
            ).fetchall()
        }
        there = set(Settings.load().lake_data_path("curated").rglob("*.parquet"))
        if named != there:
            wrong.append(f"{len(there - named)} files too many, {len(named - there)} too few")
        publishes = len(ledger.since(session, "curated", 0))
    verdict.write_text(
        json.dumps(
            {
                "wrong": wrong,
                "publishes": publishes,
                "failures told once": failed,
                "events reported later": len(done.reported),
            }
        ),
        encoding="utf-8",
    )
    return True


def main() -> int:
    """All faults on each catalog; returns the exit code."""
    code = 0
    for catalog in CATALOGS:
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="mlops-assets-chaos-"))
            (folder / "dagster").mkdir()
            shutil.copy(str(files("mlops_assets.demo") / "instance.yaml"), folder / "dagster" / "dagster.yaml")
            os.environ.update(MLOPS_ASSETS_HOME=str(folder), DAGSTER_HOME=str(folder / "dagster"))
            server = None
            if catalog == "postgresql":
                server = stack.enter_context(running_server())
                database = server.create_database()
                os.environ["MLOPS_ASSETS_LAKES__CURATED__CATALOG"] = database.dsn
                os.environ["MLOPS_ASSETS_LAKES__CURATED__PASSWORD"] = database.password
            result = campaign(folder, server)
            print(json.dumps({"catalog": catalog, **result}), flush=True)
            if result["wrong"]:
                code = 1
                print(f"All of it is left in {folder}; what was printed is in its printed.log.", file=sys.stderr)
            else:
                shutil.rmtree(folder)
    return code


if __name__ == "__main__":
    sys.exit(main())
