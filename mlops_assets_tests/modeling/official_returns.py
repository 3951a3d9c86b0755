"""Rolling-origin errors of the district models on MEDSL's official returns; run as a program it prints them all.

Put here the measurement that ``docs/model.md`` reports. Keep out expectations.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import ibis
import numpy as np
import pyarrow as pa

from mlops_assets.contracts.partitions import ELECTION_YEARS
from mlops_assets.modeling.district_evaluation import evaluate
from mlops_assets.modeling.district_share import SHARE
from mlops_assets.modeling.district_votes import VOTES
from mlops_assets.modeling.trained import ALL, MODEL
from mlops_assets.modeling.training_sets import district_elections
from mlops_assets.wrangling.district_election import district_election
from mlops_assets.wrangling.house_results import house_results
from mlops_assets_tests.wrangling.public_files import house_returns

if TYPE_CHECKING:
    from mlops_assets.modeling.district_model import Target
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
def tables() -> tuple[pa.Table, pa.Table]:
    """Features (without census profiles, which no model reads) and results of 1976 to 2020."""
    results = house_results(house_returns("1976-2020-house.csv.gz", encoding="utf-8")).to_pyarrow()
    profiles = ibis.memtable(_NO_PROFILES.empty_table())
    features = [
        district_election(ibis.memtable(results), profiles, election=year).to_pyarrow() for year in ELECTION_YEARS
    ]
    columns = features[0].column_names
    return pa.concat_tables([one.select(columns) for one in features], promote_options="permissive"), results


@functools.cache
def measured(target: Target, forecast: str) -> tuple[Measured, ...]:
    """Errors on every election from 1990 to 2020, each predicted as far ahead as that forecast is."""
    features, results = tables()
    training_set = district_elections(ibis.memtable(features), ibis.memtable(results), forecast)
    return tuple(
        one
        for one in evaluate(target, training_set, forecast)
        if one.tested_on >= FIRST_TESTED and one.tested_on != ALL and one.segment == ALL
    )


def values(errors: tuple[Measured, ...], estimator: str, metric: str) -> dict[str, float]:
    """A metric of an estimator on each election."""
    return {
        one.tested_on: one.metrics[metric] for one in errors if one.estimator == estimator and metric in one.metrics
    }


def mean(errors: tuple[Measured, ...], estimator: str, metric: str) -> float:
    """The mean of a metric over the elections."""
    return float(np.mean(list(values(errors, estimator, metric).values())))


def _print(errors: tuple[Measured, ...], metric: str) -> None:
    estimators = list(dict.fromkeys(one.estimator for one in errors if metric in one.metrics))
    print("election", *(f"{name:>20s}" for name in (*estimators, "held", "half width")))  # noqa: T201  the answer
    held, width = (values(errors, MODEL, name) for name in ("interval_coverage", "interval_half_width_then"))
    for election in sorted({one.tested_on for one in errors}):
        found = [values(errors, name, metric).get(election, float("nan")) for name in estimators]
        print(  # noqa: T201  the answer
            f"{election:8s}",
            *(f"{value:20.4f}" for value in (*found, *(each.get(election, float("nan")) for each in (held, width)))),
        )
    means = [mean(errors, name, metric) for name in estimators]
    ends = [float(np.mean(list(each.values()))) for each in (held, width)]
    print("mean    ", *(f"{value:20.4f}" for value in (*means, *ends)))  # noqa: T201


if __name__ == "__main__":
    for target, metrics in (
        (VOTES, ("mean_absolute_percentage_error", "root_mean_squared_log_error")),
        (SHARE, ("mean_absolute_error", "root_mean_squared_error")),
    ):
        for forecast in (NEXT, TOO_FAR):
            for metric in metrics:
                print(f"\n{target.name}, as far ahead as {forecast}: {metric}")  # noqa: T201
                _print(measured(target, forecast), metric)
