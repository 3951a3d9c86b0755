"""Persons and places: margins, differences between districts, and a life month by month."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.simulation.configuration import MONTHS, SimulationConfig
from mlops_assets.simulation.geography import survey
from mlops_assets.simulation.margins import ETHNICITIES, GENDERS, MARGINS, PARTIES, RACES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.simulation.geography import Codes
    from mlops_assets.simulation.world import World


def _shares(codes: Codes, names: Sequence[str]) -> dict[str, float]:
    return dict(zip(names, np.bincount(codes, minlength=len(names)) / len(codes), strict=True))


def test_a_state_has_the_published_margins(large_world: World) -> None:
    people, margins = large_world.people, MARGINS["NC"]

    race = _shares(people.race, RACES)
    assert all(abs(race[code] - share) < 0.01 for code, share in zip(RACES, margins.race, strict=True))
    party = _shares(large_world.snapshot(0).party, PARTIES)
    assert all(abs(party[code] - share) < 0.02 for code, share in zip(PARTIES, margins.party, strict=True))
    ethnicity, gender = _shares(people.ethnicity, ETHNICITIES), _shares(people.gender, GENDERS)
    assert [round(ethnicity[code], 1) for code in ETHNICITIES] == [0.7, 0.2, 0.0]
    assert [round(gender[code], 2) for code in GENDERS] == [0.51, 0.43, 0.06]
    ages = 2021 - people.birth_year[large_world.snapshot(0).present]
    assert 0.15 < np.mean(ages <= 30) - np.mean(ages <= 20) < 0.19
    assert 0.13 < np.mean((ages > 60) & (ages <= 70)) < 0.17


def test_the_largest_counties_have_their_published_share(large_world: World) -> None:
    geography = large_world.geography
    share = dict(zip(geography.counties, geography.county_share, strict=True))

    assert {name: round(share[name], 2) for name in MARGINS["NC"].largest_counties} == MARGINS["NC"].largest_counties
    assert len(share) == 100
    assert max(value for name, value in share.items() if name not in MARGINS["NC"].largest_counties) < 0.03


def test_districts_are_of_equal_size_and_differ_in_who_lives_there(large_world: World) -> None:
    snapshot = large_world.snapshot(0)
    present, district = snapshot.present, snapshot.district
    size = np.bincount(district[present])[1:]
    black = [np.mean(large_world.people.race[present & (district == one)] == RACES.index("B")) for one in range(1, 14)]
    republican = [np.mean(snapshot.party[present & (district == one)] == PARTIES.index("REP")) for one in range(1, 14)]

    assert size.min() > 0.9 * size.max()
    assert max(black) - min(black) > 0.15
    assert max(republican) - min(republican) > 0.1


def test_every_district_keeps_a_plausible_size_through_all_months(worlds: dict[str, World]) -> None:
    for world in worlds.values():
        for month in range(len(MONTHS)):
            snapshot = world.snapshot(month)
            size = np.bincount(snapshot.district[snapshot.present])[1:]
            assert size.min() > 0.5 * size.mean()
            assert size.max() < 1.6 * size.mean()


def test_nobody_registers_before_turning_eighteen_or_after_first_appearing(worlds: dict[str, World]) -> None:
    for world in worlds.values():
        people = world.people
        year = 1970 + people.registered // 365.2425
        assert np.all(year >= people.birth_year + 18)
        months = np.array([np.datetime64(f"{month}-01") for month in MONTHS])
        first_seen = months[world.joined].astype("datetime64[D]").astype(np.int64)
        assert np.all(people.registered < first_seen)
        later = world.joined > 0
        assert np.all(first_seen[later] - people.registered[later] <= 31)


def test_who_has_left_does_not_come_back(worlds: dict[str, World]) -> None:
    for world in worlds.values():
        seen = np.stack([world.snapshot(month).present for month in range(len(MONTHS))])
        changes = np.abs(np.diff(seen.astype(np.int64), axis=0)).sum(axis=0)
        assert np.all(changes[seen[0]] <= 1)
        assert np.all(changes <= 2)


def test_places_do_not_depend_on_how_many_people_live_there() -> None:
    small, large = (survey(SimulationConfig(voters_per_state=size), "GA") for size in (500, 5000))

    assert np.array_equal(small.precinct_share, large.precinct_share)
    assert [each.since for each in small.maps] == [each.since for each in large.maps]
    assert all(np.array_equal(a.districts, b.districts) for a, b in zip(small.maps, large.maps, strict=True))
    assert [len(each.numbers) for each in small.maps] == [13, 14, 14]
