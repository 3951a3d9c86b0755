"""The promotion gate: what a candidate is measured by, over many promotions."""

from __future__ import annotations

from mlops_assets.contracts.models import NOT_WORSE
from mlops_assets.modeling.evidence import Evidence
from mlops_assets.modeling.gate import PERSON_TURNOUT, REFERENCE, TOLERANCE, judge, reference
from mlops_assets.scoring.records import ModelRecord


def _found(*errors: float, metric: str = "log_loss") -> Evidence:
    tested = {str(2016 + 2 * place): error for place, error in enumerate(errors)}
    return Evidence(
        form="linear",
        metric=metric,
        mean_errors={"linear": sum(errors) / len(errors)},
        errors=tested,
        interval=None,
        miscalibration=None,
        groups={},
    )


def _promoted(found: Evidence, before: ModelRecord | None = None) -> ModelRecord:
    parameters = {**found.as_parameters(), REFERENCE: reference(found, before)}
    return ModelRecord(name="m", version="0" * 64, onnx=b"", inputs=(), parameters=parameters)


def _passes(found: Evidence, promoted: ModelRecord | None) -> bool:
    results = {check.check_name: check.passed for check in judge(found, PERSON_TURNOUT, promoted)}
    return results[NOT_WORSE]


def test_a_row_of_candidates_each_a_little_worse_ends_at_the_tolerance_from_the_best() -> None:
    error, promoted = 0.5, _promoted(_found(0.5, 0.5))
    for _ in range(10):
        candidate = _found(error * 1.015, error * 1.015)
        if not _passes(candidate, promoted):
            break
        error *= 1.015
        promoted = _promoted(candidate, promoted)
    assert error <= 0.5 * (1 + TOLERANCE)


def test_a_better_model_is_the_new_measure_and_a_promotion_of_the_same_changes_nothing() -> None:
    first = _promoted(_found(0.5, 0.5))
    better = _promoted(_found(0.4, 0.4), first)
    assert better.parameters[REFERENCE]["errors"] == {"2016": 0.4, "2018": 0.4}
    assert not _passes(_found(0.42, 0.42), better)
    assert _promoted(_found(0.4, 0.4), better).parameters == better.parameters
    worse = _promoted(_found(0.405, 0.405), better)
    assert _promoted(_found(0.405, 0.405), worse).parameters == worse.parameters


def test_another_measure_is_not_compared() -> None:
    promoted, candidate = _promoted(_found(0.5)), _found(0.9, metric="brier")
    assert _passes(candidate, promoted)
    assert reference(candidate, promoted)["metric"] == "brier"
    assert _passes(_found(0.9), None)


def test_a_model_from_before_this_rule_is_measured_by_its_own_errors() -> None:
    parameters = _found(0.5).as_parameters()
    old = ModelRecord(name="m", version="0" * 64, onnx=b"", inputs=(), parameters=parameters)
    assert not _passes(_found(0.52), old)
    assert reference(_found(0.505), old)["errors"] == {"2016": 0.5}
