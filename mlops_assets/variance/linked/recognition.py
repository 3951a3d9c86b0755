"""Recognising from two linked snapshots what was renumbered, recoded and redrawn.

Put here what is read off the entities to which nothing else happened. Keep out the counting of consequences.

Totals are joined, not computed by window functions: on several threads DuckDB 1.5.5 sometimes fails on windows over
few rows ("INTERNAL Error: Attempted to access index 0 within vector of size 0", twice in some 180 comparisons).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.variance.errors import ComparisonError

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.variance.linked.snapshots import Layout


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """When a pattern counts as something that happened. None needs a history of earlier snapshots.

    A count ``k`` among ``n`` exceeds a share ``p`` if ``k > p n + deviations * sqrt(p n)``: the Poisson bound, so that
    few entities need a larger share than many.

    Attributes:
        renumbered: least share of a unit's unmoved entities that have gone to one other unit, and least share of that
            one's unmoved entities that came from it.
        recoded: least share of the stayers with a code that now have one and the same other code.
        redrawn: share of a unit's unmoved entities in another unit that corrections of single addresses may reach.
        repeated: share of a unit's entities loaded more than once that ordinary files may reach.
        population: least number of joiners or leavers beyond what the other units lead to expect, as a share of the
            unit's entities.
        least: least number of entities for anything to count as having happened.
        deviations: how many standard deviations beyond chance a count must be. Months, units and rules are many, so
            four.
        dispersion: variance over mean of ordinary counts of joiners and leavers; households come and go together.
        spread: standard deviation of the units' ordinary rates of joiners and leavers, as a share of the rate.
    """

    renumbered: float = 0.99
    recoded: float = 0.95
    redrawn: float = 0.005
    repeated: float = 0.01
    population: float = 0.03
    least: int = 20
    deviations: float = 4.0
    dispersion: float = 2.0
    spread: float = 0.3

    def __post_init__(self) -> None:
        """Refuse shares outside 0 to 1, and majorities that need not be unique.

        Raises:
            ComparisonError: a threshold is out of its range.
        """
        ranges = {
            "renumbered": (self.renumbered, 0.5),
            "recoded": (self.recoded, 0.5),
            "redrawn": (self.redrawn, 0.0),
            "repeated": (self.repeated, 0.0),
            "population": (self.population, 0.0),
        }
        for name, (value, above) in ranges.items():
            if not above < value <= 1.0:
                raise ComparisonError(f"Threshold {name} is {value}. Give a share above {above} and at most 1.")
        if self.least < 1:
            raise ComparisonError(f"Threshold least is {self.least}. Give at least 1.")

    def exceeds(self, count: ir.NumericValue, of: ir.NumericValue, share: float) -> ir.BooleanValue:
        """Whether a count is beyond that share by more than chance, and not too small to matter."""
        expected = of * share
        return (count >= self.least) & (count > expected + (expected.sqrt() * self.deviations))


DEFAULT: Final = Thresholds()
"""The thresholds used unless others are given."""


def renumberings(kinds: ir.Table, thresholds: Thresholds = DEFAULT) -> ir.Table:
    """Units that kept their entities and changed their number.

    Judged by unmoved entities alone: all but a few of unit ``a`` are now in ``b``, and all but a few of ``b`` come
    from ``a``. So a swap or a cycle is a renumbering, while two units that merged were redrawn.

    Args:
        kinds: linked snapshots, from ``condense``.
        thresholds: ``renumbered`` and ``least`` are used.

    Returns:
        One row per renumbered unit: ``old`` and ``new`` (each unique), ``entities`` (unmoved ones that followed),
        ``share_of_old`` and ``share_of_new`` (of the unmoved ones of either).
    """
    unmoved = kinds.filter(kinds.unmoved)
    flows = unmoved.group_by(old=unmoved.unit_before, new=unmoved.unit_after).agg(entities=unmoved.entities.sum())
    of_old = flows.group_by(the_old=flows.old).agg(all_of_old=flows.entities.sum())
    of_new = flows.group_by(the_new=flows.new).agg(all_of_new=flows.entities.sum())
    both = flows.join(of_old, flows.old == of_old.the_old).join(of_new, flows.new == of_new.the_new)
    shares = both.select(
        "old",
        "new",
        "entities",
        share_of_old=both.entities / both.all_of_old,
        share_of_new=both.entities / both.all_of_new,
    )
    return shares.filter(
        shares.old != shares.new,
        shares.entities >= thresholds.least,
        shares.share_of_old >= thresholds.renumbered,
        shares.share_of_new >= thresholds.renumbered,
    )


def recodings(kinds: ir.Table, layout: Layout, thresholds: Thresholds = DEFAULT) -> ir.Table:
    """Values of a code that were replaced by one other value while nothing happened to the entities.

    Judged by stayers alone: all but a few with one code and class now have one and the same other code or class. The
    class is looked at too, so that a recoding that changes no class is found, and so is a code that stayed while its
    class changed.

    Args:
        kinds: linked snapshots, from ``condense``.
        layout: the layout they were linked by; attributes without code column are left out.
        thresholds: ``recoded`` and ``least`` are used.

    Returns:
        One row per recoded value: ``attribute``, ``column`` (of the code), ``code_before``, ``class_before``,
        ``code_after``, ``class_after``, ``entities`` (stayers recoded) and ``share`` (of the stayers with the old
        value). The first four are its key.
    """
    stayers = kinds.filter(kinds.was & kinds.now)
    tables = []
    for attribute, column in layout.attributes.items():
        if column is None:
            continue
        flows = stayers.group_by(
            attribute=ibis.literal(attribute),
            column=ibis.literal(column),
            code_before=stayers[f"code_before_{attribute}"],
            class_before=stayers[f"class_before_{attribute}"],
            code_after=stayers[f"code_after_{attribute}"],
            class_after=stayers[f"class_after_{attribute}"],
        ).agg(entities=stayers.entities.sum())
        whole = flows.group_by(the_code=flows.code_before, the_class=flows.class_before).agg(all=flows.entities.sum())
        both = flows.join(whole, [flows.code_before == whole.the_code, flows.class_before == whole.the_class])
        tables.append(both.mutate(share=both.entities / both["all"]).drop("the_code", "the_class", "all"))
    if not tables:
        return ibis.memtable([], schema=_RECODING)
    flows = ibis.union(*tables) if len(tables) > 1 else tables[0]
    return flows.filter(
        (flows.code_before != flows.code_after) | (flows.class_before != flows.class_after),
        flows.entities >= thresholds.least,
        flows.share >= thresholds.recoded,
    )


def redrawn_addresses(pairs: ir.Table) -> ir.Table:
    """In which unit an address that somebody left lies now, as far as that is known without doubt.

    An entity that left its address says nothing about the unit of that address now; whoever lives there now does.
    Addresses found in several units of one snapshot are ambiguous and left out.

    Args:
        pairs: linked snapshots, from ``link``.

    Returns:
        One row per address that a mover or leaver had, that is in both snapshots and in exactly one unit of each:
        ``address`` and ``unit`` (now).
    """
    left = pairs.filter(pairs.was & ~pairs.unmoved)
    asked = left.select(asked=left.address_before).distinct()
    old = pairs.filter(pairs.was & pairs.address_before.notnull())
    new = pairs.filter(pairs.now & pairs.address_after.notnull())
    places = ibis.union(
        old.select(address=old.address_before, then=old.unit_before, now=ibis.null("string")),
        new.select(address=new.address_after, then=ibis.null("string"), now=new.unit_after),
    )
    # Most addresses nobody left: grouping only the others takes a quarter of the time.
    places = places.semi_join(asked, places.address == asked.asked)
    units = places.group_by("address").agg(
        first_then=places.then.min(), last_then=places.then.max(), first_now=places.now.min(), last_now=places.now.max()
    )
    certain = units.filter(units.first_then == units.last_then, units.first_now == units.last_now)
    return certain.select("address", unit=certain.first_now)


_RECODING: Final = {
    "attribute": "string",
    "column": "string",
    "code_before": "string",
    "class_before": "string",
    "code_after": "string",
    "class_after": "string",
    "entities": "int64",
    "share": "float64",
}
