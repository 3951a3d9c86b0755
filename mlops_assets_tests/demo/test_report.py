"""The closing report of a demonstration: readable where people run it."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

import dagster as dg
from rich.console import Console

from mlops_assets.definitions import definitions
from mlops_assets.demo.report import CONTRACTS, HEADLINES, show_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

ESTIMATORS = ("model", "baseline", "boosted", "linear", "same_as_last_time", "same_as_segment", "same_kind_last_time")
ODD = 12.3456
NO_TABLES = {"reports", "served"}


def evaluated() -> list[Mapping[str, object]]:
    """Rows of evaluations for two elections, with more than the report shows."""
    return [
        {
            "election": election,
            "tested_on": tested_on,
            "estimator": estimator,
            "level": "person" if metric in {"auc", "brier"} else "district",
            "segment": segment,
            "metric": metric,
            "value": ODD if metric == "mean_absolute_error" else 0.8437,
        }
        for election, tested_on in (("2022", "2018"), ("2022", "2020"), ("2024", "2022"), ("2024", "all"))
        for estimator in ESTIMATORS
        for segment in ("all", "gender=FEMALE")
        for metric in (*HEADLINES, "log_loss")
        if metric != "mean_absolute_percentage_error"
    ]


def test_errors_are_readable_on_a_terminal_of_80_columns() -> None:
    written = StringIO()
    show_errors(evaluated(), "Turnout model beside the naive ones", Console(file=written, width=80))
    text = written.getvalue()
    assert "…" not in text
    assert all(word in text for estimator in ESTIMATORS for word in estimator.split("_"))
    assert text.count("12.35") == text.count("0.8437") / 3 == 2 * len(ESTIMATORS)
    assert "2018" not in text


def test_every_table_that_the_pipelines_publish_is_in_the_report() -> None:
    shown = {dg.AssetKey([contract.layer, contract.table]) for contract in CONTRACTS}
    made = {
        spec.key
        for asset in definitions().assets or ()
        if isinstance(asset, dg.AssetsDefinition)
        for spec in asset.specs
    }
    assert {key for key in made if key.path[0] not in NO_TABLES} == shown
