"""What ingestion costs: from what is delivered to a published table, beside bare DuckDB and other ways.

A file of voters (67 columns; plain and zipped), a table of orders in PostgreSQL, and a REST service in pages of a
thousand. ``bare`` is DuckDB by hand, ``rows`` a declared source until its rows are Parquet in the contract's types,
``ours`` the whole asset, audited with its content hash and published. dlt goes the way that it calls its fastest, and
pandas is kept by Dagster's DuckDB IO manager, each in an environment of its own (``bench/peers/``). Each way is a
process of its own, one at a time, in turn, its start and imports included; all must end with the same rows. Processor
seconds are those of the process alone, without the servers'.

``VOTERS`` (5000000), ``ORDERS`` (2000000), ``PAGED`` (200000), ``RUNS`` (3), ``MEMORY`` ("2GB", of ours and bare),
``KINDS`` ("file zipped table rest") and ``WAYS`` ("bare rows ours dlt dagster_pandas") are read from the environment.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import ingest_sources
import psycopg2
from peer_environments import PEERS, peer

from mlops_assets_tests.postgres import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

VOTERS: Final = int(os.environ.get("VOTERS", "5000000"))
ORDERS: Final = int(os.environ.get("ORDERS", "2000000"))
PAGED: Final = int(os.environ.get("PAGED", "200000"))
RUNS: Final = int(os.environ.get("RUNS", "3"))
MEMORY: Final = os.environ.get("MEMORY", "2GB")
KINDS: Final = os.environ.get("KINDS", "file zipped table rest").split()
WAYS: Final = os.environ.get("WAYS", "bare rows ours dlt dagster_pandas").split()
HERE: Final = Path(__file__).parent
MADE: Final = HERE / "ingest_sources.py"
PEER_WAYS: Final = ("dlt", "dagster_pandas")


@contextmanager
def delivered(folder: Path) -> Iterator[dict[str, Any]]:
    """Where the deliveries of all kinds are."""
    said: dict[str, Any] = {
        "memory": MEMORY,
        "columns": ingest_sources.VOTERS,
        "key": {"file": "voter_id", "zipped": "voter_id", "table": "order_id", "rest": "order_id"},
        "password": "",
    }
    with ExitStack() as stack:
        if {"file", "zipped"} & set(KINDS):
            file, zipped = folder / "voters.csv", folder / "voters.zip"
            subprocess.run([sys.executable, MADE, "voters", str(VOTERS), file, zipped], check=True)
            said |= {"file": str(file), "zipped": str(zipped)}
            print(f"{VOTERS:,} voters: {file.stat().st_size / 1e6:,.0f} MB, {zipped.stat().st_size / 1e6:,.0f} zipped")
        if "table" in KINDS:
            database = stack.enter_context(running_server()).create_database()
            texts = folder / "orders.csv"
            subprocess.run([sys.executable, MADE, "orders", str(ORDERS), texts], check=True)
            with closing(psycopg2.connect(database.dsn, password=database.password)) as connection, connection:
                cursor = connection.cursor()
                cursor.execute(
                    "CREATE TABLE orders (order_id bigint, customer text, country text, amount double precision, "
                    "ordered timestamp, note text)"
                )
                with texts.open(encoding="utf-8") as opened:
                    cursor.copy_expert("COPY orders FROM STDIN (FORMAT csv)", opened)
            address = database.url.replace("+psycopg2", "")
            said |= {"dsn": database.dsn, "password": database.password, "address": address}
        if "rest" in KINDS:
            server = subprocess.Popen([sys.executable, MADE, "serve", str(PAGED)], stdout=subprocess.PIPE, text=True)
            stack.callback(server.wait)
            stack.callback(server.kill)
            port = json.loads(server.stdout.readline())["port"] if server.stdout else 0
            said["url"] = f"http://127.0.0.1:{port}/orders"
        yield said


def measured(way: str, kind: str, said: Path, target: Path) -> dict[str, float]:
    """Run one way: rows, seconds, processor seconds and peak memory in MiB."""
    program = [str(peer(way)), PEERS / f"{way}_ingest.py"] if way in PEER_WAYS else None
    command = program or [sys.executable, "-W", "ignore", HERE / "ingest_programs.py", way]
    with (target / "log").open("wb") as log, tempfile.TemporaryFile() as printed:
        began = time.perf_counter()
        process = subprocess.Popen([*command, kind, target, said], stdout=printed, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{way} failed at {kind}:\n{(target / 'log').read_text(errors='replace')[-3000:]}")
        printed.seek(0)
        found: dict[str, float] = json.loads(printed.read().decode().splitlines()[-1])
    processor = used.ru_utime + used.ru_stime
    return {**found, "seconds": seconds, "processor": processor, "peak_mib": used.ru_maxrss / 1024}


def main() -> None:
    """Measure, print a line for each run, the medians and, last, one JSON line."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {kind: {way: [] for way in WAYS} for kind in KINDS}
    for way in set(WAYS) & set(PEER_WAYS):
        peer(way)
    with tempfile.TemporaryDirectory(prefix="mlops-assets-ingest-") as name, delivered(Path(name)) as said:
        told = Path(name) / "said.json"
        told.write_text(json.dumps(said), encoding="utf-8")
        for _ in range(RUNS):
            for kind in KINDS:
                for way in WAYS:
                    with tempfile.TemporaryDirectory(dir=name) as target:
                        one = measured(way, kind, told, Path(target))
                    found[kind][way].append(one)
                    print(f"{kind:>7} {way:>14}: {one}", flush=True)
                    first = found[kind][WAYS[0]][0]
                    if (one["rows"], one["keys"]) != (first["rows"], first["keys"]):
                        raise SystemExit(f"{way} has other rows than {WAYS[0]}")
    detail = {
        kind: {
            way: {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}
            for way, runs in ways.items()
        }
        for kind, ways in found.items()
    }
    for kind, ways in detail.items():
        for way, figures in ways.items():
            ratio = figures["processor"] / ways[WAYS[0]]["processor"]
            print(
                f"{kind:>7} {way:>14} {figures['seconds']:8.1f} s {figures['processor']:8.1f} processor s "
                f"({ratio:.2f}) {figures['peak_mib']:8,.0f} MiB"
            )
    result = {
        "bench": "ingest",
        "detail": detail,
        "runs": RUNS,
        "memory": MEMORY,
        "duckdb": duckdb.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
