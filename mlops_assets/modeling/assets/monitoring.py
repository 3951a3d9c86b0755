"""The asset ``predictions/monitoring``: how good the published predictions are.

Put here its wiring. Keep out measuring, which is in `mlops_assets.modeling.monitoring`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts import features, models, partitions, predictions, wrangled
from mlops_assets.modeling import monitoring as measuring
from mlops_assets.modeling.trained import record_in
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.security.model_keys import trusted_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.settings import Settings


# Outcomes are known once, predictions change with each month; nobody looks at their errors more often.
_DAILY: Final = "0 6 * * *"


@asset(
    contract=predictions.MONITORING,
    ins={
        "turnout": In(predictions.DISTRICT_TURNOUT, partition_mapping=partitions.FORECASTS_TO_STATES, optional=True),
        "votes": In(predictions.DISTRICT_VOTES, optional=True),
        "share": In(predictions.DISTRICT_SHARE, optional=True),
        "results": In(wrangled.HOUSE_RESULTS, partition_mapping=partitions.ELECTIONS_TO_FORECASTS, optional=True),
        "persons": In(
            features.PERSON_TURNOUT,
            partition_mapping=dg.AllPartitionMapping(),
            choose=partitions.election_itself,
            optional=True,
        ),
        "model": In(models.PERSON_TURNOUT, optional=True),
    },
    automation_condition=on_new_data(at_most=_DAILY, last_good=[models.PERSON_TURNOUT.key]),
)
def monitoring(
    turnout: ir.Table,
    votes: ir.Table,
    share: ir.Table,
    results: ir.Table,
    persons: ir.Table,
    model: ir.Table,
    partition: Partition,
    settings: Settings,
    versions: Mapping[str, Mapping[str, str]],
) -> dg.MaterializeResult[pa.Table]:
    """How good the predictions of one election are: estimated before it, measured after it."""
    outcomes = {**measuring.house_outcomes(results), "turnout": measuring.turnout_by_district(persons)}
    scores = (
        measuring.person_scores(
            persons, record_in(model), trusted=trusted_keys(settings), election=partition.values["election"]
        )
        if outcomes["turnout"] and versions["model"]
        else []
    )
    table = measuring.monitored([turnout, votes, share], outcomes, scores)
    return dg.MaterializeResult(
        value=table, metadata={"measures_with_outcomes": ", ".join(name for name, known in outcomes.items() if known)}
    )
