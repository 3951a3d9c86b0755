"""Named events: what every comparison found, in one table.

Put here how events of different sources become one list, and which of them are the same. Keep out how they are found.

Single persons that were linked outweigh aggregates: a map change seen in the voter file is the event, and the same
change seen in results or profiles is a repetition of it; one that linked months all along deny is none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from mlops_assets.contracts.partitions import SNAPSHOT_MONTHS, election_day, month_before, snapshot_day
from mlops_assets.platform.contracts.contract import PARTITION_SEPARATOR
from mlops_assets.wrangling.comparisons.tables import MAP_CAUSES, OPEN, REJECTED

LINKED: Final = "voter_events"
_TIME: Final = {
    LINKED: "month",
    "result_events": "election",
    "profile_events": "year",
    "registration_events": "month",
}
"""The column of time of each table of events."""
_DISTRICTS: Final = (LINKED, "result_events", "profile_events")
"""Tables of events of districts: a change of another map is none of theirs, and cuts no series of them."""
_TEXTS: Final = (
    "event_id", "source", "partition", "state", "time", "since", "until", "cause", "kind", "name", "units", "size_unit",
    "evidence", "same_as", "judgement", "judged_by", "notes",
)  # fmt: skip
_COLUMNS: Final = pa.schema(
    [
        *((name, pa.string()) for name in _TEXTS),
        ("probability", pa.float64()),
        ("size", pa.float64()),
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
    judgement: str
    judged_by: str
    notes: str
    cuts: bool
    same_as: str = ""

    @classmethod
    def of(cls, row: Row, source: str) -> Event:
        """A row of a table of events."""
        time, state, before = row[_TIME[source]], row["state"], row["compared_with"]
        own = {name: row[name] for name in cls.__dataclass_fields__ if name in row}
        own["cuts"] = row["cuts"] and source in _DISTRICTS
        return cls(
            **own,
            source=source,
            partition=f"{time}{PARTITION_SEPARATOR}{state}" if source == LINKED else time,
            time=time,
            since=_day(source, before) if before else "",
            until=_day(source, time),
        )

    def overlaps(self, other: Event) -> bool:
        """Whether both may have happened at the same time."""
        return self.since < other.until and other.since < self.until


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the comparisons found.

    Attributes:
        events: rows of each table of events, by its name.
        compared_months: partitions of the voter files' events that exist, as ``month|state``.
    """

    events: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    compared_months: Collection[str] = ()


def named_events(found: Found) -> pa.Table:
    """All events of all sources.

    Args:
        found: what the sources found.

    Returns:
        Rows of ``variance/events``, by date, state and id.
    """
    events = [Event.of(row, source) for source, rows in found.events.items() for row in rows]
    told_apart = _told_apart(events, found.compared_months)
    ordered = sorted(told_apart, key=lambda event: (event.until, event.state, event.event_id))
    return pa.Table.from_pylist([vars(event) for event in ordered], schema=_COLUMNS)


def _day(source: str, time: str) -> str:
    if source == LINKED:
        return snapshot_day(time).isoformat()
    if source == "result_events":
        return election_day(time).isoformat()
    # A profile is of its whole year.
    return f"{time}-12-31" if source == "profile_events" else f"{time}-01"


def _told_apart(events: Sequence[Event], compared_months: Collection[str]) -> list[Event]:
    """Events with their repetitions marked, and without those that linked months deny."""
    ranked = sorted(events, key=lambda event: (event.source != LINKED, -event.probability, event.event_id))
    own: list[Event] = []
    kept: list[Event] = []
    for event in ranked:
        is_map = event.cause in MAP_CAUSES and event.judgement != REJECTED and event.source in _DISTRICTS
        if is_map and event.source != LINKED:
            first = next((other for other in own if other.state == event.state and other.overlaps(event)), None)
            if first is not None:
                kept.append(replace(event, same_as=first.event_id, cuts=False))
                continue
            if event.judgement == OPEN and _denied(event, compared_months):
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
