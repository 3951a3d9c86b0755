"""The assets ``models/person_turnout``, its evaluation, and ``predictions/district_turnout``.

Put here their wiring. Keep out training and prediction, which are in `mlops_assets.modeling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts import features, models, partitions, predictions, training
from mlops_assets.modeling import district_turnout as districts
from mlops_assets.modeling import gate
from mlops_assets.modeling import person_turnout as turnout
from mlops_assets.modeling import person_turnout_evaluation as evaluation_of
from mlops_assets.modeling.card import Purpose
from mlops_assets.modeling.predicted import only_version
from mlops_assets.modeling.promotion import Candidacy, promote
from mlops_assets.modeling.trained import evaluation_table, headline, record_in
from mlops_assets.modeling.turnout_cells import stored_cells
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.security.model_keys import trusted_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.settings import Settings

_SET: Final = In(training.PERSON_TURNOUT)
_CANDIDACY: Final = Candidacy(
    contract=models.PERSON_TURNOUT,
    metric=evaluation_of.METRIC,
    bounds=gate.PERSON_TURNOUT,
    purpose=Purpose(
        title="Turnout of a registered person",
        use="the expected turnout of districts, as the mean of their registered persons' probabilities.",
        not_for="decisions about single persons. No probability of a person is published.",
        limits="campaigns, weather, candidates, and who moved since the snapshot; before the first snapshot only "
        "persons still registered then are known.",
        level=evaluation_of.LEVEL,
    ),
)


@asset(
    contract=models.PERSON_TURNOUT_EVALUATION,
    ins={"cells": _SET},
    code_version="2",
    automation_condition=on_new_data(),
)
def person_turnout_evaluation(cells: ir.Table, partition: Partition) -> dg.MaterializeResult[pa.Table]:
    """Errors of every form of the turnout model on elections before that one, beside naive guesses."""
    election = partition.values["election"]
    measured = evaluation_of.evaluate(stored_cells(cells), election)
    return dg.MaterializeResult(
        value=evaluation_table(election, measured), metadata=headline(measured, "mean_absolute_error")
    )


@asset(
    contract=models.PERSON_TURNOUT,
    ins={"cells": _SET, "evaluation": In(models.PERSON_TURNOUT_EVALUATION)},
    code_version="3",
    automation_condition=on_new_data(),
)
def person_turnout(
    cells: ir.Table,
    evaluation: ir.Table,
    partition: Partition,
    session: LakeSession,
    versions: Mapping[str, Mapping[str, str]],
) -> dg.MaterializeResult[pa.Table]:
    """The model of a person's turnout at one election, trained on the elections before it."""
    election = partition.values["election"]
    return promote(
        _CANDIDACY,
        session,
        election,
        evaluation=evaluation,
        train=lambda found: turnout.train(
            stored_cells(cells), election, found, training_set=only_version(versions["cells"])
        ),
    )


@asset(
    contract=predictions.DISTRICT_TURNOUT,
    ins={
        "persons": In(features.PERSON_TURNOUT, partition_mapping=partitions.ELECTIONS_TO_FORECASTS_BY_STATE),
        "model": In(models.PERSON_TURNOUT, partition_mapping=partitions.FORECASTS_TO_STATES),
    },
    code_version="2",
    automation_condition=on_new_data(last_good=[models.PERSON_TURNOUT.key]),
)
def district_turnout(
    persons: ir.Table,
    model: ir.Table,
    partition: Partition,
    settings: Settings,
    versions: Mapping[str, Mapping[str, str]],
) -> pa.Table:
    """Predicted turnout of each district's registered voters at one election."""
    return districts.predict(
        persons,
        record_in(model),
        trusted=trusted_keys(settings),
        election=partition.values["election"],
        features_version=only_version(versions["persons"]),
    )
