"""How good a served model is: its scores beside those of its training, and beside what came of them.

Put here measuring of what the service answered. Keep out how answers and outcomes come into their tables, and measuring
of published predictions (``monitoring``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import dagster as dg
import ibis.expr.datatypes as dt
import numpy as np
import pandera.ibis as pandera
import pyarrow as pa
import pyarrow.compute as pc
from ibis import _

from mlops_assets.modeling.metrics import probability_metrics
from mlops_assets.modeling.score_distribution import TRAINING_SCORES, stability_index
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.assets.step import Partition  # noqa: TC001  what the function asks for
from mlops_assets.platform.contracts import inference_log
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import LakeField
from mlops_assets.platform.contracts.volume import Volume
from mlops_assets.platform.exports.manifest import OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import ibis.expr.types as ir

    Row = dict[str, Any]

LARGE_SHIFT: Final = 0.25
"""Population stability index from which a shift is called large; a convention (Siddiqi, 2006)."""
FEWEST_SCORES: Final = 200
"""Scores of a day from which the index tells more than chance: of so few from one distribution it is some 0.05."""
_BY_ANSWER: Final = ("request_id", "row")
_OF: Final = ("model_version", "way")
_KEYS: Final = ("date", *_OF, "known_by", "metric")


class OnlineMonitoringModel(pandera.DataFrameModel):
    """One row for each metric of a version on a day: of its scores, or of the outcomes that were reported."""

    date: dt.String = pandera.Field(nullable=False)
    model_version: dt.String = pandera.Field(nullable=False)
    way: dt.String = pandera.Field(nullable=False, isin=["answered", "shadow"])
    known_by: dt.String = pandera.Field(nullable=False, isin=["score", "outcome"])
    metric: dt.String = pandera.Field(nullable=False)
    value: dt.Float64 = pandera.Field(nullable=False, metadata={"decimals": 6})
    rows: dt.Int64 = pandera.Field(nullable=False, ge=1)

    class Config:
        """Strict, keyed by metric."""

        strict = True
        unique = _KEYS

    @pandera.dataframe_check(name="scores_as_in_training", raise_warning=True)
    @classmethod
    def scores_as_in_training(cls, data: pandera.IbisData) -> ir.BooleanValue:
        """The scores of a day are distributed much as in training, where there are enough to tell."""
        rows = data.table
        shift: ir.BooleanValue = (rows.metric == "psi") & (rows.rows >= FEWEST_SCORES)
        return ~shift | (rows.value < LARGE_SHIFT)


class OnlineMonitoring(dg.Component, dg.Model, dg.Resolvable):
    """The asset ``monitoring/<name>``: how good a served model is, day by day, by version and way.

    Of each day the scores, beside those of training where the model's record has them; and the outcomes that were
    reported on it, beside the answers that they are of. A shadow is measured as what answered.

    Attributes:
        name: the model's name.
        models: the table of its versions: key, contract or asset.
        lake: where the table lies.
        since: the first day, that of its ``ma.InferenceLog``.
        outcome: what is reported, as its ``ma.ServedModel`` says.
        back: for so many days an outcome finds its answer.
        owners: whom it concerns.

    Example:
        >>> import mlops_assets as ma
        >>> curated = ma.Lake("curated")
        >>> monitoring = ma.OnlineMonitoring(
        ...     name="churn", models="models/churn", lake=curated, since="2024-11-05", outcome="boolean"
        ... )
        >>> monitoring.asset().key.to_user_string()
        'monitoring/churn'
    """

    name: str
    models: Annotated[Any, dg.Resolver.default(model_field_type=str)]
    lake: LakeField
    since: str
    outcome: OutcomeKind
    back: int = 90
    owners: list[str] = []  # noqa: RUF012  pydantic copies it

    def definitions(self) -> dg.Definitions:
        """The asset."""
        return dg.Definitions(assets=[self.asset()])

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002  Dagster gives it
        """The same, of a component."""
        return self.definitions()

    def asset(self) -> dg.AssetsDefinition:
        """The asset."""
        where: Mapping[str, Any] = {"lake": self.lake, "since": self.since, "owners": self.owners}
        contract = Contract(
            layer="monitoring",
            table=self.name,
            model=OnlineMonitoringModel,
            lake=self.lake,
            description=f"Scores of the served model {self.name}, beside those of its training and beside outcomes.",
            owners=self.owners,
            partitions_def=dg.DailyPartitionsDefinition(self.since),
            partition_columns={inference_log.DATE: inference_log.DATE},
            volume=Volume(allow_empty=True),
        )
        answers, outcomes = inference_log.answers(self.name, **where), inference_log.outcomes(self.name, **where)
        kind = self.outcome

        @asset(
            contract=contract,
            ins={
                "answers": In(answers, back=self.back, optional=True),
                "outcomes": In(outcomes, optional=True),
                # Of a new version tells the first day that it has answered on.
                "models": In(
                    self.models,
                    partition_mapping=dg.SpecificPartitionsPartitionMapping([]),
                    also=dg.AllPartitionMapping(),
                    optional=True,
                ),
            },
            automation_condition=on_new_data(),
        )
        def monitoring(
            answers: ir.Table, outcomes: ir.Table, models: ir.Table, partition: Partition
        ) -> dg.MaterializeResult[pa.Table]:
            day = partition.values[inference_log.DATE]
            joined = Joined.of(answers, outcomes)
            own = answers.filter(answers.date == day)
            rows = [
                {"date": day, **row}
                for row in (*of_scores(own, training_scores(models)), *of_outcomes(joined.rows, kind))
            ]
            schema = pa.schema([*((key, pa.string()) for key in _KEYS), ("value", pa.float64()), ("rows", pa.int64())])
            return dg.MaterializeResult(
                value=pa.Table.from_pylist(rows, schema=schema),
                metadata={
                    "outcomes": joined.reported,
                    "outcomes_without_answer": joined.unmatched,
                    "contradictory_outcomes": joined.contradictory,
                },
            )

        return monitoring


@dataclass(frozen=True)
class Joined:
    """Outcomes beside the answers that they are of.

    Attributes:
        rows: model_version, way, score and outcome of each scored row whose outcome is known.
        reported: scored rows of which an outcome was reported.
        unmatched: those of which no answer is known.
        contradictory: those of which two outcomes were observed at once.
    """

    rows: pa.Table
    reported: int
    unmatched: int
    contradictory: int

    @classmethod
    def of(cls, answers: ir.Table, outcomes: ir.Table) -> Joined:
        """Join reported outcomes to answers, both of the inference log.

        Of several outcomes of a row the one observed last counts. An answer whose name was used for two, which a client
        may do that chooses names itself, is of no use and left out.
        """
        last = outcomes.group_by(_BY_ANSWER).aggregate(observed=outcomes.observed.max())
        told = (
            outcomes.join(last, [*_BY_ANSWER, "observed"])
            .group_by(_BY_ANSWER)
            .aggregate(lowest=_.outcome.min(), highest=_.outcome.max())
        )
        known = told.filter(_.lowest == _.highest).select(*_BY_ANSWER, outcome="lowest")
        given = answers.filter(answers.score.notnull())
        once = (
            given.group_by([*_BY_ANSWER, *_OF])
            .aggregate(lowest=_.score.min(), highest=_.score.max(), asking=_.principal.nunique())
            .filter((_.lowest == _.highest) & (_.asking == 1))
        )
        rows = once.join(known, _BY_ANSWER).select(*_OF, score="lowest", outcome="outcome")
        counts = told.aggregate(
            reported=told.count(), contradictory=(told.lowest != told.highest).sum().coalesce(0)
        ).cross_join(known.anti_join(answers, _BY_ANSWER).aggregate(unmatched=_.count()))
        [row] = counts.to_pyarrow().to_pylist()
        return cls(rows.to_pyarrow(), **row)


def training_scores(models: ir.Table) -> dict[str, Mapping[str, Any]]:
    """For each version of a table of models the distribution of its scores in training, where its record has it."""
    rows = models.select("version", "parameters").to_pyarrow().to_pylist()
    parameters = {row["version"]: json.loads(row["parameters"]) for row in rows}
    return {version: found[TRAINING_SCORES] for version, found in parameters.items() if TRAINING_SCORES in found}


def of_scores(answers: ir.Table, trained: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    """Mean and quantiles of scores by version and way, and how far they are from those of training.

    Args:
        answers: rows of ``raw/<model>_answers``.
        trained: what :func:`training_scores` returns.
    """
    scored = answers.filter(answers.score.notnull()).select(*_OF, "score").to_pyarrow()
    for of, part in _parts(scored):
        scores = part["score"].to_numpy()
        metrics = {"mean": scores.mean()}
        metrics |= {f"p{share:02}": np.quantile(scores, share / 100) for share in (5, 50, 95)}
        if of["model_version"] in trained:
            metrics["psi"] = stability_index(trained[of["model_version"]], scores)
        yield from _rows(of, "score", metrics, len(scores))


def of_outcomes(joined: pa.Table, kind: OutcomeKind) -> Iterator[Row]:
    """Errors of scores by version and way, where their outcome is known.

    Args:
        joined: model_version, way, score and outcome.
        kind: whether scores are probabilities of what happened or not, or estimates of a number.
    """
    for of, part in _parts(joined):
        scores, outcomes = part["score"].to_numpy(), part["outcome"].to_numpy()
        metrics = {"mean_score": scores.mean(), "mean_outcome": outcomes.mean()}
        if kind is OutcomeKind.NUMBER:
            errors = outcomes - scores
            metrics["mean_error"] = errors.mean()
            metrics["mean_absolute_error"] = np.abs(errors).mean()
            metrics["root_mean_squared_error"] = np.sqrt(np.square(errors).mean())
        else:
            metrics |= probability_metrics(np.clip(scores, 0.0, 1.0), outcomes, np.ones(len(outcomes)))
        yield from _rows(of, "outcome", metrics, len(scores))


def _parts(table: pa.Table) -> Iterator[tuple[dict[str, str], pa.Table]]:
    """The rows of each version and way."""
    for of in sorted({tuple(row.values()) for row in table.select(_OF).group_by(_OF).aggregate([]).to_pylist()}):
        named = dict(zip(_OF, of, strict=True))
        yield named, table.filter((pc.field("model_version") == of[0]) & (pc.field("way") == of[1]))


def _rows(of: Mapping[str, str], known_by: str, metrics: Mapping[str, float], count: int) -> Iterator[Row]:
    for metric, value in metrics.items():
        yield {**of, "known_by": known_by, "metric": metric, "value": float(value), "rows": count}
