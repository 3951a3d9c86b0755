"""The promotion gate: whether a candidate may replace the model that is published now.

Put here what is compared and the bounds. Keep out how errors are measured (evaluations) and what follows from a failure
(the platform: nothing is published, the last good model stands).

Candidate and promoted model are compared by the errors that each had, as evidence of its own training, on the same
elections, which neither had seen. The promoted file itself cannot be asked again: it has learned from them since. What
a candidate is measured by is the best model that was ever promoted for the election, whose errors its successors hand
on: else each could be a little worse than the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mlops_assets.contracts import models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.modeling.evidence import Evidence
    from mlops_assets.scoring.records import ModelRecord

    _Verdict = tuple[bool, str, Mapping[str, float | str]]
    """Whether it passed, why in one sentence with the numbers, and what was compared, by name."""

TOLERANCE: Final = 0.02
"""By which part of the best model's error a candidate's may be larger: less than revisions of results change it."""
REFERENCE: Final = "reference"
"""Parameter of a promoted model: form and errors of the best one so far, by which the next candidate is measured."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a model owner declares to be good enough.

    Attributes:
        miscalibration: the most that probabilities, or coverage of intervals, may lie from what they promise.
        excess: the most that the mean error of a group may lie from everybody's, in the unit of the model's errors.
    """

    miscalibration: float
    excess: float


PERSON_TURNOUT: Final = Bounds(miscalibration=0.1, excess=0.05)
"""Ten points of probability; five points of turnout between a group and everybody."""
DISTRICT_VOTES: Final = Bounds(miscalibration=0.1, excess=0.15)
"""Coverage of 80 % where 90 % are promised; a group's votes 16 % further off than everybody's."""
DISTRICT_SHARE: Final = Bounds(miscalibration=0.1, excess=0.05)
"""Coverage of 80 % where 90 % are promised; five points of share."""


def judge(found: Evidence, bounds: Bounds, promoted: ModelRecord | None) -> list[dg.AssetCheckResult]:
    """Judge a candidate.

    Args:
        found: what the evaluation says of the candidate's form.
        bounds: the declared bounds.
        promoted: the published model, if there is one and a trusted key has signed it.

    Returns:
        A result for each judged check of the models' contracts.
    """
    verdicts = {
        models.NOT_WORSE: _not_worse(found, promoted),
        models.CALIBRATED: _calibrated(found, bounds),
        models.FAIR: _fair(found, bounds),
    }
    return [
        dg.AssetCheckResult(check_name=name, passed=passed, description=why, metadata=measured)
        for name, (passed, why, measured) in verdicts.items()
    ]


def reference(found: Evidence, promoted: ModelRecord | None) -> dict[str, Any]:
    """What the next candidate is to be measured by, if this one is promoted: the better of it and what it met."""
    own = {"form": found.form, "metric": found.metric, "errors": dict(found.errors)}
    met = _met(promoted)
    common = _common(found, met)
    return met if common and _mean(met["errors"], common) < _mean(found.errors, common) else own


def _met(promoted: ModelRecord | None) -> dict[str, Any]:
    """What the promoted model hands on: the best before it, or itself."""
    if promoted is None:
        return {}
    known = promoted.parameters
    choice = known.get("choice", {})
    itself = {"form": choice.get("form"), "metric": choice.get("metric"), "errors": known.get("tested", {})}
    return dict(known.get(REFERENCE, itself))


def _common(found: Evidence, met: Mapping[str, Any]) -> list[str]:
    """The elections on which both were tested by the same measure."""
    return sorted(set(found.errors).intersection(met["errors"])) if met.get("metric") == found.metric else []


def _not_worse(found: Evidence, promoted: ModelRecord | None) -> _Verdict:
    if promoted is None:
        return True, "There is no promoted model to be compared with.", {}
    met = _met(promoted)
    common = _common(found, met)
    if not common:
        why = "No election was tested by both the candidate and the promoted model."
        return True, why, {"promoted_version": promoted.version}
    ours, theirs = _mean(found.errors, common), _mean(met["errors"], common)
    most = theirs * (1.0 + TOLERANCE)
    measured: dict[str, float | str] = {
        "metric": found.metric,
        "elections": ", ".join(common),
        "candidate_form": found.form,
        "candidate_error": round(ours, 6),
        "best_form": str(met["form"]),
        "best_error": round(theirs, 6),
        "promoted_version": promoted.version,
        "most": round(most, 6),
    }
    passed = ours <= most
    words = "within" if passed else "more than"
    why = (
        f"On {len(common)} elections unseen by both, the candidate's {found.metric} is {ours:.4f}, {words} "
        f"{most:.4f} ({theirs:.4f} of the best model promoted so far, and {TOLERANCE:.0%})."
    )
    return passed, why, measured


def _calibrated(found: Evidence, bounds: Bounds) -> _Verdict:
    if found.miscalibration is None:
        return True, "Too few elections could be tested to judge calibration.", {}
    why = f"Miscalibration is {found.miscalibration:.3f}, the bound {bounds.miscalibration:.3f}."
    measured = {"miscalibration": found.miscalibration, "bound": bounds.miscalibration}
    return found.miscalibration <= bounds.miscalibration, why, measured


def _fair(found: Evidence, bounds: Bounds) -> _Verdict:
    if not found.groups:
        return True, "No group was tested that is large enough to be judged.", {}
    group, worst = max(found.groups.items(), key=lambda item: abs(item[1]))
    beyond = [name for name, value in found.groups.items() if abs(value) > bounds.excess]
    why = f"The mean error of {group} lies {worst:+.3f} from everybody's, the bound is {bounds.excess:.3f}"
    why += f"; beyond it: {', '.join(beyond)}." if beyond else "."
    return not beyond, why, {"bound": bounds.excess, **found.groups}


def _mean(errors: Mapping[str, float], elections: list[str]) -> float:
    return sum(errors[election] for election in elections) / len(elections)
