"""Real tables of counties and districts, put together to larger units, to which known things happen.

Put here how public tables become panels with truth. Keep out what is expected of the detection, and simulated people.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ENTRIES: Final = ("doubled", "factor", "swapped", "merged", "recoded", "partial", "rows lost", "repeated", "lost")
"""What entry does: all counts twice; one measure times 2, 100 or 1000; two measures in each other's column; a category
put into another one, wholly or by half; a share of the cases of every unit, or of the units, not loaded; rows loaded
twice; a measure no longer given."""

UNITS: Final = ("opening", "closing", "attrition", "merger", "split")
"""How units come and go: one not listed so far is, one is no longer, half of them are not, two are one, one is two."""

_UNFINISHED: Final = ("AK", "AZ", "CA", "UT", "WA")
"""In the file of 2008-2016 votes were still being counted (a third of California's were missing in 2016), which is a
partial load of its own; Alaska's districts have other numbers every time."""

_FEWEST_TO_OPEN: Final = 4

_BORDER: Final = 0.35
"""Half of the redrawings touch every unit, the others a run of neighbouring units, at least this share of them."""


@dataclass(frozen=True, kw_only=True)
class Atoms:
    """A real table: counts of small places that stayed what they were.

    Attributes:
        name: of the table.
        times: labels, in order.
        measures: names; the last one is the sum of the others if ``additive``, of all people in any case.
        group: of each place; places of a group stand together, in the order of their codes.
        counts: times by places by measures.
        additive: whether the last measure is the sum of the others.
        per_unit: places that make a unit, at least.
    """

    name: str
    times: tuple[str, ...]
    measures: tuple[str, ...]
    group: NDArray[np.str_]
    counts: Floats
    additive: bool
    per_unit: int


@dataclass(frozen=True, kw_only=True)
class Happenings:
    """What happens to the groups of a real table.

    Attributes:
        events: probability of an event per group and time.
        exchanged: share of a unit's people that a boundary gives to the next unit.
        growth: of a population, as a share; of single units from half of it to one and a half.
        causes: drawn from with equal probability.
        wave: whether nine of ten groups are redrawn at one time.
    """

    events: float = 0.12
    exchanged: float = 0.25
    growth: float = 0.25
    causes: tuple[str, ...] = ("boundary", "renumbering", "entry", "population", "units")
    wave: bool = False


def happen(atoms: Atoms, happenings: Happenings, seed: int) -> tuple[pa.Table, dict[tuple[str, str], str]]:
    """Make a panel with truth of a real table.

    Args:
        atoms: the real table.
        happenings: what happens to its groups.
        seed: equal seeds give equal panels.

    Returns:
        The panel (``group``, ``unit``, ``time`` and the measures) and, by group and time, the cause of each event with
        its kind after a colon; groups and times without event are missing.
    """
    random = np.random.default_rng(seed)
    truth: dict[tuple[str, str], str] = {}
    wave = int(random.integers(1, len(atoms.times))) if happenings.wave else -1
    pieces: list[dict[str, NDArray[Any]]] = []
    for name in dict.fromkeys(atoms.group.tolist()):
        places = np.flatnonzero(atoms.group == name)
        if len(places) < 2 * atoms.per_unit:
            continue
        group = _Group(atoms, places, happenings, random)
        calm_until = 1
        for time, when in enumerate(atoms.times):
            cause = ""
            if time == wave:
                cause = "boundary" if random.random() < 0.9 else ""
            elif time >= calm_until and random.random() < happenings.events:
                cause = str(random.choice(happenings.causes))
            entry = str(random.choice(ENTRIES)) if cause == "entry" else ""
            how = group.befall(cause, happenings, time)
            piece, entry = _enter(group.piece(name, time), entry, atoms, random)
            if cause and how != "impossible":
                calm_until = time + 3
                truth[name, when] = cause + (f":{entry or how}" if entry or how else "")
            pieces.append(piece)
    return pa.table({key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}), truth


class _Group:
    """The places of one group: to which unit they belong, by what factor they grew, how units are called."""

    def __init__(
        self, atoms: Atoms, places: NDArray[np.int64], happenings: Happenings, random: np.random.Generator
    ) -> None:
        self._atoms, self._counts, self._random = atoms, atoms.counts[:, places], random
        size = int(random.integers(atoms.per_unit, 2 * atoms.per_unit + 1))
        self.units = max(len(places) // size, 2)
        unit = np.arange(len(places)) * self.units // len(places)
        self._belongs = (unit[:, None] == np.arange(self.units)).astype(float)
        self._grown = np.ones(self.units)
        self._label = np.arange(self.units)
        self._next = self.units
        self._listed = np.ones(self.units, dtype=np.bool_)
        # One unit of larger groups may only be listed later.
        self._listed[-1] = self.units < _FEWEST_TO_OPEN or "units" not in happenings.causes or random.random() < 0.5

    def befall(self, cause: str, happenings: Happenings, time: int) -> str:
        """What a cause does to the group; how, where it can do it in several ways."""
        if cause == "boundary":
            self._redraw(happenings.exchanged, self._counts[time, :, -1])
        elif cause == "renumbering":
            self._renumber()
        elif cause == "population":
            self._grown = self._grown * (1 + happenings.growth * self._random.uniform(0.5, 1.5, self.units))
        elif cause == "units":
            return self._come_or_go()
        return ""

    def piece(self, name: str, time: int) -> dict[str, NDArray[Any]]:
        counts = np.rint(self._belongs.T @ self._counts[time] * self._grown[:, None])[self._listed]
        if self._atoms.additive:
            counts[:, -1] = counts[:, :-1].sum(axis=1)
        return {
            "group": np.repeat(name, len(counts)),
            "unit": self._label[self._listed] + 1,
            "time": np.repeat(self._atoms.times[time], len(counts)),
            **dict(zip(self._atoms.measures, counts.T, strict=True)),
        }

    def _come_or_go(self) -> str:
        """One way in which units come and go; three others go on."""
        random, there = self._random, self._random.permutation(np.flatnonzero(self._listed))
        ways = [how for how in UNITS if how != "opening" or not self._listed.all()]
        if len(there) < _FEWEST_TO_OPEN:
            return "impossible"
        how = str(random.choice(ways))
        if how == "opening":
            back = np.flatnonzero(~self._listed)[:1]
            self._listed[back] = True
            self._label[back], self._next = self._next, self._next + 1
        elif how in {"closing", "attrition"}:
            self._listed[there[: 1 if how == "closing" else len(there) // 2]] = False
        elif how == "merger":
            self._belongs[:, there[0]] += self._belongs[:, there[1]] * self._grown[there[1]] / self._grown[there[0]]
            self._belongs[:, there[1]] = 0
            self._listed[there[1]] = False
        else:
            part = self._belongs[:, there[0]] * random.uniform(0.3, 0.7)
            self._belongs[:, there[0]] -= part
            self._belongs = np.column_stack([self._belongs, part])
            self._grown = np.append(self._grown, self._grown[there[0]])
            self._label = np.append(self._label, self._next)
            self._listed, self.units, self._next = np.append(self._listed, True), self.units + 1, self._next + 1
        return how

    def _redraw(self, share: float, people: Floats) -> None:
        """Units give the last of their places, up to a share of their people, to the next unit in a ring."""
        touched = np.flatnonzero(self._listed)
        units = len(touched)
        if self._random.random() < 0.5 and units > 2:
            count = int(self._random.integers(max(2, round(_BORDER * units)), units))
            touched = touched[np.arange(count) + int(self._random.integers(0, units - count + 1))]
        before, gain = self._belongs.copy(), np.roll(touched, -1)
        for giver, taker in zip(touched, gain, strict=True):
            left = share * self._random.uniform(0.8, 1.2) * float(before[:, giver] @ people)
            for place in np.flatnonzero(before[:, giver])[::-1]:
                own = before[place, giver] * people[place]
                part = before[place, giver] * (min(left / own, 1.0) if own > 0 else 0.0)
                self._belongs[place, giver] -= part
                self._belongs[place, taker] += part
                left -= own
                if left <= 0:
                    break

    def _renumber(self) -> None:
        """All labels change, as after sorting, or those of some."""
        some = np.flatnonzero(self._listed)
        if self._random.random() < 0.5 and len(some) > 3:
            some = self._random.permutation(some)[: int(self._random.integers(2, len(some)))]
        self._label[some] = np.roll(self._label[some], int(self._random.integers(1, len(some))))


def _enter(
    piece: dict[str, NDArray[Any]], how: str, atoms: Atoms, random: np.random.Generator
) -> tuple[dict[str, NDArray[Any]], str]:
    """The rows as they were entered, and how."""
    rows = len(piece["unit"])
    parts = list(atoms.measures[:-1]) if atoms.additive else list(atoms.measures)
    one, other = (str(name) for name in random.choice(parts, 2, replace=False))
    factor = float(random.choice([2.0, 100.0, 1000.0]))
    loaded = random.uniform(0.3, 0.8) * random.uniform(0.8, 1.2, rows)
    moved = piece[one] if how == "merged" else np.rint(piece[one] * random.uniform(0.3, 0.7))
    if how == "repeated":
        return {name: np.concatenate([values, values]) for name, values in piece.items()}, how
    if how == "rows lost":
        kept = random.permutation(rows) < max(rows // 2, 1)
        return {name: values[kept] for name, values in piece.items()}, how
    changes: dict[str, dict[str, NDArray[Any]]] = {
        "": {},
        "doubled": {name: piece[name] * 2 for name in atoms.measures},
        "factor": {one: piece[one] * factor},
        "swapped": {one: piece[other], other: piece[one]},
        "merged": {one: piece[one] - moved, other: piece[other] + moved},
        "recoded": {one: piece[one] - moved, other: piece[other] + moved},
        "partial": {name: np.rint(piece[name] * loaded) for name in atoms.measures},
        "lost": {one: np.full(rows, np.nan)},
    }
    return piece | changes[how], f"{how} {one}>{other}" if how in {"swapped", "merged", "recoded"} else how


def tables(folder: Path) -> Iterator[Atoms]:
    """Every real table.

    Args:
        folder: of the public files.

    Yields:
        Presidential returns by county (2008-2020, states), registration by county of six states (2004-2020, regions of
        16 counties), of South Dakota (1980-2014, regions of 11) and of Maryland (2014-2018, regions of 6).
    """
    yield presidential(folder)
    yield registration(folder)
    yield south_dakota(folder)
    yield maryland(folder)


def presidential(folder: Path) -> Atoms:
    """Votes for president by county 2008 to 2020: four times, the states whose votes were counted in all of them."""
    own = folder / "county-president"
    states = {int(row["fips"]): row["state_abbr"] for row in _rows(own / "county_fips_master.csv.gz")}
    counts: dict[int, list[list[float]]] = {}
    for row in _rows(own / "US_County_Level_Presidential_Results_08-16.csv.gz"):
        counts[int(row["fips_code"])] = [
            [float(row[f"{party}_{year}"]) for party in ("dem", "gop", "oth", "total")] for year in (2008, 2012, 2016)
        ]
    for row in _rows(own / "2020_US_County_Level_Presidential_Results.csv.gz"):
        dem, gop, total = (float(row[name]) for name in ("votes_dem", "votes_gop", "total_votes"))
        counts.setdefault(int(row["county_fips"]), []).append([dem, gop, total - dem - gop, total])
    whole = sorted(
        fips for fips, years in counts.items() if len(years) == 4 and states.get(fips, "AK") not in _UNFINISHED
    )
    return Atoms(
        name="presidential",
        times=("2008", "2012", "2016", "2020"),
        measures=("dem", "rep", "other", "total"),
        group=np.array([states[fips] for fips in whole]),
        counts=np.array([counts[fips] for fips in whole]).transpose(1, 0, 2),
        additive=True,
        per_unit=3,
    )


def registration(folder: Path) -> Atoms:
    """Registered voters of six states by county, 2004 to 2020: five times."""
    groups, counts = [], []
    for path in sorted((folder / "county-registration-2004-2020").glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = csv.reader(file)
        names = [" ".join(name.replace("Registration2004", "Registration 2004").split()) for name in header]
        for place, line in enumerate(lines):
            row = dict(zip(names, line, strict=False))
            years = [
                [_count(row.get(f"{who} Registration {year}", "")) for who in ("Republican", "Democrat", "Total")]
                for year in range(2004, 2021, 4)
            ]
            if all(all(cell > 0 for cell in year) and sum(year[:2]) <= year[2] for year in years):
                groups.append(f"{path.stem} {place // 16:02d}")
                counts.append([[rep, dem, total - rep - dem, total] for rep, dem, total in years])
    return Atoms(
        name="registration",
        times=("2004", "2008", "2012", "2016", "2020"),
        measures=("rep", "dem", "other", "total"),
        group=np.array(groups),
        counts=np.array(counts).transpose(1, 0, 2),
        additive=True,
        per_unit=2,
    )


def south_dakota(folder: Path) -> Atoms:
    """Registered voters of South Dakota by county, some 40 snapshots 1980 to 2014, half a year to two apart."""
    shots: dict[str, dict[str, list[float]]] = {}
    for path in sorted((folder / "sd-voter-registration" / "snapshots").glob("*.csv")):
        if path.stem >= "1980":
            shots[path.stem] = {row["county"]: _parties(row) for row in _rows(path)}
    counties = sorted(set.intersection(*(set(shot) for shot in shots.values())))
    return Atoms(
        name="south dakota",
        times=tuple(shots),
        measures=("rep", "dem", "other", "total"),
        group=np.array([f"region {place // 11}" for place in range(len(counties))]),
        counts=np.array([[shot[county] for county in counties] for shot in shots.values()]),
        additive=True,
        per_unit=1,
    )


def maryland(folder: Path) -> Atoms:
    """Registered voters of Maryland by county: two Septembers and nine months."""
    shots: dict[str, dict[str, list[float]]] = {}
    own = folder / "md-voter-registration" / "input"
    for path in sorted(own.glob("*_totals.csv"), key=lambda path: (path.name[3:7], path.name[:2])):
        by_county = {}
        for row in _rows(path):
            plain = {name.strip().upper(): value for name, value in row.items()}
            dem, rep, other = (_count(plain[name]) for name in ("DEM", "REP", "UNAF"))
            small = sum(_count(plain[name]) for name in ("GRN", "LIB", "OTH"))
            by_county[plain["COUNTY"].strip().upper()] = [dem, rep, other, small, dem + rep + other + small]
        shots[f"{path.name[3:7]}-{path.name[:2]}"] = by_county
    counties = sorted(set.intersection(*(set(shot) for shot in shots.values())) - {"TOTAL", "TOTALS"})
    return Atoms(
        name="maryland",
        times=tuple(shots),
        measures=("dem", "rep", "unaffiliated", "small", "total"),
        group=np.array([f"region {place // 6}" for place in range(len(counties))]),
        counts=np.array([[shot[county] for county in counties] for shot in shots.values()]),
        additive=True,
        per_unit=1,
    )


def districts(panel: pa.Table, name: str, times: tuple[str, ...], measures: tuple[str, ...]) -> Atoms:
    """Districts of a panel (``state``, ``district``, ``time`` counted from 0, ``measures``) as places.

    Only those with every measure at all times are used. The first of ``measures`` is the number of people.
    """
    rows = panel.to_pylist()
    cells = {(row["state"], row["district"], row["time"]): [row[key] for key in measures] for row in rows}
    whole = sorted(
        {
            key[:2]
            for key in cells
            if all(None not in cells.get((*key[:2], at), [None]) for at in range(len(times)))
        }
    )  # fmt: skip
    counts = np.array([[cells[(*place, at)] for place in whole] for at in range(len(times))], dtype=float)
    return Atoms(
        name=name,
        times=times,
        measures=(*measures[1:], measures[0]),
        group=np.array([place[0] for place in whole]),
        counts=np.roll(counts, -1, axis=2),
        additive=False,
        per_unit=1,
    )


def _parties(row: dict[str, str]) -> list[float]:
    rep, dem = _count(row["republican"]), _count(row["democratic"])
    rest = sum(
        _count(value)
        for name, value in row.items()
        if name not in {"date", "county", "republican", "democratic", "inactive"}
    )
    return [rep, dem, rest, rep + dem + rest]


def _count(text: str | None) -> float:
    plain = (text or "").replace(",", "").strip()
    return float(plain) if plain else 0.0


def _rows(path: Path) -> Iterator[dict[str, str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
        yield from csv.DictReader(file)
