"""Persons: drawing their attributes so that each state keeps its margins while its counties differ.

Put here what a person is and how one is drawn. Keep out what happens to persons from month to month.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mlops_assets.simulation import words
from mlops_assets.simulation.margins import AGE_EDGES, AGE_SHARES, HISPANIC, MARGINS, PARTIES, RACES

if TYPE_CHECKING:
    from mlops_assets.simulation.geography import Codes, Geography, Numbers

FIRST_YEAR: Final = 2021
"""The year of the first snapshot; ages are those reached at its end."""

ACTIVE, INACTIVE = 0, 1
_ADULT: Final = 18
_YOUNG, _MIDDLE = 35, 60
_HISPANIC_NAME, _NO_SUFFIX, _BORN_HERE, _NO_PHONE, _LICENSED = 0.8, 0.93, 0.45, 0.4, 0.85
_AGE_CDF: Final = np.concatenate([[0.0], np.cumsum(AGE_SHARES) / np.sum(AGE_SHARES)])

# How often a race is registered with a party, against the state's average; assumed, from the usual exit polls.
_PARTY_BY_RACE: Final = {
    "W": (0.6, 1.5, 1.0, 1.0, 1.0), "B": (4.0, 0.15, 0.7, 0.4, 0.7), "U": (0.8, 0.6, 1.7, 1.2, 1.2),
    "O": (1.1, 0.6, 1.4, 1.0, 1.0), "A": (1.0, 0.6, 1.5, 1.0, 1.0), "I": (1.3, 0.7, 1.1, 1.0, 1.0),
    "M": (1.2, 0.6, 1.4, 1.3, 1.5), "P": (1.0, 0.8, 1.3, 1.0, 1.0),
}  # fmt: skip
_PARTY_BY_AGE: Final = ((0.9, 0.75, 1.5, 1.9, 1.9), (0.95, 1.0, 1.05, 1.0, 1.0), (1.15, 1.15, 0.7, 0.4, 0.5))
_LEAN: Final = (-0.5, 0.5, 0.0, 0.0, 0.0)
"""What one standard deviation of a county's republican effect adds to the log odds of each party."""


@dataclass(frozen=True, kw_only=True)
class People:
    """Attributes of persons that never change, and what they first registered; one element per person.

    Attributes:
        birth_year: calendar year.
        race: index in ``RACES``.
        ethnicity: index in ``ETHNICITIES``.
        gender: index in ``GENDERS``.
        party: index in ``PARTIES`` at registration.
        surname: index in ``words.SURNAMES``.
        given: index in ``words.GIVEN_NAMES``; ``middle`` likewise.
        middle: see ``given``.
        suffix: index in ``words.SUFFIXES``.
        birth_state: index in ``words.BIRTH_STATES``.
        phone: last seven digits of the telephone number; 0 for none.
        licence: 1 for a holder of a driver's licence.
        registered: days since 1970-01-01.
        status: ``ACTIVE`` or ``INACTIVE``.
        propensity: lasting inclination to vote, standard normal.
        county: index of the county of first registration.
    """

    birth_year: Codes
    race: Codes
    ethnicity: Codes
    gender: Codes
    party: Codes
    surname: Codes
    given: Codes
    middle: Codes
    suffix: Codes
    birth_state: Codes
    phone: Codes
    licence: Codes
    registered: Codes
    status: Codes
    propensity: Numbers
    county: Codes

    def __len__(self) -> int:
        return len(self.birth_year)


def together(parts: list[People]) -> People:
    """All persons of the parts, in their order."""
    return People(
        **{each.name: np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(People)}
    )


def pick(random: np.random.Generator, cumulative: Numbers) -> Codes:
    """One code per row of ``cumulative`` (rows: persons; columns: codes; values: cumulated shares, the last one 1)."""
    drawn = random.random(len(cumulative))
    codes: Codes = (drawn[:, None] >= cumulative[:, :-1]).sum(axis=1).astype(np.int32)
    return codes


def _calibrated(weights: Numbers, target: Numbers, size: Numbers) -> Numbers:
    """Shares proportional to ``weights`` (cells by codes) whose mean, weighted by ``size``, is ``target``.

    Iterative proportional fitting (Deming and Stephan, 1940) on one margin.
    """
    shares: Numbers = weights / weights.sum(axis=1, keepdims=True)
    for _ in range(30):
        shares = shares * (target / np.average(shares, axis=0, weights=size))
        shares /= shares.sum(axis=1, keepdims=True)
    return shares


