"""Comparing a state's registered voters with those of the month before.

Put here what the columns of voters mean to the variance engine. Keep out the methods of comparing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.contracts.features import SMALLEST_CELL
from mlops_assets.contracts.partitions import month_before
from mlops_assets.platform.contracts.contract import PARTITION_SEPARATOR
from mlops_assets.variance.linked.crosswalk import flows
from mlops_assets.variance.linked.events import events
from mlops_assets.variance.linked.kinds import condense
from mlops_assets.variance.linked.snapshots import Layout, link
from mlops_assets.variance.linked.ways import PARTS, changes
from mlops_assets.wrangling.demographics import suppressed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import ibis.expr.types as ir

LAYOUT: Final = Layout(
    entity="person_token",
    unit="district",
    address=("address_token",),
    attributes={
        "race": "race_code",
        "ethnicity": "ethnic_code",
        "gender": "gender_code",
        "party": "party_code",
        "status": None,
    },
    copies="copies",
    plural="districts",
)

_CELL: Final = ("state", "month", "district", "attribute", "category")
_MAP_CAUSES: Final = ("boundary", "renumbering")


def this_month_and_before(own_key: str, existing: Sequence[str]) -> Sequence[str]:
    """The snapshots to compare: none without this month's, which is needed; the month before may be missing.

    Args:
        own_key: partition ``month|state``.
        existing: those of this month and the month before that exist.
    """
    return existing if own_key in existing else ()


def month_to_compare(month: str, state: str, read: Collection[str]) -> str | None:
    """The month before, if its snapshot was read; ``None`` otherwise.

    Args:
        month: month of the later snapshot.
        state: postal code.
        read: partitions ``month|state`` that were read.
    """
    before = month_before(month)
    return before if before is not None and PARTITION_SEPARATOR.join((before, state)) in read else None


def voter_changes(voters: ir.Table, *, state: str, month: str, previous_month: str | None) -> ir.Table:
    """How each district's voters changed since the month before, split exactly by cause.

    Args:
        voters: rows of ``wrangled/voters`` of one state and both months.
        state: postal code.
        month: month of the later snapshot.
        previous_month: month of the earlier one; ``None`` if there is none, which gives no rows.

    Returns:
        Rows of ``variance/voter_changes``, small cells withheld as in ``features/district_demographics``.
    """
    found = changes(_kinds(voters, month, previous_month), LAYOUT).rename(district="unit")
    named = found.mutate(
        state=ibis.literal(state), month=ibis.literal(month), previous_month=ibis.literal(previous_month or "")
    )
    return withheld_changes(named)


def withheld_changes(rows: ir.Table) -> ir.Table:
    """Withhold every row whose cell ``features/district_demographics`` withholds in either snapshot.

    The two tables count the same persons in the same cells, so that withholding the same cells, the complementary ones
    included, leaves nothing to be had by subtracting one from the other or from a district's total.

    Args:
        rows: exact changes of one state and month.

    Returns:
        The rows with ``suppressed``, and NULL instead of every count where it is true.
    """
    sides = []
    for side in ("before", "after"):
        cells = rows.filter(rows[side] > 0).select(*_CELL, voters=side)
        hidden = suppressed(cells)
        sides.append(hidden.filter(hidden.suppressed).select(*_CELL))
    # Distinct, so that a cell withheld on both sides is joined once.
    withheld = ibis.union(*sides, distinct=True).rename({f"withheld_{name}": name for name in _CELL})
    joined = rows.left_join(withheld, [rows[name] == withheld[f"withheld_{name}"] for name in _CELL])
    hide = joined.withheld_district.notnull()
    counts = {name: hide.ifelse(None, joined[name]) for name in ("before", *PARTS, "after")}
    return joined.mutate(suppressed=hide, **counts).drop(*(f"withheld_{name}" for name in _CELL))


def district_flows(voters: ir.Table, *, state: str, month: str, previous_month: str | None) -> ir.Table:
    """Where the persons of each district went when the map or its numbers changed.

    Args:
        voters: rows of ``wrangled/voters`` of one state and both months.
        state: postal code.
        month: month of the later snapshot.
        previous_month: month of the earlier one; ``None`` if there is none, which gives no rows.

    Returns:
        Rows of ``variance/district_flows``; none where neither the map nor its numbers changed.
    """
    kinds = _kinds(voters, month, previous_month) if previous_month is not None else _nobody(voters)
    found = events(kinds, LAYOUT)
    changed = found.filter(found.cause.isin(_MAP_CAUSES)).count() > 0
    ways = flows(kinds)
    ways = ways.filter(ways.entities >= SMALLEST_CELL, changed.as_scalar())
    return ways.select(
        state=ibis.literal(state),
        month=ibis.literal(month),
        district_before=ways.unit_before,
        district_after=ways.unit_after,
        persons=ways.entities,
    )


def voter_events(voters: ir.Table, *, state: str, month: str, previous_month: str | None) -> ir.Table:
    """What happened to a state's voter file since the month before.

    Args:
        voters: rows of ``wrangled/voters`` of one state and both months.
        state: postal code.
        month: month of the later snapshot.
        previous_month: month of the earlier one; ``None`` if there is none, which shows repeated records only.

    Returns:
        Rows of ``variance/voter_events``.
    """
    found = events(_kinds(voters, month, previous_month) if previous_month else _alone(voters, month), LAYOUT)
    return found.mutate(state=ibis.literal(state), month=ibis.literal(month))


def _kinds(voters: ir.Table, month: str, previous_month: str | None) -> ir.Table:
    if previous_month is None:
        return _nobody(voters)
    return _linked(voters.filter(voters.month == previous_month), voters.filter(voters.month == month))


def _alone(voters: ir.Table, month: str) -> ir.Table:
    """The later snapshot compared with nobody."""
    return _linked(voters.filter(ibis.literal(value=False)), voters.filter(voters.month == month))


def _nobody(voters: ir.Table) -> ir.Table:
    nobody = voters.filter(ibis.literal(value=False))
    return _linked(nobody, nobody.view())


def _linked(before: ir.Table, after: ir.Table) -> ir.Table:
    pairs = link(before, after, LAYOUT)
    # Kept in memory: what follows uses it a dozen times, and an engine would link the snapshots again for each.
    return ibis.memtable(condense(pairs, LAYOUT).to_pyarrow())
