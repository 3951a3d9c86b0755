"""Two snapshots of linkable records, laid side by side: one row per entity that is in either.

Put here how a comparison is described and linked. Keep out what is concluded from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.variance.errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import ibis.expr.types as ir

BLANK: Final = "(blank)"
"""Stands for a missing unit, code or class, so that it counts like any other value."""

ALL: Final = "all"
"""The attribute, and its only class, under which entities are counted regardless of their attributes."""

_SEPARATOR: Final = "\x1f"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which columns of a snapshot mean what. Both snapshots have the same columns, one row per entity.

    Attributes:
        entity: identifies an entity, never repeated within a snapshot.
        unit: the unit whose statistics are compared, such as a district.
        address: columns that together say where the entity is; it moved when one of them changed.
        attributes: columns with an entity's classes, each with the column of the code as delivered, from which
            recodings are recognised; ``None`` where there is no such column (then every change of class is real).
        copies: how many rows of the delivered file were this entity; ``None`` where that is not known.
        weight: how many entities of the population this one of a sample stands for, a number of 0 or more in every row;
            ``None`` where the snapshots are the population.
        plural: what several units are called in the names of events.
    """

    entity: str
    unit: str
    address: tuple[str, ...]
    attributes: Mapping[str, str | None]
    copies: str | None = None
    weight: str | None = None
    plural: str = "units"

    def __post_init__(self) -> None:
        """Refuse a layout without address or with an attribute of a reserved name.

        Raises:
            ComparisonError: there is no address column, or an attribute is called ``all``.
        """
        if not self.address:
            raise ComparisonError("Layout names no address column: movers cannot be told. Name at least one.")
        if ALL in self.attributes:
            raise ComparisonError(
                f"Layout names an attribute {ALL!r}, which stands for all entities. Rename the column."
            )

    @property
    def addressed(self) -> bool:
        """Whether entities have addresses; without any the identifier stands in for one."""
        return self.address != (self.entity,)

    def columns(self) -> Iterator[str]:
        """Every column that a snapshot must have."""
        yield from (self.entity, self.unit, *self.address)
        for attribute, code in self.attributes.items():
            yield attribute
            if code is not None:
                yield code
        for optional in (self.copies, self.weight):
            if optional is not None:
                yield optional


def link(before: ir.Table, after: ir.Table, layout: Layout) -> ir.Table:
    """Lay two snapshots side by side.

    One full outer join on the entity; an entity without identifier is linked to none. Everything else here starts
    from its result, which is worth caching on engines that do not keep a common table of a query by themselves.

    Args:
        before: the earlier snapshot, with the layout's columns and one row per entity.
        after: the later one, likewise.
        layout: what the columns mean.

    Returns:
        One row per entity of either snapshot: ``was`` and ``now`` (in the earlier, in the later), ``moved`` and
        ``unmoved`` (in both and the address differs, or does not; two unknown addresses do not differ),
        ``unit_before``, ``unit_after``, ``address_before``, ``address_after``, ``copies_before``, ``copies_after``,
        ``weight_before`` and ``weight_after`` where the layout has weights, and for every attribute ``class_before_*``,
        ``class_after_*``, ``code_before_*``, ``code_after_*``. Values of a snapshot that the entity is not in are NULL;
        units, classes and codes missing in one it is in are ``(blank)``.

    Raises:
        ComparisonError: a column is missing.
    """
    old = _side(before, layout, "before")
    new = _side(after, layout, "after")
    pairs = old.outer_join(new, old.entity_before == new.entity_after)
    # A side's unit is never NULL, whereas its entity may be.
    was, now = pairs.unit_before.notnull(), pairs.unit_after.notnull()
    same = pairs.address_before.identical_to(pairs.address_after)
    return pairs.mutate(was=was, now=now, moved=was & now & ~same, unmoved=was & now & same).drop(
        "entity_before", "entity_after"
    )


def _side(snapshot: ir.Table, layout: Layout, when: str) -> ir.Table:
    missing = sorted(set(layout.columns()) - set(snapshot.columns))
    if missing:
        raise ComparisonError(
            f"The snapshot {when!r} has no column {', '.join(missing)}; it has {', '.join(snapshot.columns)}. "
            "Correct the layout or the table."
        )
    copies = ibis.literal(1, "int64") if layout.copies is None else snapshot[layout.copies].cast("int64").fill_null(1)
    columns = {
        f"entity_{when}": snapshot[layout.entity],
        f"unit_{when}": _text(snapshot[layout.unit]),
        f"address_{when}": _address(snapshot, layout.address),
        f"copies_{when}": copies,
    }
    if layout.weight is not None:
        columns[f"weight_{when}"] = snapshot[layout.weight].cast("float64")
    for attribute, code in layout.attributes.items():
        columns[f"class_{when}_{attribute}"] = _text(snapshot[attribute])
        columns[f"code_{when}_{attribute}"] = _text(snapshot[attribute if code is None else code])
    return snapshot.select(**columns)


def _text(column: ir.Value) -> ir.StringValue:
    return column.cast("string").fill_null(BLANK)


def _address(snapshot: ir.Table, columns: tuple[str, ...]) -> ir.StringValue:
    """The address as one text; NULL if its only column is NULL, or if all are."""
    if len(columns) == 1:
        return snapshot[columns[0]].cast("string")
    text = ibis.literal(_SEPARATOR).join([snapshot[column].cast("string").fill_null("") for column in columns])
    return text.nullif(_SEPARATOR * (len(columns) - 1))
