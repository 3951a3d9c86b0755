"""How good published predictions are: as they let expect it themselves, and as outcomes show it.

Put here measuring of what was published. Keep out evaluations of models on elections before (they are training's).

Before the outcome: the Brier score of right probabilities is the mean of p (1 - p) (confidence-based performance
estimation, as NannyML calls it), and an interval tells the error of its value. Both take the model's confidence on
trust; a national swing that no model foresaw shows only in the outcome, and then in the difference between the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from mlops_assets.modeling.metrics import probability_metrics
from mlops_assets.modeling.trained import ALL
from mlops_assets.modeling.turnout_cells import turnout_cells, weights
from mlops_assets.platform.errors import MissingInputError
from mlops_assets.scoring.scorer import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import ibis.expr.types as ir
    import numpy.typing as npt
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from mlops_assets.scoring.records import ModelRecord

    Row = dict[str, Any]

ESTIMATE: Final = "estimate"
OUTCOME: Final = "outcome"

_KEYS: Final = ("election", "measure", "model_version", "known_by", "segment", "metric")
_SCHEMA: Final = pa.schema([*((key, pa.string()) for key in _KEYS), ("value", pa.float64()), ("rows", pa.int64())])


def monitored(
    predictions: Sequence[ir.Table], outcomes: Mapping[str, Mapping[tuple[str, str], float]], persons: Sequence[Row]
) -> pa.Table:
    """Measure published predictions, of everybody and by state.

    Args:
        predictions: tables of predictions (contract ``PredictionsModel``) of one election.
        outcomes: for each measure what happened, by state and district, as far as it is known.
        persons: rows of :func:`person_scores`.

    Returns:
        Rows of ``predictions/monitoring``, sorted by their key.

    Raises:
        MissingInputError: nothing has been predicted yet.
    """
    predicted = [row for table in predictions for row in table.to_pyarrow().to_pylist()]
    if not predicted:
        raise MissingInputError(
            source="Table predictions/monitoring",
            culprit="there are no predictions of this election yet.",
            remedy="Materialize its predictions first.",
        )
    rows = [*persons]
    for version in sorted({(row["measure"], row["model_version"]) for row in predicted}):
        own = [row for row in predicted if (row["measure"], row["model_version"]) == version]
        rows += _estimated(own)
        known = outcomes.get(version[0], {})
        rows += _observed([row for row in own if (row["state"], row["district"]) in known], known)
    table = pa.Table.from_pylist(rows, schema=_SCHEMA)
    return table.sort_by([(key, "ascending") for key in _KEYS])


def person_scores(
    features: ir.Table, record: ModelRecord, *, trusted: Mapping[str, Ed25519PublicKey], election: str
) -> list[Row]:
    """Errors of the turnout model on persons whose vote is known by now; none before the election.

    Args:
        features: rows of ``features/person_turnout`` of that election.
        record: the model that predicted it.
        trusted: the keys whose models may be loaded.
        election: the election.

    Raises:
        ArtifactError: the model is not what its record says, or nobody trusted has signed it.
    """
    known = features.filter(features.voted.notnull())
    cells = turnout_cells(known)
    if not cells.num_rows:
        return []
    scorer = load(record, trusted)
    metrics = probability_metrics(
        scorer.score(cells.select(scorer.input_columns)), weights(cells, "voted"), weights(cells, "labelled")
    )
    count = int(weights(cells, "labelled").sum())
    own = {"election": election, "measure": "turnout", "model_version": record.version}
    return [
        {**own, "known_by": OUTCOME, "segment": ALL, "metric": f"person_{name}", "value": value, "rows": count}
        for name, value in metrics.items()
        if name != "expected_brier"
    ]


def turnout_by_district(features: ir.Table) -> dict[tuple[str, str], float]:
    """The share of persons that voted in each district, where votes are known."""
    shares = features.group_by(["state", "district"]).aggregate(share=features.voted.cast("float64").mean())
    return {
        (row["state"], row["district"]): row["share"]
        for row in shares.to_pyarrow().to_pylist()
        if row["share"] is not None
    }


def house_outcomes(results: ir.Table) -> dict[str, dict[tuple[str, str], float]]:
    """Votes and two-party share of each district, where they are known."""
    votes: dict[tuple[str, str], float] = {}
    shares: dict[tuple[str, str], float] = {}
    for row in results.to_pyarrow().to_pylist():
        key, democratic, republican = (row["state"], row["district"]), row["democratic_votes"], row["republican_votes"]
        if row["total_votes"] is not None:
            votes[key] = float(row["total_votes"])
        if democratic and republican:
            shares[key] = democratic / (democratic + republican)
    return {"total_votes": votes, "democratic_share": shares}


def _estimated(predicted: Sequence[Row]) -> Iterator[Row]:
    for segment, rows in _segments(predicted):
        errors = _column(rows, "expected_error")
        yield _row(rows, ESTIMATE, segment, "mean_absolute_error", float(errors.mean()))
        if rows[0]["expected_brier"] is not None:
            persons = _column(rows, "basis")
            brier = float(_column(rows, "expected_brier") @ persons / persons.sum())
            yield _row(rows, ESTIMATE, segment, "person_brier", brier)


def _observed(predicted: Sequence[Row], known: Mapping[tuple[str, str], float]) -> Iterator[Row]:
    for segment, rows in _segments(predicted):
        happened = np.array([known[row["state"], row["district"]] for row in rows])
        value, lower, upper = (_column(rows, name) for name in ("value", "lower", "upper"))
        metrics = {
            "mean_absolute_error": np.mean(np.abs(value - happened)),
            "mean_error": np.mean(happened - value),
            "interval_coverage": np.mean((lower <= happened) & (happened <= upper)),
        }
        for metric, found in metrics.items():
            yield _row(rows, OUTCOME, segment, metric, float(found))


def _segments(rows: Sequence[Row]) -> Iterator[tuple[str, Sequence[Row]]]:
    """Everybody, and each state."""
    if rows:
        yield ALL, rows
    for state in sorted({row["state"] for row in rows}):
        yield f"state={state}", [row for row in rows if row["state"] == state]


def _column(rows: Sequence[Row], name: str) -> npt.NDArray[np.float64]:
    return np.array([row[name] for row in rows], dtype=np.float64)


def _row(rows: Sequence[Row], known_by: str, segment: str, metric: str, value: float) -> Row:
    first = rows[0]
    return {
        **{key: first[key] for key in ("election", "measure", "model_version")},
        "known_by": known_by,
        "segment": segment,
        "metric": metric,
        "value": value,
        "rows": len(rows),
    }
