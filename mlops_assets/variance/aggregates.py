"""Comparing aggregates that cannot be linked person by person: changes, robust scores, factors, changed sets of units.

Put here statistics on two tables of counts by unit. Keep out linked entities, and the words of any domain.

A unit (a district, a shop) belongs to a group (a state, a chain). Its change is the natural logarithm of after over
before, so that equal factors up and down weigh the same; its deviation is the change less the median of all units.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import ibis

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

NORMAL_CONSISTENCY: Final = 1.4826
"""Makes the median absolute deviation estimate the standard deviation of a normal distribution."""

EXTREME_SCORE: Final = 3.5
"""Scores beyond this are extreme (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""

ENTRY_FACTORS: Final = (2.0, 0.5, 10.0, 0.1, 100.0, 0.01, 1000.0, 0.001)
"""Factors that entry leaves behind: doubled and halved loads, changed units."""


class AggregateError(ValueError):
    """The tables or factors given cannot be compared."""


def unit_changes(before: ir.Table, after: ir.Table, *, keys: Sequence[str], value: str) -> ir.Table:
    """Put the values of every unit side by side.

    Args:
        before: one row per unit.
        after: one row per unit, the same columns.
        keys: the columns that name a unit.
        value: the column of counts; NULL where there is none.

    Returns:
        One row per unit of either side: the keys, ``before`` and ``after`` (float64, NULL where there is no count),
        ``in_before`` and ``in_after`` (whether the unit exists on that side), and ``log_change`` (NULL unless both
        counts are above zero).

    Raises:
        AggregateError: a column is missing.
    """
    _require(before, [*keys, value], "before")
    _require(after, [*keys, value], "after")
    # Sides are stacked and grouped instead of joined: an outer join would have to merge the keys of two tables.
    sides = ibis.union(
        before.select(*keys, count=before[value].cast("float64"), late=ibis.literal(0)),
        after.select(*keys, count=after[value].cast("float64"), late=ibis.literal(1)),
    )
    units = sides.group_by(list(keys)).aggregate(
        before=sides["count"].sum(where=sides.late == 0),
        after=sides["count"].sum(where=sides.late == 1),
        in_before=(sides.late == 0).any(),
        in_after=(sides.late == 1).any(),
    )
    measured = (units.before > 0) & (units.after > 0)
    ratio = ibis.cases((measured, units.after / units.before))
    return units.mutate(log_change=ratio.ln())


def robust_scores(units: ir.Table, *, change: str = "log_change") -> ir.Table:
    """Compare each unit's change with the median of all.

    Args:
        units: one row per unit.
        change: the column of changes; NULL changes are left out of the median.

    Returns:
        The table with ``center`` (the median change), ``spread`` (1.4826 times the median absolute deviation, equal to
        one standard deviation of a normal distribution), ``deviation`` (change less center) and ``score`` (deviation
        over spread; NULL where the spread is zero). A table without any change keeps its rows, with NULLs.

    Raises:
        AggregateError: the column is missing.
    """
    _require(units, [change], "units")
    center = units.aggregate(center=units[change].median())
    placed = units.cross_join(center)
    placed = placed.mutate(deviation=placed[change] - placed.center)
    spread = placed.aggregate(spread=placed.deviation.abs().median() * NORMAL_CONSISTENCY)
    scored = placed.cross_join(spread)
    return scored.mutate(score=scored.deviation / scored.spread.nullif(0.0))


def factor_fits(
    units: ir.Table, *, group: str, deviation: str = "deviation", factors: Sequence[float] = ENTRY_FACTORS
) -> ir.Table:
    """Find the factor that each group as a whole comes nearest to.

    A wrongly entered group is off by one factor in all its units, beyond what all groups have in common; a real change
    differs from unit to unit.

    Args:
        units: one row per unit, with deviations from the common change in natural logarithms.
        group: the column that names the unit's group.
        deviation: the column of deviations; units without one are left out.
        factors: the factors to try, other than 1.

    Returns:
        One row per group with a deviation: ``units``, ``median_deviation``, ``factor`` (the nearest in logarithms),
        ``residual`` (median deviation less the factor's logarithm) and ``agreement`` (share of the group's units,
        0 to 1, that lie nearer to the factor than to no change at all).

    Raises:
        AggregateError: a column is missing, or a factor is not positive or is 1.
    """
    _require(units, [group, deviation], "units")
    if not factors or any(factor <= 0 or factor == 1 for factor in factors):
        raise AggregateError(
            f"Factors {list(factors)} cannot be tried: each must be positive and other than 1. Give at least one."
        )
    logs = {factor: math.log(factor) for factor in factors}
    known = units.filter(units[deviation].notnull())
    groups = known.group_by(group).aggregate(units=known.count(), median_deviation=known[deviation].median())
    distances = {factor: (groups.median_deviation - log).abs() for factor, log in logs.items()}
    nearest = ibis.least(*distances.values())
    groups = groups.mutate(factor=ibis.cases(*((distances[factor] == nearest, factor) for factor in factors)))
    groups = groups.mutate(factor_log=groups.factor.ln())
    members = known.select(member=known[group], own=known[deviation]).join(
        groups.select(group, "factor_log"), [("member", group)]
    )
    half = members.factor_log / 2
    on_its_side = (half > 0).ifelse(members.own > half, members.own < half)
    agreement = members.group_by("member").aggregate(agreement=on_its_side.cast("float64").mean())
    joined = groups.join(agreement, [(group, "member")])
    return joined.select(
        group,
        "units",
        "median_deviation",
        "factor",
        residual=joined.median_deviation - joined.factor_log,
        agreement=joined.agreement,
    )


def set_changes(units: ir.Table, *, group: str) -> ir.Table:
    """Count how each group's set of units changed.

    Args:
        units: one row per unit, from ``unit_changes``.
        group: the column that names the unit's group.

    Returns:
        One row per group: ``units_before``, ``units_after``, ``appeared`` and ``disappeared``.

    Raises:
        AggregateError: a column is missing.
    """
    _require(units, [group, "in_before", "in_after"], "units")
    return units.group_by(group).aggregate(
        units_before=units.in_before.cast("int64").sum(),
        units_after=units.in_after.cast("int64").sum(),
        appeared=(units.in_after & ~units.in_before).cast("int64").sum(),
        disappeared=(units.in_before & ~units.in_after).cast("int64").sum(),
    )


def reshuffles(units: ir.Table, *, group: str) -> ir.Table:
    """Measure how much units moved against their own group, which a redrawn division of the group does.

    Args:
        units: one row per unit, from ``robust_scores`` on ``unit_changes``.
        group: the column that names the unit's group.

    Returns:
        One row per group with a change: ``measured`` (units with both counts), ``total_deviation`` (logarithm of the
        group's total after over before, less the common change) and ``moved`` (share of the measured units, 0 to 1,
        whose change differs from the group's by more than one spread).

    Raises:
        AggregateError: a column is missing.
    """
    _require(units, [group, "before", "after", "log_change", "center", "spread"], "units")
    known = units.filter(units.log_change.notnull())
    groups = known.group_by(group).aggregate(
        measured=known.count(),
        total_change=(known.after.sum() / known.before.sum()).ln(),
        center=known.center.max(),
    )
    members = known.select(member=known[group], own=known.log_change, spread=known.spread).join(
        groups.select(group, "total_change"), [("member", group)]
    )
    apart = (members.own - members.total_change).abs() > members.spread
    moved = members.group_by("member").aggregate(moved=apart.cast("float64").mean())
    joined = groups.join(moved, [(group, "member")])
    return joined.select(group, "measured", total_deviation=joined.total_change - joined.center, moved=joined.moved)


def _require(table: ir.Table, columns: Sequence[str], name: str) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise AggregateError(
            f"Table {name!r} lacks {', '.join(missing)}: it has {', '.join(table.columns)}. "
            "Rename its columns, or name others."
        )
