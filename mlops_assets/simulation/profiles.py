"""Census profiles of the simulated districts: table DP05 of the American Community Survey, 1-year, one file per year.

Put here estimates and their column codes and labels in each vintage. Keep out how an API hands them out.

Source of codes and labels: the Census Bureau's published variable lists of ``acs/acs1/profile``. Until 2016 labels are
flat; from 2017 they name the universe, and new lines (sex ratio, under 18, 16 and over) move the codes; in 2022 the
Hispanic lines move again. Lines of single groups within a race are left out here. Each vintage repeats the line
"18 years and over", and "65 years and over", for the shares of the sexes that follow it. The Bureau published no
standard estimates for 2020; the simulated office does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.simulation.history import election_day
from mlops_assets.simulation.margins import HISPANIC, MARGINS, RACES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops_assets.simulation.configuration import SimulationConfig
    from mlops_assets.simulation.geography import Numbers
    from mlops_assets.simulation.world import World

YEARS: Final = tuple(range(2010, 2023))
NOT_APPLICABLE: Final = "-888888888"
CONTROLLED: Final = "-555555555"
"""Margin of error of an estimate that is controlled to a population count."""

_SEX, _RACE, _HISPANIC = "SEX AND AGE", "RACE", "HISPANIC OR LATINO AND RACE"
_MEDIAN, _RATIO = "Median age (years)", "Sex ratio (males per 100 females)"
_BRACKETS: Final = (
    ("Under 5 years", 0, 5), ("5 to 9 years", 5, 10), ("10 to 14 years", 10, 15), ("15 to 19 years", 15, 20),
    ("20 to 24 years", 20, 25), ("25 to 34 years", 25, 35), ("35 to 44 years", 35, 45), ("45 to 54 years", 45, 55),
    ("55 to 59 years", 55, 60), ("60 to 64 years", 60, 65), ("65 to 74 years", 65, 75), ("75 to 84 years", 75, 85),
    ("85 years and over", 85, 200),
)  # fmt: skip
_RACE_LINES: Final = (
    ("White", "W"), ("Black or African American", "B"), ("American Indian and Alaska Native", "I"), ("Asian", "A"),
    ("Native Hawaiian and Other Pacific Islander", "P"), ("Some other race", "O"),
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        number: its number in the vintage, from which its codes are made.
        section: heading it stands under.
        path: label below the heading and the universe, outermost part first; empty for the universe itself.
        measure: name of the estimate it shows.
    """

    number: int
    section: str
    path: tuple[str, ...]
    measure: str


@dataclass(frozen=True, kw_only=True)
class Vintage:
    """Where the lines stand in the tables of some years.

    Attributes:
        since: first year.
        nested: whether labels name the universe.
        first_bracket: number of the line "Under 5 years"; the other brackets follow it.
        ages: numbers of the other lines on age.
        ratio: number of the sex ratio, if there is one.
        race_total: number of the universe of the races; one race, and two or more, follow it.
        races: numbers of the races, in the order of ``_RACE_LINES``; two or more follow again.
        hispanic_total: number of the universe of the Hispanic lines.
    """

    since: int
    nested: bool
    first_bracket: int
    ages: Mapping[int, str]
    ratio: int | None
    race_total: int
    races: tuple[int, ...]
    hispanic_total: int


_FLAT: Final = Vintage(
    since=2010,
    nested=False,
    first_bracket=4,
    ages={
        17: _MEDIAN, 18: "18 years and over", 19: "21 years and over", 20: "62 years and over",
        21: "65 years and over", 22: "18 years and over", 25: "65 years and over",
    },
    ratio=None,
    race_total=28,
    races=(32, 33, 34, 39, 47, 52),
    hispanic_total=65,
)  # fmt: skip
_NESTED: Final = Vintage(
    since=2017,
    nested=True,
    first_bracket=5,
    ages={
        18: _MEDIAN, 19: "Under 18 years", 20: "16 years and over", 21: "18 years and over", 22: "21 years and over",
        23: "62 years and over", 24: "65 years and over", 25: "18 years and over", 29: "65 years and over",
    },
    ratio=4,
    race_total=33,
    races=(37, 38, 39, 44, 52, 57),
    hispanic_total=70,
)  # fmt: skip
_VINTAGES: Final = (_FLAT, _NESTED, replace(_NESTED, since=2022, hispanic_total=72))


