"""The ways of linked entities from one snapshot to the next, cause by cause, and the counts they lead to.

Put here in which cell an entity is once certain causes have had their effect, and exact counts of whole entities. Keep
out how causes are recognised and named, and in which order they are undone.

Method. Every entity is led from the earlier snapshot to the later one through the same worlds that could have been; a
part is what its cause adds to a cell of unit and class, minus what it takes away. In the sequence:

1. as it was: unit and class before;
2. **entry** undone: the earlier snapshot in the codes of the later one. Whoever had a recoded value, leavers included,
   gets its new class, unless the value was left as it was;
3. **weighting** undone, in samples: whoever is in both snapshots stands for as many as in the later one;
4. **renumbering** undone: in the unit numbers of the later snapshot;
5. **boundary** undone: in the units that the addresses lie in now. Unmoved entities show theirs themselves; for movers
   and leavers the old address is looked up among those who live there now, and where nobody does, or the address is
   ambiguous, it is taken as not redrawn;
6. **movers** moved to their new units, **joiners** come in their own units and classes, **leavers** gone;
7. **attributes** changed: as it is.

Each part is counted by itself, none is what the others leave over. Each world ends one step and begins the next, hence
before plus parts equals after in every cell, also for entities to whom several things happened: one who was recoded,
redrawn and moved leaves its old class in the old unit by entry, the old unit by boundary, and the unit of its old
address by moving. Entities missing an address on one side count as moved.

In another order the same steps are taken from wherever the entity is: who moves is in the unit of its new address then,
and a map redrawn afterwards does nothing to it. A step that changes nothing in the sequence never does, so that a cause
gets nothing for an entity to which it did not happen. Joiners have one way only: they are where they came to.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.variance.linked.kinds import WEIGHTS
from mlops_assets.variance.linked.orders import HAPPENED, RECORDED, sequence
from mlops_assets.variance.linked.recognition import DEFAULT, recodings, renumberings
from mlops_assets.variance.linked.snapshots import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

    from mlops_assets.variance.linked.orders import World
    from mlops_assets.variance.linked.recognition import Thresholds
    from mlops_assets.variance.linked.snapshots import Layout

PARTS: Final = ("boundary", "renumbering", "movers", "joiners", "leavers", "attributes", "entry")
"""The parts of a change. Together they are the whole of it."""

_CAUSES: Final = (*RECORDED, *HAPPENED)


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
    order = sequence(weighting=False)
    there = cells(ways(kinds, layout, thresholds), order.worlds)
    counts = there.group_by("unit", "attribute", "category").agg(
        **{f"in_{place}": _whole(there.entities.sum(where=there.world == place)) for place in range(len(order.worlds))}
    )
    split = counts.select(
        "unit",
        "attribute",
        "category",
        before=counts.in_0,
        **{
            cause: counts[f"in_{place + 1}"] - counts[f"in_{place}"]
            for place, cause in sorted(enumerate(order.causes), key=lambda pair: PARTS.index(pair[1]))
        },
        after=counts[f"in_{len(order.causes)}"],
    )
    return split.filter(reduce(lambda some, name: some | (split[name] != 0), (*PARTS, "after"), split.before != 0))


def cells(ways: ir.Table, worlds: Sequence[World]) -> ir.Table:
    """Where the entities of every way are in every world.

    Args:
        ways: from ``ways``, with any further columns.
        worlds: of an order.

    Returns:
        The ways once for each world that they are present in, with ``world`` (its place), ``unit``, ``category`` and
        ``later`` (whether it is the later weight that counts).
    """
    rows = [
        {"world": place, **{f"after_{cause}": cause in world for cause in _CAUSES}}
        for place, world in enumerate(worlds)
    ]
    # A table of literals: an in-memory one would have to be registered with the engine by whoever compiles this.
    listed = ibis.array([ibis.struct(row) for row in rows]).unnest().name("row").as_table().unpack("row")
    each = ways.cross_join(listed)
    stays, joined = each.was & each.now, each.now & ~each.was
    redrawn, moved = each.unit_redrawn != each.unit_renumbered, each.unit_after != each.unit_redrawn
    changed = each.class_after != each.class_restated
    unit = ibis.ifelse(each.after_renumbering, each.unit_renumbered, each.unit_before)
    unit = ibis.ifelse(each.after_boundary & redrawn, each.unit_redrawn, unit)
    unit = ibis.ifelse(each.after_movers & stays & moved, each.unit_after, unit)
    category = ibis.ifelse(each.after_entry, each.class_restated, each.class_before)
    category = ibis.ifelse(each.after_attributes & stays & changed, each.class_after, category)
    present = stays | (joined & each.after_joiners) | (each.was & ~each.now & ~each.after_leavers)
    return (
        each.filter(present)
        .mutate(
            unit=ibis.ifelse(joined, each.unit_after, unit),
            category=ibis.ifelse(joined, each.class_after, category),
            later=joined | (stays & each.after_weighting),
        )
        .drop(*(f"after_{cause}" for cause in _CAUSES))
    )


def _whole(count: ir.NumericValue) -> ir.IntegerValue:
    return count.fill_null(0).cast("int64")


def ways(kinds: ir.Table, layout: Layout, thresholds: Thresholds = DEFAULT) -> ir.Table:
    """How many entities took each way from one snapshot to the other.

    Args:
        kinds: linked snapshots, from ``condense``.
        layout: the layout they were linked by.
        thresholds: from when on units count as renumbered and codes as recoded. What happened is recognised from the
            entities themselves, whatever they weigh.

    Returns:
        One row per ``attribute`` (``all`` included) and way: ``was``, ``now``, ``unit_before``, ``unit_renumbered``,
        ``unit_redrawn``, ``unit_after``, ``class_before``, ``class_restated``, ``class_after`` (NULL where the entity
        is not in that snapshot), together the key; ``entities``, and ``WEIGHTS`` where the layout has weights.
    """
    sums = ("entities", *(WEIGHTS if layout.weight is not None else ()))
    everybody = ibis.literal(ALL)
    found = [_by_class(kinds, sums, ALL, everybody, everybody, everybody, everybody)]
    found += [
        _by_class(
            kinds,
            sums,
            attribute,
            kinds[f"class_before_{attribute}"],
            kinds[f"class_after_{attribute}"],
            kinds[f"code_before_{attribute}"],
            kinds[f"code_after_{attribute}"],
        )
        for attribute in layout.attributes
    ]
    flows = ibis.union(*found)
    numbers = renumberings(kinds, thresholds).select("old", "new")
    flows = flows.left_join(numbers, flows.unit_before == numbers.old).drop("old")
    flows = flows.mutate(unit_renumbered=ibis.coalesce(flows.new, flows.unit_before)).drop("new")
    flows = flows.mutate(unit_redrawn=ibis.coalesce(flows.unit_there, flows.unit_renumbered)).drop("unit_there")
    restated = _with_restated_class(flows, recodings(kinds, layout, thresholds))
    key = [name for name in restated.columns if name not in sums]
    return restated.group_by(key).agg(**{name: restated[name].sum() for name in sums})


def _by_class(
    kinds: ir.Table,
    sums: Sequence[str],
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
    ).agg(**{name: kinds[name].sum() for name in sums})


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
