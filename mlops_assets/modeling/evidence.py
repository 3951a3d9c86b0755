"""What an evaluation says for and against each form: the basis of the choice, the interval and the promotion gate.

Put here the summary that evaluations write and models read. Keep out how errors are measured and what the gate decides.

The model step reads it from the published evaluation and does not test again, so that what was promoted rests on
exactly the numbers that anybody can look up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.contracts.models import FORMS
from mlops_assets.modeling.conformal import COVERAGE, Interval, half_width
from mlops_assets.modeling.forms import chosen, mean_errors
from mlops_assets.modeling.trained import ALL, Measured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

_WIDTH: Final = "interval_half_width"
_TEACHES: Final = "errors_in_interval"
_MISCALIBRATION: Final = "miscalibration"
_EXCESS: Final = "excess_of_group"
_EVIDENCE: Final = "districts of earlier elections, predicted before them"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of the form that a model will have.

    Attributes:
        form: the form of the smallest mean error.
        metric: the error by which it was chosen.
        mean_errors: the mean error of each form.
        errors: the chosen form's error on each tested election.
        interval: the interval that its errors give; ``None`` where nothing was tested.
        miscalibration: how far its probabilities or intervals are from what they promise; ``None`` likewise.
        groups: for each group how far its mean error lies from everybody's.
    """

    form: str
    metric: str
    mean_errors: Mapping[str, float]
    errors: Mapping[str, float]
    interval: Interval | None
    miscalibration: float | None
    groups: Mapping[str, float]

    def as_parameters(self) -> dict[str, Any]:
        """The evidence as part of a model's parameters (JSON); the interval is recorded apart."""
        return {
            "choice": {"form": self.form, "metric": self.metric, "mean_errors": dict(self.mean_errors)},
            "tested": dict(self.errors),
            "miscalibration": self.miscalibration,
            "groups": dict(self.groups),
        }


def summary(
    form: str,
    *,
    errors: Mapping[str, Numbers],
    miscalibration: float | None,
    excesses: Sequence[Mapping[str, float]],
) -> list[Measured]:
    """What all tests together say of a form, as rows of its evaluation; none without tests.

    Args:
        form: the form.
        errors: for each election that teaches the interval, outcome minus prediction of its districts.
        miscalibration: how far probabilities or intervals are from what they promise.
        excesses: for each test the excess of each group (see :func:`excess`).
    """
    if not errors:
        return []

    def row(metric: str, value: float, rows: int, *, tested_on: str = ALL, segment: str = ALL) -> Measured:
        return Measured(
            tested_on=tested_on, estimator=form, level="district", segment=segment, metrics={metric: value}, rows=rows
        )

    count = sum(len(each) for each in errors.values())
    rows = [row(_WIDTH, half_width(list(errors.values())), count)]
    rows += [row(_TEACHES, float(len(each)), len(each), tested_on=election) for election, each in errors.items()]
    if miscalibration is not None:
        rows.append(row(_MISCALIBRATION, miscalibration, len(errors)))
    for group in sorted({group for each in excesses for group in each}):
        found = [each[group] for each in excesses if group in each]
        rows.append(row(_EXCESS, sum(found) / len(found), len(found), segment=group))
    return rows


def excess(errors: Numbers, groups: Mapping[str, npt.NDArray[np.bool_]]) -> dict[str, float]:
    """How far the mean error of each group lies from everybody's: a swing that all share is nobody's disadvantage."""
    everybody = float(errors.mean())
    return {group: float(errors[here].mean()) - everybody for group, here in groups.items() if here.any()}


def evidence_in(evaluation: ir.Table, *, level: str, metric: str) -> Evidence:
    """The evidence in a published evaluation.

    Args:
        evaluation: rows of one forecast's evaluation; none where no election can be tested.
        level: level of the error by which forms are compared.
        metric: that error.
    """
    rows = evaluation.to_pyarrow().to_pylist()
    everybody = [row for row in rows if row["segment"] == ALL]
    errors: dict[str, dict[str, float]] = {}
    for row in everybody:
        if row["estimator"] in FORMS and row["tested_on"] != ALL and (row["level"], row["metric"]) == (level, metric):
            errors.setdefault(row["estimator"], {})[row["tested_on"]] = row["value"]
    form = chosen(errors)
    own = [row for row in rows if row["estimator"] == form]
    widths = [row for row in own if row["metric"] == _WIDTH]
    return Evidence(
        form=form,
        metric=metric,
        mean_errors={each: round(error, 6) for each, error in mean_errors(errors).items()},
        errors=dict(sorted(errors.get(form, {}).items())),
        interval=Interval(
            coverage=COVERAGE,
            half_width=widths[0]["value"],
            evidence=_EVIDENCE,
            tested_on=tuple(sorted(row["tested_on"] for row in own if row["metric"] == _TEACHES)),
            errors=widths[0]["rows"],
        )
        if widths
        else None,
        miscalibration=next((row["value"] for row in own if row["metric"] == _MISCALIBRATION), None),
        groups={row["segment"]: row["value"] for row in sorted(own, key=_segment) if row["metric"] == _EXCESS},
    )


def _segment(row: Mapping[str, Any]) -> str:
    return str(row["segment"])
