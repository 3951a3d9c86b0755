"""Health before comparison: whether two snapshots can be compared at all, and what is wrong by name where they cannot.

Put here the one question that callers ask. Keep out the rules (``identifier_rules``, ``completeness_rules``), names and
thresholds (``findings``), and what happened to entities that can be compared (``events``).

Every split trusts the link. Where identifiers were reissued everybody has left and joined, where a file was cut half of
the people have left, where addresses are written in another way everybody has moved: exact figures, and all wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mlops_assets.variance.linked.completeness_rules import Case, expectations, gains, losses, moves
from mlops_assets.variance.linked.findings import FEWEST_PAIRS, Words
from mlops_assets.variance.linked.identifier_rules import links, parts
from mlops_assets.variance.linked.kinds import Linked, condense
from mlops_assets.variance.linked.rates import rates, share_found
from mlops_assets.variance.linked.snapshots import link

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

    from mlops_assets.variance.linked.findings import Finding
    from mlops_assets.variance.linked.rates import Rates
    from mlops_assets.variance.linked.snapshots import Layout


@dataclass(frozen=True, kw_only=True)
class Health:
    """What a comparison rests on, and what is wrong with it: nothing, if there is no finding."""

    rates: Rates
    findings: Sequence[Finding] = field(default_factory=tuple)


def examine(
    before: ir.Table,
    after: ir.Table,
    layout: Layout,
    *,
    kinds: ir.Table | None = None,
    history: Sequence[Rates] = (),
    expected: ir.Table | None = None,
    words: Words = Words(),  # noqa: B008  it is frozen
) -> Health:
    """Tell whether two snapshots can be compared.

    Args:
        before: the earlier snapshot, with the layout's columns and one row per entity.
        after: the later one, likewise.
        layout: what the columns mean.
        kinds: both linked, from ``condense``, where that is known already.
        history: rates of earlier pairs. From three on they tell what is ordinary; without them it is assumed.
        expected: entities that either snapshot should hold, such as those of another table: the column of the entity.
        words: what the caller calls things.

    Returns:
        The rates, and one finding for each name that fits. Hardly any link, and links of other entities, are told
        alone: nothing else could be told from them.

    Raises:
        ComparisonError: a column is missing.
    """
    pairs = link(before, after, layout)
    linked = Linked(
        engine=before.get_backend(),
        layout=layout,
        pairs=pairs,
        kinds=condense(pairs, layout) if kinds is None else kinds,
    )
    found = rates(linked)
    if expected is not None:
        found = replace(
            found,
            expected_before=share_found(linked, expected, before),
            expected_after=share_found(linked, expected, after),
        )
    known = [earlier.all for earlier in history] if len(history) >= FEWEST_PAIRS else []
    case = Case(linked=linked, rates=found, history=known, words=words)
    findings = links(case, before, after)
    if not findings:
        findings = [*losses(case), *gains(case), *moves(case)]
        findings += parts(case, {finding.name for finding in findings})
    return Health(rates=found, findings=tuple(findings or expectations(case)))
