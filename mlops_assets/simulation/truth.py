"""The truth about a simulation: what really happened, to compare findings with.

Put here events and counts that no source publishes. Keep out anything that a pipeline reads.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.simulation.configuration import MONTHS, SimulationConfig, month_index, snapshot_day
from mlops_assets.simulation.geography import NEW_NUMBERS, REDISTRICTING, RENUMBERING
from mlops_assets.simulation.margins import UNAFFILIATED
from mlops_assets.simulation.voter_files import DOUBLING, RECODED, RECODING
from mlops_assets.simulation.world import POPULATION_SHIFT, SHIFT_DISTRICT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_assets.simulation.world import Flags, Snapshot, World

ALL: Final = ("all",)
"""Units of an event that concerns the whole state."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Persons who, without moving, are in another district than the month before.

    Attributes:
        before: district in the month before, two digits.
        after: district now, two digits.
        persons: how many.
    """

    before: str
    after: str
    persons: int


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a state's voter file between two snapshots.

    Attributes:
        month: month of the first snapshot that shows it.
        state: postal code.
        cause: ``boundary``, ``renumbering``, ``entry`` or ``population``.
        name: what happened, in a few words.
        units: districts concerned (two digits), or ``all``.
        persons: persons concerned. Of boundaries, renumbering and recodings: those in both snapshots, at the same
            address (boundary, renumbering) or with the same party in truth (recoding), whose value in the file differs.
            Of a double load: all persons of the file. Of a population shift: the newcomers.
        flows: for boundaries and renumbering, from where to where.
    """

    month: str
    state: str
    cause: str
    name: str
    units: tuple[str, ...]
    persons: int
    flows: tuple[Flow, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MapChange:
    """A new map that came into force before the first snapshot, so that only aggregates can show it.

    Attributes:
        state: postal code.
        since: first day in force (ISO date).
        districts_before: how many districts there were.
        districts_after: how many there are.
    """

    state: str
    since: str
    districts_before: int
    districts_after: int


@dataclass(frozen=True, kw_only=True)
class DistrictMonth:
    """Changes of one district since the month before, in persons.

    Attributes:
        voters: registered now.
        joiners: registered now and not before.
        leavers: registered before (in that district) and not now.
        moved_in: moved here from another district; districts are those of either snapshot's own map.
        moved_out: moved to another district.
        moved_within: changed address and stayed in the district.
    """

    voters: int
    joiners: int
    leavers: int
    moved_in: int
    moved_out: int
    moved_within: int


@dataclass(frozen=True, kw_only=True)
class StateMonth:
    """Changes of one state since the month before, in persons; all 0 in the first month.

    Attributes:
        state: postal code.
        month: month of the snapshot.
        voters: registered now.
        movers: registered in both and changed address.
        joiners: registered now and not before.
        leavers: registered before and not now.
        party_changes: registered in both and changed party in truth.
        districts: the same by district (two digits).
    """

    state: str
    month: str
    voters: int
    movers: int
    joiners: int
    leavers: int
    party_changes: int
    districts: dict[str, DistrictMonth] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """All events and monthly changes, months in order, states in order within them.

    Attributes:
        seed: seed of the simulation.
        voters_per_state: its size.
        events: the events.
        months: the monthly changes.
        earlier_maps: maps that came into force before the first month.
    """

    seed: int
    voters_per_state: int
    events: tuple[Event, ...]
    months: tuple[StateMonth, ...]
    earlier_maps: tuple[MapChange, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The same as JSON values, keys as the attributes."""
        return asdict(self)

    def state_month(self, state: str, month: str) -> StateMonth:
        """The changes of that state in that month (``YYYY-MM``)."""
        return next(each for each in self.months if (each.state, each.month) == (state, month))


def tell(config: SimulationConfig, worlds: Mapping[str, World]) -> Truth:
    """The truth about the months that the configuration publishes."""
    events: list[Event] = []
    months: list[StateMonth] = []
    before: dict[str, Snapshot] = {}
    for month in range(config.months):
        for state, world in worlds.items():
            now = world.snapshot(month)
            months.append(_state_month(world, before.get(state, now), now))
            if state in before:
                events += _events(world, before[state], now)
            before[state] = now
    return Truth(
        seed=config.seed,
        voters_per_state=config.voters_per_state,
        events=tuple(events),
        months=tuple(months),
        earlier_maps=tuple(change for world in worlds.values() for change in _earlier_maps(world)),
    )


def _earlier_maps(world: World) -> Iterator[MapChange]:
    maps = world.geography.maps
    for before, after in itertools.pairwise(maps):
        if after.since < snapshot_day(0):
            yield MapChange(
                state=world.geography.state,
                since=after.since.isoformat(),
                districts_before=len(before.numbers),
                districts_after=len(after.numbers),
            )


def _events(world: World, before: Snapshot, now: Snapshot) -> Iterator[Event]:
    state, month = world.geography.state, now.month
    stayers = before.present & now.present

    def is_month_of(event: tuple[str, str]) -> bool:
        return (state, month) == (event[0], month_index(event[1]))

    def event(cause: str, name: str, units: tuple[str, ...], persons: int, flows: tuple[Flow, ...] = ()) -> Event:
        return Event(
            month=MONTHS[month], state=state, cause=cause, name=name, units=units, persons=persons, flows=flows
        )

    if is_month_of(REDISTRICTING) or is_month_of(RENUMBERING):
        flows = _flows(before, now, stayers & (before.address == now.address))
        units = tuple(sorted({flow.before for flow in flows} | {flow.after for flow in flows}))
        persons = sum(flow.persons for flow in flows)
        if is_month_of(REDISTRICTING):
            yield event("boundary", "districts redrawn, 13 to 14", units, persons, flows)
        else:
            names = ", ".join(f"{old:02d} to {new:02d}" for old, new in sorted(NEW_NUMBERS.items()))
            yield event("renumbering", f"districts renumbered: {names}", units, persons, flows)
    if is_month_of(RECODING):
        same = stayers & (before.party == UNAFFILIATED) & (now.party == UNAFFILIATED)
        yield event("entry", f"party_cd {RECODED[0]} recoded to {RECODED[1]}", ALL, int(same.sum()))
    if is_month_of(DOUBLING):
        yield event("entry", "file loaded twice", ALL, int(now.present.sum()))
    if is_month_of(POPULATION_SHIFT):
        yield event("population", "young new registrants", (_label(SHIFT_DISTRICT),), len(world.newcomers))


def _flows(before: Snapshot, now: Snapshot, same_address: Flags) -> tuple[Flow, ...]:
    changed = same_address & (before.district != now.district)
    pairs = np.stack([before.district[changed], now.district[changed]])
    found, counts = np.unique(pairs, axis=1, return_counts=True)
    return tuple(
        Flow(before=_label(old), after=_label(new), persons=count)
        for (old, new), count in zip(found.T.tolist(), counts.tolist(), strict=True)
    )


def _state_month(world: World, before: Snapshot, now: Snapshot) -> StateMonth:
    both = before.present & now.present
    moved = both & (before.address != now.address)
    joined, left = now.present & ~before.present, before.present & ~now.present
    elsewhere = before.district != now.district
    numbers = world.geography.maps[-1].numbers
    most = max(numbers) + 1

    def by_district(snapshot: Snapshot, who: Flags) -> list[int]:
        counts: list[int] = np.bincount(snapshot.district[who], minlength=most).tolist()
        return counts

    counted = {
        "voters": by_district(now, now.present),
        "joiners": by_district(now, joined),
        "leavers": by_district(before, left),
        "moved_in": by_district(now, moved & elsewhere),
        "moved_out": by_district(before, moved & elsewhere),
        "moved_within": by_district(now, moved & ~elsewhere),
    }
    return StateMonth(
        state=world.geography.state,
        month=MONTHS[now.month],
        voters=int(now.present.sum()),
        movers=int(moved.sum()),
        joiners=int(joined.sum()),
        leavers=int(left.sum()),
        party_changes=int((both & (before.party != now.party)).sum()),
        districts={
            _label(number): DistrictMonth(**{name: counts[number] for name, counts in counted.items()})
            for number in numbers
        },
    )


def _label(district: int) -> str:
    return f"{district:02d}"
