"""Verdicts: what a person says of an event, added to the lake by the way that every table takes.

Put here giving a verdict and listing events. Keep out what follows from verdicts (``named``, ``gate``).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from mlops_assets.platform.assets.addition import add
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.contract import PARTITION_SEPARATOR
from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.wrangling.comparisons.tables import EVENTS, LONGEST_NAME, LONGEST_NOTE, VERDICT, verdicts_beside

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.settings import Settings

    Row = dict[str, Any]

SHORTEST_ID: Final = 4


class VerdictError(PlatformError):
    """A verdict cannot be given as asked."""


def events(settings: Settings, tables: Mapping[str, Contract]) -> list[Row]:
    """Every named event of every comparison, by partition and id.

    Args:
        settings: where the lakes are.
        tables: contracts by asset key; those of events among them are read.

    Returns:
        The rows as published, each with ``table`` and ``partition``; none of a table that was never published.
    """
    found: list[Row] = []
    with LakeSession(settings) as session:
        for key, contract in tables.items():
            if EVENTS not in contract.tags:
                continue
            columns = [contract.partition_columns[dimension] for dimension in contract.dimensions]
            for row in current_table(session, contract).to_pyarrow().to_pylist():
                partition = PARTITION_SEPARATOR.join(row[column] for column in columns)
                found.append({"table": key, "partition": partition, **row})
    return sorted(found, key=lambda row: (row["partition"], row["table"], row["event_id"]))


def judge(
    settings: Settings, tables: Mapping[str, Contract], given_id: str, verdict: str, *, by: str, note: str = ""
) -> Row:
    """Add a verdict on an event; earlier ones stay on record.

    Args:
        settings: where the lakes are.
        tables: contracts by asset key.
        given_id: the event's id, or the beginning of it if no other event's id begins so.
        verdict: ``confirm``, ``reject`` or ``annotate``.
        by: who says so, 1 to 60 characters.
        note: why, up to 500 characters; an annotation needs one. Nothing personal belongs there.

    Returns:
        The event with the row that was added.

    Raises:
        VerdictError: no event, or more than one, has that id; the verdict is none; name or note is missing or too long.
        LakeError: the lake refused it.
    """
    name, text = by.strip(), note.strip()
    _require(verdict, name, text)
    event = _event(events(settings, tables), given_id)
    found = tables[event["table"]]
    table = verdicts_beside(found)
    partition = found.partition_values(event["partition"])
    schema = pa.schema([(column, kind.to_pyarrow()) for column, kind in rules.columns_of(table).items()])

    def next_row(earlier: ir.Table) -> pa.Table:
        own = earlier.filter(earlier.event_id == event["event_id"])
        row = {
            "event_id": event["event_id"],
            "number": int(own.count().to_pyarrow().as_py()) + 1,
            "verdict": verdict,
            "size": event["size"],
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


def _event(known: list[Row], given_id: str) -> Row:
    matching = [row for row in known if len(given_id) >= SHORTEST_ID and row["event_id"].startswith(given_id.lower())]
    if len(matching) == 1:
        return matching[0]
    if matching:
        culprit = f"{len(matching)} events have ids that begin so: {', '.join(row['event_id'] for row in matching)}."
        remedy = "Give more of the id."
    elif not known:
        culprit, remedy = "no comparison has found any event.", "Materialize its table of events first."
    else:
        culprit = f"none of the {len(known)} events has an id that begins so."
        remedy = "mlops-assets variance events lists them."
    raise VerdictError(source=f"Event {given_id}", culprit=culprit, remedy=remedy)


def _require(verdict: str, name: str, note: str) -> None:
    if verdict not in VERDICT:
        raise VerdictError(
            source="Verdict",
            culprit=f"{verdict!r} is none.",
            remedy=f"Say one of {', '.join(VERDICT)}.",
        )
    if not 1 <= len(name) <= LONGEST_NAME:
        raise VerdictError(
            source="Verdict",
            culprit=f"the name has {len(name)} characters.",
            remedy=f"Give who says so with --by, in 1 to {LONGEST_NAME}.",
        )
    if len(note) > LONGEST_NOTE or (verdict == "annotate" and not note):
        raise VerdictError(
            source="Verdict",
            culprit=f"the note has {len(note)} characters.",
            remedy=f"Give one with --note, of at most {LONGEST_NOTE}; an annotation is nothing without.",
        )
