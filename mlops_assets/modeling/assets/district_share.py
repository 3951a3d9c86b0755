"""The assets ``models/district_share``, its evaluation, and ``predictions/district_share``.

Put here their wiring. Keep out training and prediction, which are in `mlops_assets.modeling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlops_assets.contracts import features, models, partitions, predictions, training
from mlops_assets.modeling import district_evaluation as evaluation_of
from mlops_assets.modeling import district_model, gate
from mlops_assets.modeling.card import Purpose
from mlops_assets.modeling.district_share import SHARE
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
)


@published(contract=models.DISTRICT_SHARE_EVALUATION, reads={"rows": _SET}, automation_condition=on_new_data())
def district_share_evaluation(rows: ir.Table, partition: Partition) -> WithMetadata:
    """Errors of every form of the share model on elections before that one, beside naive guesses."""
    election = partition.values["election"]
    measured = evaluation_of.evaluate(SHARE, rows, election)
    return WithMetadata(evaluation_table(election, measured), headline(measured, SHARE.metric))


@published(
    contract=models.DISTRICT_SHARE,
    reads={"rows": _SET, "evaluation": Read(models.DISTRICT_SHARE_EVALUATION)},
    automation_condition=on_new_data(),
)
def district_share_model(
    rows: ir.Table,
    evaluation: ir.Table,
    partition: Partition,
    session: LakeSession,
    versions: Mapping[str, Mapping[str, str]],
) -> WithMetadata:
    """The model of a district's Democratic two-party share at one election, trained on the elections before it."""
    election = partition.values["election"]
    return promote(
        _CANDIDACY,
        session,
        election,
        evaluation=evaluation,
        train=lambda found: district_model.train(
            SHARE,
            district_model.labelled_rows(SHARE, rows, election),
            election,
            found,
            training_set=only_version(versions["rows"]),
        ),
    )


@published(
    contract=predictions.DISTRICT_SHARE,
    reads={
        "districts": Read(features.DISTRICT_ELECTION, partitions=partitions.ELECTIONS_TO_FORECASTS),
        "model": Read(models.DISTRICT_SHARE),
    },
    automation_condition=on_new_data(last_good=[models.DISTRICT_SHARE.key]),
)
def district_share(
    districts: ir.Table,
    model: ir.Table,
    partition: Partition,
    settings: Settings,
    versions: Mapping[str, Mapping[str, str]],
) -> pa.Table:
    """Predicted Democratic two-party share of each district at one election."""
    return district_model.predict(
        SHARE,
        districts,
        record_in(model),
        trusted=trusted_keys(settings),
        election=partition.values["election"],
        features_version=only_version(versions["districts"]),
    )
