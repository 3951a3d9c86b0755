"""A state's population over time: who is registered where, month by month, and what happened in between.

Put here events and churn of persons, and the snapshot of any month. Keep out how a snapshot is written to a file, and
what an election office does wrong when it writes one.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mlops_assets.simulation import words
from mlops_assets.simulation.configuration import MONTHS, month_index, snapshot_day
from mlops_assets.simulation.geography import Codes, Geography, Numbers, survey
from mlops_assets.simulation.margins import UNAFFILIATED
from mlops_assets.simulation.people import FIRST_YEAR, People, Registry, draw_registration_days, together

if TYPE_CHECKING:
    from mlops_assets.simulation.configuration import SimulationConfig

MOVERS: Final = 0.008
"""Share of the registered who change address in a month."""
MOVERS_TO_ANOTHER_DISTRICT: Final = 1 / 3
JOINERS: Final = 0.006
LEAVERS: Final = 0.005
PARTY_CHANGERS: Final = 0.002
PER_HOUSEHOLD: Final = 1.8
"""Registered persons per address in the first snapshot, on average."""

POPULATION_SHIFT: Final = ("NC", "2022-09")
SHIFT_DISTRICT: Final = 4
SHIFT_SHARE: Final = 0.10
"""Young new registrants of the shift, as a share of the district's registered persons."""
_SHIFT_UNAFFILIATED: Final = 0.6
_ADULT: Final = 18

Flags = npt.NDArray[np.bool_]
_EPOCH: Final = dt.date(1970, 1, 1)


def day_number(day: dt.date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH).days


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A state's registered persons on the first day of a month; one element per person of the whole world.

    Attributes:
        month: index in ``MONTHS``.
        present: whether the person is registered.
        address: index of the address.
        party: index in ``PARTIES``.
        precinct: precinct of the address.
        district: congressional district of the address by the map in force.
    """

    month: int
    present: Flags
    address: Codes
    party: Codes
    precinct: Codes
    district: Codes


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What changed for persons who stayed, between the snapshot before a month and that month's.

    Attributes:
        movers: persons who changed address.
        addresses: their new addresses.
        converts: persons who changed party.
        parties: their new parties.
    """

    movers: Codes
    addresses: Codes
    converts: Codes
    parties: Codes


@dataclass(frozen=True, kw_only=True)
class World:
    """A state from the first snapshot to the last: places, persons, addresses, and all changes.

    Attributes:
        geography: the places.
        people: every person ever registered since the first snapshot, in the order of registration numbers.
        joined: month index of the first snapshot with the person.
        left: month index of the first snapshot without the person; the number of months if there is none.
        first_address: address at joining.
        address_precinct: precinct, by address.
        address_number: running number within its county, by address; the street address is made from it.
        changes: changes by month; none in the first.
        newcomers: the persons of the population shift.
    """

    geography: Geography
    people: People
    joined: Codes
    left: Codes
    first_address: Codes
    address_precinct: Codes
    address_number: Codes
    changes: tuple[Changes, ...]
    newcomers: Codes

    def snapshot(self, month: int) -> Snapshot:
        """The registered persons of the month with that index, found by replaying the changes up to it."""
        address, party = self.first_address.copy(), self.people.party.copy()
        for change in self.changes[: month + 1]:
            address[change.movers] = change.addresses
            party[change.converts] = change.parties
        precinct = self.address_precinct[address]
        return Snapshot(
            month=month,
            present=(self.joined <= month) & (self.left > month),
            address=address,
            party=party,
            precinct=precinct,
            district=self.geography.map_on(snapshot_day(month)).districts[precinct],
        )


def create_world(config: SimulationConfig, state: str) -> World:
    """Make a state and let it live from the first month to the last."""
    geography = survey(config, state)
    settlement = _Settlement(config, geography)
    settlement.settle()
    for month in range(1, len(MONTHS)):
        settlement.live_through(month)
    return settlement.finish()