def vintage_of(year: int) -> Vintage:
    """The vintage of that year's table."""
    return next(vintage for vintage in reversed(_VINTAGES) if vintage.since <= year)


def lines_of(year: int) -> list[Line]:
    """The lines of that year's table, in the order of their numbers."""
    vintage = vintage_of(year)
    total, hispanic = vintage.race_total, vintage.hispanic_total
    several = "Two or more races"
    lines = [
        Line(1, _SEX, (), "total"),
        Line(2, _SEX, ("Male",), "male"),
        Line(3, _SEX, ("Female",), "female"),
        *(Line(vintage.first_bracket + n, _SEX, (text,), text) for n, (text, _, _) in enumerate(_BRACKETS)),
        *(Line(number, _SEX, (text,), text) for number, text in vintage.ages.items()),
        Line(total, _RACE, (), "total"),
        Line(total + 1, _RACE, ("One race",), "one race"),
        Line(total + 2, _RACE, (several,), several),
        *(Line(n, _RACE, ("One race", text), text) for n, (text, _) in zip(vintage.races, _RACE_LINES, strict=True)),
        Line(vintage.races[-1] + 1, _RACE, (several,), several),
        Line(hispanic, _HISPANIC, (), "total"),
        Line(hispanic + 1, _HISPANIC, ("Hispanic or Latino (of any race)",), "hispanic"),
        Line(hispanic + 6, _HISPANIC, ("Not Hispanic or Latino",), "not hispanic"),
    ]
    if vintage.ratio is not None:
        lines.append(Line(vintage.ratio, _SEX, (_RATIO,), _RATIO))
    return sorted(lines, key=lambda line: line.number)


def label_of(line: Line, year: int, kind: str) -> str:
    """The label of a line's column in that year; ``kind`` is ``Estimate``, ``Percent`` and so on."""
    universe = ("Total population",) if vintage_of(year).nested or not line.path else ()
    return "!!".join((kind, line.section, *universe, *line.path))


_KINDS: Final = (
    ("E", "Estimate"), ("M", "Margin of Error"), ("PE", "Percent"), ("PM", "Percent Margin of Error"),
)  # fmt: skip


CONGRESSES: Final = {
    2010: 111, 2011: 112, 2012: 113, 2013: 113, 2014: 114, 2015: 114, 2016: 115, 2017: 115, 2018: 116, 2019: 116,
    2020: 116, 2021: 117, 2022: 118,
}  # fmt: skip
"""By year, the Congress whose districts the profiles use."""


