"""Verdicts: what a person says of an event, added to the lake by the way that every table takes.

Put here giving a verdict and listing events. Keep out what follows from verdicts (``named_events``, ``entry_gates``).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from mlops_assets.contracts import events as contract
from mlops_assets.platform.assets.addition import add
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from mlops_assets.platform.settings import Settings

SHORTEST_ID: Final = 4


class VerdictError(PlatformError):
    """A verdict cannot be given as asked."""


def events(settings: Settings) -> list[dict[str, Any]]:
    """Rows of ``variance/events``, oldest first; none where it was never published."""
    with LakeSession(settings) as session:
        rows: list[dict[str, Any]] = current_table(session, contract.EVENTS).to_pyarrow().to_pylist()
    return sorted(rows, key=lambda row: (row["until"], row["state"], row["event_id"]))


def judge(settings: Settings, given_id: str, verdict: str, *, by: str, note: str = "") -> dict[str, Any]:
    """Add a verdict on an event; earlier ones stay on record.

    Args:
        settings: where the lake is.
        given_id: the event's id, or the beginning of it if no other event's id begins so.
        verdict: ``confirm``, ``reject`` or ``annotate``.
        by: who says so, 1 to 60 characters.
        note: why, up to 500 characters; an annotation needs one. Nothing personal belongs there.

    Returns:
        The row that was added.

    Raises:
        VerdictError: no event, or more than one, has that id; the verdict is none; name or note is missing or too long.
        LakeError: the lake refused it.
    """
    name, text = by.strip(), note.strip()
    _require(verdict, name, text)
    event = _event(events(settings), given_id)
    table = contract.VERDICTS_ON[event["source"]]
    kinds = rules.columns_of(table)
    partition = table.partition_values(event["partition"])
    schema = pa.schema([(column, kind.to_pyarrow()) for column, kind in kinds.items()])

    def next_row(earlier: ir.Table) -> pa.Table:
        own = earlier.filter(earlier.event_id == event["event_id"])
        row = {
            "event_id": event["event_id"],
            "number": int(own.count().to_pyarrow().as_py()) + 1,
            "verdict": verdict,
            "by": name,
            "note": text,
            "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            **partition,
        }
        return pa.Table.from_pylist([row], schema=schema)

    with LakeSession(settings) as session:
        added = add(session, table, event["partition"], next_row)
    (row,) = added.to_pylist()
    return {**event, **row}


def _event(known: list[dict[str, Any]], given_id: str) -> dict[str, Any]:
    matching = [row for row in known if len(given_id) >= SHORTEST_ID and row["event_id"].startswith(given_id.lower())]
    if len(matching) == 1:
        return matching[0]
    if matching:
        culprit = f"{len(matching)} events have ids that begin so: {', '.join(row['event_id'] for row in matching)}."
        remedy = "Give more of the id."
    elif not known:
        culprit, remedy = "variance/events holds no event.", "Materialize it first."
    else:
        culprit = f"none of the {len(known)} events in variance/events has an id that begins so."
        remedy = "mlops-assets variance events lists them."
    raise VerdictError(source=f"Event {given_id}", culprit=culprit, remedy=remedy)


def _require(verdict: str, name: str, note: str) -> None:
    if verdict not in contract.VERDICT:
        raise VerdictError(
            source="Verdict",
            culprit=f"{verdict!r} is none.",
            remedy=f"Say one of {', '.join(contract.VERDICT)}.",
        )
    if not 1 <= len(name) <= contract.LONGEST_NAME:
        raise VerdictError(
            source="Verdict",
            culprit=f"the name has {len(name)} characters.",
            remedy=f"Give who says so with --by, in 1 to {contract.LONGEST_NAME}.",
        )
    if len(note) > contract.LONGEST_NOTE or (verdict == "annotate" and not note):
        raise VerdictError(
            source="Verdict",
            culprit=f"the note has {len(note)} characters.",
            remedy=f"Give one with --note, of at most {contract.LONGEST_NOTE}; an annotation is nothing without.",
        )
