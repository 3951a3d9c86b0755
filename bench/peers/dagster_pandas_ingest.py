"""An asset that returns a pandas frame, kept by Dagster's DuckDB IO manager; run in its own environment."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import dagster as dg
import duckdb
import pandas as pd
from dagster_duckdb_pandas import DuckDBPandasIOManager

logging.disable(logging.INFO)
kind, target = sys.argv[1], Path(sys.argv[2])
said = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))


@dg.asset(key_prefix=["raw"])
def found() -> pd.DataFrame:
    """All rows."""
    if kind == "table":
        import sqlalchemy  # noqa: PLC0415

        return pd.read_sql("SELECT * FROM orders", sqlalchemy.create_engine(said["address"]))
    if kind == "rest":
        import requests  # noqa: PLC0415

        rows, number = [], 1
        with requests.Session() as session:
            while page := session.get(said["url"], params={"page": number}, timeout=60).json()["data"]:
                rows += page
                number += 1
        frame = pd.DataFrame(rows)
        return frame.assign(ordered=pd.to_datetime(frame["ordered"]))
    types = {"BIGINT": "int64", "INTEGER": "int32", "VARCHAR": "str"}
    return pd.read_csv(
        said[kind],
        dtype={name: types[sql] for name, sql in said["columns"].items() if sql in types},
        parse_dates=[name for name, sql in said["columns"].items() if sql == "DATE"],
        keep_default_na=False,
        na_values=[""],
    )


database = target / "pandas.duckdb"
done = dg.materialize([found], resources={"io_manager": DuckDBPandasIOManager(database=str(database))})
if not done.success:
    raise SystemExit(1)
with duckdb.connect(str(database)) as connection:
    [(count, keys)] = connection.execute(f"SELECT count(*), sum({said['key'][kind]}) FROM raw.found").fetchall()
print(json.dumps({"rows": int(count), "keys": int(keys)}))
