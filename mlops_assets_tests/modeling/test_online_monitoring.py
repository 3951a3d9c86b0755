"""Tests of online monitoring: from the files of the service's log to errors by version and way, each with its value."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import msgspec
import numpy as np
import pandera.ibis as pandera
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlops_assets as ma
from mlops_assets.modeling.online_monitoring import Joined, of_outcomes
from mlops_assets.modeling.score_distribution import TRAINING_SCORES, distribution, stability_index
from mlops_assets.platform.assets.inputs import contract_of
from mlops_assets.platform.exports.manifest import OutcomeKind
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.serving import inference_log
from mlops_assets.serving.http.metrics import ServiceMetrics
from mlops_assets.serving.inference_log import InferenceLog, LoggedAnswer, LoggedOutcome

if TYPE_CHECKING:
    from pathlib import Path

CURATED = ma.Lake("curated")
FIRST = datetime(2024, 11, 5, 12, tzinfo=UTC)
OLD, NEW = "0" * 64, "1" * 64
approx: Any = pytest.approx
TRAINED = distribution(np.linspace(0.0, 1.0, 1001))


class Clock(datetime):
    """A clock that a test sets."""

    at = FIRST

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # asked for in UTC alone
        assert tz is UTC
        return cls.at


class Models(pandera.DataFrameModel):
    """As much of a table of models as monitoring reads."""

    version: dt.String
    parameters: dt.String


@ma.asset(key="models/churn", schema=Models, lake=CURATED)
def models() -> ir.Table:
    """Two versions, of which one has a distribution of its scores."""
    return ibis.memtable(
        {"version": [OLD, NEW], "parameters": ["{}", json.dumps({TRAINING_SCORES: TRAINED})]},
        schema={"version": "string", "parameters": "string"},
    )


@pytest.fixture(name="log")
def _log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InferenceLog:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(inference_log, "datetime", Clock)
    monkeypatch.setattr(Clock, "at", FIRST)
    return InferenceLog(tmp_path / "log", keep_days=90, metrics=ServiceMetrics())


def declared(tmp_path: Path, outcome: OutcomeKind = OutcomeKind.BOOLEAN) -> list[Any]:
    where: dict[str, Any] = {"lake": CURATED, "since": "2024-11-05"}
    return [
        models,
        ma.InferenceLog(name="churn", path=str(tmp_path / "log"), **where),
        ma.OnlineMonitoring(name="churn", models="models/churn", outcome=outcome, **where),
    ]


def answer(name: str, score: float, row: int = 0, version: str = NEW, way: str = "answered") -> LoggedAnswer:
    return LoggedAnswer(name, row, version, way, float(score), "shop", Clock.at)


def outcome(name: str, value: float, row: int = 0, after: float = 0.0) -> LoggedOutcome:
    return LoggedOutcome(name, row, value, Clock.at + timedelta(hours=after), "billing", Clock.at)


def to_next_day(log: InferenceLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "at", Clock.at + timedelta(days=1))
    log.close_days()


def run(declarations: list[Any], day: str, *tables: str) -> dg.ExecuteInProcessResult:
    """Materialize the versions, the tables of the log, and what is measured of that day."""
    job = ma.build_defs(declarations, name="churn").resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(asset_selection=[models.key], instance=instance)
        for table in (*tables, "monitoring/churn"):
            assert result.success
            keys = [dg.AssetKey.from_user_string(table)]
            result = job.execute_in_process(asset_selection=keys, partition_key=day, instance=instance)
        return result


def published(declarations: list[Any], day: str) -> dict[tuple[str, str, str, str], tuple[float, int]]:
    """What is published of a day: value and rows by version, way, source and metric."""
    contract = contract_of(declarations[-1].asset())
    assert contract is not None
    with LakeSession(ma.Settings.load()) as session:
        rows = current_table(session, contract, [day]).to_pyarrow().to_pylist()
    return {
        (row["model_version"], row["way"], row["known_by"], row["metric"]): (row["value"], row["rows"]) for row in rows
    }


def test_scores_of_a_day_are_measured_beside_those_of_training(
    log: InferenceLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = np.linspace(0.5, 1.0, 500)
    asyncio.run(log.answered("churn", [answer(f"order-{n:05}", score) for n, score in enumerate(scores)]))
    asyncio.run(log.answered("churn", [answer("order-00000", 0.25, version=OLD, way="shadow")]))
    to_next_day(log, monkeypatch)
    declarations = declared(tmp_path)
    result = run(declarations, "2024-11-05", "raw/churn_answers")
    found = published(declarations, "2024-11-05")
    assert found[NEW, "answered", "score", "mean"] == (approx(0.75), 500)
    assert found[NEW, "answered", "score", "p50"] == (approx(0.75, abs=1e-3), 500)
    assert found[NEW, "answered", "score", "psi"][0] > 1
    assert found[OLD, "shadow", "score", "mean"] == (0.25, 1)
    assert (OLD, "shadow", "score", "psi") not in found
    assert not [of for of in found if of[2] == "outcome"]
    checks = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert not checks["scores_as_in_training"].passed
    assert checks["scores_as_in_training"].severity is dg.AssetCheckSeverity.WARN
    assert result.success


def test_outcomes_are_measured_on_the_day_of_their_report_beside_answers_of_days_before(
    log: InferenceLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(log.answered("churn", [answer("order-00001", 0.8, 0), answer("order-00001", 0.4, 1)]))
    asyncio.run(log.answered("churn", [answer("order-00001", 0.6, 0, OLD, "shadow")]))
    to_next_day(log, monkeypatch)
    reported = [outcome("order-00001", 1.0, 0), outcome("order-00001", 0.0, 1), outcome("order-unknown", 1.0)]
    asyncio.run(log.take("churn", reported))
    # Reported again, and of another row two that cannot both be.
    asyncio.run(log.take("churn", [reported[0], outcome("order-00002", 0.0), outcome("order-00002", 1.0)]))
    to_next_day(log, monkeypatch)
    declarations = declared(tmp_path)
    job = ma.build_defs(declarations, name="churn").resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        keys = [dg.AssetKey.from_user_string("raw/churn_answers")]
        assert job.execute_in_process(asset_selection=keys, partition_key="2024-11-05", instance=instance).success
    result = run(declarations, "2024-11-06", "raw/churn_outcomes")
    found = published(declarations, "2024-11-06")
    assert found[NEW, "answered", "outcome", "brier"] == (approx((0.2**2 + 0.4**2) / 2), 2)
    assert found[NEW, "answered", "outcome", "mean_outcome"] == (0.5, 2)
    assert found[NEW, "answered", "outcome", "auc"] == (1.0, 2)
    assert found[OLD, "shadow", "outcome", "brier"] == (approx(0.16), 1)
    [made] = result.asset_materializations_for_node("monitoring__churn")
    counts = {name: made.metadata[name].value for name in ("outcomes", "outcomes_without_answer")}
    assert counts == {"outcomes": 4, "outcomes_without_answer": 1}
    assert made.metadata["contradictory_outcomes"].value == 1


def test_errors_of_numbers_are_in_the_unit_of_the_score() -> None:
    joined = of_answers(score=[10.0, 20.0], outcome=[13.0, 19.0])
    found = {row["metric"]: row["value"] for row in of_outcomes(joined, OutcomeKind.NUMBER)}
    assert found["mean_error"] == 1.0
    assert found["mean_absolute_error"] == 2.0
    assert found["root_mean_squared_error"] == approx(5**0.5)


def of_answers(**columns: list[float]) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table({"model_version": [NEW] * count, "way": ["answered"] * count, **columns})


def joined(answers: list[LoggedAnswer], outcomes: list[LoggedOutcome]) -> Joined:
    return Joined.of(_as_table(answers, LoggedAnswer), _as_table(outcomes, LoggedOutcome))


def _as_table(rows: list[Any], kind: type) -> ir.Table:
    types = {"row": "int64", "score": "float64", "outcome": "float64"}
    times = dict.fromkeys(("answered", "observed", "reported"), "timestamp('UTC')")
    schema = {name: {**types, **times}.get(name, "string") for name in kind.__struct_fields__}  # type: ignore[attr-defined]
    table = pa.Table.from_pylist([msgspec.structs.asdict(row) for row in rows], ibis.schema(schema).to_pyarrow())
    return ibis.memtable(table)


def test_a_later_observation_corrects_an_earlier_one_whichever_came_first() -> None:
    later, earlier = outcome("order-00001", 0.0, after=2), outcome("order-00001", 1.0, after=1)
    for order in ([later, earlier], [earlier, later]):
        found = joined([answer("order-00001", 0.5)], order)
        assert found.rows["outcome"].to_pylist() == [0.0]
        assert (found.reported, found.contradictory) == (1, 0)


@pytest.mark.parametrize(
    "other",
    [
        answer("order-00001", 0.7),
        LoggedAnswer("order-00001", 0, NEW, "answered", 0.5, "another application", FIRST),
    ],
)
def test_an_answer_whose_name_was_used_for_another_is_left_out(other: LoggedAnswer) -> None:
    found = joined([answer("order-00001", 0.5), other], [outcome("order-00001", 1.0)])
    assert found.rows.num_rows == 0
    assert (found.reported, found.unmatched) == (1, 0)


def test_a_request_that_was_tried_again_counts_once() -> None:
    found = joined([answer("order-00001", 0.5)] * 2, [outcome("order-00001", 1.0)] * 3)
    assert found.rows["score"].to_pylist() == [0.5]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.integers(1, 5))
def test_scores_as_in_training_have_no_shift_however_many_are_equal(scores: list[float], times: int) -> None:
    trained = distribution(np.array(scores))
    assert sum(trained["shares"]) == approx(1)
    # Edges are rounded: a score at an edge may fall on its other side, and nothing else.
    exact = np.array([float(f"{score:.9g}") for score in scores])
    assert stability_index(distribution(exact), np.tile(exact, times)) == approx(0, abs=1e-6)


def test_weights_count_as_rows_do() -> None:
    rows, weights = np.array([0.1, 0.2, 0.3]), np.array([1.0, 5.0, 2.0])
    assert distribution(rows, weights) == distribution(np.repeat(rows, weights.astype(int)))
