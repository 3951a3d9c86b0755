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
from mlops_assets.modeling.joined_outcomes import Joined
from mlops_assets.modeling.online_monitoring import of_outcomes
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
BILLING = {"billing": ["shop"]}
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


def declared(tmp_path: Path, outcome: OutcomeKind = OutcomeKind.BOOLEAN, *replicas: str) -> list[Any]:
    """Versions, monitoring, and a log for each replica: ``log``, or of each its own beside it."""
    where: dict[str, Any] = {"lake": CURATED, "since": "2024-11-05"}
    logs = [
        ma.InferenceLog(name="churn", path=str(tmp_path / f"log{replica}"), replica=replica, **where)
        for replica in replicas or ("",)
    ]
    monitoring = ma.OnlineMonitoring(
        name="churn", models="models/churn", outcome=outcome, reporters=BILLING, replicas=list(replicas), **where
    )
    return [models, *logs, monitoring]


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


def run_days(declarations: list[Any], *tables: tuple[str, str]) -> list[dg.ExecuteInProcessResult]:
    """Materialize the versions, and these partitions of tables one after another."""
    job = ma.build_defs(declarations, name="churn").resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        results = [job.execute_in_process(asset_selection=[models.key], instance=instance)]
        for table, day in tables:
            assert results[-1].success
            keys = [dg.AssetKey.from_user_string(table)]
            results.append(job.execute_in_process(asset_selection=keys, partition_key=day, instance=instance))
        return results


