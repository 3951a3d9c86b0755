"""Outcomes beside the answers that they are of, as they are known on a day and were not on the day before.

Put here which outcome counts for which answer, and once. Keep out what is measured of them (``online_monitoring``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import ibis
from ibis import _

from mlops_assets.platform.exports.manifest import LARGEST_OUTCOME, OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir
    import pyarrow as pa

_SCORED: Final = ("request_id", "row")
_OF: Final = ("model_version", "way")
_ANSWER: Final = (*_SCORED, "asker")
_REPORT: Final = (*_SCORED, "reporter")


@dataclass(frozen=True)
class Joined:
    """What a day's reports say of answers.

    Each reported row is in ``rows``, for each version and way that answered, or is counted as one of the others.

    Attributes:
        rows: model_version, way, score and outcome of each scored row whose outcome is newly known.
        reported: scored rows of which somebody reported an outcome that can be one.
        repeated: those of which nothing new was said: reported again, or observed before what is known already.
        contradictory: those of which two outcomes were observed at once, on whatever days they were reported.
        unmatched: those of which nobody has an answer for whom the application may report.
        voided: those whose application gave the same name to two answers.
        unfit: outcomes that are none of the declared kind, or beyond what can be measured; they are in none of these.
    """

    rows: pa.Table
    reported: int
    repeated: int
    contradictory: int
    unmatched: int
    voided: int
    unfit: int

    @classmethod
    def of(
        cls,
        answers: ir.Table,
        outcomes: ir.Table,
        *,
        day: str,
        kind: OutcomeKind,
        reporters: Mapping[str, Sequence[str]],
    ) -> Joined:
        """Join what was reported on a day to answers, both of the inference log and of days up to this one.

        An outcome counts for answers that its own application got, and those for which this one is declared to report:
        an id alone is no secret. Of several outcomes of a row the one observed last counts.

        Args:
            answers: rows of ``raw/<model>_answers``.
            outcomes: rows of ``raw/<model>_outcomes``.
            day: the day of the report.
            kind: what an outcome can be.
            reporters: by the application that reports, those whose answers it reports of beside its own.
        """
        fits = is_fit(outcomes, kind)
        said = _by_asker(outcomes.filter(fits), reporters)
        now, before = _settled(said), _settled(said.filter(said.date < day))
        given = answers.filter(measurable(answers.score)).rename(asker="principal")
        versions = given.group_by([*_ANSWER, *_OF]).aggregate(lowest=_.score.min(), highest=_.score.max())
        known = versions.group_by(_ANSWER).aggregate(voided=(_.lowest != _.highest).any())
        judged = (
            said.filter(said.date == day)
            .select(*_REPORT, "asker")
            .distinct()
            .join(now, _ANSWER)
            .left_join(before, _ANSWER, rname="before_{name}")
            .drop(*(f"before_{name}" for name in _ANSWER))
            .left_join(known, _ANSWER, rname="answer_{name}")
            .drop(*(f"answer_{name}" for name in _ANSWER))
        )
        judged = judged.mutate(answered=judged.voided.notnull()).mutate(
            # Of a reporter for several those count that have an answer; of none it stands once, for itself.
            anybody=_.answered.any().over(ibis.window(group_by=_REPORT))
        )
        judged = judged.filter(judged.answered | (~judged.anybody & (judged.asker == judged.reporter)))
        as_before = judged.lowest.identical_to(judged.before_lowest)
        new = ~(as_before & judged.highest.identical_to(judged.before_highest))
        clear = judged.lowest == judged.highest
        judged = judged.mutate(
            repeated=~new,
            contradictory=new & ~clear,
            unmatched=new & clear & ~judged.answered,
            voided=(new & clear & judged.answered & judged.voided).fill_null(False),  # noqa: FBT003  the library's own
            counts=new & clear & judged.answered,
        )
        once = versions.filter(versions.lowest == versions.highest).rename(score="lowest").drop("highest")
        rows = (
            judged.filter(judged.counts)
            .select(*_ANSWER, outcome="lowest")
            .distinct()
            .join(once, _ANSWER)
            .select(*_OF, "score", "outcome")
        )
        names = ("repeated", "contradictory", "unmatched", "voided")
        counts = judged.aggregate(reported=judged.count(), **{name: judged[name].sum().coalesce(0) for name in names})
        unfit = outcomes.filter((outcomes.date == day) & ~fits).count()
        [row] = counts.to_pyarrow().to_pylist()
        return cls(rows.to_pyarrow(), unfit=int(unfit.to_pyarrow().as_py()), **row)


def is_fit(outcomes: ir.Table, kind: OutcomeKind) -> ir.BooleanValue:
    """Whether an outcome is one of that kind."""
    if kind is OutcomeKind.BOOLEAN:
        return outcomes.outcome.isin([0.0, 1.0])
    return measurable(outcomes.outcome)


def measurable(value: ir.FloatingValue) -> ir.BooleanValue:
    """Whether errors of a number can be squared and added; null and NaN are none."""
    fits: ir.BooleanValue = value.between(-LARGEST_OUTCOME, LARGEST_OUTCOME).fill_null(False)  # noqa: FBT003  the library's own
    return fits


def _by_asker(outcomes: ir.Table, reporters: Mapping[str, Sequence[str]]) -> ir.Table:
    """Outcomes by whose answers they may be of."""
    own = outcomes.select(*_SCORED, "date", "observed", "outcome", reporter="principal", asker=outcomes.principal)
    pairs = [(reporter, asker) for reporter, askers in reporters.items() for asker in askers if asker != reporter]
    for reporter, asker in sorted(set(pairs)):
        of_others = own.filter(own.reporter == reporter, own.asker == reporter).mutate(asker=ibis.literal(asker))
        own = own.union(of_others)
    return own


def _settled(said: ir.Table) -> ir.Table:
    """The least and greatest outcome of each answer among those observed last."""
    last = said.group_by(_ANSWER).aggregate(observed=said.observed.max())
    return (
        said.join(last, [*_ANSWER, "observed"])
        .group_by(_ANSWER)
        .aggregate(lowest=_.outcome.min(), highest=_.outcome.max())
    )
