"""The price of the platform: from landed voter files to district demographics, beside one hand-written DuckDB script.

Both read the same zipped files of some months of one state and end with the same counts by district and class. The
script does it with nothing around: no contracts, no versions, no checks, no events, no key handling. The figure is the
ratio of their rows per second; each runs in a process of its own, whose peak memory is told.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import duckdb

VOTERS = int(os.environ.get("BENCH_VOTERS", "100000"))
MONTHS = 4
STATE = "NC"


def by_hand(folder: Path) -> int:
    """One script: unzip, parse, deduplicate, map, pseudonymise, aggregate; returns the rows read."""
    connection = duckdb.connect()
    rows = 0
    for archive in sorted((folder / "landing" / STATE).glob("*/ncvoter.zip")):
        text = folder / "by_hand.txt"
        with zipfile.ZipFile(archive) as zipped:
            text.write_bytes(zipped.read("ncvoter.txt").decode("latin-1").encode())
        connection.execute(
            f"CREATE OR REPLACE TABLE raw AS FROM read_csv('{text}', delim='\t', header=true, all_varchar=true)"
        )
        counted = connection.execute("SELECT count(*) FROM raw").fetchone()
        rows += counted[0] if counted else 0
        connection.execute("""
            CREATE OR REPLACE TABLE voters AS
            SELECT DISTINCT ON (ncid)
                sha256('outer' || sha256('inner' || ncid)) AS person_token,
                sha256('outer' || sha256('inner' || upper(concat_ws('|', res_street_address, res_city_desc, zip_code))))
                    AS address_token,
                lpad(cong_dist_abbrv, 2, '0') AS district, county_desc AS county, race_code, ethnic_code, gender_code,
                CASE party_cd WHEN 'NPA' THEN 'UNA' ELSE party_cd END AS party, status_cd,
                try_cast(birth_year AS INTEGER) // 5 * 5 AS birth_cohort
            FROM raw WHERE status_cd IN ('A', 'I', 'S')
        """)
        month = archive.parent.name
        connection.execute(f"COPY voters TO '{folder / f'{month}.parquet'}'")
        for attribute in ("district", "race_code", "ethnic_code", "gender_code", "party", "status_cd", "birth_cohort"):
            connection.execute(
                f"COPY (SELECT district, {attribute} AS category, count(*) AS voters FROM voters GROUP BY ALL) "
                f"TO '{folder / f'{month}-{attribute}.parquet'}'"
            )
    return rows


def by_platform(folder: Path) -> int:
    """The production assets, as the demonstration loads them; returns the rows read."""
    import dagster as dg  # noqa: PLC0415  the other process must not pay for it

    from mlops_assets.contracts import raw  # noqa: PLC0415
    from mlops_assets.demo.history import Batch, load  # noqa: PLC0415
    from mlops_assets.demo.report import rows_of_partitions  # noqa: PLC0415
    from mlops_assets.demo.surroundings import Surroundings, applied  # noqa: PLC0415
    from mlops_assets.platform.settings import Settings  # noqa: PLC0415

    surroundings = Surroundings(folder)
    surroundings.prepare(["PSEUDONYM_KEY"])
    months = sorted(path.name for path in (folder / "landing" / STATE).iterdir())
    assets = ["raw/voter_file", "wrangled/voters", "variance/voter_events", "features/district_demographics"]
    with (
        applied(surroundings.environment({})),
        dg.DagsterInstance.from_config(str(surroundings.dagster_home)) as instance,
    ):
        load([Batch("months", assets, [f"{month}|{STATE}" for month in months])], instance, lambda *_: None)
        return rows_of_partitions(Settings.load(), raw.VOTER_FILE)


def measure(way: str, folder: Path) -> dict[str, float]:
    """Run one way in a process of its own and give what it printed."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, way, str(folder)], check=True, capture_output=True, text=True
    )
    measured: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Measure, print a table and, last, one JSON line."""
    from mlops_assets.simulation.configuration import SimulationConfig  # noqa: PLC0415
    from mlops_assets.simulation.sources import generate  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        systems = generate(SimulationConfig(voters_per_state=VOTERS, months=MONTHS), folder / "sources")
        for month in systems.months:
            systems.drop(STATE, month, folder / "landing")
        hand, ours = measure("by_hand", folder), measure("by_platform", folder)
    result = {
        "bench": "spine",
        "rows": ours["rows"],
        "platform_rows_per_second": round(ours["rows"] / ours["seconds"]),
        "script_rows_per_second": round(hand["rows"] / hand["seconds"]),
        "ratio": round(hand["seconds"] / ours["seconds"], 3),
        "platform_peak_mib": ours["peak_mib"],
        "script_peak_mib": hand["peak_mib"],
        "duckdb": duckdb.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    for key, value in result.items():
        print(f"{key:>26}  {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        began = time.perf_counter()
        total = {"by_hand": by_hand, "by_platform": by_platform}[sys.argv[1]](Path(sys.argv[2]))
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(json.dumps({"rows": total, "seconds": time.perf_counter() - began, "peak_mib": peak}))
    else:
        main()
