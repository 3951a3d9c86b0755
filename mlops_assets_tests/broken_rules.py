"""Broken rules: what failed checks found, by check and kind of rule.

Put here how tests of any room read that off an audit or off a step's results. Keep out assertions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.platform.audit.outcomes import broken_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    import dagster as dg

    from mlops_assets.platform.audit.outcomes import Audit, Broken

BrokenRules = dict[str, dict[str, int]]
"""For each failed check the kinds of rules that are broken, each with the rows that break it."""


def found_by(audit: Audit) -> BrokenRules:
    """What an audit found."""
    return {outcome.name: _by_kind(outcome.broken) for outcome in audit.outcomes if not outcome.passed}


def told_by(evaluations: Iterable[dg.AssetCheckEvaluation]) -> BrokenRules:
    """What the results of checks tell Dagster; of checks that tell of no rule no kinds."""
    return {each.check_name: _by_kind(broken_in(each.metadata)) for each in evaluations if not each.passed}


def _by_kind(broken: Iterable[Broken]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for each in broken:
        rows[each.kind] = rows.get(each.kind, 0) + (each.rows or 0)
    return rows
