"""US House returns of the simulated states, as a CSV file in the columns of MEDSL's 1976-2020 edition.

Put here votes for candidates, counted from who voted. Keep out who voted (that is the history).

Source of the columns and their spelling: MIT Election Data and Science Lab, U.S. House 1976-2020, edition 20220331:
upper case, districts of three digits, one row per candidate, and a seat that nobody contested has a total of one vote.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.simulation import words
from mlops_assets.simulation.margins import MARGINS, PARTIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mlops_assets.simulation.configuration import SimulationConfig
    from mlops_assets.simulation.history import Election
    from mlops_assets.simulation.world import World

RETURN_COLUMNS: Final = (
    "year", "state", "state_po", "state_fips", "state_cen", "state_ic", "office", "district", "stage", "runoff",
    "special", "candidate", "party", "writein", "mode", "candidatevotes", "totalvotes", "unofficial", "version",
    "fusion_ticket",
)  # fmt: skip
VERSION: Final = "20220331"

UNCONTESTED: Final = ("GA", 2016, 10)
"""State, year and district of the seat that nobody contests."""

# Of those who voted in that party's name or in none, how many vote Democratic, Republican and Libertarian.
_LOYALTY: Final = {
    "DEM": (0.93, 0.06, 0.01), "REP": (0.05, 0.94, 0.01), "UNA": (0.47, 0.49, 0.04), "LIB": (0.12, 0.33, 0.55),
    "GRE": (0.80, 0.15, 0.05),
}  # fmt: skip
_CANDIDATE_PARTIES: Final = ("DEMOCRAT", "REPUBLICAN", "LIBERTARIAN")
_SPELLED_NICKNAME: Final = 5
"""In every so many districts the Republican is written with a nickname in double quotes."""


def write_house_returns(
    config: SimulationConfig, worlds: Mapping[str, World], elections: Mapping[str, Sequence[Election]], target: Path
) -> int:
    """Write the returns of all general elections as CSV (UTF-8) with ``RETURN_COLUMNS``; return the number of rows.

    The votes of a district are those of the persons who voted and lived there, less 1 to 5 % who left the race blank.
    """
    rows = sorted(
        (row for state, world in worlds.items() for each in elections[state] for row in _rows(config, world, each)),
        key=lambda row: (int(row["year"]), row["state_po"], row["district"]),
    )
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, RETURN_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _rows(config: SimulationConfig, world: World, election: Election) -> Iterator[dict[str, str]]:
    state = world.geography.state
    margins = MARGINS[state]
    random = config.stream(state, "returns", str(election.year))
    congressional = world.geography.map_on(election.day)
    district = congressional.districts[election.precinct]
    national_swing = random.normal(0.0, 0.02)
    for number in congressional.numbers:
        voters = election.voted & (district == number)
        by_party = np.bincount(election.party[voters], minlength=len(PARTIES))
        votes = int(by_party.sum() * random.uniform(0.95, 0.99))
        shares = by_party @ np.array([_LOYALTY[code] for code in PARTIES]) / max(1, by_party.sum())
        swing = national_swing + random.normal(0.0, 0.015)
        shares = np.maximum(shares + np.array([swing, -swing, 0.0]), 0.001)
        names = _candidates(config, state, number, election.year)
        if (state, election.year, number) == UNCONTESTED:
            counts, total = [(1, 1)], 1
        else:
            split = np.floor(shares / shares.sum() * votes).astype(int).tolist()
            split[1] += votes - sum(split)
            counts, total = list(enumerate(split)), votes
        for place, count in counts:
            yield {
                "year": str(election.year),
                "state": margins.name,
                "state_po": state,
                "state_fips": margins.fips,
                "state_cen": str(margins.census_code),
                "state_ic": str(margins.icpsr_code),
                "office": "US HOUSE",
                "district": f"{number:03d}",
                "stage": "GEN",
                "runoff": "FALSE",
                "special": "FALSE",
                "candidate": names[place],
                "party": _CANDIDATE_PARTIES[place],
                "writein": "FALSE",
                "mode": "TOTAL",
                "candidatevotes": str(count),
                "totalvotes": str(total),
                "unofficial": "FALSE",
                "version": VERSION,
                "fusion_ticket": "FALSE",
            }


def _candidates(config: SimulationConfig, state: str, district: int, year: int) -> list[str]:
    """Names of the candidates; about every second one stands again after two years."""
    names = []
    for place, party in enumerate(_CANDIDATE_PARTIES):
        term = (year + 2 * (place + district)) // 4
        random = config.stream(state, "candidate", party, str(district), str(term))
        given, middle = random.choice(words.GIVEN_NAMES, 2).tolist()
        nickname = f'"{middle}"' if place == 1 and district % _SPELLED_NICKNAME == 0 else middle[0]
        names.append(f"{given} {nickname} {random.choice(words.SURNAMES)}")
    return names
