"""Linked partitions: the same entities before and now, and what became of them.

Put here how two partitions become rows of the comparison's tables. Keep out linking, splitting and naming, which are
`mlops_assets.variance.linked`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis

from mlops_assets.variance.linked.crosswalk import flows
from mlops_assets.variance.linked.events import events
from mlops_assets.variance.linked.findings import Words as FindingWords
from mlops_assets.variance.linked.health import examine
from mlops_assets.variance.linked.kinds import condense
from mlops_assets.variance.linked.snapshots import link
from mlops_assets.variance.linked.ways import changes
from mlops_assets.wrangling.comparisons.tables import MAP_CAUSES, PARTS
from mlops_assets.wrangling.small_cells import suppressed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir

    from mlops_assets.variance.linked.findings import Finding
    from mlops_assets.variance.linked.snapshots import Layout
    from mlops_assets.variance.report.words import Words


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A partition beside the one before it.

    Attributes:
        rows: of both.
        column: the column of time.
        before: time of the earlier one; ``None`` where there is none.
        now: time of the own one.
        partition: the value of each partition column of the own one.
        layout: what the other columns mean.
    """

    rows: ir.Table
    column: str
    before: str | None
    now: str
    partition: Mapping[str, str]
    layout: Layout

    def changes(self, smallest: int) -> ir.Table:
        """The change of every count of entities by unit and class, split by cause; no rows where nothing is earlier.

        Args:
            smallest: counts of fewer entities are withheld, and what would betray them.
        """
        unit = self.layout.unit
        found = changes(self._kinds(self._of(self.before)), self.layout).rename({unit: "unit"})
        told = withheld(found, unit, smallest)
        return self._placed(told.mutate(compared_with=ibis.literal(self.before or "")))

    def flows(self, smallest: int) -> ir.Table:
        """Where the entities of each unit are now, if its map or number changed; of fewer than ``smallest`` none."""
        kinds = self._kinds(self._of(self.before))
        found = events(kinds, self.layout)
        changed = found.filter(found.cause.isin(MAP_CAUSES)).count() > 0
        ways = flows(kinds)
        ways = ways.filter(ways.entities >= max(smallest, 1), changed.as_scalar())
        unit = self.layout.unit
        return self._placed(ways.rename({f"{unit}_before": "unit_before", f"{unit}_after": "unit_after"}))

    def events(self) -> list[dict[str, Any]]:
        """What happened: cause, kind, name, units, persons, share and evidence of each event.

        Where nothing is earlier, records that came more than once are all that can be seen.
        """
        kinds = self._kinds(self._of(self.before), alone=self.before is None)
        found: list[dict[str, Any]] = events(kinds, self.layout).to_pyarrow().to_pylist()
        return found

    def findings(self, words: Words) -> Sequence[Finding]:
        """What keeps the two from being compared; nothing where they can be, or one is alone."""
        if self.before is None:
            return ()
        told = FindingWords(
            entities=words.entities, unit=words.unit, earlier=self._called(self.before), later=self._called(self.now)
        )
        sides = (self._of(self.before), self._of(self.now))
        return examine(*sides, self.layout, kinds=self._kinds(sides[0]), words=told).findings

    def _called(self, time: str) -> str:
        """A partition of that time by its values."""
        return " ".join(time if column == self.column else value for column, value in self.partition.items())

    def _of(self, time: str | None) -> ir.Table:
        return self.rows.filter(ibis.literal(value=False) if time is None else self.rows[self.column] == time)

    def _kinds(self, earlier: ir.Table, *, alone: bool = False) -> ir.Table:
        """The linked partitions; nobody where there is only one, unless it is to be looked at alone."""
        now = self._of(self.now) if self.before is not None or alone else self._of(None).view()
        # Kept in memory: what follows uses it a dozen times, and an engine would link the partitions again for each.
        return ibis.memtable(condense(link(earlier, now, self.layout), self.layout).to_pyarrow())

    def _placed(self, rows: ir.Table) -> ir.Table:
        return rows.mutate(**{column: ibis.literal(value) for column, value in self.partition.items()})


def withheld(rows: ir.Table, unit: str, smallest: int) -> ir.Table:
    """Withhold every row whose cell is small before or after, or would betray one that is.

    The same cells are withheld as of a table that counts the same entities in the same cells at one time, so that
    nothing is to be had by subtracting one from the other or from a unit's total.

    Args:
        rows: exact changes of one partition.
        unit: the column of the unit.
        smallest: from how many entities a cell is told.

    Returns:
        The rows with ``suppressed``, and NULL instead of every count where it is true.
    """
    cell = (unit, "attribute", "category")
    sides = []
    for side in ("before", "after"):
        cells = rows.filter(rows[side] > 0).select(*cell, entities=side)
        hidden = suppressed(cells, (unit, "attribute"), "category", "entities", smallest)
        sides.append(hidden.filter(hidden.suppressed).select(*cell))
    # Distinct, so that a cell withheld on both sides is joined once.
    small = ibis.union(*sides, distinct=True).rename({f"withheld_{name}": name for name in cell})
    joined = rows.left_join(small, [rows[name] == small[f"withheld_{name}"] for name in cell])
    hide = joined[f"withheld_{unit}"].notnull()
    counts = {name: hide.ifelse(None, joined[name]) for name in ("before", *PARTS, "after")}
    return joined.mutate(suppressed=hide, **counts).drop(*(f"withheld_{name}" for name in cell))
