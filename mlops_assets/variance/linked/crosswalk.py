"""Crosswalks: which units' entities are in which units now, as unmoved entities of linked snapshots tell.

Put here how a crosswalk is counted and how counts are carried over it. Keep out who uses the counts.

A crosswalk bridges a redrawn map: what was counted in the old units is shared out among the new ones in proportion to
the entities that stayed at their address (areal interpolation with known populations; Goodchild and Lam, 1980).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir

Shares = dict[str, dict[str, float]]
"""For each old unit the share of it, 0 to 1, that each new unit got; the shares of a unit add up to 1."""


def flows(kinds: ir.Table) -> ir.Table:
    """Count unmoved entities by the unit they were in and the unit they are in.

    Args:
        kinds: linked snapshots, from ``kinds.condense``.

    Returns:
        One row per ``unit_before`` and ``unit_after`` that any unmoved entity has: ``entities``, 1 or more.
    """
    unmoved = kinds.filter(kinds.unmoved)
    counted = unmoved.group_by("unit_before", "unit_after").agg(entities=unmoved.entities.sum())
    return counted.mutate(entities=counted.entities.cast("int64"))


def shares(rows: Sequence[tuple[str, str, int]]) -> Shares:
    """The crosswalk that those flows are.

    Args:
        rows: old unit, new unit and entities.

    Returns:
        For each old unit its shares.
    """
    totals: dict[str, int] = {}
    for old, _, entities in rows:
        totals[old] = totals.get(old, 0) + entities
    found: Shares = {}
    for old, new, entities in rows:
        if totals[old]:
            own = found.setdefault(old, {})
            own[new] = own.get(new, 0.0) + entities / totals[old]
    return found


def carried(counts: Mapping[str, float], crosswalk: Shares) -> dict[str, float]:
    """Counts of old units, shared out among the new ones.

    Args:
        counts: of each old unit.
        crosswalk: from ``shares``; a unit it does not know keeps its label.

    Returns:
        Counts of new units, with the same sum.
    """
    found: dict[str, float] = {}
    for old, count in counts.items():
        for new, share in crosswalk.get(old, {old: 1.0}).items():
            found[new] = found.get(new, 0.0) + count * share
    return found
