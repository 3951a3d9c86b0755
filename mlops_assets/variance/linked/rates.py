"""Rates of two linked snapshots: how many entities link, stay, come and move, in all and by unit.

Put here what is counted before anything is concluded. Keep out when a rate is out of the ordinary (``health``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.variance.linked.kinds import Linked


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Entities of one unit, or of all.

    Attributes:
        before: in the earlier snapshot.
        after: in the later one.
        found: of those before how many are in the later snapshot, in whichever unit.
        joined: of those after how many were in no unit before.
        moved: of those found how many have another address.
    """

    before: int = 0
    after: int = 0
    found: int = 0
    joined: int = 0
    moved: int = 0

    @property
    def lost(self) -> int:
        """Entities that are in the earlier snapshot only."""
        return self.before - self.found

    @property
    def lost_rate(self) -> float:
        """One less completeness: the share of those before that is not in the later snapshot."""
        return self.lost / self.before if self.before else 0.0

    @property
    def joined_rate(self) -> float:
        """The share of those after that is not in the earlier snapshot."""
        return self.joined / self.after if self.after else 0.0

    @property
    def moved_rate(self) -> float:
        """The share of those found that have another address."""
        return self.moved / self.found if self.found else 0.0

    @property
    def link_rate(self) -> float:
        """The share of the smaller side that links; 1 where a side is empty."""
        smaller = min(self.before, self.after)
        return self.found / smaller if smaller else 1.0

    @property
    def shrunk_by(self) -> float:
        """The share of those before by which the number fell, whoever took whose place; below 0 where it grew."""
        return (self.lost - self.joined) / self.before if self.before else 0.0


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a comparison rests on. Kept from pair to pair it is the history that tells what is ordinary.

    Attributes:
        all: all entities.
        units: entities of each unit; of the later snapshot ``after`` and ``joined``, of the earlier one the others.
        expected_before: share of the entities to be expected that are in the earlier snapshot; ``None`` if not asked.
        expected_after: likewise, in the later one.
    """

    all: Counts
    units: dict[str, Counts]
    expected_before: float | None = None
    expected_after: float | None = None


def rates(linked: Linked) -> Rates:
    """Count linked snapshots.

    Args:
        linked: two snapshots.
    """
    kinds = linked.kinds
    both, old, new = kinds.was & kinds.now, kinds.filter(kinds.was), kinds.filter(kinds.now)
    moved = both & ~kinds.unmoved
    of_old = old.group_by(unit=old.unit_before).agg(
        before=old.entities.sum(), found=old.entities.sum(where=both), moved=old.entities.sum(where=moved)
    )
    of_new = new.group_by(unit=new.unit_after).agg(after=new.entities.sum(), joined=new.entities.sum(where=~both))
    counted: dict[str, dict[str, int]] = {}
    for table in (of_old, of_new):
        for row in linked.engine.to_pyarrow(table).to_pylist():
            counted.setdefault(row.pop("unit"), {}).update({name: int(value or 0) for name, value in row.items()})
    units = {unit: Counts(**counted[unit]) for unit in sorted(counted)}
    names = Counts.__dataclass_fields__
    return Rates(all=Counts(**{name: sum(getattr(own, name) for own in units.values()) for name in names}), units=units)


def share_found(linked: Linked, expected: ir.Table, snapshot: ir.Table) -> float | None:
    """The share of entities to be expected that a snapshot holds; ``None`` where none is expected.

    Args:
        linked: names the column of the entity, and runs the query.
        expected: with that column.
        snapshot: likewise.
    """
    asked = expected.select(asked=expected[linked.layout.entity]).distinct()
    asked = asked.filter(asked.asked.notnull())
    there = snapshot.select(there=snapshot[linked.layout.entity]).distinct()
    (row,) = linked.engine.to_pyarrow(
        asked.left_join(there, asked.asked == there.there).agg(
            found=lambda both: both.there.count(), all=lambda both: both.count()
        )
    ).to_pylist()
    return row["found"] / row["all"] if row["all"] else None
