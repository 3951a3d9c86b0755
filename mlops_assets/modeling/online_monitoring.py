"""How good a served model is: its scores beside those of its training, and beside what came of them.

Put here measuring of what the service answered. Keep out how answers and outcomes come into their tables, and measuring
of published predictions (``monitoring``).
"""

from __future__ import annotations

import functools
import inspect
import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import dagster as dg
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import numpy as np
import pandera.ibis as pandera
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.modeling.joined_outcomes import Joined, measurable
from mlops_assets.modeling.metrics import probability_metrics
from mlops_assets.modeling.score_distribution import TRAINING_SCORES, stability_index
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.contracts import inference_log
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import LakeField
from mlops_assets.platform.contracts.volume import Volume
from mlops_assets.platform.exports.manifest import OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Row = dict[str, Any]

LARGE_SHIFT: Final = 0.25
"""Population stability index from which a shift is called large; a convention (Siddiqi, 2006)."""
FEWEST_SCORES: Final = 200
"""Scores of a day from which the index tells more than chance: of so few from one distribution it is some 0.05."""
_OF: Final = ("model_version", "way")
_FIT: Final = "outcomes_as_declared"
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
    reported on it and were not known before, beside the answers that they are of. A shadow is measured as what
    answered. Outcomes of another kind than is declared are left out, and the check ``outcomes_as_declared`` warns.

    Attributes:
        name: the model's name.
        models: the table of its versions: key, contract or asset.
        lake: where the table lies.
        since: the first day, that of its ``ma.InferenceLog``.
        outcome: what is reported, as its ``ma.ServedModel`` says.
        back: for so many days an outcome finds its answer, and is known to be reported again.
        reporters: applications that report outcomes of other applications' answers, with these: ``{billing: [shop]}``.
            Otherwise an outcome counts for answers that the same application got.
        replicas: of the service, as their ``ma.InferenceLog`` are called, where there are several.
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
    reporters: dict[str, list[str]] = {}  # noqa: RUF012  pydantic copies it
    replicas: list[str] = []  # noqa: RUF012  pydantic copies it
    owners: list[str] = []  # noqa: RUF012  pydantic copies it

    def definitions(self) -> dg.Definitions:
        """The asset."""
        return dg.Definitions(assets=[self.asset()])

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002  Dagster gives it
        """The same, of a component."""
        return self.definitions()

    def asset(self) -> dg.AssetsDefinition:
        """The asset."""
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
            judged={_FIT: f"Outcomes are of the declared kind ({self.outcome.value}), and can be measured."},
            judged_warnings=frozenset({_FIT}),
        )
        ins = {**self._logged("answers"), **self._logged("outcomes")}
        # Of a new version tells the first day that it has answered on.
        ins["models"] = In(
            self.models,
            partition_mapping=dg.SpecificPartitionsPartitionMapping([]),
            also=dg.AllPartitionMapping(),
            optional=True,
        )

        def monitoring(partition: Partition, **tables: ir.Table) -> dg.MaterializeResult[pa.Table]:
            answers, outcomes = (
                functools.reduce(lambda one, other: one.union(other), [tables[name] for name in self._logged(kind)])
                for kind in ("answers", "outcomes")
            )
            return self._measured(answers, outcomes, tables["models"], day=partition.values[inference_log.DATE])

        # How many tables there are is known here, and the platform reads it from the parameters.
        named = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=ir.Table) for name in ins]
        own = inspect.Parameter("partition", inspect.Parameter.KEYWORD_ONLY, annotation=Partition)
        vars(monitoring)["__signature__"] = inspect.Signature([own, *named])
        return asset(contract=contract, ins=ins, automation_condition=on_new_data())(monitoring)

    def _logged(self, kind: str) -> dict[str, In]:
        """The tables of a kind as inputs, one for each replica."""
        made = {"answers": inference_log.answers, "outcomes": inference_log.outcomes}[kind]
        tables = {
            f"{kind}_{replica}" if replica else kind: made(
                self.name, self.lake, since=self.since, owners=self.owners, replica=replica
            )
            for replica in self.replicas or [""]
        }
        return {name: In(table, back=self.back, optional=True) for name, table in tables.items()}

    def _measured(
        self, answers: ir.Table, outcomes: ir.Table, models: ir.Table, *, day: str
    ) -> dg.MaterializeResult[pa.Table]:
        joined = Joined.of(answers, outcomes, day=day, kind=self.outcome, reporters=self.reporters)
        own = answers.filter(answers.date == day)
        rows = [
            {"date": day, **row}
            for row in (*of_scores(own, training_scores(models)), *of_outcomes(joined.rows, self.outcome))
        ]
        schema = pa.schema([*((key, pa.string()) for key in _KEYS), ("value", pa.float64()), ("rows", pa.int64())])
        beyond = own.filter(own.score.notnull() & ~measurable(own.score)).count().to_pyarrow().as_py()
        told = f"{joined.unfit} outcomes are no {self.outcome.value}, or too large to be measured: they are left out."
        return dg.MaterializeResult(
            value=pa.Table.from_pylist(rows, schema=schema),
            metadata={
                "outcomes": joined.reported,
                "outcomes_without_answer": joined.unmatched,
                "outcomes_reported_again": joined.repeated,
                "contradictory_outcomes": joined.contradictory,
                "outcomes_of_two_answers": joined.voided,
                "outcomes_unfit": joined.unfit,
                "scores_unfit": beyond,
            },
            check_results=[
                dg.AssetCheckResult(
                    passed=not joined.unfit, check_name=_FIT, description=told if joined.unfit else "All are."
                )
            ],
        )


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
    scored = answers.filter(measurable(answers.score)).select(*_OF, "score").to_pyarrow()
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
