"""Where the voters of a state live: counties, precincts and the congressional maps over them.

Put here places, their weights and how they differ, in numbers. Keep out persons, and places in words.

A state is a line: counties follow one another on it and precincts within them, each at a position from 0 to 1. A map
cuts the line into districts of equal expected size, so that a new seat moves every border a little.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mlops_assets.simulation.configuration import month_index, snapshot_day
from mlops_assets.simulation.counties import COUNTIES
from mlops_assets.simulation.margins import MARGINS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.simulation.configuration import SimulationConfig

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

PRECINCTS: Final = 1200
"""Precincts of a state, about."""

REDISTRICTING: Final = ("NC", "2022-03")
RENUMBERING: Final = ("GA", "2022-05")
NEW_NUMBERS: Final = {6: 7, 7: 10, 10: 6, 2: 8, 8: 2}
"""The renumbering: what each district is called from then on; the others keep their numbers."""

_FIRST_DAY: Final = dt.date.min
_SEATS_13: Final = tuple(range(1, 14))
# The seat gained lies in the middle of the line, so that the others keep most of their territory and their number.
_SEATS_14: Final = (*range(1, 8), 14, *range(8, 14))


@dataclass(frozen=True)
class DistrictMap:
    """A congressional map: from a day on, the district number of every precinct.

    Attributes:
        since: first day in force.
        districts: district number by precinct.
    """

    since: dt.date
    districts: Codes

    @property
    def numbers(self) -> list[int]:
        """The district numbers, ascending."""
        return sorted(set(self.districts.tolist()))


@dataclass(frozen=True, kw_only=True)
class Geography:
    """The places of one state.

    Attributes:
        state: postal code.
        counties: county names in the order of their numbers.
        county_share: expected share of the voters, by county.
        county_effects: by name, how a county departs from the state (mean 0, about 1 standard deviation).
        precinct_county: county index by precinct.
        precinct_number: number within its county, from 1, by precinct.
        precinct_share: expected share of the state's voters, by precinct.
        precinct_position: place on the state's line, 0 to 1, by precinct.
        precinct_turnout: how a precinct's turnout departs from its county's, in log odds.
        maps: congressional maps, oldest first.
    """

    state: str
    counties: tuple[str, ...]
    county_share: Numbers
    county_effects: Mapping[str, Numbers]
    precinct_county: Codes
    precinct_number: Codes
    precinct_share: Numbers
    precinct_position: Numbers
    precinct_turnout: Numbers
    maps: tuple[DistrictMap, ...]

    def map_on(self, day: dt.date) -> DistrictMap:
        """The congressional map in force on that day."""
        return next(each for each in reversed(self.maps) if each.since <= day)


def survey(config: SimulationConfig, state: str) -> Geography:
    """Lay out the places of a state; they depend on the seed, not on the number of voters."""
    random = config.stream(state, "geography")
    names = COUNTIES[state]
    share = _county_shares(random, state, names)
    order = random.permutation(len(names))
    effects = _county_effects(random, share, order)

    per_county = np.maximum(2, np.rint(share * PRECINCTS)).astype(np.int64)
    county = np.repeat(np.arange(len(names)), per_county)
    number = np.concatenate([np.arange(1, count + 1) for count in per_county])
    weight = random.gamma(4.0, size=len(county))
    weight *= share[county] / np.bincount(county, weights=weight)[county]

    along = np.lexsort((number, np.argsort(order)[county]))
    position = np.empty_like(weight)
    position[along] = np.cumsum(weight[along]) - weight[along] / 2
    return Geography(
        state=state,
        counties=names,
        county_share=share,
        county_effects=effects,
        precinct_county=county.astype(np.int32),
        precinct_number=number.astype(np.int32),
        precinct_share=weight,
        precinct_position=position,
        precinct_turnout=random.normal(0.0, 0.25, len(county)),
        maps=_maps(state, position),
    )


def _county_shares(random: np.random.Generator, state: str, names: tuple[str, ...]) -> Numbers:
    known = MARGINS[state].largest_counties
    share = random.lognormal(0.0, 0.9, len(names))
    rest = np.array([name not in known for name in names])
    share[~rest] = [known[name] for name in names if name in known]
    # Repeated, because cutting the largest to below the published ones leaves a little to hand out again.
    for _ in range(20):
        share[rest] *= (1.0 - share[~rest].sum()) / share[rest].sum()
        share[rest] = np.minimum(share[rest], 0.9 * min(known.values()))
    result: Numbers = share / share.sum()
    return result


def _county_effects(random: np.random.Generator, share: Numbers, order: npt.NDArray[np.int64]) -> dict[str, Numbers]:
    position = np.empty_like(share)
    position[order] = np.cumsum(share[order]) - share[order] / 2

    def regional() -> Numbers:
        waves = sum(
            np.cos(2 * np.pi * (frequency * position + random.random())) / frequency**0.5 for frequency in (1, 2, 3, 5)
        )
        mixed = waves + random.normal(0.0, 0.6, len(share))
        standard: Numbers = (mixed - np.average(mixed, weights=share)) / mixed.std()
        return standard

    urban = np.log(share)
    urban = (urban - np.average(urban, weights=share)) / urban.std()
    black, hispanic, republican, age, turnout = (regional() for _ in range(5))
    return {
        "urban": urban,
        "black": 0.8 * black,
        "hispanic": 0.6 * hispanic + 0.2 * urban,
        "republican": 0.35 * republican - 0.25 * urban - 0.1 * black,
        "age": 0.6 * age - 0.4 * urban,
        "turnout": 0.8 * turnout,
    }


def _cut(position: Numbers, seats: tuple[int, ...]) -> Codes:
    place = np.minimum((position * len(seats)).astype(np.int64), len(seats) - 1)
    return np.asarray(seats, dtype=np.int32)[place]


def _maps(state: str, position: Numbers) -> tuple[DistrictMap, ...]:
    before, after = _cut(position, _SEATS_13), _cut(position, _SEATS_14)
    if state == REDISTRICTING[0]:
        redrawn = snapshot_day(month_index(REDISTRICTING[1]))
        return DistrictMap(_FIRST_DAY, before), DistrictMap(redrawn, after)
    renumbered = np.array([NEW_NUMBERS.get(number, number) for number in after.tolist()], dtype=np.int32)
    return (
        DistrictMap(_FIRST_DAY, before),
        # Georgia gained its fourteenth seat by the census of 2010, first elected in 2012.
        DistrictMap(dt.date(2012, 1, 1), after),
        DistrictMap(snapshot_day(month_index(RENUMBERING[1])), renumbered),
    )
