"""The assets ``models/district_votes``, its evaluation, and ``predictions/district_votes``.

Put here their wiring. Keep out training and prediction, which are in `mlops_assets.modeling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlops_assets.contracts import features, models, partitions, predictions, training
from mlops_assets.modeling import district_evaluation as evaluation_of
from mlops_assets.modeling import district_model, gate
from mlops_assets.modeling.card import Purpose
from mlops_assets.modeling.district_votes import VOTES
from mlops_assets.modeling.predicted import only_version
from mlops_assets.modeling.promotion import Candidacy, promote
from mlops_assets.modeling.trained import evaluation_table, headline, record_in
from mlops_assets.platform.automation import on_new_data
from mlops_assets.platform.published import WithMetadata, published
from mlops_assets.platform.reads import Read
from mlops_assets.scoring.model_keys import trusted_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.platform.lake import LakeSession
    from mlops_assets.platform.published import Partition
    from mlops_assets.platform.settings import Settings

_SET: Final = Read(training.DISTRICT_ELECTIONS)
_CANDIDACY: Final = Candidacy(
    contract=models.DISTRICT_VOTES,
    metric=VOTES.metric,
    bounds=gate.DISTRICT_VOTES,
    purpose=Purpose(
        title="Total House vote of a district",
        use="how many votes to expect in each district, for plans that depend on it.",
        not_for="who wins. It counts votes for anybody.",
        limits="the national swing of a single election, new maps within a decade, and whether anybody runs.",
        level=evaluation_of.LEVEL,
    ),
)


@published(contract=models.DISTRICT_VOTES_EVALUATION, reads={"rows": _SET}, automation_condition=on_new_data())
def district_votes_evaluation(rows: ir.Table, partition: Partition) -> WithMetadata:
    """Errors of every form of the vote model on elections before that one, beside naive guesses."""
    election = partition.values["election"]
    measured = evaluation_of.evaluate(VOTES, rows, election)
    return WithMetadata(evaluation_table(election, measured), headline(measured, VOTES.metric))


@published(
    contract=models.DISTRICT_VOTES,
    reads={"rows": _SET, "evaluation": Read(models.DISTRICT_VOTES_EVALUATION)},
    code_version="2",
    automation_condition=on_new_data(),
)
def district_votes_model(
    rows: ir.Table,
    evaluation: ir.Table,
    partition: Partition,
    session: LakeSession,
    versions: Mapping[str, Mapping[str, str]],
) -> WithMetadata:
    """The model of a district's total House vote at one election, trained on the elections before it."""
    election = partition.values["election"]
    return promote(
        _CANDIDACY,
        session,
        election,
        evaluation=evaluation,
        train=lambda found: district_model.train(
            VOTES,
            district_model.labelled_rows(VOTES, rows, election),
            election,
            found,
            training_set=only_version(versions["rows"]),
        ),
    )


@published(
    contract=predictions.DISTRICT_VOTES,
    reads={
        "districts": Read(features.DISTRICT_ELECTION, partitions=partitions.ELECTIONS_TO_FORECASTS),
        "model": Read(models.DISTRICT_VOTES),
    },
    code_version="2",
    automation_condition=on_new_data(last_good=[models.DISTRICT_VOTES.key]),
)
def district_votes(
    districts: ir.Table,
    model: ir.Table,
    partition: Partition,
    settings: Settings,
    versions: Mapping[str, Mapping[str, str]],
) -> pa.Table:
    """Predicted total House vote of each district at one election."""
    return district_model.predict(
        VOTES,
        districts,
        record_in(model),
        trusted=trusted_keys(settings),
        election=partition.values["election"],
        features_version=only_version(versions["districts"]),
    )