class _Settlement:
    """The making of one world: grows person by person and month by month."""

    def __init__(self, config: SimulationConfig, geography: Geography) -> None:
        self._config = config
        self._geography = geography
        self._registry = Registry(geography)
        self._parts: list[People] = []
        self._precincts: list[Codes] = []
        self._numbers: list[Codes] = []
        self._addresses = 0
        self._handed_out = np.zeros(len(geography.counties), dtype=np.int64)
        self._joined: list[Codes] = []
        self._home: list[Codes] = []
        self._changes = [_no_changes()]
        self._newcomers = np.zeros(0, dtype=np.int32)
        # The latest state of every person, kept while months go by.
        self._address = self._party = self._left = np.zeros(0, dtype=np.int32)

    def settle(self) -> None:
        """Register the persons of the first snapshot, in households."""
        random = self._config.stream(self._geography.state, "settle")
        count = self._config.voters_per_state
        first_of_household = random.random(count) < 1 / PER_HOUSEHOLD
        first_of_household[0] = True
        household = np.cumsum(first_of_household) - 1
        households = int(household[-1]) + 1
        # One in every equal slice of the state, so that a small state's places keep their share as a large one's do.
        ranks = (random.permutation(households) + random.random(households)) / households
        precinct = self._precincts_at(ranks)
        address = self._build(precinct)[household]
        county = self._geography.precinct_county[precinct][household]
        family = random.integers(0, len(words.SURNAMES) - len(words.HISPANIC_SURNAMES), len(precinct))[household]
        birth_year = np.int32(FIRST_YEAR) - self._registry.draw_ages(random, county)
        registered = draw_registration_days(random, birth_year, np.datetime64(snapshot_day(0), "D"))
        people = self._registry.draw(
            random, county, birth_year=birth_year, registered=registered, surname=family.astype(np.int32)
        )
        self._register(people, address, month=0)

    def live_through(self, month: int) -> None:
        """Let persons leave, move, change party and join between the snapshot before and that month's."""
        random = self._config.stream(self._geography.state, "live", MONTHS[month])
        registered = np.flatnonzero(self._left == len(MONTHS)).astype(np.int32)

        def some(of: Codes, share: float) -> Codes:
            return np.sort(random.choice(of, round(share * len(registered)), replace=False))

        leavers = some(registered, LEAVERS)
        self._left[leavers] = month
        stayers = np.setdiff1d(registered, leavers, assume_unique=True)
        movers, converts = some(stayers, MOVERS), some(stayers, PARTY_CHANGERS)
        precincts = np.concatenate(self._precincts)
        addresses = self._build(self._draw_destinations(random, month, precincts[self._address[movers]]))
        step = random.integers(1, 3, len(converts))
        parties = np.where(self._party[converts] <= UNAFFILIATED, (self._party[converts] + step) % 3, UNAFFILIATED)
        change = Changes(movers=movers, addresses=addresses, converts=converts, parties=parties.astype(np.int32))
        self._address[movers], self._party[converts] = change.addresses, change.parties
        self._changes.append(change)
        self._join(random, month, round(JOINERS * len(registered)))
        if (self._geography.state, month) == (POPULATION_SHIFT[0], month_index(POPULATION_SHIFT[1])):
            self._shift(random, month, stayers)

    def finish(self) -> World:
        """The world as made."""
        return World(
            geography=self._geography,
            people=together(self._parts),
            joined=np.concatenate(self._joined),
            left=self._left,
            first_address=np.concatenate(self._home),
            address_precinct=np.concatenate(self._precincts),
            address_number=np.concatenate(self._numbers),
            changes=tuple(self._changes),
            newcomers=self._newcomers,
        )

    def _districts(self, month: int) -> Codes:
        return self._geography.map_on(snapshot_day(month)).districts

    def _draw_precincts(self, random: np.random.Generator, count: int, among: Flags | None = None) -> Codes:
        return self._precincts_at(random.random(count), among)

    def _precincts_at(self, ranks: Numbers, among: Flags | None = None) -> Codes:
        """Precincts at those ranks (0 to 1) of the cumulated shares of the precincts, or of some of them."""
        share = self._geography.precinct_share if among is None else self._geography.precinct_share * among
        cumulative = np.cumsum(share)
        drawn = np.searchsorted(cumulative, ranks * cumulative[-1], side="right")
        precincts: Codes = np.minimum(drawn, np.flatnonzero(share)[-1]).astype(np.int32)
        return precincts

    def _draw_destinations(self, random: np.random.Generator, month: int, origin: Codes) -> Codes:
        """Precincts to move to: mostly in the district that the map of that month gives the old address."""
        districts = self._districts(month)
        away = random.random(len(origin)) < MOVERS_TO_ANOTHER_DISTRICT
        target = np.empty_like(origin)
        for district in np.unique(districts[origin]):
            inside = districts == district
            for flag, among in ((away, ~inside), (~away, inside)):
                here = np.flatnonzero((districts[origin] == district) & flag)
                target[here] = self._draw_precincts(random, len(here), among)
        return target

    def _build(self, precinct: Codes) -> Codes:
        """New addresses in those precincts, each with the next number of its county."""
        county = self._geography.precinct_county[precinct]
        order = np.argsort(county, kind="stable")
        counts = np.bincount(county, minlength=len(self._handed_out))
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        number = np.empty(len(county), dtype=np.int32)
        number[order] = np.arange(len(county)) - starts + self._handed_out[county[order]]
        self._handed_out += counts
        self._precincts.append(precinct)
        self._numbers.append(number)
        first, self._addresses = self._addresses, self._addresses + len(precinct)
        return np.arange(first, self._addresses, dtype=np.int32)

    def _register(self, people: People, address: Codes, *, month: int) -> None:
        self._parts.append(people)
        self._home.append(address)
        self._joined.append(np.full(len(people), month, dtype=np.int32))
        self._address = np.concatenate([self._address, address])
        self._party = np.concatenate([self._party, people.party])
        self._left = np.concatenate([self._left, np.full(len(people), len(MONTHS), dtype=np.int32)])

    def _join(
        self, random: np.random.Generator, month: int, count: int, among: Flags | None = None, *, young: bool = False
    ) -> None:
        precinct = self._draw_precincts(random, count, among)
        county = self._geography.precinct_county[precinct]
        since, until = day_number(snapshot_day(month - 1)), day_number(snapshot_day(month))
        registered = random.integers(since, until, count).astype(np.int32)
        year = snapshot_day(month - 1).year
        just_of_age = random.random(count) < (1.0 if young else 0.45)
        age = np.where(
            just_of_age, _ADULT + random.integers(0, 7 if young else 2, count), self._registry.draw_ages(random, county)
        )
        surname = random.integers(0, len(words.SURNAMES) - len(words.HISPANIC_SURNAMES), count)
        people = self._registry.draw(
            random,
            county,
            birth_year=(year - age).astype(np.int32),
            registered=registered,
            surname=surname.astype(np.int32),
        )
        if young:
            people.party[random.random(count) < _SHIFT_UNAFFILIATED] = UNAFFILIATED
        self._register(people, self._build(precinct), month=month)

    def _shift(self, random: np.random.Generator, month: int, stayers: Codes) -> None:
        districts = self._districts(month)
        there = districts == SHIFT_DISTRICT
        inhabitants = int(there[np.concatenate(self._precincts)[self._address[stayers]]].sum())
        first = len(self._address)
        self._join(random, month, round(SHIFT_SHARE * inhabitants), there, young=True)
        self._newcomers = np.arange(first, len(self._address), dtype=np.int32)


def _no_changes() -> Changes:
    none = np.zeros(0, dtype=np.int32)
    return Changes(movers=none, addresses=none, converts=none, parties=none)
