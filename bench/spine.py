"""The price of the platform: from landed voter files to district demographics, beside one hand-written DuckDB script.

Both read the same zipped files of some months of one state and end with the same four tables of each month, which is
verified by their content hashes: raw rows, voters, what happened since the month before, and counts by district. The
script (``spine_by_hand``) does it with nothing around: no contracts, no versions, no checks, no events. The platform
does it with the assets of production, with all months in one run (``bulk``) and with one run for each (``single``).
Each runs in a process of its own, its start and imports included. The figures are ratios of rows per second, 1.0 being
as fast as the script, and the greatest ratio of peak memories.

ROWS ("100000 1000000"), MONTHS ("12 3", for each of these sizes), RUNS (3) and WAYS ("by_hand bulk single") are read
from the environment.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS: Final = [int(rows) for rows in os.environ.get("ROWS", "100000 1000000").split()]
MONTHS: Final = [int(months) for months in os.environ.get("MONTHS", "12 3").split()]
RUNS: Final = int(os.environ.get("RUNS", "3"))
WAYS: Final = os.environ.get("WAYS", "by_hand bulk single").split()
STATE: Final = "NC"
KEY: Final = "a key of the benchmark alone, 32 signs or more"
ASSETS: Final = (
    "raw/voter_file",
    "wrangled/voters",
    "variance/voter_changes",
    "variance/voter_events",
    "features/district_demographics",
)


def months_of(landing: Path) -> list[str]:
    """The delivered months, in their order."""
    return sorted(path.name for path in (landing / STATE).iterdir())


def by_hand(landing: Path, target: Path) -> int:
    """The script; returns the rows read."""
    from spine_by_hand import run  # noqa: PLC0415  the other processes must not pay for it

    return run(landing, target, state=STATE, months=months_of(landing), key=KEY)


def by_platform(landing: Path, home: Path, *, bulk: bool) -> int:
    """The production assets, all months in one run or one run for each; returns the rows read."""
    import dagster as dg  # noqa: PLC0415  the script must not pay for it
    from dagster._core.storage.tags import (  # noqa: PLC0415
        ASSET_PARTITION_RANGE_END_TAG,
        ASSET_PARTITION_RANGE_START_TAG,
    )

    from mlops_assets.contracts import raw  # noqa: PLC0415
    from mlops_assets.definitions import definitions  # noqa: PLC0415
    from mlops_assets.demo.report import rows_of_partitions  # noqa: PLC0415
    from mlops_assets.demo.surroundings import Surroundings, applied  # noqa: PLC0415
    from mlops_assets.platform.settings import Settings  # noqa: PLC0415

    surroundings = Surroundings(home)
    surroundings.prepare([])
    surroundings.write_secret("PSEUDONYM_KEY", KEY)
    (home / "landing").symlink_to(landing)
    keys = [f"{month}|{STATE}" for month in months_of(landing)]
    assets = [asset for asset in definitions().assets or () if isinstance(asset, dg.AssetsDefinition)]
    chosen = {asset.key: asset for asset in assets if asset.key.to_user_string() in ASSETS}
    needed = {dep.asset_key for asset in chosen.values() for spec in asset.specs for dep in spec.deps} - set(chosen)
    stubs = [dg.AssetSpec(asset.key, partitions_def=asset.partitions_def) for asset in assets if asset.key in needed]
    job = dg.Definitions(assets=[*chosen.values(), *stubs]).resolve_implicit_global_asset_job_def()
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    ranges = [(keys[0], keys[-1])] if bulk else [(key, key) for key in keys]
    with (
        applied(surroundings.environment({})),
        dg.DagsterInstance.from_config(str(surroundings.dagster_home)) as instance,
    ):
        for first, last in ranges:
            tags = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
            if bulk:
                job.execute_in_process(instance=instance, run_config=quiet, tags=tags)
            else:
                job.execute_in_process(instance=instance, run_config=quiet, partition_key=first)
        return rows_of_partitions(Settings.load(), raw.VOTER_FILE)


def refuse_other_tables(home: Path, by_hand: Path) -> None:
    """End the benchmark if the script's tables do not hold the platform's rows."""
    import ibis  # noqa: PLC0415

    from mlops_assets.contracts import features, raw, wrangled  # noqa: PLC0415
    from mlops_assets.demo.surroundings import Surroundings, applied  # noqa: PLC0415
    from mlops_assets.platform.contracts import rules  # noqa: PLC0415
    from mlops_assets.platform.contracts.content_hash import format_hash, hash_total  # noqa: PLC0415
    from mlops_assets.platform.lake import ledger  # noqa: PLC0415
    from mlops_assets.platform.lake.session import LakeSession  # noqa: PLC0415
    from mlops_assets.platform.settings import Settings  # noqa: PLC0415
    from mlops_assets.wrangling import compared  # noqa: PLC0415

    compare = compared.VOTERS
    comparing = (compare.changes(), compare.events())
    contracts = (raw.VOTER_FILE, wrangled.VOTERS, *comparing, features.DISTRICT_DEMOGRAPHICS)
    with applied(Surroundings(home).environment({})), LakeSession(Settings.load()) as session:
        for file in sorted(by_hand.glob("*.parquet")):
            month, table = file.stem.rsplit("-", 1)
            contract = next(each for each in contracts if each.table == table)
            rows = ibis.duckdb.connect().read_parquet(file).cast(rules.columns_of(contract))
            # The platform rounds when it stages, so that equal inputs give equal hashes.
            rows = rows.mutate(**{name: rows[name].round(places) for name, places in contract.decimals.items()})
            measured = rows.aggregate(n=rows.count(), total=hash_total(rows, rules.columns_of(contract))).to_pyarrow()
            [found] = measured.to_pylist()
            entry = ledger.current(session, contract, [f"{month}|{STATE}"])[f"{month}|{STATE}"]
            if format_hash(found["n"], int(found["total"])) != entry.record.content_hash:
                raise SystemExit(f"{file.name} of the script does not hold the rows of the platform's table.")


def measure(way: str, landing: Path, folder: Path) -> dict[str, float]:
    """Run one way in a process of its own and give rows, seconds, processor seconds and peak memory in MiB."""
    began = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, way, str(landing), str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - began
    measured: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return {**measured, "seconds": seconds}


def compared(rows: int, months: int) -> dict[str, dict[str, float]]:
    """The medians of all ways at that many rows in a partition."""
    from mlops_assets.simulation.configuration import SimulationConfig  # noqa: PLC0415
    from mlops_assets.simulation.sources import generate  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        systems = generate(SimulationConfig(voters_per_state=rows, months=months), folder / "sources")
        for month in systems.months:
            systems.drop(STATE, month, folder / "landing")
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for run in range(RUNS):
            for way in WAYS:
                place = folder / f"{way}-{run}"
                place.mkdir()
                found[way].append(measure(way, folder / "landing", place))
                print(f"{way:>8} {rows:>9,} x {months}: {found[way][-1]}", flush=True)
            if run == 0 and "by_hand" in WAYS:
                for way in set(WAYS) - {"by_hand"}:
                    refuse_other_tables(folder / f"{way}-0", folder / "by_hand-0")
        return {way: {name: median(each, name) for name in each[0]} for way, each in found.items()}


def median(measured: Sequence[dict[str, float]], name: str) -> float:
    """The median of one figure."""
    return statistics.median(each[name] for each in measured)


def main() -> None:
    """Measure, print a line for each run and, last, one JSON line."""
    ratios: dict[str, float] = {}
    memory: list[float] = []
    detail: dict[str, dict[str, dict[str, float]]] = {}
    for rows, months in zip(ROWS, MONTHS, strict=True):
        size = f"{rows // 1_000_000}m" if rows % 1_000_000 == 0 else f"{rows // 1000}k"
        detail[size] = found = compared(rows, months)
        for way in set(WAYS) - {"by_hand"}:
            ratios[f"{way}_{size}"] = round(found["by_hand"]["seconds"] / found[way]["seconds"], 3)
            memory.append(found[way]["peak_mib"] / found["by_hand"]["peak_mib"])
    result = {
        "bench": "spine",
        **ratios,
        "memory_ratio": round(max(memory), 2),
        "runs": RUNS,
        "detail": detail,
        "duckdb": duckdb.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        way, landing, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
        read = by_hand(landing, folder) if way == "by_hand" else by_platform(landing, folder, bulk=way == "bulk")
        used = resource.getrusage(resource.RUSAGE_SELF)
        measured = {"processor": used.ru_utime + used.ru_stime, "peak_mib": round(used.ru_maxrss / 1024)}
        print(json.dumps({"rows": read, **measured}))
    else:
        main()
