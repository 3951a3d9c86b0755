"""How fast drift is found, and how it compares with two drift tools: 1 and 3 million rows of 8 columns, in one run.

Ours begins with two Parquet files and ends with every statistic of every column, median of five; Evidently and NannyML
begin with pandas frames in memory, each in an environment of its own made here from ``bench/peers``, once. Then 100
partitions of 1,000 columns are compared from kept summaries. ``ROWS=100000`` measures another size.
"""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from peer_environments import PEERS, peer
from pyarrow import parquet
from scipy import stats

from mlops_assets.variance.drift.comparison import compared, drift, judged
from mlops_assets.variance.drift.summaries import summarise
from mlops_assets.variance.drift.summary_files import summarise_files
from mlops_assets.variance.drift.summary_tables import from_table, to_table

SIZES = tuple(int(rows) for rows in os.environ.get("ROWS", "1000000,3000000").split(","))
AGREEMENT_ROWS = 100_000
PARTITIONS, COLUMNS, ROWS_OF_PARTITION = 100, 1000, 5000
CODED = ["column", "kind", "cell"]


def people(rows: int, seed: int, shift: float) -> pa.Table:
    """Eight columns: four continuous ones, two of whole numbers, two of categories."""
    generator = np.random.default_rng(seed)
    counties = np.array([f"county {n}" for n in range(100)])
    share = np.array([0.45 + shift, 0.35 - shift, 0.15, 0.05])
    return pa.table(
        {
            "score": generator.normal(shift, size=rows),
            "income": generator.lognormal(10 + shift, 0.8, rows),
            "wait": generator.exponential(3, rows),
            "stamp": 1.7e9 + generator.uniform(0, 2.6e6, rows),
            "age": generator.integers(18, 95, rows),
            "visits": generator.poisson(4 + 10 * shift, rows),
            "party": generator.choice(np.array(["DEM", "REP", "UNA", "LIB"]), rows, p=share),
            "county": generator.choice(counties, rows),
        }
    )


def told(*command: str | Path) -> dict[str, Any]:
    """The last line that a process of its own prints, as JSON."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def ours(before: Path, after: Path) -> None:
    """Measure this package; prints one JSON line."""
    seconds, values = [], []
    for _ in range(5):
        began = time.perf_counter()
        files = summarise_files((before, after))
        summaries = {name: file.summary for name, file in zip(("before", "after"), files, strict=True)}
        values = drift(summaries, [("before", "after")]).to_pylist()
        seconds.append(time.perf_counter() - began)
    by_column = {row["column"]: row for row in values}
    print(json.dumps({"seconds": statistics.median(seconds), "peak_mib": peak_mib(), "values": by_column}))


def wide(folder: Path) -> None:
    """Measure comparing many partitions and columns from their kept summaries; prints one JSON line."""
    began = time.perf_counter()
    partitions = {
        path.stem: from_table(parquet.read_table(path, read_dictionary=CODED)) for path in sorted(folder.iterdir())
    }
    loaded = time.perf_counter()
    found = judged(compared(partitions, list(pairwise(partitions))))
    ended = time.perf_counter()
    moved = sum(verdict != "none" for verdict in found["drift"].to_pylist())
    figures = {"load_seconds": loaded - began, "compare_seconds": ended - loaded, "seconds": ended - began}
    print(json.dumps({**figures, "peak_mib": peak_mib(), "rows": len(found), "moved": moved}))


def keep_summaries(folder: Path) -> dict[str, float]:
    """Write the summaries of many partitions: 400 continuous columns, 300 of whole numbers, 300 of categories."""
    names, cells, size = np.array([f"value {n}" for n in range(30)]), 0, 0
    for number in range(PARTITIONS):
        generator = np.random.default_rng(number)
        columns: dict[str, Any] = {}
        for place in range(COLUMNS):
            kind = place % 10
            if kind < 4:  # noqa: PLR2004  of ten
                columns[f"c{place:04d}"] = generator.normal(kind, size=ROWS_OF_PARTITION)
            elif kind < 7:  # noqa: PLR2004  of ten
                columns[f"c{place:04d}"] = generator.poisson(30, ROWS_OF_PARTITION)
            else:
                columns[f"c{place:04d}"] = pa.DictionaryArray.from_arrays(
                    generator.integers(0, len(names), ROWS_OF_PARTITION), names
                )
        table = to_table(summarise(pa.table(columns).to_reader()))
        path = folder / f"{number:03d}.parquet"
        parquet.write_table(table, path)
        cells, size = cells + len(table), size + path.stat().st_size
    return {"cells": cells, "mib": size / 2**20}


def peak_mib() -> int:
    """The most memory that this process has had, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def disagreements(own: dict[str, Any], evidently: dict[str, Any], nannyml: dict[str, Any]) -> dict[str, float]:
    """The largest differences of the statistics that have one definition, in the unit that each should agree in.

    Evidently's Jensen-Shannon distance is to base e, its Wasserstein distance in deviations before. Beyond 10,000 rows
    NannyML estimates both distances of numbers on quantiles and bins of its own; its Jensen-Shannon distance of
    numbers has other bins and is left out.
    """
    numbers = [name for name, row in own.items() if row["kind"] == "number"]
    texts = [name for name in own if name not in numbers]

    def most(names: list[str], *sides: str) -> float:
        return max(abs(_value(own[name], sides[0]) - _theirs(nannyml, name, sides[1])) for name in names)

    return {
        "evidently_jensen_shannon": max(
            abs(own[name]["jensen_shannon"] * math.sqrt(math.log(2)) - evidently[name]) for name in texts
        ),
        "evidently_wasserstein_scaled": max(abs(own[name]["wasserstein_scaled"] - evidently[name]) for name in numbers),
        "nannyml_jensen_shannon": most(texts, "jensen_shannon", "jensen_shannon"),
        "nannyml_chi_square_relative": max(
            abs(own[name]["chi_square"] / _theirs(nannyml, name, "chi2") - 1) for name in texts
        ),
        "nannyml_ks": most(numbers, "ks", "kolmogorov_smirnov"),
    }


