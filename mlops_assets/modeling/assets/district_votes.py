"""The assets ``models/district_votes``, its evaluation, and ``predictions/district_votes``.

Put here their wiring. Keep out training and prediction, which are in `mlops_assets.modeling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlops_assets.contracts import features, models, partitions, predictions, wrangled
from mlops_assets.modeling import district_votes as training
from mlops_assets.modeling import district_votes_evaluation as evaluation
from mlops_assets.modeling.predicted import only_version
from mlops_assets.modeling.trained import evaluation_table, headline, record_in
from mlops_assets.platform.automation import on_new_data
from mlops_assets.platform.published import WithMetadata, published
from mlops_assets.platform.reads import Read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.platform.published import Partition


def _all_that_exist(forecast: str, elections: Sequence[str]) -> Sequence[str]:
    """Every earlier election that is there; none is needed in particular."""
    del forecast  # the mapping holds only earlier elections
    return elections


_BEFORE: Final = {
    "districts": Read(features.DISTRICT_ELECTION, partitions=partitions.RESULTS_TO_FORECASTS, choose=_all_that_exist),
    "results": Read(wrangled.HOUSE_RESULTS, partitions=partitions.RESULTS_TO_FORECASTS, choose=_all_that_exist),
}


@published(contract=models.DISTRICT_VOTES, reads=_BEFORE, automation_condition=on_new_data())
def district_votes_model(districts: ir.Table, results: ir.Table, partition: Partition) -> WithMetadata:
    """The model of a district's total House vote at one election, trained on the elections before it."""
    trained = training.train(districts, results, partition.values["election"])
    return WithMetadata(trained.table(), trained.metadata())


@published(contract=models.DISTRICT_VOTES_EVALUATION, reads=_BEFORE, automation_condition=on_new_data())
def district_votes_evaluation(districts: ir.Table, results: ir.Table, partition: Partition) -> WithMetadata:
    """Errors of the vote model on elections before that one, beside naive baselines."""
    measured = evaluation.evaluate(districts, results, partition.values["election"])
    table = evaluation_table(partition.values["election"], measured)
    return WithMetadata(table, headline(measured, "mean_absolute_percentage_error"))


@published(
    contract=predictions.DISTRICT_VOTES,
    reads={
        "districts": Read(features.DISTRICT_ELECTION, partitions=partitions.ELECTIONS_TO_FORECASTS),
        "model": Read(models.DISTRICT_VOTES),
    },
    automation_condition=on_new_data(),
)
def district_votes(
    districts: ir.Table, model: ir.Table, partition: Partition, versions: Mapping[str, Mapping[str, str]]
) -> pa.Table:
    """Predicted total House vote of each district at one election."""
    return training.predict(
        districts,
        record_in(model),
        election=partition.values["election"],
        features_version=only_version(versions["districts"]),
    )
