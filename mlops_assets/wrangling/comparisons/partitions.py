"""Which partitions of a table are compared: the own one and earlier ones.

Put here the order of partitions in time and their mappings. Keep out what is done with their rows.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg
from dagster._utils.warnings import BetaWarning

from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mlops_assets.platform.contracts.contract import Contract


@dataclass(frozen=True)
class Timeline:
    """The partitions of a table in the order of time.

    Attributes:
        contract: the table.
        dimension: its partition dimension of time.
    """

    contract: Contract
    dimension: str

    @classmethod
    def of(cls, contract: Contract, time: str | None) -> Timeline:
        """The timeline of a table.

        Args:
            contract: the table.
            time: the partition column of time; the only one when not given.

        Raises:
            ContractError: the table has no such partitions, or nothing says in which order they are.
        """
        source = f"Comparison of {contract.key.to_user_string()}"
        columns = contract.partition_columns
        if not columns:
            raise ContractError(
                source=source,
                culprit="the table has no partitions: there is nothing earlier to compare with.",
                remedy="Partition it by time.",
            )
        found = [name for name, column in columns.items() if time in {None, column}]
        if len(found) != 1:
            culprit = "several partition columns" if time is None else f"no partition column {time}"
            raise ContractError(
                source=source,
                culprit=f"the table has {culprit}: {', '.join(columns.values())}.",
                remedy="Give time=, the partition column of time.",
            )
        timeline = cls(contract, found[0])
        if not isinstance(timeline.definition, dg.TimeWindowPartitionsDefinition | dg.StaticPartitionsDefinition):
            raise ContractError(
                source=source,
                culprit=f"its partitions by {columns[found[0]]} are added as it goes, in no known order.",
                remedy="Partition it by time windows, or by a list of keys in their order.",
            )
        return timeline

    @property
    def column(self) -> str:
        """The column of time."""
        return self.contract.partition_columns[self.dimension]

    @property
    def others(self) -> tuple[str, ...]:
        """The other partition columns, within each of whose values is compared."""
        return tuple(
            self.contract.partition_columns[name] for name in self.contract.dimensions if name != self.dimension
        )

    @property
    def definition(self) -> dg.PartitionsDefinition[str] | None:
        """The partitions of time alone."""
        whole = self.contract.partitions_def
        if isinstance(whole, dg.MultiPartitionsDefinition):
            return next(part.partitions_def for part in whole.partitions_defs if part.name == self.dimension)
        return whole

    def back(self, count: int, *, own: bool = True) -> dg.PartitionMapping:
        """So many partitions before the own one, and that itself, of the same values of the other columns."""
        along = self._along(count, own=own)
        if not self.others:
            return along
        same = {
            name: dg.DimensionPartitionMapping(name, along if name == self.dimension else dg.IdentityPartitionMapping())
            for name in self.contract.dimensions
        }
        with warnings.catch_warnings():
            # Mappings of several dimensions are in beta.
            warnings.simplefilter("ignore", BetaWarning)
            return dg.MultiPartitionMapping(same)

    def _along(self, count: int, *, own: bool) -> dg.PartitionMapping:
        with warnings.catch_warnings():
            # That windows may not exist is in beta.
            warnings.simplefilter("ignore", BetaWarning)
            if isinstance(self.definition, dg.TimeWindowPartitionsDefinition):
                return dg.TimeWindowPartitionMapping(
                    start_offset=-count, end_offset=0 if own else -1, allow_nonexistent_upstream_partitions=True
                )
            keys = self.definition.get_partition_keys() if self.definition is not None else []
            return dg.StaticPartitionMapping(
                {key: list(keys[place + (not own) : place + 1 + count]) for place, key in enumerate(keys)}
            )

    def own_and_before(self, own: str, existing: Sequence[str]) -> Sequence[str]:
        """Of the partitions that exist the own one and the last before it; none where the own one is missing."""
        if own not in existing:
            return ()
        before = self.before(own, existing)
        return (own,) if before is None else (before, own)

    def before(self, own: str, known: Collection[str]) -> str | None:
        """The last partition before the own one among those known; ``None`` if there is none."""
        values = self.contract.partition_values(own)
        time = values.pop(self.column)
        earlier = {}
        for key in known:
            others = self.contract.partition_values(key)
            then = others.pop(self.column)
            if others == values and self._place(then) < self._place(time):
                earlier[self._place(then)] = key
        return earlier[max(earlier)] if earlier else None

    def time(self, key: str) -> str:
        """The time of a partition, as its column has it."""
        return self.contract.partition_values(key)[self.column]

    def sorted(self, times: Collection[str]) -> list[str]:
        """Times in their order."""
        return sorted(times, key=self._place)

    def _place(self, time: str) -> float:
        if isinstance(self.definition, dg.TimeWindowPartitionsDefinition):
            return self.definition.time_window_for_partition_key(time).start.timestamp()
        return float(self.definition.get_partition_keys().index(time)) if self.definition is not None else 0.0
