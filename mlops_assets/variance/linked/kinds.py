"""Linked snapshots condensed to kinds: entities to whom the same happened in the same unit and classes, and how many.

Put here what is told of single entities before they are counted. Keep out every rule about counts: they start from the
kinds, which are few where the entities are many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.variance.linked.recognition import redrawn_addresses

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends import BaseBackend

    from mlops_assets.variance.linked.snapshots import Layout


@dataclass(frozen=True, kw_only=True)
class Linked:
    """Two linked snapshots, and what runs queries on them.

    Attributes:
        engine: what runs them.
        layout: what the columns mean.
        pairs: one row per entity of either, from ``link``.
        kinds: the same, from ``condense``.
    """

    engine: BaseBackend
    layout: Layout
    pairs: ir.Table
    kinds: ir.Table


def condense(pairs: ir.Table, layout: Layout) -> ir.Table:
    """Count the entities that agree in everything that matters here: all but the entity and its address.

    Everything that is concluded from two snapshots starts from its result. It is worth computing once and keeping in
    memory, since a query that uses it many times is long.

    Args:
        pairs: linked snapshots, from ``link``.
        layout: the layout they were linked by.

    Returns:
        One row per kind: ``was``, ``now``, ``unmoved``, ``unit_before``, ``unit_there`` (the unit in which the old
        address lies now; NULL if not known), ``unit_after`` and the classes and codes of ``link``, together the key;
        ``entities``; ``repeated_before`` and ``repeated_after`` (entities with more than one row), ``rows_after`` (of
        the delivered file); where the layout has weights also ``WEIGHTS``.
    """
    places = redrawn_addresses(pairs)
    sides = [f"{what}_{when}_{name}" for name in layout.attributes for what in ("class", "code") for when in _WHEN]
    told = ["was", "now", "unmoved", "unit_before", "unit_after", *sides]
    found = pairs.left_join(places, pairs.address_before == places.address)
    found = found.select(
        *told,
        "copies_before",
        "copies_after",
        **_weights(found, layout),
        unit_there=ibis.ifelse(found.unmoved, found.unit_after, found.unit),
    )
    counted = found.group_by(*told, "unit_there").agg(
        entities=found.count(),
        repeated_before=(found.copies_before > 1).sum().fill_null(0),
        repeated_after=(found.copies_after > 1).sum().fill_null(0),
        rows_after=found.copies_after.sum().fill_null(0),
        **({name: found[name].sum() for name in WEIGHTS} if layout.weight is not None else {}),
    )
    # An engine's sum of whole numbers may be wider than Ibis says.
    return counted.mutate(
        **{name: counted[name].cast("int64") for name in ("repeated_before", "repeated_after", "rows_after")}
    )


def _weights(pairs: ir.Table, layout: Layout) -> dict[str, ir.FloatingValue]:
    """The weights of a pair and their products; an entity weighs nothing in a snapshot that it is not in."""
    if layout.weight is None:
        return {}
    before, after = pairs.weight_before.fill_null(0.0), pairs.weight_after.fill_null(0.0)
    return dict(zip(WEIGHTS, (before, after, before * before, before * after, after * after), strict=True))


WEIGHTS: Final = ("weight_before", "weight_after", "square_before", "product", "square_after")
"""Sums over the entities of a kind: of their weights in either snapshot, of the squares and of the product of both."""

_WHEN: Final = ("before", "after")
