"""Evidently's drift of two Parquet files, run in its own environment by ``bench/drift.py``; prints one JSON line.

The clock starts when both tables are in memory as pandas frames, and stops when every value can be read.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings

import pandas as pd

warnings.simplefilter("ignore")

import evidently  # noqa: E402  its imports warn
from evidently import DataDefinition, Dataset, Report  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402


def main() -> None:
    """Default methods when no others are named: normed Wasserstein distance and Jensen-Shannon distance."""
    before, after = (pd.read_parquet(path) for path in sys.argv[1:3])
    methods = dict(zip(("num_method", "cat_method"), sys.argv[3:5], strict=False))
    kinds = DataDefinition(
        numerical_columns=list(before.select_dtypes("number")), categorical_columns=list(before.select_dtypes("object"))
    )
    began = time.perf_counter()
    datasets = [Dataset.from_pandas(table, data_definition=kinds) for table in (after, before)]
    metrics = Report([DataDriftPreset(**methods)]).run(*datasets).dict()["metrics"]
    seconds = time.perf_counter() - began
    values = {one["config"]["column"]: float(one["value"]) for one in metrics if "column" in one["config"]}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "version": evidently.__version__, "values": values}))


if __name__ == "__main__":
    main()
