"""Training sets: what the model of one forecast may learn from, as it was known at one state of the lake.

Put here the joining of features with outcomes, and the cut before the forecast. Keep out what a model makes of them.

A training set is a published partition: its record names content hash and snapshot of everything that was read, and
whoever reads the training set reads that and nothing that arrived later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
import pyarrow as pa

from mlops_assets.modeling.district_model import KEYS
from mlops_assets.modeling.segments import segmentation_of
from mlops_assets.modeling.turnout_cells import training_cells

if TYPE_CHECKING:
    import ibis.expr.types as ir


def person_cells(features: ir.Table, forecast: str, segments: pa.Table | None = None) -> pa.Table:
    """Persons of earlier elections with known votes, counted in cells of equal features.

    Args:
        features: rows of ``features/person_turnout``; rows of the forecast's election or later change nothing.
        forecast: the election to be forecast.
        segments: rows of ``features/segment_turnout`` of that forecast; none where they are not known.

    Returns:
        Rows of ``training/person_turnout``.

    Raises:
        TrainingError: there is no earlier election with known outcome and some voting history.
    """
    cells = training_cells(features, forecast, segments)
    for name, value in (("forecast", forecast), ("segmentation", segmentation_of(segments))):
        cells = cells.append_column(name, pa.repeat(pa.scalar(value, pa.string()), cells.num_rows))
    return cells


def district_elections(features: ir.Table, results: ir.Table, forecast: str) -> ir.Table:
    """Districts of earlier elections with what was known before each, and what came of it.

    Args:
        features: rows of ``features/district_election``.
        results: rows of ``wrangled/house_results``; neither table's rows of the forecast or later are looked at.
        forecast: the election to be forecast.

    Returns:
        Rows of ``training/district_elections``: those whose total is known.
    """
    known = results.filter((results.election < forecast) & results.total_votes.notnull())
    democratic, republican = known.democratic_votes.cast("float64"), known.republican_votes.cast("float64")
    contested = (democratic > 0) & (republican > 0)
    outcomes = known.select(
        *KEYS,
        "total_votes",
        democratic_share=contested.ifelse(democratic / (democratic + republican), None).round(6),
    )
    rows = features.filter(features.election < forecast).inner_join(outcomes, list(KEYS))
    return rows.mutate(forecast=ibis.literal(forecast))
