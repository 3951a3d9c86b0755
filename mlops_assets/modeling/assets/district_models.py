"""The assets of the district models: ``models/district_votes`` and ``models/district_share``, evaluations, predictions.

Put here their wiring, and what distinguishes one model's from the other's. Keep out training and prediction, which are
in `mlops_assets.modeling`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts import features, models, partitions, predictions, training
from mlops_assets.modeling import district_evaluation as evaluation_of
from mlops_assets.modeling import district_model, gate
from mlops_assets.modeling.card import Purpose
from mlops_assets.modeling.district_share import SHARE
from mlops_assets.modeling.district_votes import VOTES
from mlops_assets.modeling.predicted import only_version
from mlops_assets.modeling.promotion import Candidacy, promote
from mlops_assets.modeling.trained import evaluation_table, headline, record_in
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.security.model_keys import trusted_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.modeling.district_model import Target
    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.settings import Settings


@dataclass(frozen=True, kw_only=True)
class DistrictModel:
    """What the assets of one district model are made of.

    Attributes:
        target: what it predicts, and how.
        evaluation: contract of its errors on past elections.
        candidacy: contract of the model itself, with the bounds and the purpose that it is promoted by.
        predictions: contract of its predictions.
        code_version: of its evaluation, the model and its predictions.
    """

    target: Target
    evaluation: Contract
    candidacy: Candidacy
    predictions: Contract
    code_version: str


DISTRICT_VOTES: Final = DistrictModel(
    target=VOTES,
    evaluation=models.DISTRICT_VOTES_EVALUATION,
    candidacy=Candidacy(
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
    ),
    predictions=predictions.DISTRICT_VOTES,
    code_version="3",
)

DISTRICT_SHARE: Final = DistrictModel(
    target=SHARE,
    evaluation=models.DISTRICT_SHARE_EVALUATION,
    candidacy=Candidacy(
        contract=models.DISTRICT_SHARE,
        metric=SHARE.metric,
        bounds=gate.DISTRICT_SHARE,
        purpose=Purpose(
            title="Democratic share of a district's two-party vote",
            use="how a district would divide between the two large parties, with an honest interval.",
            not_for="seats in which only one of them runs, and calling a winner inside the interval.",
            limits="candidates, polls, money and scandals, new maps within a decade; of a national swing only that the "
            "president's party tends to lose at midterms.",
            level=evaluation_of.LEVEL,
        ),
    ),
    predictions=predictions.DISTRICT_SHARE,
    code_version="2",
)

_SET: Final = In(training.DISTRICT_ELECTIONS)


def district_model_assets(wired: DistrictModel) -> tuple[dg.AssetsDefinition, ...]:
    """The evaluation, the model and the predictions of one district model, in this order."""
    target, promoted = wired.target, wired.candidacy.contract

    @asset(
        contract=wired.evaluation,
        ins={"rows": _SET},
        code_version=wired.code_version,
        automation_condition=on_new_data(),
    )
    def evaluation(rows: ir.Table, partition: Partition) -> dg.MaterializeResult[pa.Table]:
        """Errors of every form of the model on elections before that one, beside naive guesses."""
        election = partition.values["election"]
        measured = evaluation_of.evaluate(target, rows, election)
        return dg.MaterializeResult(
            value=evaluation_table(election, measured), metadata=headline(measured, target.metric)
        )

    @asset(
        contract=promoted,
        ins={"rows": _SET, "evaluation": In(wired.evaluation)},
        code_version=wired.code_version,
        automation_condition=on_new_data(),
    )
    def model(
        rows: ir.Table,
        evaluation: ir.Table,
        partition: Partition,
        session: LakeSession,
        versions: Mapping[str, Mapping[str, str]],
    ) -> dg.MaterializeResult[pa.Table]:
        """The model of one election, trained on the elections before it."""
        election = partition.values["election"]
        return promote(
            wired.candidacy,
            session,
            election,
            evaluation=evaluation,
            train=lambda found: district_model.train(
                target,
                district_model.labelled_rows(target, rows, election),
                election,
                found,
                training_set=only_version(versions["rows"]),
            ),
        )

    @asset(
        contract=wired.predictions,
        ins={
            "districts": In(features.DISTRICT_ELECTION, partition_mapping=partitions.ELECTIONS_TO_FORECASTS),
            "model": In(promoted),
        },
        code_version=wired.code_version,
        automation_condition=on_new_data(last_good=[promoted.key]),
    )
    def predicted(
        districts: ir.Table,
        model: ir.Table,
        partition: Partition,
        settings: Settings,
        versions: Mapping[str, Mapping[str, str]],
    ) -> pa.Table:
        """What the model predicts for each district at one election."""
        return district_model.predict(
            target,
            districts,
            record_in(model),
            trusted=trusted_keys(settings),
            election=partition.values["election"],
            features_version=only_version(versions["districts"]),
        )

    return evaluation, model, predicted
