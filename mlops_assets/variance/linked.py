"""Splitting the change of every count between two linked snapshots exactly by cause.

Put here the sequence of counterfactuals and the counts it leads to. Keep out how causes are recognised and named.

Method. Every entity is led from the earlier snapshot to the later one through the same stations, each of which undoes
one cause. Station by station the whole population is a snapshot that could have been:

1. as it was: unit and class before;
2. **entry** undone: the earlier snapshot in the codes of the later one. Whoever had a recoded value, leavers included,
   gets its new class, unless the value was left as it was;
3. **renumbering** undone: in the unit numbers of the later snapshot;
4. **boundary** undone: in the units that the addresses lie in now. Unmoved entities show theirs themselves; for movers
   and leavers the old address is looked up among those who live there now, and where nobody does, or the address is
   ambiguous, it is taken as not redrawn;
5. **movers** moved to their new units, **leavers** gone, **joiners** come in their own units and classes;
6. **attributes** changed: as it is.

A part is what its step adds to a cell of unit and class, minus what it takes away: each is counted by itself, none is
what the others leave over. Each station ends one step and begins the next, hence before plus parts equals after in
every cell, also for entities to whom several things happened: one who was recoded, redrawn and moved leaves its old
class in the old unit by entry, the old unit by boundary, and the unit of its old address by moving. Entities missing an
address on one side count as moved.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.variance.recognition import DEFAULT, recodings, renumberings
from mlops_assets.variance.snapshots import ALL

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.variance.recognition import Thresholds
    from mlops_assets.variance.snapshots import Layout

PARTS: Final = ("boundary", "renumbering", "movers", "joiners", "leavers", "attributes", "entry")
"""The parts of a change. Together they are the whole of it."""

_COUNTS: Final = ("before", *PARTS, "after")


def changes(kinds: ir.Table, layout: Layout, thresholds: Thresholds = DEFAULT) -> ir.Table:
    """The change of every count of entities by unit and class, split by cause.

    Args:
        kinds: linked snapshots, from ``condense``.
        layout: the layout they were linked by.
        thresholds: from when on units count as renumbered and codes as recoded.

    Returns:
        One row per ``unit``, ``attribute`` and ``category`` in which anything was or happened, the attribute and
        category ``all`` counting every entity: ``before``, ``after`` and the seven parts, whole numbers of entities,
        with ``before`` plus parts equal to ``after``.
    """
    stations = _flows(kinds, layout, thresholds)
    here, stay = stations.entities, stations.was & stations.now
    legs = (
        _leg(stations, stations.was, "unit_before", "class_before", before=here, entry=-here),
        _leg(stations, stations.was, "unit_before", "class_restated", entry=here, renumbering=-here),
        _leg(stations, stations.was, "unit_renumbered", "class_restated", renumbering=here, boundary=-here),
        _leg(stations, stay, "unit_redrawn", "class_restated", boundary=here, movers=-here),
        _leg(stations, stations.was & ~stations.now, "unit_redrawn", "class_restated", boundary=here, leavers=-here),
        _leg(stations, stay, "unit_after", "class_restated", movers=here, attributes=-here),
        _leg(stations, stay, "unit_after", "class_after", attributes=here, after=here),
        _leg(stations, stations.now & ~stations.was, "unit_after", "class_after", joiners=here, after=here),
    )
    entries = ibis.union(*legs)
    cells = entries.group_by("unit", "attribute", "category").agg(**{name: entries[name].sum() for name in _COUNTS})
    return cells.filter(reduce(lambda some, name: some | (cells[name] != 0), _COUNTS[1:], cells.before != 0))


def _leg(stations: ir.Table, who: ir.BooleanValue, unit: str, category: str, **counts: ir.IntegerValue) -> ir.Table:
    """What those entities add to or take from each count at one station."""
    nothing = ibis.literal(0, "int64")
    return stations.filter(who).select(
        unit=stations[unit],
        attribute=stations.attribute,
        category=stations[category],
        **{name: counts.get(name, nothing) for name in _COUNTS},
    )


def _flows(kinds: ir.Table, layout: Layout, thresholds: Thresholds) -> ir.Table:
    """How many entities took each way through the stations.

    Returns:
        One row per attribute (``all`` included) and way: ``was``, ``now``, ``entities``, and of each station
        ``unit_before``, ``unit_renumbered``, ``unit_redrawn``, ``unit_after``, ``class_before``, ``class_restated``,
        ``class_after``; NULL where the entity is not in that snapshot.
    """
    everybody = ibis.literal(ALL)
    ways = [_ways(kinds, ALL, everybody, everybody, everybody, everybody)]
    ways += [
        _ways(
            kinds,
            attribute,
            kinds[f"class_before_{attribute}"],
            kinds[f"class_after_{attribute}"],
            kinds[f"code_before_{attribute}"],
            kinds[f"code_after_{attribute}"],
        )
        for attribute in layout.attributes
    ]
    flows = ibis.union(*ways)
    numbers = renumberings(kinds, thresholds).select("old", "new")
    flows = flows.left_join(numbers, flows.unit_before == numbers.old).drop("old")
    flows = flows.mutate(unit_renumbered=ibis.coalesce(flows.new, flows.unit_before)).drop("new")
    flows = flows.mutate(unit_redrawn=ibis.coalesce(flows.unit_there, flows.unit_renumbered)).drop("unit_there")
    return _with_restated_class(flows, recodings(kinds, layout, thresholds))


def _ways(
    kinds: ir.Table,
    attribute: str,
    class_before: ir.StringValue,
    class_after: ir.StringValue,
    code_before: ir.StringValue,
    code_after: ir.StringValue,
) -> ir.Table:
    return kinds.group_by(
        attribute=ibis.literal(attribute),
        was=kinds.was,
        now=kinds.now,
        unit_before=kinds.unit_before,
        unit_there=kinds.unit_there,
        unit_after=kinds.unit_after,
        class_before=class_before,
        class_after=class_after,
        code_before=code_before,
        code_after=code_after,
    ).agg(entities=kinds.entities.sum())


def _with_restated_class(flows: ir.Table, recoded: ir.Table) -> ir.Table:
    new = recoded.select(
        recoded_attribute="attribute", old_code="code_before", old_class="class_before", new_class="class_after"
    )
    found = flows.left_join(
        new,
        [
            flows.attribute == new.recoded_attribute,
            flows.code_before == new.old_code,
            flows.class_before == new.old_class,
        ],
    )
    left_alone = (
        found.was & found.now & (found.code_before == found.code_after) & (found.class_before == found.class_after)
    )
    restated = ibis.ifelse(left_alone, found.class_before, ibis.coalesce(found.new_class, found.class_before))
    return found.mutate(class_restated=restated).drop(
        "recoded_attribute", "old_code", "old_class", "new_class", "code_before", "code_after"
    )
