"""Entry gates: which entry events stop or accompany the features made from the data that they are in.

Put here how events, verdicts and the policy are weighed. Keep out the finding of events, and the rules on rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts.events import DETECTED_KIND, REJECTED
from mlops_assets.contracts.gates import ENTRY_BLOCKS, ENTRY_WARNS
from mlops_assets.contracts.variance import VOTER_EVENTS
from mlops_assets.platform.settings import EntryAction
from mlops_assets.wrangling.named_events import detected_event, is_named, voter_event, with_verdicts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import ibis.expr.types as ir

    from mlops_assets.platform.settings import EntryPolicy
    from mlops_assets.wrangling.named_events import Event

_ENTRY: Final = "entry"
_VOTER_KINDS: Final = ("repeated", "recoded", "reclassed")
"""Kinds of entry events in voter files."""


def of_voter_events(
    voter_events: ir.Table, verdicts: ir.Table, policy: EntryPolicy, *, unseen: Collection[str] = ()
) -> list[dg.AssetCheckResult]:
    """Judge the gates of what is made from voter files.

    Args:
        voter_events: ``variance/voter_events`` of the snapshots that the features are made from.
        verdicts: ``variance/voter_verdicts`` of the same snapshots.
        policy: what each kind of entry event does.
        unseen: those of the snapshots in which nobody has looked for events; they count as the worst that could be
            found there.

    Returns:
        One result for each of ``ENTRY_GATES``.
    """
    entries = voter_events.filter(voter_events.cause == _ENTRY).to_pyarrow().to_pylist()
    said = verdicts.to_pyarrow().to_pylist() if entries else []
    events = (with_verdicts(voter_event(row), said) for row in entries)
    return _judged(events, policy, _VOTER_KINDS, VOTER_EVENTS.table, unseen)


def of_detected_changes(
    changes: ir.Table, verdicts: ir.Table, policy: EntryPolicy, *, table: str, unseen: Collection[str] = ()
) -> list[dg.AssetCheckResult]:
    """Judge the gates of what is made from aggregates; arguments as `of_voter_events`, with the name of their table.

    Changes that are too improbable to become events stop nothing: nobody could reject them.
    """
    entries = [row for row in changes.filter(changes.cause == _ENTRY).to_pyarrow().to_pylist() if is_named(row)]
    said = verdicts.to_pyarrow().to_pylist() if entries else []
    events = (with_verdicts(detected_event(row, table), said) for row in entries)
    return _judged(events, policy, [DETECTED_KIND], table, unseen)


def _judged(
    events: Iterable[Event], policy: EntryPolicy, kinds: Collection[str], table: str, unseen: Collection[str]
) -> list[dg.AssetCheckResult]:
    standing = [event for event in events if event.judgement != REJECTED]
    actions = {getattr(policy, kind) for kind in kinds}
    strictest = EntryAction.BLOCK if EntryAction.BLOCK in actions else EntryAction.WARN
    return [
        _not_looked_at(gate, table, unseen)
        if unseen and action is strictest
        else _judgement(gate, [event for event in standing if getattr(policy, event.kind) is action])
        for gate, action in ((ENTRY_BLOCKS, EntryAction.BLOCK), (ENTRY_WARNS, EntryAction.WARN))
    ]


def _not_looked_at(gate: str, table: str, unseen: Collection[str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=gate,
        passed=False,
        description=f"{', '.join(sorted(unseen))}: nobody has looked for entry events yet. Materialize "
        f"variance/{table} of it, then this.",
    )


def _judgement(gate: str, events: Sequence[Event]) -> dg.AssetCheckResult:
    if not events:
        return dg.AssetCheckResult(check_name=gate, passed=True, description="No entry event of this kind stands.")
    told = "; ".join(f"{event.state} {event.time}: {event.name} (event {event.event_id})" for event in events)
    return dg.AssetCheckResult(
        check_name=gate,
        passed=False,
        description=f"{told}. Look into it, then: mlops-assets variance judge {events[0].event_id} confirm|reject.",
        metadata={event.event_id: event.size for event in events},
    )
