"""Gates: what is made from a compared table stops at entry events that the policy blocks, until somebody rejects them.

Put here how events of a comparison are weighed by the policy. Keep out the finding of events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mlops_assets.platform.assets.inputs import In, as_key
from mlops_assets.platform.contracts.entry_gates import ENTRY_BLOCKS, ENTRY_GATES, ENTRY_WARNINGS, ENTRY_WARNS
from mlops_assets.platform.settings import EntryAction
from mlops_assets.wrangling.comparisons.tables import REJECTED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.settings import EntryPolicy


_KINDS: Final = {True: ("repeated", "recoded", "reclassed"), False: ("detected",)}
"""Kinds of entry events, of linked entities and of panels."""


@dataclass(frozen=True)
class Gate:
    """The gate of a comparison, for assets that are made from the compared table.

    Attributes:
        events: the comparison's table of events.
        group: the column of the group, of a panel; ``None`` where entities are linked.

    Example:
        >>> import dagster as dg, ibis, mlops_assets as ma
        >>> def gated(compared: ma.Compare):
        ...     gate = compared.gate()
        ...     key = dg.AssetKey(["features", "customers"])
        ...
        ...     def customers(customers: ibis.Table, events: ibis.Table, settings: ma.Settings):
        ...         judged = gate.judged(events, settings.entry_policy)
        ...         return dg.MaterializeResult(value=customers, check_results=judged)
        ...
        ...     return customers, {"events": gate.input}, gate.checks(key)
    """

    events: Contract
    group: str | None

    @property
    def input(self) -> In:
        """The events of the own partition, which must have been looked for."""
        return In(self.events)

    def checks(self, key: dg.AssetKey | Sequence[str] | str) -> list[dg.AssetCheckSpec]:
        """The checks of the asset of that key: one that blocks and one that warns."""
        return [
            dg.AssetCheckSpec(name, asset=as_key(key), description=asked, blocking=name not in ENTRY_WARNINGS)
            for name, asked in ENTRY_GATES.items()
        ]

    def judged(
        self, events: ir.Table, policy: EntryPolicy, *, unseen: Collection[str] = ()
    ) -> list[dg.AssetCheckResult]:
        """The results of these checks.

        Args:
            events: rows of the comparison's events, of the partitions that the rows are made from.
            policy: what each kind of entry event does (``settings.entry_policy``).
            unseen: those of the partitions in which nobody has looked for events; they count as the worst that could be
                found there.
        """
        standing = events.filter(events.cause == "entry", events.judgement != REJECTED).to_pyarrow().to_pylist()
        actions = {getattr(policy, kind) for kind in _KINDS[self.group is None]}
        strictest = EntryAction.BLOCK if EntryAction.BLOCK in actions else EntryAction.WARN
        return [
            self._not_looked_at(name, unseen)
            if unseen and action is strictest
            else self._judgement(name, [row for row in standing if getattr(policy, row["kind"]) is action])
            for name, action in ((ENTRY_BLOCKS, EntryAction.BLOCK), (ENTRY_WARNS, EntryAction.WARN))
        ]

    def _not_looked_at(self, name: str, unseen: Collection[str]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            check_name=name,
            passed=False,
            description=f"{', '.join(sorted(unseen))}: nobody has looked for entry events yet. Materialize "
            f"{self.events.key.to_user_string()} of it, then this.",
        )

    def _judgement(self, name: str, events: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
        if not events:
            return dg.AssetCheckResult(check_name=name, passed=True, description="No entry event of this kind stands.")
        columns = [*self.events.partition_columns.values(), *([self.group] if self.group else [])]
        told = "; ".join(
            f"{' '.join(row[c] for c in columns)}: {row['name']} (event {row['event_id']})" for row in events
        )
        return dg.AssetCheckResult(
            check_name=name,
            passed=False,
            description=f"{told}. Look into it, then: mlops-assets variance judge {events[0]['event_id']} "
            "confirm|reject --by NAME.",
            metadata={row["event_id"]: row["size"] for row in events},
        )
