"""Named events: what every source found, in one table, with what people said of it.

Put here how events of different sources become one list, and which of them are the same. Keep out how they are found.

Single persons that were linked outweigh aggregates: a map change seen in the voter file is the event, and the same
change seen in results or profiles is a repetition of it; one that linked months all along deny is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from mlops_assets.contracts import events as contract
from mlops_assets.contracts.partitions import SNAPSHOT_MONTHS, election_day, month_before, snapshot_day
from mlops_assets.contracts.variance import (
    DETECTED,
    PROFILE_CHANGES,
    REGISTRATION_CHANGES,
    RESULT_CHANGES,
    VOTER_EVENTS,
)
from mlops_assets.platform.contracts.contract import PARTITION_SEPARATOR

LEAST_PROBABLE: Final = 0.5
"""Less probable changes stay in the table of their source and do not become events."""

LEAST_PROBABLE_ALONE: Final = 0.99
"""The same where fewer than ``FEWEST_STATES`` were compared: one of them redrawn makes the others seem redrawn too."""

FEWEST_STATES: Final = 8

MAP_CAUSES: Final = ("boundary", "renumbering")
_ID_DIGITS: Final = 12
_SEPARATOR: Final = "\x1f"
_PARTITION_COLUMN: Final = {
    RESULT_CHANGES.table: "election",
    PROFILE_CHANGES.table: "year",
    REGISTRATION_CHANGES.table: "month",
}
_SEEN_IN: Final = {
    RESULT_CHANGES.table: ("districts", "House results"),
    PROFILE_CHANGES.table: ("districts", "census profiles"),
    REGISTRATION_CHANGES.table: ("counties", "registration statistics"),
}
_WORDS: Final = {
    "boundary": "{units} redrawn",
    "renumbering": "{units} renumbered",
    "units": "{units} came or went",
    "entry": "entry of {units} changed",
    "population": "population of {units} moved",
}
_COLUMNS: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("event_id", "source", "partition", "state", "time", "since", "until")),
        *((name, pa.string()) for name in ("cause", "kind", "name")),
        ("probability", pa.float64()),
        ("units", pa.string()),
        ("size", pa.float64()),
        *((name, pa.string()) for name in ("size_unit", "evidence", "same_as", "judgement", "judged_by", "notes")),
        ("cuts", pa.bool_()),
    ]
)

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event; attributes as the columns of ``variance/events``."""

    event_id: str
    source: str
    partition: str
    state: str
    time: str
    since: str
    until: str
    cause: str
    kind: str
    name: str
    probability: float
    units: str
    size: float
    size_unit: str
    evidence: str
    same_as: str = ""
    judgement: str = contract.OPEN
    judged_by: str = ""
    notes: str = ""

    @property
    def cuts(self) -> bool:
        """Whether series end here."""
        return self.cause in MAP_CAUSES and self.judgement != contract.REJECTED and not self.same_as

    def overlaps(self, other: Event) -> bool:
        """Whether both may have happened at the same time."""
        return self.since < other.until and other.since < self.until


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the sources found.

    Attributes:
        voter_events: rows of ``variance/voter_events``.
        detected: rows of the detected changes, by table.
        verdicts: rows of all tables of verdicts.
        compared_months: partitions of ``variance/voter_events`` that exist, as ``month|state``.
    """

    voter_events: Sequence[Row] = ()
    detected: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    verdicts: Sequence[Row] = ()
    compared_months: Collection[str] = ()


def named_events(found: Found) -> pa.Table:
    """All events of all sources.

    Args:
        found: what the sources found.

    Returns:
        Rows of ``variance/events``, by date, state and id.
    """
    linked = [voter_event(row) for row in found.voter_events]
    unlinked = [
        event
        for table, rows in found.detected.items()
        for row in rows
        if is_named(row)
        for event in [detected_event(row, table)]
    ]
    judged = [with_verdicts(event, found.verdicts) for event in linked + unlinked]
    told_apart = _told_apart(judged, found.compared_months)
    ordered = sorted(told_apart, key=lambda event: (event.until, event.state, event.event_id))
    return pa.Table.from_pylist([{**vars(event), "cuts": event.cuts} for event in ordered], schema=_COLUMNS)


def is_named(row: Row) -> bool:
    """Whether a row of detected changes is probable enough to be an event."""
    least = LEAST_PROBABLE if row["states"] >= FEWEST_STATES else LEAST_PROBABLE_ALONE
    return bool(row["cause"] != DETECTED[0] and row["probability"] >= least)


def event_id(source: str, partition: str, state: str, cause: str, subject: str = "") -> str:
    """The id of an event: the same whenever the same is found again, whatever its size and evidence."""
    text = _SEPARATOR.join([source, partition, state, cause, subject])
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]


def voter_event(row: Row) -> Event:
    """A row of ``variance/voter_events`` as an event."""
    month, state = row["month"], row["state"]
    partition = f"{month}{PARTITION_SEPARATOR}{state}"
    before = month_before(month)
    return Event(
        event_id=event_id(VOTER_EVENTS.table, partition, state, row["cause"], row["name"]),
        source=VOTER_EVENTS.table,
        partition=partition,
        state=state,
        time=month,
        since=snapshot_day(before).isoformat() if before else "",
        until=snapshot_day(month).isoformat(),
        cause=row["cause"],
        kind=row["kind"],
        name=row["name"],
        probability=1.0,
        units=row["units"],
        size=float(row["persons"]),
        size_unit="persons",
        evidence=row["evidence"],
    )


def detected_event(row: Row, table: str) -> Event:
    """A row of detected changes as an event.

    Args:
        row: of any cause but ``none``.
        table: the table that it is from.
    """
    time, state, cause = row[_PARTITION_COLUMN[table]], row["state"], row["cause"]
    units, seen_in = _SEEN_IN[table]
    return Event(
        event_id=event_id(table, time, state, cause),
        source=table,
        partition=time,
        state=state,
        time=time,
        since=_day(table, row["compared_with"]),
        until=_day(table, time),
        cause=cause,
        kind=contract.DETECTED_KIND,
        name=f"{_WORDS[cause].format(units=units)}, by {seen_in}",
        probability=row["probability"],
        units=row["units"],
        size=row["magnitude"],
        size_unit="share of units" if cause == "renumbering" else "log change",
        evidence=row["evidence"],
    )


def with_verdicts(event: Event, verdicts: Iterable[Row]) -> Event:
    """The event with what people said of it; the latest confirmation or rejection stands."""
    own = sorted((row for row in verdicts if row["event_id"] == event.event_id), key=lambda row: row["number"])
    judging = [row for row in own if row["verdict"] in contract.JUDGED_AS]
    return replace(
        event,
        judgement=contract.JUDGED_AS[judging[-1]["verdict"]] if judging else contract.OPEN,
        judged_by=judging[-1]["by"] if judging else "",
        notes="; ".join(f"{row['by']}: {row['note']}" for row in own if row["note"]),
    )


def _day(table: str, time: str) -> str:
    if table == RESULT_CHANGES.table:
        return election_day(time).isoformat()
    # A profile is of its whole year.
    return f"{time}-12-31" if table == PROFILE_CHANGES.table else f"{time}-01"


def _told_apart(events: Sequence[Event], compared_months: Collection[str]) -> list[Event]:
    """Events with their repetitions marked, and without those that linked months deny."""
    ranked = sorted(events, key=lambda event: (event.source != VOTER_EVENTS.table, -event.probability, event.event_id))
    own: list[Event] = []
    kept: list[Event] = []
    for event in ranked:
        is_map = event.cause in MAP_CAUSES and event.judgement != contract.REJECTED
        if is_map and event.source != VOTER_EVENTS.table:
            first = next((other for other in own if other.state == event.state and other.overlaps(event)), None)
            if first is not None:
                kept.append(replace(event, same_as=first.event_id))
                continue
            if event.judgement == contract.OPEN and _denied(event, compared_months):
                continue
        if is_map:
            own.append(event)
        kept.append(event)
    return kept


def _denied(event: Event, compared_months: Collection[str]) -> bool:
    """Whether persons were linked in every month in which the event may have happened."""
    possible = [month for month in SNAPSHOT_MONTHS if event.since < snapshot_day(month).isoformat() <= event.until]
    first_known = month_before(possible[0]) if possible else None
    if first_known is None or snapshot_day(first_known).isoformat() > event.since:
        return False
    return all(PARTITION_SEPARATOR.join((month, event.state)) in compared_months for month in possible)
