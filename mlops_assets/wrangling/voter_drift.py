"""Drift of the voter file: what is kept of each snapshot, and each compared with the one before.

Put here which columns and which months. Keep out the methods of comparing.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.platform.contracts.contract import PARTITION_SEPARATOR

if TYPE_CHECKING:
    import ibis.expr.types as ir

COLUMNS: Final = (
    "district", "county", "status", "race", "ethnicity", "gender", "party", "birth_cohort", "registered_year",
    "race_code", "ethnic_code", "gender_code", "party_code", "copies",
)  # fmt: skip
"""Columns of ``wrangled/voters`` that are compared: all but what is the same in every row, and pseudonyms."""

SAMPLED: Final = 500
"""Rows kept of a snapshot to compare all columns together; an AUC of 0.56 is told from chance."""

_BATCH_ROWS: Final = 1 << 17


def voter_summary(voters: ir.Table, *, state: str, month: str) -> pa.Table:
    """What is kept of a snapshot.

    Args:
        voters: rows of ``wrangled/voters`` of one state and month.
        state: postal code.
        month: month of the snapshot.

    Returns:
        Rows of ``variance/voter_summaries``.
    """
    # The engine imports SciPy, which code locations need not wait for.
    from mlops_assets.variance.drift.summaries import summarise  # noqa: PLC0415
    from mlops_assets.variance.drift.summary_tables import to_table  # noqa: PLC0415

    # Every partition samples differently, and the same at every run.
    seed = zlib.crc32(f"{month}{PARTITION_SEPARATOR}{state}".encode())
    batches = voters.select(*COLUMNS).to_pyarrow_batches(chunk_size=_BATCH_ROWS)
    table = to_table(summarise(batches, sampled=SAMPLED, seed=seed))
    for name, text in (("month", month), ("state", state)):
        table = table.add_column(0, name, pa.array([text] * len(table), type=pa.string()))
    return table


def voter_drift(summaries: ir.Table) -> pa.Table:
    """Every snapshot compared with the one before of its state.

    Args:
        summaries: rows of ``variance/voter_summaries``.

    Returns:
        Rows of ``variance/drift``; none where no state has two snapshots.
    """
    from mlops_assets.variance.drift import comparison  # noqa: PLC0415  see above
    from mlops_assets.variance.drift.summary_tables import from_table  # noqa: PLC0415

    rows = summaries.order_by("state", "month", "column", "cell", "place").to_pyarrow()
    keys = pc.binary_join_element_wise(rows["month"], rows["state"], PARTITION_SEPARATOR)
    partitions = {key: from_table(rows.filter(pc.equal(keys, key))) for key in pc.unique(keys).to_pylist()}
    pairs = _each_with_the_one_before(list(partitions))
    found = comparison.drift(partitions, pairs, new_at=_month) if pairs else comparison.SCHEMA.empty_table()
    before, after = (pc.split_pattern(found[name], PARTITION_SEPARATOR) for name in ("before", "after"))
    return (
        found.drop_columns(["before", "after"])
        .add_column(0, "previous_month", pc.list_element(before, 0))
        .add_column(0, "month", pc.list_element(after, 0))
        .add_column(0, "state", pc.list_element(after, 1))
    )


def _month(key: str) -> str:
    return key.split(PARTITION_SEPARATOR, maxsplit=1)[0]


def _each_with_the_one_before(keys: list[str]) -> list[tuple[str, str]]:
    """Each snapshot with the one before of its state, in the order of months."""
    by_state = defaultdict(list)
    for key in sorted(keys):
        by_state[key.split(PARTITION_SEPARATOR)[1]].append(key)
    return sorted((pair for own in by_state.values() for pair in pairwise(own)), key=lambda pair: pair[1])