class Registry:
    """Draws persons who register in a state."""

    def __init__(self, geography: Geography) -> None:
        self._margins = MARGINS[geography.state]
        self._effects = geography.county_effects
        counties = len(geography.counties)

        race_effects = np.zeros((counties, len(RACES)))
        race_effects[:, RACES.index("B")] = self._effects["black"]
        for code in "OM":
            race_effects[:, RACES.index(code)] = self._effects["hispanic"]
        for code in "UA":
            race_effects[:, RACES.index(code)] = 0.4 * self._effects["urban"]
        race_target = np.array(self._margins.race) / sum(self._margins.race)
        race = _calibrated(np.exp(race_effects) * race_target, race_target, geography.county_share)
        self._race = race.cumsum(axis=1)

        # Cells of race, county and age group, so that one table serves every person.
        groups = len(_PARTY_BY_AGE)
        lean = np.exp(np.outer(self._effects["republican"], _LEAN))
        weights = (
            np.array([_PARTY_BY_RACE[code] for code in RACES])[:, None, None, :]
            * lean[None, :, None, :]
            * np.array(_PARTY_BY_AGE)[None, None, :, :]
        ).reshape(-1, len(PARTIES))
        by_age = np.diff(np.interp([0.0, _YOUNG, _MIDDLE, AGE_EDGES[-1]], AGE_EDGES, _AGE_CDF))
        size = (race.T * geography.county_share)[:, :, None] * by_age[None, None, :]
        party_target = np.array(self._margins.party) / sum(self._margins.party)
        party = _calibrated(weights * party_target, party_target, size.ravel())
        self._party = party.cumsum(axis=1).reshape(len(RACES), counties, groups, len(PARTIES))
        self._ethnicity = np.array([self._margins.ethnicity[code] for code in RACES]).cumsum(axis=1)

    def draw_ages(self, random: np.random.Generator, county: Codes) -> Codes:
        """Ages in years of persons registered in those counties, as the county's and the state's margins have it."""
        rank = random.random(len(county)) ** np.exp(-0.2 * self._effects["age"][county])
        ages: Codes = np.floor(np.interp(rank, _AGE_CDF, AGE_EDGES)).astype(np.int32)
        # Somebody of 18 at the end of the year need not be an adult on the day of the snapshot.
        return np.maximum(ages, np.int32(_ADULT + 1))

    def draw_party(self, random: np.random.Generator, race: Codes, county: Codes, age: Codes) -> Codes:
        """Parties of persons by race, county and age."""
        return pick(random, self._party[race, county, np.digitize(age, [_YOUNG, _MIDDLE])])

    def draw(
        self, random: np.random.Generator, county: Codes, *, birth_year: Codes, registered: Codes, surname: Codes
    ) -> People:
        """Persons of those counties, birth years, days of registration and family names (one element per person)."""
        count = len(county)
        race = pick(random, self._race[county])
        ethnicity = pick(random, self._ethnicity[race])
        hispanic = ethnicity == HISPANIC
        few = len(words.HISPANIC_SURNAMES)
        own = len(words.SURNAMES) - few + random.integers(0, few, count)
        known_share, other_share = self._margins.gender_unknown
        unknown = random.random(count) < np.where(race == RACES.index("U"), known_share, other_share)
        woman = random.random(count) < self._margins.female
        women, given = len(words.WOMEN), random.integers(0, len(words.WOMEN), (2, count))
        propensity = random.normal(0.0, 1.0, count)
        elsewhere = random.integers(1, len(words.BIRTH_STATES), count)
        drawn = {
            "birth_year": birth_year,
            "race": race,
            "ethnicity": ethnicity,
            "gender": np.where(unknown, 2, np.where(woman, 0, 1)),
            "party": self.draw_party(random, race, county, FIRST_YEAR - birth_year),
            "surname": np.where(hispanic & (random.random(count) < _HISPANIC_NAME), own, surname),
            "given": np.where(woman, given[0], women + given[0] % len(words.MEN)),
            "middle": np.where(woman, given[1], women + given[1] % len(words.MEN)),
            "suffix": np.where(
                woman | (random.random(count) < _NO_SUFFIX), 0, random.integers(1, len(words.SUFFIXES), count)
            ),
            "birth_state": np.where(
                random.random(count) < _BORN_HERE, words.BIRTH_STATES.index(self._home_state()), elsewhere
            ),
            "phone": np.where(random.random(count) < _NO_PHONE, 0, 5_550_000 + random.integers(100, 200, count)),
            "licence": random.random(count) < _LICENSED,
            "registered": registered,
            "status": random.random(count) < np.where(propensity < -1.0, 0.35, 0.08),
            "county": county,
        }
        return People(
            **{name: np.asarray(value, dtype=np.int32) for name, value in drawn.items()}, propensity=propensity
        )

    def _home_state(self) -> str:
        return next(state for state, margins in MARGINS.items() if margins is self._margins)


def draw_registration_days(random: np.random.Generator, birth_year: Codes, first_day: np.datetime64) -> Codes:
    """Days (since 1970) on which persons on the rolls before ``first_day`` registered.

    Half of the rolls turn over in about twelve years, but nobody registered before turning 18; who turned 18 since then
    registered soon after.
    """
    epoch = np.datetime64("1970-01-01", "D")
    last = int((first_day - epoch).astype(np.int64)) - 1
    years = (birth_year + _ADULT - 1970).astype("datetime64[Y]")
    of_age = (years.astype("datetime64[D]") - epoch).astype(np.int64) + random.integers(0, 365, len(birth_year))
    moved_in = last - random.exponential(18.0 * 365.25, len(birth_year)).astype(np.int64)
    soon_after = of_age + random.exponential(120.0, len(birth_year)).astype(np.int64)
    days: npt.NDArray[np.int64] = np.minimum(np.maximum(moved_in, soon_after), last)
    return days.astype(np.int32)