def counted(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """What the materialization's page says of outcomes, but for what there is none of."""
    [made] = result.asset_materializations_for_node("monitoring__churn")
    told = {name: entry.value for name, entry in made.metadata.items() if "outcomes" in name or name == "scores_unfit"}
    return {name: count for name, count in told.items() if isinstance(count, int) and count}


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
    assert counted(result) == {"outcomes": 4, "outcomes_without_answer": 1, "contradictory_outcomes": 1}
    assert all(check.passed for check in result.get_asset_check_evaluations())


def test_what_is_reported_again_on_a_later_day_changes_nothing_and_a_correction_counts_on_its_day(
    log: InferenceLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"order-0000{number}" for number in range(5)]
    asyncio.run(log.answered("churn", [answer(name, 0.8) for name in names]))
    to_next_day(log, monkeypatch)
    first = [outcome(name, 1.0) for name in names]
    asyncio.run(log.take("churn", first))
    to_next_day(log, monkeypatch)
    at = first[0].observed
    later = [
        msgspec.structs.replace(first[0], reported=Clock.at),
        # Seen again, as it was; seen before what is known; corrected; and another one of the same moment.
        msgspec.structs.replace(first[1], observed=at + timedelta(hours=1)),
        msgspec.structs.replace(first[2], outcome=0.0, observed=at - timedelta(hours=1)),
        msgspec.structs.replace(first[3], outcome=0.0, observed=at + timedelta(hours=1)),
        msgspec.structs.replace(first[4], outcome=0.0),
    ]
    asyncio.run(log.take("churn", later))
    to_next_day(log, monkeypatch)
    declarations = declared(tmp_path)
    days = ["2024-11-06", "2024-11-07"]
    *_, before, after = run_days(
        declarations,
        ("raw/churn_answers", "2024-11-05"),
        *(("raw/churn_outcomes", day) for day in days),
        *(("monitoring/churn", day) for day in days),
    )
    assert counted(before) == {"outcomes": 5}
    assert published(declarations, days[0])[NEW, "answered", "outcome", "brier"] == (approx(0.2**2), 5)
    assert counted(after) == {"outcomes": 5, "outcomes_reported_again": 3, "contradictory_outcomes": 1}
    assert published(declarations, days[1])[NEW, "answered", "outcome", "brier"] == (approx(0.8**2), 1)


def test_several_replicas_of_the_service_are_measured_as_one(
    log: InferenceLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (InferenceLog(tmp_path / f"log{name}", keep_days=90, metrics=ServiceMetrics()) for name in "ab")
    asyncio.run(one.answered("churn", [answer("order-00001", 0.8)]))
    asyncio.run(other.answered("churn", [answer("order-00002", 0.6)]))
    asyncio.run(other.take("churn", [outcome("order-00001", 1.0)]))
    # Tried again, at another replica.
    asyncio.run(one.take("churn", [outcome("order-00001", 1.0), outcome("order-00002", 1.0)]))
    to_next_day(one, monkeypatch)
    other.close_days()
    declarations = declared(tmp_path, OutcomeKind.BOOLEAN, "a", "b")
    tables = [f"raw/churn_{kind}_{replica}" for kind in ("answers", "outcomes") for replica in "ab"]
    run(declarations, "2024-11-05", *tables)
    found = published(declarations, "2024-11-05")
    assert found[NEW, "answered", "score", "mean"] == (approx(0.7), 2)
    assert found[NEW, "answered", "outcome", "brier"] == (approx((0.2**2 + 0.4**2) / 2), 2)
    assert not log.failure


@pytest.mark.parametrize(
    ("kind", "unfit"), [(OutcomeKind.BOOLEAN, (17.0, -4.0, 0.5)), (OutcomeKind.NUMBER, (1e200, -1e300, 1e16))]
)
def test_outcomes_that_are_none_of_the_kind_are_left_out_and_a_check_warns(
    log: InferenceLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: OutcomeKind, unfit: tuple[float, ...]
) -> None:
    names = [f"order-0000{number}" for number in range(4)]
    asyncio.run(log.answered("churn", [answer(name, 0.8) for name in names] + [answer("order-large", 1e300)]))
    values = (1.0, *unfit)
    asyncio.run(log.take("churn", [outcome(name, value) for name, value in zip(names, values, strict=True)]))
    to_next_day(log, monkeypatch)
    declarations = declared(tmp_path, kind)
    result = run(declarations, "2024-11-05", "raw/churn_answers", "raw/churn_outcomes")
    assert result.success
    assert counted(result) == {"outcomes": 1, "outcomes_unfit": 3, "scores_unfit": 1}
    checks = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert not checks["outcomes_as_declared"].passed
    assert checks["outcomes_as_declared"].severity is dg.AssetCheckSeverity.WARN
    found = published(declarations, "2024-11-05")
    assert found[NEW, "answered", "outcome", "mean_outcome"] == (1.0, 1)
    assert found[NEW, "answered", "score", "mean"] == (approx(0.8), 4)


def test_errors_of_numbers_are_in_the_unit_of_the_score() -> None:
    joined = of_answers(score=[10.0, 20.0], outcome=[13.0, 19.0])
    found = {row["metric"]: row["value"] for row in of_outcomes(joined, OutcomeKind.NUMBER)}
    assert found["mean_error"] == 1.0
    assert found["mean_absolute_error"] == 2.0
    assert found["root_mean_squared_error"] == approx(5**0.5)


def of_answers(**columns: list[float]) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table({"model_version": [NEW] * count, "way": ["answered"] * count, **columns})


def joined(
    answers: list[LoggedAnswer], outcomes: list[LoggedOutcome], reporters: dict[str, list[str]] = BILLING
) -> Joined:
    """What one day's reports say of that day's answers."""
    day, kind = "2024-11-05", OutcomeKind.BOOLEAN
    logged = _as_table(answers, LoggedAnswer), _as_table(outcomes, LoggedOutcome)
    return Joined.of(*logged, day=day, kind=kind, reporters=reporters)


def _as_table(rows: list[Any], kind: type) -> ir.Table:
    rows = [msgspec.structs.replace(row, date="2024-11-05") for row in rows]
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


def test_an_answer_whose_name_its_application_gave_to_another_is_left_out_and_counted() -> None:
    found = joined([answer("order-00001", 0.5), answer("order-00001", 0.7)], [outcome("order-00001", 1.0)])
    assert found.rows.num_rows == 0
    assert (found.reported, found.unmatched, found.voided) == (1, 0, 1)


def of_stranger(line: Any) -> Any:  # noqa: ANN401  an answer or an outcome
    return msgspec.structs.replace(line, principal="stranger")


def test_nobody_voids_or_overrides_what_is_anothers_by_its_name() -> None:
    answers = [answer("order-00001", 0.5), of_stranger(answer("order-00001", 0.1))]
    later = of_stranger(outcome("order-00001", 0.0, after=1))
    found = joined(answers, [outcome("order-00001", 1.0), later])
    assert sorted(found.rows.select(["score", "outcome"]).to_pylist(), key=lambda row: row["score"]) == [
        {"score": 0.1, "outcome": 0.0},
        {"score": 0.5, "outcome": 1.0},
    ]
    alone = joined([answer("order-00001", 0.5)], [outcome("order-00001", 1.0), later])
    assert alone.rows["outcome"].to_pylist() == [1.0]
    assert (alone.reported, alone.unmatched) == (2, 1)


def test_who_reports_for_others_is_declared() -> None:
    answers, outcomes = [answer("order-00001", 0.5)], [outcome("order-00001", 1.0)]
    assert joined(answers, outcomes, {}).unmatched == 1
    assert joined(answers, outcomes, {"billing": ["web"]}).unmatched == 1
    assert joined(answers, outcomes, {"billing": ["web", "shop"]}).rows["outcome"].to_pylist() == [1.0]
    own = [msgspec.structs.replace(outcomes[0], principal="shop")]
    assert joined(answers, own, {}).rows["outcome"].to_pylist() == [1.0]
    both = joined(answers, [*outcomes, *own])
    assert (both.rows.num_rows, both.unmatched, both.contradictory) == (1, 0, 0)


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