def write_profiles(config: SimulationConfig, worlds: Mapping[str, World], folder: Path) -> None:
    """Write ``YYYY.json`` for each of ``YEARS``: ``variables`` (code to label) and ``rows`` (one object per district).

    A row has ``NAME``, ``GEO_ID``, ``state``, ``congressional district`` and a text for each variable. The numbers are
    estimates for all inhabitants, 1.13 adults per registered adult and children besides, with sampling error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for year in YEARS:
        lines = lines_of(year)
        rows = [row for state, world in worlds.items() for row in _rows(config, world, state, year, lines)]
        variables = {
            f"DP05_{line.number:04d}{suffix}": label_of(line, year, kind) for line in lines for suffix, kind in _KINDS
        }
        text = json.dumps({"variables": variables, "rows": rows}, ensure_ascii=False)
        (folder / f"{year}.json").write_text(text, encoding="utf-8")


def _rows(config: SimulationConfig, world: World, state: str, year: int, lines: Sequence[Line]) -> list[dict[str, str]]:
    margins = MARGINS[state]
    congress = CONGRESSES[year]
    first = world.snapshot(0)
    congressional = world.geography.map_on(election_day(year))
    district = congressional.districts[first.precinct]
    random = config.stream(state, "profiles", str(year))
    rows = []
    for number in congressional.numbers:
        who = first.present & (district == number)
        measures = _estimates(random, world, who.nonzero()[0], year)
        row = {
            "GEO_ID": f"500{congress - 100:02d}00US{margins.fips}{number:02d}",
            "NAME": f"Congressional District {number} ({congress}th Congress), {margins.name.title()}",
            "state": margins.fips,
            "congressional district": f"{number:02d}",
        }
        for line in lines:
            row |= _cells(f"DP05_{line.number:04d}", measures[line.measure], measures["total"], line.measure)
        rows.append(row)
    return rows


_ADULTS_PER_VOTER: Final = 1.13
_ADULT_SHARE: Final = 0.775
_GROWTH: Final = 0.009
_AGEING: Final = 0.18
_HISPANIC_PER_VOTER: Final = 3.2
_ADULT: Final = 18
_SHARE_OF_SAMPLE: Final = 0.01


def _estimates(random: np.random.Generator, world: World, who: Numbers, year: int) -> dict[str, float]:
    """Estimates by measure for a district whose voters of the first snapshot are ``who`` (indices of persons)."""
    people = world.people
    elapsed = year - 2021
    adults = len(who) * _ADULTS_PER_VOTER * (1 + _GROWTH * elapsed)
    total = adults / _ADULT_SHARE

    def sampled(share: float) -> float:
        return float(
            np.clip(share + random.normal(0.0, (share * (1 - share) * _SHARE_OF_SAMPLE / 30) ** 0.5), 0.0, 1.0)
        )

    # The population ages: in earlier years everybody was younger by a fraction of the years between.
    age = np.sort(2021 - people.birth_year[who] + random.random(len(who)) + _AGEING * elapsed)
    adult_age = np.maximum(age, _ADULT)
    children = random.uniform(0.0, _ADULT, len(who))
    everybody = np.concatenate([adult_age, children[: round(len(who) * (1 - _ADULT_SHARE) / _ADULT_SHARE)]])

    def aged(low: int, high: int = 200) -> float:
        return float(np.count_nonzero((everybody >= low) & (everybody < high)) / len(everybody) * total)

    race = np.bincount(people.race[who], minlength=len(RACES)) / len(who)
    known = 1 - race[RACES.index("U")]
    shares = {text: sampled(race[RACES.index(code)] / known) for text, code in _RACE_LINES}
    several = sampled(race[RACES.index("M")] / known)
    scale = sum(shares.values()) + several
    races = {text: round(total * share / scale) for text, share in shares.items()}
    hispanic = sampled(min(0.9, float(np.mean(people.ethnicity[who] == HISPANIC)) * _HISPANIC_PER_VOTER))
    male = sampled(0.487)
    return {
        "total": round(total),
        "male": round(total * male),
        "female": round(total) - round(total * male),
        _RATIO: round(100 * male / (1 - male), 1),
        _MEDIAN: round(float(np.median(everybody)), 1),
        "Under 18 years": round(aged(0, _ADULT)),
        **{f"{low} years and over": round(aged(low)) for low in (16, 18, 21, 62, 65)},
        **{text: round(aged(low, high)) for text, low, high in _BRACKETS},
        **races,
        "one race": min(sum(races.values()), round(total)),
        "Two or more races": max(0, round(total) - sum(races.values())),
        "hispanic": round(total * hispanic),
        "not hispanic": round(total) - round(total * hispanic),
    }


def _cells(code: str, value: float, total: float, measure: str) -> dict[str, str]:
    """The four columns of a line, as text."""
    if measure in {_MEDIAN, _RATIO}:
        return {f"{code}E": f"{value}", f"{code}M": "0.4", f"{code}PE": NOT_APPLICABLE, f"{code}PM": NOT_APPLICABLE}
    if measure == "total":
        return {
            f"{code}E": f"{value:.0f}",
            f"{code}M": CONTROLLED,
            f"{code}PE": f"{value:.0f}",
            f"{code}PM": NOT_APPLICABLE,
        }
    share = value / total if total else 0.0
    error = 1.645 * (max(share * (1 - share), 1e-4) * _SHARE_OF_SAMPLE / 30) ** 0.5
    return {
        f"{code}E": f"{value:.0f}",
        f"{code}M": f"{error * total:.0f}",
        f"{code}PE": f"{100 * share:.1f}",
        f"{code}PM": f"{100 * error:.1f}",
    }
