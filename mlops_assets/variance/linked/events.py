"""Naming what happened between two linked snapshots: one row per event, with its cause and its evidence.

Put here rules that turn recognised patterns into named events. Keep out the splitting of counts, and thresholds (they
are in one place, with the recognition).
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.variance.linked.recognition import DEFAULT, recodings, renumberings
from mlops_assets.variance.linked.snapshots import ALL

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.variance.linked.recognition import Thresholds
    from mlops_assets.variance.linked.snapshots import Layout

EVENT_CAUSES: Final = ("boundary", "renumbering", "entry", "population")
"""Causes of events: the map, the numbers, how records were entered or loaded, and the people themselves."""

KINDS: Final = ("redrawn", "renumbered", "recoded", "reclassed", "repeated", "joiners", "leavers")
"""What happened, more closely than the cause: a recoding that changed a class is ``reclassed``, a double load
``repeated``."""

_NEARLY_ALL: Final = 0.99


def events(kinds: ir.Table, layout: Layout, thresholds: Thresholds = DEFAULT) -> ir.Table:
    """Everything that happened between two snapshots beyond ordinary change.

    Args:
        kinds: linked snapshots, from ``condense``.
        layout: the layout they were linked by.
        thresholds: what is beyond ordinary.

    Returns:
        One row per event: ``cause``, ``kind`` (one of ``KINDS``), ``name`` (cause and name are the key), ``units``
        (sorted, separated by commas; ``all`` if no unit is left out), ``persons`` (entities to whom it was seen to
        happen), ``share`` (of the entities of the later snapshot) and ``evidence``. Units are called by their number in
        the later snapshot, and renumbered ones by both. A later snapshot alone (nobody was in an earlier one) shows
        repeated records only.
    """
    sizes = _sizes(kinds)
    found = [
        _renumbered(kinds, thresholds),
        _redrawn(kinds, layout, sizes, thresholds),
        _recoded(kinds, layout, thresholds),
        _repeated(kinds, sizes, thresholds),
        _population(kinds, layout, "joiners", thresholds),
        _population(kinds, layout, "leavers", thresholds),
    ]
    rows = ibis.union(*found).cross_join(sizes.select("entities"))
    whole = ibis.greatest(rows.entities, 1).cast("float64")
    return rows.select("cause", "kind", "name", "units", "persons", share=rows.persons / whole, evidence=rows.evidence)


def _sizes(kinds: ir.Table) -> ir.Table:
    """One row: ``entities`` of the later snapshot, ``units_before`` and ``units_after`` that have any entity."""
    return kinds.agg(
        entities=kinds.entities.sum(where=kinds.now).fill_null(0),
        units_before=kinds.unit_before.nunique(),
        units_after=kinds.unit_after.nunique(),
    )


def _event(rows: ir.Table, cause: str, **columns: ir.Value) -> ir.Table:
    return rows.select(
        cause=ibis.literal(cause),
        kind=columns["kind"],
        name=columns["name"],
        units=columns["units"],
        persons=columns["persons"].cast("int64"),
        evidence=columns["evidence"],
    )


def _renumbered(kinds: ir.Table, thresholds: Thresholds) -> ir.Table:
    numbers = renumberings(kinds, thresholds)
    way = numbers.old + ">" + numbers.new
    ways = numbers.agg(
        way=_listed(way, ", "),
        persons=numbers.entities.sum(),
        evidence=_listed(
            _sentence(
                way, ": ", numbers.entities, " at an unchanged address, ", _percent(numbers.share_of_old),
                " of the old unit and ", _percent(numbers.share_of_new), " of the new",
            ),
            "; ",
        ),
    )  # fmt: skip
    # A number that is both old and new is listed once.
    named = ibis.union(numbers.select(unit=numbers.old), numbers.select(unit=numbers.new), distinct=True)
    both = ways.cross_join(named.agg(units=_listed(named.unit, ",")))
    both = both.filter(both.persons.notnull())
    name = ibis.literal("renumbered ") + both.way
    return _event(
        both,
        "renumbering",
        kind=ibis.literal("renumbered"),
        name=name,
        units=both.units,
        persons=both.persons,
        evidence=both.evidence,
    )


def _redrawn(kinds: ir.Table, layout: Layout, sizes: ir.Table, thresholds: Thresholds) -> ir.Table:
    """At most one event: unmoved entities of one or more units are in another unit, renumbering apart."""
    unmoved = kinds.filter(kinds.unmoved)
    flows = unmoved.group_by("unit_before", "unit_after").agg(entities=unmoved.entities.sum())
    numbers = renumberings(kinds, thresholds).select("old", "new")
    flows = flows.left_join(numbers, flows.unit_before == numbers.old)
    flows = flows.mutate(unit=ibis.coalesce(flows.new, flows.unit_before))
    left = flows.mutate(other=ibis.ifelse(flows.unit != flows.unit_after, flows.entities, 0))
    came = left.filter(left.other > 0)
    sides = ibis.union(left.select("unit", "entities", "other"), came.select("entities", "other", unit=came.unit_after))
    units = sides.group_by("unit").agg(entities=sides.entities.sum(), other=sides.other.sum())
    whole = left.agg(persons=left.other.sum(), unmoved=left.entities.sum())
    concerned = _concerned(units, thresholds.exceeds(units.other, units.entities, thresholds.redrawn))
    row = concerned.cross_join(whole).cross_join(sizes)
    plural = f" {layout.plural} after "
    return _event(
        row,
        "boundary",
        kind=ibis.literal("redrawn"),
        name=_sentence("redrawn: ", row.units_after, plural, row.units_before),
        units=row.units,
        persons=row.persons,
        evidence=_sentence(
            row.persons, " of ", row.unmoved, " at an unchanged address are in another unit (",
            _percent(row.persons / row.unmoved), ")",
        ),
    )  # fmt: skip


def _recoded(kinds: ir.Table, layout: Layout, thresholds: Thresholds) -> ir.Table:
    found = recodings(kinds, layout, thresholds)
    same_code = found.code_before == found.code_after
    same_class = found.class_before == found.class_after
    reread = _sentence(
        found.column, " ", found.code_before, " reread as ", found.class_after, " instead of ", found.class_before
    )
    recoded = _sentence(found.column, " ", found.code_before, " recoded to ", found.code_after)
    became = _sentence("the class of ", found.attribute, " became ", found.class_after, ", was ", found.class_before)
    stayed = _sentence("the class of ", found.attribute, " stayed ", found.class_before)
    said = found.mutate(
        same_class=same_class,
        name=ibis.ifelse(same_code, reread, recoded),
        evidence=_sentence(
            found.entities, " of those in both snapshots, ", _percent(found.share), " of all with the old value; ",
            ibis.ifelse(same_class, stayed, became),
        ),
    )  # fmt: skip
    # Two attributes may be read from one code: that is one event.
    named = said.group_by("name").agg(
        persons=said.entities.max(), evidence=_listed(said.evidence, "; "), same_classes=said.same_class.all()
    )
    return _event(
        named,
        "entry",
        kind=named.same_classes.ifelse("recoded", "reclassed"),
        name=named.name,
        units=ibis.literal(ALL),
        persons=named.persons,
        evidence=named.evidence,
    )


def _repeated(kinds: ir.Table, sizes: ir.Table, thresholds: Thresholds) -> ir.Table:
    """At most one event: entities loaded more than once, in units where that was not so in the earlier snapshot."""
    old, new = kinds.filter(kinds.was), kinds.filter(kinds.now)
    then = old.group_by(same_unit=old.unit_before).agg(
        entities_then=old.entities.sum(), repeated_then=old.repeated_before.sum()
    )
    units = new.group_by(unit=new.unit_after).agg(
        entities=new.entities.sum(), repeated=new.repeated_after.sum(), rows=new.rows_after.sum()
    )
    units = units.left_join(then, units.unit == then.same_unit)
    already = thresholds.exceeds(
        units.repeated_then.fill_null(0), units.entities_then.fill_null(0), thresholds.repeated
    )
    units = units.mutate(fresh=thresholds.exceeds(units.repeated, units.entities, thresholds.repeated) & ~already)
    struck = units.filter(units.fresh)
    totals = struck.agg(persons=struck.repeated.sum(), of=struck.entities.sum(), rows=struck.rows.sum())
    row = _concerned(units, units.fresh).cross_join(totals).cross_join(sizes)
    times = (row.rows / row.of).round().cast("int64")
    often = ibis.ifelse(times == 2, "twice", times.cast("string") + " times")  # noqa: PLR2004  two times is twice
    every = (row.units == ALL) & (row.persons >= row.of * _NEARLY_ALL)
    return _event(
        row,
        "entry",
        kind=ibis.literal("repeated"),
        name=ibis.ifelse(every, _sentence("every record loaded ", often), "records loaded more than once"),
        units=row.units,
        persons=row.persons,
        evidence=_sentence(
            row.rows, " rows for ", row.of, " entities; ", _percent(row.persons / row.of),
            " of the entities came more than once",
            ibis.ifelse(row.units_before > 0, ", which was not so before", ""),
        ),
    )  # fmt: skip


def _population(kinds: ir.Table, layout: Layout, kind: str, thresholds: Thresholds) -> ir.Table:
    """One event per unit whose rate of joiners or leavers stands out from the other units.

    Joiners are set against the stayers now in the unit, leavers against all who were in it, so that neither depends on
    where boundaries ran at the other time. The other units' rate gives the expectation; its variance is that of
    overdispersed counts, of the rate's own estimate and of ordinary differences between units.
    """
    if kind == "joiners":
        there = kinds.filter(kinds.now)
        units = there.group_by(unit=there.unit_after).agg(count=_sum(there, ~there.was), base=_sum(there, there.was))
    else:
        there = kinds.filter(kinds.was)
        old = there.group_by(number=there.unit_before).agg(
            count=_sum(there, ~there.now), base=there.entities.sum().cast("float64")
        )
        numbers = renumberings(kinds, thresholds).select("old", "new")
        units = old.left_join(numbers, old.number == numbers.old)
        units = units.select("count", "base", unit=ibis.coalesce(units.new, units.number))
    # Joined, as in recognition, because DuckDB's windows fail at times.
    units = units.cross_join(units.agg(all_count=units["count"].sum(), all_base=units.base.sum()))
    units = units.mutate(other_count=units.all_count - units["count"], other_base=units.all_base - units.base)
    units = units.filter(units.other_base > 0)
    units = units.mutate(expected=units.other_count / units.other_base * units.base)
    chance = units.expected * thresholds.dispersion * (1 + units.base / units.other_base)
    ordinary = units.expected * thresholds.spread
    deviation = (chance + ordinary * ordinary).sqrt()
    excess = units["count"] - units.expected
    large = (excess >= thresholds.least) & (excess >= units.base * thresholds.population)
    units = units.filter(large & (excess > deviation * thresholds.deviations))
    return _event(
        units,
        "population",
        kind=ibis.literal(kind),
        name=_sentence(f"{kind} in ", units.unit),
        units=units.unit,
        persons=units["count"],
        evidence=_sentence(
            units["count"].cast("int64"), f" {kind}, where the rate of the other {layout.plural} (",
            _percent(units.other_count / units.other_base), ") lets expect ",
            units.expected.round().cast("int64"), " of ", units.base.cast("int64"),
        ),
    )  # fmt: skip


def _sum(kinds: ir.Table, which: ir.BooleanValue) -> ir.FloatingScalar:
    """How many entities are of those kinds."""
    return kinds.entities.sum(where=which).fill_null(0).cast("float64")


def _concerned(units: ir.Table, condition: ir.BooleanValue) -> ir.Table:
    """One row with the sorted ``units`` that meet the condition, ``all`` if each does; no row if none does."""
    judged = units.mutate(met=condition)
    row = judged.agg(
        listed=ibis.literal(",").join(judged.unit.collect(where=judged.met).sort()),
        met=judged.met.sum(),
        of=judged.count(),
    )
    row = row.filter(row.met > 0)
    return row.select(units=ibis.ifelse(row.met == row.of, ALL, row.listed))


def _listed(column: ir.StringValue, separator: str) -> ir.StringValue:
    """All values of a column as one sorted text."""
    # Spark cannot order an aggregation of texts, but can sort an array.
    return ibis.literal(separator).join(column.collect().sort())


def _percent(share: ir.NumericValue) -> ir.StringValue:
    return (share * 100).round(1).cast("string") + " %"


def _sentence(*parts: str | ir.Value) -> ir.StringValue:
    texts = [ibis.literal(part) if isinstance(part, str) else part.cast("string") for part in parts]
    return reduce(lambda text, part: text + part, texts)