def _value(row: dict[str, Any], name: str) -> float:
    return float(row[name])


def _theirs(values: dict[str, Any], column: str, method: str) -> float:
    return float(values[column][method])


def against_scipy(before: Path, after: Path, own: dict[str, Any]) -> dict[str, float]:
    """How far KS and Wasserstein on bins are from those on raw values, and what share of its bound is used at most."""
    tables = [parquet.read_table(path) for path in (before, after)]
    apart: dict[str, float] = {"ks": 0.0, "ks_bound": 0.0, "wasserstein_scaled": 0.0, "share_of_bound": 0.0}
    for name, row in own.items():
        if row["kind"] != "number":
            continue
        values = [table[name].to_numpy() for table in tables]
        ks = stats.ks_2samp(*values, method="asymp").statistic - row["ks"]
        earth = abs(stats.wasserstein_distance(*values) - row["wasserstein"])
        apart["ks"], apart["ks_bound"] = max(apart["ks"], ks), max(apart["ks_bound"], row["ks_bound"])
        apart["wasserstein_scaled"] = max(apart["wasserstein_scaled"], earth / values[0].std())
        for difference, bound in ((ks, row["ks_bound"]), (earth, row["wasserstein_bound"])):
            if bound > 0:
                apart["share_of_bound"] = max(apart["share_of_bound"], difference / bound)
    return apart


def main() -> None:
    """Measure, print tables and, last, one JSON line."""
    pythons = {name: peer(name) for name in ("evidently", "nannyml")}
    result: dict[str, Any] = {"bench": "drift", "python": platform.python_version(), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for rows in SIZES:
            files = [folder / f"{side}-{rows}.parquet" for side in ("before", "after")]
            for seed, (path, shift) in enumerate(zip(files, (0.0, 0.03), strict=True)):
                parquet.write_table(people(rows, seed, shift), path)
            own = told(sys.executable, __file__, "ours", *files)
            theirs = {name: told(python, PEERS / f"{name}_drift.py", *files) for name, python in pythons.items()}
            figures = {"rows": rows, "ours_seconds": own["seconds"], "ours_peak_mib": own["peak_mib"]}
            for name, found in theirs.items():
                figures[f"{name}_seconds"], figures[f"{name}_peak_mib"] = found["seconds"], found["peak_mib"]
                figures[f"{name}_ratio"] = found["seconds"] / own["seconds"]
                result[f"{name}_version"] = found["version"]
            figures |= disagreements(own["values"], *(theirs[name]["values"] for name in pythons))
            figures |= {
                f"scipy_{name}": value for name, value in against_scipy(files[0], files[1], own["values"]).items()
            }
            result[f"rows_{rows}"] = shown(figures)
        files = [folder / f"{side}.parquet" for side in ("before", "after")]
        for seed, (path, shift) in enumerate(zip(files, (0.0, 0.03), strict=True)):
            parquet.write_table(people(AGREEMENT_ROWS, seed, shift), path)
        own = told(sys.executable, __file__, "ours", *files)["values"]
        psi = told(pythons["evidently"], PEERS / "evidently_drift.py", *files, "ks", "psi")["values"]
        texts = [name for name, row in own.items() if row["kind"] == "category"]
        result["evidently_psi_difference"] = max(abs(own[name]["psi"] - psi[name]) for name in texts)
        kept = folder / "kept"
        kept.mkdir()
        result["kept"] = shown(keep_summaries(kept))
        result["wide"] = shown(told(sys.executable, __file__, "wide", kept))
    print(json.dumps(result))


def shown(figures: dict[str, Any]) -> dict[str, Any]:
    """Print figures as a table, and give them rounded."""
    rounded = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in figures.items()}
    for name, value in rounded.items():
        print(f"{name:>32}  {value:,}", flush=True)
    print(flush=True)
    return rounded


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        ours(*map(Path, sys.argv[2:]))
    elif sys.argv[1:2] == ["wide"]:
        wide(*map(Path, sys.argv[2:]))
    else:
        main()
