"""Great Expectations' validation of the orders, run in its own environment by ``bench/audit.py``; prints one JSON line.

The clock starts before the file is read and stops when every count can be read. The engine is that over pandas frames:
DuckDB is not among its SQL engines, and over SQLAlchemy's dialect for it no metric can be computed.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import great_expectations as gx  # noqa: E402  its imports warn
import pandas as pd  # noqa: E402
from great_expectations import expectations as gxe  # noqa: E402

COUNTRIES = ["DE", "FR", "NL", "AT", "CH", "BE", "DK", "SE", "PL", "IT"]
STATES = ["open", "paid", "shipped", "returned"]
EXPECTATIONS = {
    "order_id is not null": gxe.ExpectColumnValuesToNotBeNull(column="order_id"),
    "customer is not null": gxe.ExpectColumnValuesToNotBeNull(column="customer"),
    "country is not null": gxe.ExpectColumnValuesToNotBeNull(column="country"),
    "status is not null": gxe.ExpectColumnValuesToNotBeNull(column="status"),
    "ordered_at is not null": gxe.ExpectColumnValuesToNotBeNull(column="ordered_at"),
    "amount is not null": gxe.ExpectColumnValuesToNotBeNull(column="amount"),
    "customer has 6 to 12 signs": gxe.ExpectColumnValueLengthsToBeBetween(column="customer", min_value=6, max_value=12),
    "country is one of ten": gxe.ExpectColumnValuesToBeInSet(column="country", value_set=COUNTRIES),
    "status is one of four": gxe.ExpectColumnValuesToBeInSet(column="status", value_set=STATES),
    "sku matches a pattern": gxe.ExpectColumnValuesToMatchRegex(column="sku", regex=r"^[A-Z]{3}-[0-9]{5}$"),
    "email matches a pattern": gxe.ExpectColumnValuesToMatchRegex(
        column="email", regex=r"^[a-z0-9.]+@[a-z0-9.]+\.[a-z]{2,}$"
    ),
    "amount is from 0 to 100,000": gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=0, max_value=100_000),
    "quantity is from 1 to 100": gxe.ExpectColumnValuesToBeBetween(column="quantity", min_value=1, max_value=100),
    "discount is from 0 to 1": gxe.ExpectColumnValuesToBeBetween(column="discount", min_value=0, max_value=1),
    "shipped_at is not before ordered_at": gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A="shipped_at", column_B="ordered_at", or_equal=True, ignore_row_if="either_value_is_missing"
    ),
    "order_id is unique": gxe.ExpectColumnValuesToBeUnique(column="order_id"),
}


def validated(context: Any, path: str) -> Any:  # noqa: ANN401  its types differ from release to release
    """The result of the suite over the file."""
    suite = gx.ExpectationSuite(name="orders")
    for rule, expectation in EXPECTATIONS.items():
        expectation.meta = {"rule": rule}
        suite.add_expectation(expectation)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("orders")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": pd.read_parquet(path)})
    return batch.validate(suite, result_format="SUMMARY")


def main() -> None:
    """Validate, and print what was found."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    began, used = time.perf_counter(), time.process_time()
    results = validated(context, sys.argv[1]).results
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    found = {}
    for result in results:
        rule = result.expectation_config.meta["rule"]
        if "unexpected_count" not in result.result:
            raise SystemExit(f"{rule}: {result.exception_info}")
        found[rule] = result.result["unexpected_count"]
    # ru_maxrss would begin with the memory of the process before this one.
    peak = int(Path("/proc/self/status").read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]) // 1024
    versions = {"great_expectations": gx.__version__, "pandas": pd.__version__}
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mib": peak, "counts": found, "versions": versions}))


if __name__ == "__main__":
    main()
