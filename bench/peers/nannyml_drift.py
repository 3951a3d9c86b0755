"""NannyML's drift of two Parquet files, run in its own environment by ``bench/drift.py``; prints one JSON line.

The clock starts when both tables are in memory as pandas frames.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings

import pandas as pd

warnings.simplefilter("ignore")

import nannyml  # noqa: E402  its imports warn

_CONTINUOUS = ["kolmogorov_smirnov", "wasserstein", "jensen_shannon"]
_CATEGORICAL = ["jensen_shannon", "chi2"]


def main() -> None:
    """The later table as one chunk against the earlier one."""
    before, after = (pd.read_parquet(path) for path in sys.argv[1:3])
    texts = list(before.select_dtypes("object"))
    began = time.perf_counter()
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=list(before.columns),
        treat_as_categorical=texts,
        continuous_methods=_CONTINUOUS,
        categorical_methods=_CATEGORICAL,
        chunk_number=1,
    )
    found = calculator.fit(before).calculate(after).filter(period="analysis").to_df()
    seconds = time.perf_counter() - began
    values: dict[str, dict[str, float]] = {}
    for column in before.columns:
        methods = _CATEGORICAL if column in texts else _CONTINUOUS
        values[column] = {method: float(found[column, method, "value"].iloc[0]) for method in methods}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "version": nannyml.__version__, "values": values}))


if __name__ == "__main__":
    main()
