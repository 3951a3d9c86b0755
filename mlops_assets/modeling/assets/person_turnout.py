"""The assets ``models/person_turnout``, its evaluation, and ``predictions/district_turnout``.

Put here their wiring. Keep out training and prediction, which are in `mlops_assets.modeling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts import features, models, partitions, predictions
from mlops_assets.modeling import district_turnout as districts
from mlops_assets.modeling import person_turnout as training
from mlops_assets.modeling import person_turnout_evaluation as evaluation
from mlops_assets.modeling.predicted import only_version
from mlops_assets.modeling.trained import evaluation_table, headline, record_in
from mlops_assets.platform.automation import on_new_data
from mlops_assets.platform.published import WithMetadata, published
from mlops_assets.platform.reads import Read

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.platform.published import Partition

# Each month changes the features of the coming election, which teach nothing yet; predictions need not wait for that.
_WEEKLY: Final = "0 5 * * 1"
# No mapping of Dagster's leads from elections by state to forecasts, so all are mapped and the earlier ones chosen.
_BEFORE: Final = Read(features.PERSON_TURNOUT, partitions=dg.AllPartitionMapping(), choose=partitions.elections_before)


@published(
    contract=models.PERSON_TURNOUT, reads={"persons": _BEFORE}, automation_condition=on_new_data(at_most=_WEEKLY)
)
def person_turnout(persons: ir.Table, partition: Partition) -> WithMetadata:
    """The model of a person's turnout at one election, trained on the elections before it."""
    trained = training.train(persons, partition.values["election"])
    return WithMetadata(trained.table(), trained.metadata())


@published(
    contract=models.PERSON_TURNOUT_EVALUATION,
    reads={"persons": _BEFORE},
    automation_condition=on_new_data(at_most=_WEEKLY),
)
def person_turnout_evaluation(persons: ir.Table, partition: Partition) -> WithMetadata:
    """Errors of the turnout model on elections before that one, beside naive baselines."""
    measured = evaluation.evaluate(persons, partition.values["election"])
    table = evaluation_table(partition.values["election"], measured)
    return WithMetadata(table, headline(measured, "mean_absolute_error"))


@published(
    contract=predictions.DISTRICT_TURNOUT,
    reads={
        "persons": Read(features.PERSON_TURNOUT, partitions=partitions.ELECTIONS_TO_FORECASTS_BY_STATE),
        "model": Read(models.PERSON_TURNOUT, partitions=partitions.FORECASTS_TO_STATES),
    },
    automation_condition=on_new_data(),
)
def district_turnout(
    persons: ir.Table, model: ir.Table, partition: Partition, versions: Mapping[str, Mapping[str, str]]
) -> pa.Table:
    """Predicted turnout of each district's registered voters at one election."""
    return districts.predict(
        persons,
        record_in(model),
        election=partition.values["election"],
        features_version=only_version(versions["persons"]),
    )
