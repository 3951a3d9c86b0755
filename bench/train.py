"""Training the turnout model on 5 million persons: time and memory, beside plain scikit-learn on pandas.

Both read the same Parquet file of one election's persons with the same raw columns, make the same features, and fit
logistic regression and boosted trees to them. Ours counts persons in cells inside the engine, fits the cells, writes a
verified ONNX file and signs it; the peer loads all rows with pandas, encodes them with a ColumnTransformer, fits, and
writes nothing. Each runs in a process of its own, whose peak memory is measured.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import duckdb

COLUMNS: Final = ("age", "years_registered", "voted_last", "voted_second_last", "voted_third_last", "place_turnout")
CLASSES: Final = ("party_last", "gender")


def persons(rows: int, target: Path) -> None:
    """Write rows of ``features/person_turnout`` of the elections 2016 to 2020, drawn from a logistic law."""
    duckdb.sql(
        "CREATE OR REPLACE MACRO votes(year, habit, id) AS "
        "CAST(hash(id, year) % 10000 < 10000 / (1 + exp(-habit - 1.1 * CAST(year % 4 = 0 AS INT))) AS BIGINT)"
    )
    duckdb.sql(f"""
        COPY (
            WITH person AS (
                SELECT range AS n, range // 3 AS id, 2016 + 2 * (range % 3) AS year, hash(range // 3) % 100 AS county,
                    22 + 5 * CAST(hash(range // 3, 1) % 14 AS INT) AS age,
                    CAST(hash(range // 3, 2) % 40 AS INT) AS registered,
                    (['DEMOCRATIC', 'REPUBLICAN', 'UNAFFILIATED'])[CAST(1 + hash(range // 3, 5) % 3 AS INT)] AS party,
                    (['FEMALE', 'MALE', 'UNDESIGNATED'])[CAST(1 + hash(range // 3, 6) % 3 AS INT)] AS gender,
                    -1.6 + 0.02 * (age - 45) + 2.5 * CAST(hash(range // 3, 8) % 100 < 55 AS INT) AS habit
                FROM range({rows})
            ), voting AS (
                SELECT *, votes(year, habit, id) AS voted,
                    votes(year - 2, habit, id) AS last,
                    votes(year - 4, habit, id) AS second_last,
                    votes(year - 6, habit, id) AS third_last
                FROM person
            )
            SELECT 'NC' AS state, CAST(year AS VARCHAR) AS election, lpad(to_hex(hash(n)), 32, '0') AS person_token,
                lpad(CAST(1 + county % 14 AS VARCHAR), 2, '0') AS district, '2021-07' AS snapshot_month,
                CAST(age AS BIGINT) AS age, CAST(least(registered, age - 18) AS BIGINT) AS years_registered,
                CAST(year % 4 = 0 AS BIGINT) AS presidential, last AS voted_last, second_last AS voted_second_last,
                third_last AS voted_third_last,
                CASE WHEN last + second_last + third_last = 0 THEN 'NONE' ELSE party END AS party_last, gender,
                CAST(0.3 + county / 250.0 + (year % 4) / 20.0 AS DOUBLE) AS place_turnout, voted
            FROM voting
        ) TO '{target}' (FORMAT parquet)
    """)


def ours(file: Path) -> dict[str, Any]:
    """Count in cells, fit both forms, write and verify their files, and sign them."""
    import ibis  # noqa: PLC0415  each measured process imports what it needs
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    from mlops_assets.modeling import turnout_cells  # noqa: PLC0415
    from mlops_assets.modeling.fitting import model_record  # noqa: PLC0415
    from mlops_assets.modeling.person_turnout import fit  # noqa: PLC0415
    from mlops_assets.scoring.signatures import signed  # noqa: PLC0415

    # The bench trains on all rows; the platform would draw a sample above four million.
    turnout_cells.MOST_PERSONS = 10**12  # type: ignore[misc]
    began = time.perf_counter()
    cells = turnout_cells.training_cells(ibis.duckdb.connect().read_parquet(str(file)), "2022")
    counted = time.perf_counter()
    found: dict[str, Any] = {"cells": cells.num_rows, "seconds_counting": counted - began}
    history = turnout_cells.HISTORY
    for form in ("linear", "boosted"):
        started = time.perf_counter()
        fitted = fit(cells, history, form)
        record = model_record("turnout", fitted, cells.select(fitted.encoding.columns), {})
        signed(record, Ed25519PrivateKey.generate())
        found[f"seconds_{form}"] = time.perf_counter() - started
    return {**found, "seconds": time.perf_counter() - began}


def peer(file: Path) -> dict[str, Any]:
    """Load with pandas, encode with a ColumnTransformer, fit both forms."""
    import pandas as pd  # noqa: PLC0415
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler  # noqa: PLC0415

    began = time.perf_counter()
    frame = pd.read_parquet(file)
    features, voted = frame[[*COLUMNS, "presidential", *CLASSES]], frame["voted"]
    loaded = time.perf_counter()
    splines = ["age", "years_registered"]
    plain = [name for name in (*COLUMNS, "presidential") if name not in splines]
    encoded = ColumnTransformer(
        [
            ("splines", make_pipeline(SplineTransformer(n_knots=6, degree=1), StandardScaler()), splines),
            ("numbers", StandardScaler(), plain),
            ("classes", OneHotEncoder(sparse_output=False), list(CLASSES)),
        ]
    )
    make_pipeline(encoded, LogisticRegression(solver="newton-cholesky", tol=1e-8)).fit(features, voted)
    linear = time.perf_counter()
    numbers = ColumnTransformer(
        [
            ("numbers", "passthrough", [*COLUMNS, "presidential"]),
            ("classes", OneHotEncoder(sparse_output=False), list(CLASSES)),
        ]
    )
    trees = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.15, max_leaf_nodes=16, min_samples_leaf=100, max_bins=64, early_stopping=False
    )
    make_pipeline(numbers, trees).fit(features, voted)
    boosted = time.perf_counter()
    return {
        "rows": len(frame),
        "seconds_loading": loaded - began,
        "seconds_linear": linear - loaded,
        "seconds_boosted": boosted - linear,
        "seconds": boosted - began,
    }


def main() -> None:
    """Measure both, or, in a process of its own, one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--one", choices=["ours", "peer"])
    parser.add_argument("--file", type=Path)
    asked = parser.parse_args()
    if asked.one:
        found = {"ours": ours, "peer": peer}[asked.one](asked.file)
        found["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({name: round(value, 2) for name, value in found.items()}))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "persons.parquet"
        persons(asked.rows, file)
        print(f"{asked.rows:,} persons, {file.stat().st_size / 2**20:.0f} MiB of Parquet")
        for one in ("ours", "peer"):
            answer = subprocess.run(
                [sys.executable, __file__, "--one", one, "--file", str(file)],
                capture_output=True,
                text=True,
                check=True,
            )
            print(f"{one}: {answer.stdout.strip()}", flush=True)


if __name__ == "__main__":
    main()
