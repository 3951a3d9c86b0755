"""Rolling-origin errors of the vote model on MEDSL's official returns; run as a program it prints them all.

Put here the measurement that ``docs/model.md`` reports. Keep out expectations.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import ibis
import numpy as np
import pyarrow as pa

from mlops_assets.contracts.partitions import ELECTION_YEARS
from mlops_assets.modeling.district_votes import labelled_rows, past_tests
from mlops_assets.modeling.district_votes_evaluation import measure
from mlops_assets.wrangling.district_election import district_election
from mlops_assets.wrangling.house_results import house_results
from mlops_assets_tests.wrangling.public_files import house_returns

if TYPE_CHECKING:
    from mlops_assets.modeling.trained import Measured

FIRST_TESTED: Final = "1990"
NEXT: Final = "2022"
"""The election after the last one in the returns."""
TOO_FAR: Final = "2024"
"""The election after that, for which the last results are not known."""

_NO_PROFILES: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("year", "dataset", "state", "district", "measure", "code")),
        ("congress", pa.int64()),
        ("value", pa.float64()),
    ]
)


@functools.cache
def _tables() -> tuple[pa.Table, pa.Table]:
    """Features (without census profiles, which the model does not read) and results of 1976 to 2020."""
    results = house_results(house_returns("1976-2020-house.csv.gz", encoding="utf-8")).to_pyarrow()
    profiles = ibis.memtable(_NO_PROFILES.empty_table())
    features = [
        district_election(ibis.memtable(results), profiles, election=year).to_pyarrow() for year in ELECTION_YEARS
    ]
    columns = features[0].column_names
    return pa.concat_tables([one.select(columns) for one in features], promote_options="permissive"), results


def measured(forecast: str) -> list[Measured]:
    """Errors on every election from 1990 to 2020, each predicted as far ahead as that forecast is."""
    features, results = _tables()
    rows = labelled_rows(ibis.memtable(features), ibis.memtable(results), forecast)
    tests = past_tests(rows, years_ahead=int(forecast) - 2020, most=len(ELECTION_YEARS))
    return [one for one in measure(tests) if one.tested_on >= FIRST_TESTED]


def mean(errors: list[Measured], estimator: str, metric: str) -> float:
    """The mean of a metric over the elections."""
    return float(np.mean([one.metrics[metric] for one in errors if one.estimator == estimator]))


def _print(errors: list[Measured]) -> None:
    metrics = ("mean_absolute_percentage_error", "root_mean_squared_log_error", "interval_coverage")
    for one in errors:
        values = "  ".join(f"{one.metrics[metric]:8.3f}" if metric in one.metrics else " " * 8 for metric in metrics)
        print(f"{one.tested_on}  {one.estimator:20s} {one.rows:4d}  {values}")  # noqa: T201 - the program's answer
    for estimator in dict.fromkeys(one.estimator for one in errors):
        values = "  ".join(f"{mean(errors, estimator, metric):8.3f}" for metric in metrics[:2])
        print(f"mean  {estimator:20s}       {values}")  # noqa: T201 - the program's answer


if __name__ == "__main__":
    _print(measured(NEXT))
    _print(measured(TOO_FAR))
