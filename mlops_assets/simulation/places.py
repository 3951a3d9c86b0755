"""Places in words: what a voter file says about a precinct and everything that follows from it.

Put here columns of the voter file that depend on the precinct alone. Keep out the congressional district, which changes
while the precinct stays, and everything about persons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.simulation import words
from mlops_assets.simulation.margins import MARGINS

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.simulation.geography import Geography

_SENATE_SEATS: Final = 50
_HOUSE_SEATS: Final = 120
_JUDICIAL_DISTRICTS: Final = 40
_TOWNS_PER_COUNTY: Final = 3
_PRECINCTS_PER_COMMISSIONER: Final = 5
_COMPASS: Final = ("NORTH", "EAST", "SOUTH", "WEST", "CENTRAL")


def describe_precincts(geography: Geography) -> dict[str, list[str]]:
    """By column of the voter file, the text for each precinct, in the order of the precincts.

    Precincts with an even number are in a town, the others outside any.
    """
    county, number = geography.precinct_county.tolist(), geography.precinct_number.tolist()
    places = range(len(county))
    first_zip = MARGINS[geography.state].first_zip
    # Spread over the list of towns, so that neighbouring counties do not share their names.
    town = [
        words.TOWNS[(c * 37 + n % _TOWNS_PER_COUNTY * 7) % len(words.TOWNS)]
        for c, n in zip(county, number, strict=True)
    ]
    postal = [
        str(first_zip + c * 9 + n % _TOWNS_PER_COUNTY * 3 + n // 2 % 3) for c, n in zip(county, number, strict=True)
    ]
    part = [_COMPASS[n % len(_COMPASS)] for n in number]

    def in_town(text: Callable[[int], str]) -> list[str]:
        return [text(p) if number[p] % 2 == 0 else "" for p in places]

    def outside(text: Callable[[int], str]) -> list[str]:
        return [text(p) if number[p] % 2 else "" for p in places]

    def seat(seats: int) -> list[str]:
        return [str(1 + int(position * seats)) for position in np.minimum(geography.precinct_position, 1 - 1e-9)]

    judicial = seat(_JUDICIAL_DISTRICTS)
    commissioner = [1 + (n - 1) // _PRECINCTS_PER_COMMISSIONER for n in number]
    precinct = [f"{n:02d}-{c % 10}" for c, n in zip(county, number, strict=True)]
    return {
        "county_id": [str(c + 1) for c in county],
        "county_desc": [geography.counties[c] for c in county],
        "res_city_desc": town,
        "zip_code": postal,
        "mail_city": town,
        "mail_zipcode": postal,
        "precinct_abbrv": precinct,
        "precinct_desc": [f"{town[p]} {part[p]} {number[p]}" for p in places],
        "municipality_abbrv": in_town(lambda p: town[p].replace(" ", "")[:4]),
        "municipality_desc": in_town(lambda p: town[p]),
        "ward_abbrv": in_town(lambda p: f"W{number[p] // 2 % 8 + 1}"),
        "ward_desc": in_town(lambda p: f"{town[p]} WARD {number[p] // 2 % 8 + 1}"),
        "super_court_abbrv": [f"{text}{'AB'[number[p] % 2]}" for p, text in enumerate(judicial)],
        "judic_dist_abbrv": judicial,
        "nc_senate_abbrv": seat(_SENATE_SEATS),
        "nc_house_abbrv": seat(_HOUSE_SEATS),
        "county_commiss_abbrv": [str(c) for c in commissioner],
        "county_commiss_desc": [f"COMMISSIONER DISTRICT {c}" for c in commissioner],
        "township_abbrv": [f"T{n % 12:02d}" for n in number],
        "township_desc": [f"{part[p]} TOWNSHIP {number[p] % 12}" for p in places],
        "school_dist_abbrv": [f"S{1 + n % 6}" for n in number],
        "school_dist_desc": [f"SCHOOL {1 + n % 6}" for n in number],
        "fire_dist_abbrv": outside(lambda p: f"F{number[p] % 20:02d}"),
        "fire_dist_desc": outside(lambda p: f"{town[p]} FIRE DISTRICT"),
        "rescue_dist_abbrv": outside(lambda p: f"R{number[p] % 9}"),
        "rescue_dist_desc": outside(lambda p: f"{part[p]} RESCUE"),
        "munic_dist_abbrv": in_town(lambda p: town[p].replace(" ", "")[:4]),
        "munic_dist_desc": in_town(lambda p: town[p]),
        "dist_1_abbrv": judicial,
        "dist_1_desc": [f"PROSECUTORIAL DISTRICT {text}" for text in judicial],
        "vtd_abbrv": precinct,
        "vtd_desc": precinct,
    }
