"""The model card: what a model is for, what it rests on, how good it was and where not to believe it, on its own page.

Put here what the materialization of a model shows. Keep out drawing (``plots``) and the numbers' making (evaluations).

Source of the form: Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.modeling import plots
from mlops_assets.modeling.conformal import COVERAGE
from mlops_assets.modeling.segments import SEGMENT
from mlops_assets.modeling.trained import ALL, MODEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops_assets.modeling.evidence import Evidence
    from mlops_assets.modeling.gate import Bounds
    from mlops_assets.modeling.trained import Trained

    Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What only the model's owner can say of it.

    Attributes:
        title: what is predicted, of whom.
        use: what it is for.
        not_for: what it must not be used for.
        limits: what it does not know.
        level: level at which its headline error is measured.
    """

    title: str
    use: str
    not_for: str
    limits: str
    level: str


def card(
    purpose: Purpose,
    trained: Trained,
    found: Evidence,
    bounds: Bounds,
    *,
    judged: Sequence[dg.AssetCheckResult],
    evaluation: Sequence[Row],
) -> dict[str, Any]:
    """Metadata of a model's materialization.

    Args:
        purpose: what only the owner can say.
        trained: the model.
        found: the evidence for its form.
        bounds: the declared bounds of the gate.
        judged: what the gate found.
        evaluation: rows of the evaluation.
    """
    held = {
        row["tested_on"]: row["value"]
        for row in evaluation
        if row["estimator"] == MODEL and row["metric"] == "interval_coverage" and row["segment"] == ALL
    }
    shown: dict[str, Any] = {
        "model_version": trained.record.version,
        "form": trained.form,
        "model_bytes": len(trained.record.onnx),
        "trained_on": ", ".join(trained.trained_on),
        "training_cases": trained.rows,
        "training_set": trained.training_set,
        "signed_by": trained.record.key_id or "nobody",
        "interval_half_width": float(trained.record.parameters["interval"]["half_width"]),
        "model_card": dg.MetadataValue.md(_text(purpose, trained, found, judged)),
        "importance": _table(
            ("column", "loss_grows_by"),
            sorted(trained.record.parameters["importance"].items(), key=lambda item: -item[1]),
        ),
        "errors_unseen": _table(("estimator", found.metric), _means(evaluation, purpose.level, found.metric)),
        "error_by_group": _table(("group", "mean_error_less_everybodys"), found.groups.items()),
    }
    segments = _by_segment(evaluation)
    if segments:
        shown["error_by_segment"] = _table(("segment", "observed_less_predicted"), segments)
    points = _reliability(evaluation, found.form)
    if points:
        shown["reliability"] = _picture("Reliability on unseen elections", plots.reliability(points))
    if held:
        shown["coverage"] = _picture("Interval coverage on unseen elections", plots.coverage(held, COVERAGE))
    if found.groups:
        shown["groups"] = _picture("Error by group on unseen elections", plots.excesses(found.groups, bounds.excess))
    return shown


def _text(purpose: Purpose, trained: Trained, found: Evidence, judged: Iterable[dg.AssetCheckResult]) -> str:
    reach = trained.record.parameters["interval"]
    choice = ", ".join(f"{form} {error:.4f}" for form, error in found.mean_errors.items())
    segments = trained.record.parameters.get("segmentation")
    return "\n".join(
        [
            f"# {purpose.title}, {trained.election}",
            f"**For**: {purpose.use}",
            "",
            f"**Not for**: {purpose.not_for}",
            "",
            f"**Form**: {trained.form}, of the smallest mean {found.metric} on unseen elections ({choice or 'none'}).",
            "",
            f"**Learned from**: {trained.rows:,} cases of {', '.join(trained.trained_on)} (`{trained.training_set}`).",
            "",
            f"**Interval**: half width {reach['half_width']:g}, meant to hold {reach['coverage']:.0%}.",
            f"It rests on {reach['errors']} {reach['evidence']} ({', '.join(reach['tested_on'])}).",
            "",
            "**Gate**:",
            "",
            *(f"- {each.check_name}: {'passed' if each.passed else 'FAILED'}. {each.description}" for each in judged),
            "",
            f"**Does not know**: {purpose.limits}",
            *(["", f"**Segments** (errors only, no input): {segments}."] if segments else []),
        ]
    )


def _means(evaluation: Sequence[Row], level: str, metric: str) -> list[tuple[str, float]]:
    """The mean of a metric over the tested elections for each estimator, the best first."""
    by_estimator: dict[str, list[float]] = {}
    for row in evaluation:
        if (row["level"], row["metric"], row["segment"]) == (level, metric, ALL) and row["tested_on"] != ALL:
            by_estimator.setdefault(row["estimator"], []).append(row["value"])
    return sorted(((name, sum(v) / len(v)) for name, v in by_estimator.items()), key=lambda item: item[1])


def _by_segment(evaluation: Sequence[Row]) -> list[tuple[str, float]]:
    """The mean error of the model in each segment over the tested elections, the largest first."""
    by_segment: dict[str, list[float]] = {}
    for row in evaluation:
        if row["estimator"] == MODEL and row["metric"] == "error" and row["segment"].startswith(f"{SEGMENT}="):
            by_segment.setdefault(row["segment"].removeprefix(f"{SEGMENT}="), []).append(row["value"])
    means = [(name, sum(values) / len(values)) for name, values in by_segment.items()]
    return sorted(means, key=lambda item: -abs(item[1]))


def _reliability(evaluation: Sequence[Row], form: str) -> list[tuple[float, float, int]]:
    """Predicted and observed shares of each bin over all tests, weighted by persons."""
    sums: dict[str, list[float]] = {}
    for row in evaluation:
        if row["estimator"] == form and row["segment"].startswith("predicted="):
            bin_ = sums.setdefault(row["segment"], [0.0, 0.0, 0.0])
            place = {"predicted": 0, "observed": 1}.get(row["metric"])
            if place is not None:
                bin_[place] += row["value"] * row["rows"]
                bin_[2] += row["rows"] if place == 0 else 0
    return [(predicted / count, observed / count, int(count)) for predicted, observed, count in sums.values()]


def _table(names: tuple[str, str], rows: Iterable[tuple[str, float]]) -> dg.TableMetadataValue:
    text, number = names
    return dg.TableMetadataValue(
        records=[dg.TableRecord({text: name, number: round(value, 6)}) for name, value in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(text, "string"), dg.TableColumn(number, "float")]),
    )


def _picture(words: str, address: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{words}]({address})")
