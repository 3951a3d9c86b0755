"""Small cells: counts of so few that they would tell of single ones, withheld with what would betray them.

Put here which cells are withheld. Keep out what is counted in them.

Where a total is published, a lone withheld cell could be had by subtraction, and two cells of one each from a
difference of two; therefore the next smallest cell is withheld too whenever a single cell is, or when the withheld
cells together hold fewer than the smallest that is told (complementary suppression; Willenborg and de Waal, Elements of
Statistical Disclosure Control, 2001).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir


def suppressed(cells: ir.Table, group: Sequence[str], category: str, count: str, smallest: int) -> ir.Table:
    """Withhold small cells, and the next smallest where a small one could be had by subtraction.

    Args:
        cells: one row per group and category that has any entity.
        group: the columns within which categories add up to a known total.
        category: the column of the cell within its group.
        count: the column with the number of entities, 1 or more.
        smallest: from how many a cell is told.

    Returns:
        Group, category, count (NULL where withheld) and ``suppressed``.
    """
    ranked = cells.mutate(
        rank=ibis.row_number().over(ibis.window(group_by=group, order_by=[count, category])),
        small=(cells[count] < smallest).cast("int64"),
    )
    # Small cells have the ranks 0 to small_cells - 1, so the next smallest has the rank small_cells.
    judged = ranked.mutate(
        small_cells=ranked.small.sum().over(ibis.window(group_by=group)),
        small_sum=(ranked.small * ranked[count]).sum().over(ibis.window(group_by=group)),
    )
    exposed = (judged.small_cells == 1) | ((judged.small_cells > 0) & (judged.small_sum < smallest))
    withheld = (judged.small == 1) | (exposed & (judged.rank == judged.small_cells))
    return judged.select(*group, category, **{count: withheld.ifelse(None, judged[count])}, suppressed=withheld)
