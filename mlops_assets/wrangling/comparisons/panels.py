"""Panels: units of groups, measured at several times, and what happened to each group since the time before.

Put here how rows of partitions become a panel and its verdicts rows. Keep out the detection, which is
`mlops_assets.variance.panel`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir

    from mlops_assets.variance.panel.panels import Columns, Panel

_VERDICT: Final = ("cause", "probability", "magnitude", "units", "evidence")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A panel as it was known at its last time.

    Later rows never change what was said of an earlier time, so that events keep their ids and nothing that is made
    from them looks ahead.

    Attributes:
        columns: what its columns mean.
        fewest: how many times must be known, the own one included.
    """

    columns: Columns
    fewest: int

    def changes(self, rows: ir.Table, times: Sequence[str], partition: Mapping[str, str]) -> pa.Table:
        """What happened to each group since the time before.

        Args:
            rows: of the own time and earlier ones.
            times: those that are known, in their order; the last is the own one.
            partition: the value of each partition column of the own one.

        Returns:
            Rows of the table ``changes``; none where too few times are known.
        """
        # Imported where it is needed: a third of a second for every run that loads the location and detects nothing.
        from mlops_assets.variance.panel.detection import detect  # noqa: PLC0415
        from mlops_assets.variance.panel.panels import read_panel  # noqa: PLC0415

        columns, schema = self.columns, self._schema(partition)
        known = rows.select(*dict.fromkeys(columns.named())).to_pyarrow()
        measures = tuple(name for name in columns.measures if known.column(name).null_count < known.num_rows)
        if len(times) < self.fewest or not measures or not known.num_rows:
            return schema.empty_table()
        # A group that has nothing to say now says nothing of earlier times either.
        present = known.filter(pc.equal(known[columns.time], times[-1]))[columns.group]
        known = known.filter(pc.is_in(known[columns.group], value_set=present.combine_chunks()))
        panel = read_panel(duckdb.from_arrow(known), replace(columns, measures=measures))
        before = _time_before(panel)
        found = [
            {
                columns.group: row["group"],
                "compared_with": before.get(row["group"], times[-2]),
                "groups": len(panel.groups),
                **{name: row[name] for name in _VERDICT},
                **partition,
            }
            for row in detect(panel).to_pylist()
            if row["time"] == times[-1]
        ]
        return pa.Table.from_pylist(found, schema=schema)

    def _schema(self, partition: Mapping[str, str]) -> pa.Schema:
        numbers = {"groups": pa.int64(), "probability": pa.float64(), "magnitude": pa.float64()}
        names = [*partition, self.columns.group, "compared_with", "groups", *_VERDICT]
        return pa.schema([(name, numbers.get(name, pa.string())) for name in names])


def _time_before(panel: Panel) -> dict[str, str]:
    """For each group the latest time before the last of the panel that it has rows of."""
    earlier = panel.time < len(panel.times) - 1
    found: dict[str, str] = {}
    for number, group in enumerate(panel.groups):
        own = panel.time[earlier & (panel.group == number)]
        if own.size:
            found[group] = panel.times[int(own.max())]
    return found
