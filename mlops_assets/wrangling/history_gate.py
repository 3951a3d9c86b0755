"""The history gate: whether voters and their voting history were made with one pseudonym key.

Put here that check. Keep out the gates of comparisons and of entry events (``comparisons``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.contracts.features import HISTORY_GATE
from mlops_assets.variance.linked.findings import HARDLY, LEAST, REKEYED

if TYPE_CHECKING:
    import ibis.expr.types as ir


def of_history(voters: ir.Table, voting_history: ir.Table) -> dg.AssetCheckResult:
    """Judge the gate of what joins voters with their history.

    Where both were made with different pseudonym keys nobody is found, and everybody counts as a non-voter.

    Args:
        voters: rows of ``wrangled/voters`` of one state.
        voting_history: rows of ``wrangled/voting_history`` of that state.
    """
    (gate,) = HISTORY_GATE
    known = voters.select(known=voters.person_token).distinct()
    there = voting_history.left_join(known, voting_history.person_token == known.known)
    counted = there.group_by("election").agg(voted=there.count(), found=there.known.count())
    rows = sorted(counted.to_pyarrow().to_pylist(), key=lambda row: str(row["election"]))
    missing = [row for row in rows if row["voted"] >= LEAST and row["found"] <= HARDLY * row["voted"]]
    if not missing:
        return dg.AssetCheckResult(check_name=gate, passed=True, description="Persons of every election are found.")
    told = "; ".join(f"of {row['voted']:,} of {row['election']} {row['found']:,}" for row in missing)
    return dg.AssetCheckResult(
        check_name=gate,
        passed=False,
        description=f"{REKEYED}: persons who voted are not in the snapshot ({told}). Was the pseudonym key changed "
        "between the two? Materialize wrangled/voting_history and wrangled/voters anew with one key.",
    )
