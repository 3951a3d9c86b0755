"""Drift of a compared table: what is kept of each partition, and how far each column is from the partition before.

Put here how partitions become summaries and summaries rows. Keep out the methods, which are `variance.drift`.
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
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir

    from mlops_assets.wrangling.comparisons.partitions import Timeline

SAMPLED: Final = 500
"""Rows kept of a partition to compare all columns together; an AUC of 0.56 is told from chance."""

_BATCH_ROWS: Final = 1 << 17


def summary(rows: ir.Table, columns: Sequence[str], partition: Mapping[str, str]) -> pa.Table:
    """What is kept of a partition to compare it with any other.

    Args:
        rows: of the partition.
        columns: those that are compared.
        partition: the value of each partition column.

    Returns:
        Rows of the table ``summaries``.
    """
    # The engine imports SciPy, which code locations need not wait for.
    from mlops_assets.variance.drift.summaries import summarise  # noqa: PLC0415
    from mlops_assets.variance.drift.summary_tables import to_table  # noqa: PLC0415

    # Every partition samples differently, and the same at every run.
    seed = zlib.crc32(PARTITION_SEPARATOR.join(partition.values()).encode())
    batches = rows.select(*columns).to_pyarrow_batches(chunk_size=_BATCH_ROWS)
    table = to_table(summarise(batches, sampled=SAMPLED, seed=seed))
    for name, value in partition.items():
        table = table.add_column(0, name, pa.array([value] * len(table), type=pa.string()))
    return table


def drift(summaries: ir.Table, timeline: Timeline) -> pa.Table:
    """Every partition compared with the one before it, those of a time judged together.

    Args:
        summaries: rows of the table ``summaries``.
        timeline: of the compared table.

    Returns:
        Rows of the table ``drift``; none where no two partitions can be compared.
    """
    from mlops_assets.variance.drift import comparison  # noqa: PLC0415  see above
    from mlops_assets.variance.drift.summary_tables import from_table  # noqa: PLC0415

    columns = [timeline.contract.partition_columns[name] for name in timeline.contract.dimensions]
    rows = summaries.order_by(*columns, "column", "cell", "place").to_pyarrow()
    keys = pc.binary_join_element_wise(*(rows[name] for name in columns), PARTITION_SEPARATOR)
    partitions = {key: from_table(rows.filter(pc.equal(keys, key))) for key in pc.unique(keys).to_pylist()}
    pairs = _each_with_the_one_before(list(partitions), timeline)
    found = comparison.SCHEMA.empty_table()
    if pairs:
        found = comparison.drift(partitions, pairs, new_at=timeline.time)
    before, after = (found[name].to_pylist() for name in ("before", "after"))
    told = found.drop_columns(["before", "after"])
    told = told.add_column(0, "compared_with", pa.array([timeline.time(key) for key in before], type=pa.string()))
    values = [timeline.contract.partition_values(key) for key in after]
    for name in columns:
        told = told.add_column(0, name, pa.array([value[name] for value in values], type=pa.string()))
    return told


def _each_with_the_one_before(keys: Sequence[str], timeline: Timeline) -> list[tuple[str, str]]:
    """Each partition with the one before it of the same other values, in the order of time."""
    alike = defaultdict(list)
    for key in keys:
        values = timeline.contract.partition_values(key)
        alike[tuple(values[name] for name in timeline.others)].append(key)
    place = {time: number for number, time in enumerate(timeline.sorted({timeline.time(key) for key in keys}))}
    ordered = (sorted(own, key=lambda key: place[timeline.time(key)]) for own in alike.values())
    pairs = [pair for own in ordered for pair in pairwise(own)]
    return sorted(pairs, key=lambda pair: (place[timeline.time(pair[1])], pair[1]))
