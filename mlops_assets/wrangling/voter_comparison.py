"""Comparing a state's registered voters with those of the month before.

Put here what the columns of voters mean to the variance engine. Keep out the methods of comparing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.contracts.partitions import month_before
from mlops_assets.platform.contract import PARTITION_SEPARATOR
from mlops_assets.variance.events import events
from mlops_assets.variance.kinds import condense
from mlops_assets.variance.linked import changes
from mlops_assets.variance.snapshots import Layout, link

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
        Rows of ``variance/voter_changes``.
    """
    found = changes(_kinds(voters, month, previous_month), LAYOUT)
    return found.rename(district="unit").mutate(
        state=ibis.literal(state), month=ibis.literal(month), previous_month=ibis.literal(previous_month or "")
    )


def voter_events(voters: ir.Table, *, state: str, month: str, previous_month: str | None) -> ir.Table:
    """What happened to a state's voter file since the month before.

    Args:
        voters: rows of ``wrangled/voters`` of one state and both months.
        state: postal code.
        month: month of the later snapshot.
        previous_month: month of the earlier one; ``None`` if there is none, which gives no rows.

    Returns:
        Rows of ``variance/voter_events``.
    """
    found = events(_kinds(voters, month, previous_month), LAYOUT)
    return found.mutate(state=ibis.literal(state), month=ibis.literal(month))


def _kinds(voters: ir.Table, month: str, previous_month: str | None) -> ir.Table:
    if previous_month is None:
        nobody = voters.filter(ibis.literal(value=False))
        pairs = link(nobody, nobody.view(), LAYOUT)
    else:
        pairs = link(voters.filter(voters.month == previous_month), voters.filter(voters.month == month), LAYOUT)
    # Kept in memory: what follows uses it a dozen times, and an engine would link the snapshots again for each.
    return ibis.memtable(condense(pairs, LAYOUT).to_pyarrow())
