"""Predicted turnout of districts: the mean of their registered persons' probabilities, with an interval.

Put here the step from a verified model and persons' features to predictions of districts. Keep out training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from mlops_assets.modeling.errors import TrainingError
from mlops_assets.modeling.person_turnout import by_district
from mlops_assets.modeling.predicted import expected_error, predictions_table, recorded_interval
from mlops_assets.modeling.turnout_cells import HISTORY, turnout_cells
from mlops_assets.scoring.scorer import load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from mlops_assets.scoring.records import ModelRecord

MEASURE: Final = "turnout"

_NORMAL_90: Final = 1.6448536269514722
"""Half width of the central 90 % of the standard normal distribution."""


def predict(
    features: ir.Table,
    record: ModelRecord,
    *,
    trusted: Mapping[str, Ed25519PublicKey],
    election: str,
    features_version: str,
) -> pa.Table:
    """Predict the turnout of each district.

    The interval is as wide as past errors of districts, and at least as wide as chance makes the turnout of that many
    independent persons; it is cut to 0 to 1.

    Args:
        features: rows of ``features/person_turnout`` of one election and state.
        record: the turnout model of that election.
        trusted: the keys whose models may be loaded.
        election: the election.
        features_version: content hash of the features.

    Returns:
        One row per district (contract ``PredictionsModel``), sorted by state and district; value, lower and upper are
        shares of registered persons, basis is their number.

    Raises:
        SignatureError: no trusted key has signed the model.
        ArtifactError: the model is not what its record says.
        TrainingError: an earlier election that the model reads is not in the voting history of the features.
    """
    scorer = load(record, trusted)
    interval = recorded_interval(record)
    cells = turnout_cells(features)
    _refuse_unknown_history(cells, [column for column in HISTORY if column in scorer.input_columns], election)
    probabilities = scorer.score(cells.select(scorer.input_columns))
    districts = by_district(cells, probabilities)
    chance = _NORMAL_90 * np.sqrt(districts.predicted * (1.0 - districts.predicted) / districts.voters)
    reach = np.maximum(interval.half_width, chance)
    lower = np.clip(districts.predicted - reach, 0.0, 1.0)
    upper = np.clip(districts.predicted + reach, 0.0, 1.0)
    return predictions_table(
        record,
        election=election,
        measure=MEASURE,
        keys=districts.keys,
        value=districts.predicted,
        lower=lower,
        upper=upper,
        coverage=interval.coverage,
        basis=pa.array(districts.voters),
        features_version=features_version,
        expected_error=expected_error(lower, upper, interval.coverage),
        expected_brier=by_district(cells, probabilities * (1.0 - probabilities)).predicted,
    )


def _refuse_unknown_history(cells: pa.Table, history: Sequence[str], election: str) -> None:
    """Refuse features in which nobody voted in an election that the model reads: its history is not there yet."""
    unknown = [column for column in history if cells.num_rows and cells.column(column).null_count == cells.num_rows]
    if unknown:
        raise TrainingError(
            source=f"Features of persons for the election of {election}",
            culprit=f"nobody voted in {', '.join(unknown)}: the voting history of those elections is not there.",
            remedy="Publish it, then features/person_turnout again. The model would take everybody for an abstainer.",
        )
